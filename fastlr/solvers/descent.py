"""Gradient descent on the whole data set, for k models at once.

    D = σ(Z) − Y        W ← W − learning_rate (dW + l2 W)        b ← b − learning_rate db

where dW is the form's gradient of D. The state carries the logits of its own parameters, so the cost of a
state needs no further pass over the data and the logits are computed once a step.
"""

from __future__ import annotations

import math
from functools import partial

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers.problem import Delegate, Problem, State


def start(problem: Problem, b: Array) -> State:
    """Return the state at the form's initial weights and the intercepts `b (k, 1)`."""
    return State(problem.form.origin(), b, problem.form.initial_logits() + b)


def step(problem: Problem, state: State) -> State:
    """Return the state after one update."""
    D = core.residuals(state.Z, problem.Y)
    W = core.descend(state.W, problem.form.gradient(D), problem.learning_rate, problem.l2)
    b = core.descend(state.b, core.intercept_gradient(D), problem.learning_rate)
    return State(W, b, problem.form.logits(W, b))


def advance(backend: Delegate, problem: Problem, state: State, steps: int) -> State:
    """Return the state after `steps` updates, by the backend's kernel for the form where it has one."""
    fused = backend.kernels.get(f"{problem.form.name}_steps")
    if fused is not None:
        advanced: State = fused(problem, state, steps)
        return advanced
    return backend.repeat(partial(step, problem), state, steps)


def suggest_learning_rate(problem: Problem, iterations: int = 20) -> float:
    """Return 1 / (λ/4 + l2), half the largest rate that is sure to be stable, or nan where λ is not finite.

    λ is the largest eigenvalue of [X; 1][X; 1]ᵀ / m, bounded by that of XXᵀ / m plus 1 and found by power
    iteration; the curvature of the cost is at most λ/4 + l2 because σ' ≤ 1/4.
    """
    form, Y = problem.form, problem.Y
    xp = array_namespace(Y)
    v = xp.ones_like(Y[:1, :])
    eigenvalue = 0.0
    for _ in range(iterations):
        v = v / xp.sqrt(xp.sum(v * v))
        v = form.logits(form.gradient(v), 0.0)
        eigenvalue = float(xp.sqrt(xp.sum(v * v)))
        if eigenvalue == 0 or not math.isfinite(eigenvalue):
            break
    curvature = (eigenvalue + 1) / 4 + float(xp.max(problem.l2))
    return 1 / curvature if math.isfinite(curvature) else math.nan

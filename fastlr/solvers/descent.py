"""Gradient descent on the whole data set, for k models at once.

    D, … = backward(Z)        W ← W − learning_rate (dW + l2 W)        b ← b − learning_rate db

where dW is the form's gradient of D, which for logistic regression is σ(Z) − Y, and the step along it is the
optimizer's. The state carries the logits of its own parameters, so the cost of a state needs no further pass over the
data and the logits are computed once a step.
"""

from __future__ import annotations

import math
from functools import partial

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.network import Deeper
from fastlr.solvers.problem import Delegate, Problem, State


def start(problem: Problem, b: Array, deeper: Deeper = ()) -> State:
    """Return the state at the form's initial weights, the intercepts `b (k, units, 1)` and these deeper layers."""
    xp = array_namespace(b)
    state = State(problem.form.origin(), b, problem.form.initial_logits() + b, deeper)
    kept = problem.optimizer.remembers
    memory = tuple((xp.zeros_like(p),) * kept for p in state.parameters) if kept else ()
    return state._replace(memory=memory, t=xp.zeros_like(b[:, :1, :]) if kept else ())


def step(problem: Problem, state: State) -> State:
    """Return the state after one update."""
    moved = update(problem, state)
    return moved._replace(Z=problem.form.logits(moved.W, moved.b))


def update(problem: Problem, state: State) -> State:
    """Return the state with its parameters moved along the gradient, and the logits that it had."""
    D, deeper = problem.network.backward(state.Z, state.deeper, problem.Y, problem.weights)
    gradients = [problem.form.gradient(D), core.intercept_gradient(D), *(array for layer in deeper for array in layer)]
    t = () if isinstance(state.t, tuple) else state.t + 1
    moved, memory = [], []
    for i, (p, g) in enumerate(zip(state.parameters, gradients, strict=True)):
        if i % 2 == 0:  # intercepts are not penalised
            g = g + problem.l2 * p
        p, kept = problem.optimizer.rule(p, g, state.memory[i] if state.memory else (), problem.learning_rate, t)
        moved.append(p)
        memory.append(kept)
    layers = tuple(type(layer)(*moved[i : i + 2]) for layer, i in zip(deeper, range(2, len(moved), 2), strict=True))
    return State(moved[0], moved[1], state.Z, layers, tuple(memory) if state.memory else (), t)


def advance(backend: Delegate, problem: Problem, state: State, steps: int) -> State:
    """Return the state after `steps` updates, by the backend's kernel where it has one for the problem."""
    fused = backend.kernels.get(problem.kernel)
    if fused is not None:
        advanced: State = fused(problem, state, steps)
        return advanced
    return backend.repeat(partial(step, problem), state, steps)


def suggest_learning_rate(problem: Problem, iterations: int = 20) -> float:
    """Return 1 / (λ/4 + l2), half the largest rate that is sure to be stable, or nan where λ is not finite.

    λ is the largest eigenvalue of [X; 1][X; 1]ᵀ / m, bounded by that of XXᵀ / m plus 1 and found by power
    iteration; the curvature of the cost is at most λ/4 + l2 because σ' ≤ 1/4, and for a softmax at most λ/2 + l2.
    For hidden layers nothing so simple holds: nan.
    """
    form, Y, network = problem.form, problem.Y, problem.network
    if network.hidden:
        return math.nan
    xp = array_namespace(Y)
    v = xp.ones_like(Y[:1, :1, :])
    eigenvalue = 0.0
    for _ in range(iterations):
        v = v / xp.sqrt(xp.sum(v * v))
        v = form.logits(form.gradient(v), 0.0)
        eigenvalue = float(xp.sqrt(xp.sum(v * v)))
        if eigenvalue == 0 or not math.isfinite(eigenvalue):
            break
    curvature = (eigenvalue + 1) / (4 if network.outputs == 1 else 2) + float(xp.max(problem.l2))
    return 1 / curvature if math.isfinite(curvature) else math.nan

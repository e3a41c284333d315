"""Following k models of a convex objective until each one's gradient is small enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers.convex import Iterate
from fastlr.solvers.problem import Converging, Problem, State
from fastlr.trajectory import Callback, Measure, Path

PATIENCE = 3  # steps in a row that lead nowhere, after which rounding is all that is left


@dataclass
class Descent(Path):
    """Where one model's training led, with the objectives on the way and the norm of the last gradient."""

    objectives: list[float] = field(default_factory=list)
    norm: float = math.inf
    stalled: bool = False  # rounding let it go no further


def converge(
    backend: Backend,
    solver: Converging,
    problem: Problem,
    iterate: Iterate,
    iterations: int,
    tol: float,
    callback: Callback | None = None,
    measure: Measure | None = None,
) -> list[Descent]:
    """Step until the norm of each model's gradient is at most `tol`, or for so many iterations.

    Models that are done end there; the others go on without them. The cost J of every iterate is recorded.
    """
    k = iterate.b.shape[0]
    paths = [Descent(State(*iterate.rows([row]).point)) for row in range(k)]
    going = list(range(k))
    for done in range(iterations + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            costs, objectives, norms, stalled = (
                _on_host(backend, values)
                for values in (problem.cost(iterate), iterate.objective, iterate.norm, iterate.stalled)
            )
        for row, model in enumerate(going):
            path = paths[model]
            path.costs.append(costs[row])
            path.objectives.append(objectives[row])
            path.recorded_at.append(done)
            path.norm, path.stalled = norms[row], stalled[row] >= PATIENCE
        if measure is not None:
            for model, cost in zip(going, _on_host(backend, measure(problem, iterate)), strict=True):
                paths[model].test_costs.append(cost)
        if callback is not None:
            now = dict(zip(going, costs, strict=True))
            callback(done, [now.get(model, math.nan) for model in range(k)])
        open_rows = []
        for row, model in enumerate(going):
            # `not >` so that a norm that is no number ends the run too.
            if not norms[row] > tol or paths[model].stalled or done == iterations:
                paths[model].state = State(*iterate.rows([row]).point)
            else:
                open_rows.append(row)
        if not open_rows:
            return paths
        if len(open_rows) < len(going):
            problem, iterate = problem.rows(open_rows), iterate.rows(open_rows)
            going = [going[row] for row in open_rows]
        iterate = solver.step(backend, problem, iterate)
    raise AssertionError("the last iteration ends every model")


def findings(path: Descent, problem: Problem, l2: float, tol: float) -> list[str]:
    """Return what is worth saying of how one of the problem's models ended, a line each."""
    said = []
    if l2 == 0 and _separates(path, problem):
        said.append(
            "the classes are separable and l2 is 0: there is no minimum, the weights would grow without end; give an l2"
        )
    if not path.norm <= tol and path.stalled:
        said.append(
            f"the rounding of the dtype ends it: the gradient's norm is {path.norm:.1e}, tol is {tol:.1e}; "
            "take a larger tol, or float64"
        )
    elif not path.norm <= tol:
        said.append(
            f"not converged after {path.recorded_at[-1]} iterations: the gradient's norm is {path.norm:.1e}, "
            f"tol is {tol:.1e}; give more iterations, or a larger tol or l2"
        )
    return said


def _separates(path: Descent, problem: Problem) -> bool:
    """Return whether the model has every example on the right side."""
    Z, Y = path.state.Z, problem.Y
    xp = array_namespace(Z)
    if problem.network.outputs == 1:
        return bool(xp.all((2 * Y - 1) * Z > 0))
    others = xp.max(xp.where(Y > 0, xp.full_like(Z, -xp.inf), Z), axis=1)
    return bool(xp.all(xp.sum(Y * Z, axis=1) > others))


def _on_host(backend: Backend, costs: Array) -> list[float]:
    return [float(cost) for cost in backend.to_host(costs).reshape(-1)]

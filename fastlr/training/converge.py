"""Following k models of a convex objective until each one's gradient is small enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.objectives.protocol import Objective, State, rows_of
from fastlr.solvers import Converging
from fastlr.solvers.iterate import PATIENCE, Iterate
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.follow import Callback, Measure, Path, on_host
from fastlr.training.packing import packable

MORE = "give more iterations, or a larger tol or l2"
FEW = 0.75  # of the models: when no more of them go on, they do so by themselves


FAR = 1e-3  # a norm of the gradient above which rounding leaves a fit far from its minimum


class RoundingNote(str):
    """A note that rounding ended a fit: in this dtype its objective is as low as it gets."""

    __slots__ = ()


@packable
@dataclass
class Convergence(Path):
    """Where one model's training led, with the objectives on the way and the norm of the last gradient."""

    objectives: list[float] = field(default_factory=list)
    norm: float = math.inf
    stalled: bool = False  # rounding let it go no further

    def is_done(self, tol: float) -> bool:
        """Return whether the gradient came down to `tol`, or as near to it as rounding lets it."""
        return self.norm <= tol or (self.stalled and self.norm <= FAR)

    def then(self, more: Convergence) -> Convergence:
        """Return the path that goes on with another from where this one ended."""
        done = self.recorded_at[-1]
        return replace(
            more,
            costs=self.costs + more.costs[1:],
            objectives=self.objectives + more.objectives[1:],
            test_costs=self.test_costs + more.test_costs[1:],
            recorded_at=self.recorded_at + [done + iteration for iteration in more.recorded_at[1:]],
        )


def converge(
    backend: Backend,
    solver: Converging,
    objective: Objective,
    iterate: Iterate,
    iterations: int,
    tol: float,
    callback: Callback | None = None,
    measure: Measure | None = None,
    checkpoint: Checkpoint = NONE,
) -> list[Convergence]:
    """Step until the norm of each model's gradient is at most `tol`, or for so many iterations.

    Models that are done end there, and what the others do does not change them. The cost J of every iterate is
    recorded; `callback(iteration, costs)` is given each model's last.
    """
    going, begun = list(range(iterate.stalled.shape[0])), 0
    paths = [Convergence() for _ in going]
    if (kept := checkpoint.restored("convergence")) is not None:
        paths, going, begun, iterate = kept
        objective = objective.rows(going) if len(going) < len(paths) else objective
    done = begun
    while True:
        checkpoint.offer(lambda: {"convergence": ([path.so_far() for path in paths], going, done, iterate)})  # noqa: B023
        values = (iterate.at.cost, iterate.at.objective, iterate.at.norm, iterate.stalled)
        # One way to the host for all of them.
        costs, objectives, norms, stalled = backend.to_host(backend.xp.stack(values))[..., 0, 0].tolist()
        tested = None if measure is None else on_host(backend, measure(objective, iterate.at.x))
        for row, model in enumerate(going):
            path = paths[model]
            if path.state is not None:
                continue
            path.costs.append(costs[row])
            path.objectives.append(objectives[row])
            path.recorded_at.append(done)
            path.norm, path.stalled = norms[row], stalled[row] >= PATIENCE
            if tested is not None:
                path.test_costs.append(tested[row])
            # `not >` so that a norm that is no number ends the run too.
            if not path.norm > tol or path.stalled or done == iterations:
                path.state = State(*rows_of(iterate.at.x, [row]))
        if callback is not None:
            callback(done, [path.costs[-1] for path in paths])
        rows = [row for row, model in enumerate(going) if paths[model].state is None]
        if not rows:
            return paths
        if len(rows) <= FEW * len(going):
            objective, iterate = objective.rows(rows), iterate.rows(rows)
            going = [going[row] for row in rows]
        with np.errstate(over="ignore", invalid="ignore"):
            # Many in one call for one model, unless each iterate is to be measured; who watches is told afterwards.
            many = getattr(solver, "steps", None) if measure is None and len(going) == 1 else None
            if many is None:
                iterate, passed = solver.step(backend, objective, iterate), []
            else:
                iterate, passed = many(objective, iterate, iterations - done, tol)
        for cost, value in passed:
            done += 1
            path = paths[going[0]]
            path.costs.append(cost)
            path.objectives.append(value)
            path.recorded_at.append(done)
            if callback is not None:
                callback(done, [path.costs[-1] for path in paths])
        done += 1


def converge_in_one_call(
    solver: Converging,
    objective: Objective,
    b: Array,
    W: Array | None,
    iterations: int,
    tol: float,
    callback: Callback | None = None,
) -> list[Convergence] | None:
    """Return what `converge` does for one model from W and b; None where the solver has no compiled call for it all.

    The callback is called afterwards. The state has no logits.
    """
    fit = getattr(solver, "fit", None)
    found = None if fit is None else fit(objective, b, W, iterations, tol)
    if found is None:
        return None
    costs, objectives = (list(values) for values in zip(*found.passed, strict=True))
    if callback is not None:
        for iteration, cost in enumerate(costs):
            callback(iteration, [cost])
    path = Convergence(State(found.W, found.b, ()), costs, list(range(len(costs))), objectives=objectives)
    path.norm, path.stalled = found.norm, found.stalled >= PATIENCE
    return [path]


def findings(path: Convergence, separates: bool, tol: float, dtype: str) -> list[str]:
    """Return what is worth saying of how a model ended, a line each; without l2 it may separate the classes."""
    said = []
    if separates:
        said.append(
            "the classes are separable and l2 is 0: there is no minimum, the weights grow without limit; give an l2"
        )
    if not path.norm <= tol and path.stalled:
        words = (
            f"the rounding of the dtype ends it: the gradient's norm is {path.norm:.1e}, tol is {tol:.1e}; "
            f"take a larger tol, or {'float64 instead of float32' if dtype == 'float32' else 'a larger l2'}"
        )
        said.append(words if path.norm > FAR else RoundingNote(words))
    elif not path.norm <= tol:
        said.append(
            f"not converged after {path.recorded_at[-1]} iterations: the gradient's norm is {path.norm:.1e}, "
            f"tol is {tol:.1e}; {MORE}"
        )
    return said

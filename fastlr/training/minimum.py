"""Bringing models to their minimum: by one solver, or by one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.objectives.streamed import DataObjective
from fastlr.solvers import SOLVERS
from fastlr.training.checkpoint import Checkpoint
from fastlr.training.converge import Convergence, converge, converge_in_one_call
from fastlr.training.follow import Callback, Measure

LAST = 5  # one part in so many of the iterations, at least, is left to the solver that takes over
FIRST = 200  # iterations at most of a solver from which another may take over


@dataclass(frozen=True)
class Way:
    """The solvers: where there are two, the second takes over a single model that the first left unfinished."""

    backend: Backend
    solvers: tuple[str, ...]
    iterations: int
    tol: float
    models: int  # which there will be on these samples: what they share is to pay for all of them
    measure: Callable[[DataObjective], Measure] | None
    checkpoint: Checkpoint

    def follow(
        self, objective: DataObjective, b: Array, W: Array | None, callback: Callback | None
    ) -> tuple[DataObjective, list[Convergence], str]:
        """Return the objective as it was used, each model's path from W and b, and the solver that ended it."""
        name, *others = self.solvers
        paths: list[Convergence] | None = self.checkpoint.restored("begun")
        if paths is None:
            most = min(FIRST, self.iterations - self.iterations // LAST) if others else self.iterations
            objective, paths = self._by(name, objective, b, W, most, callback)
        for name in others if self._is_unfinished(paths) else ():
            self.checkpoint.beside(begun=paths)
            W, b = stack(self.backend, paths)
            done = paths[0].recorded_at[-1]
            objective, found = self._by(name, objective, b, W, self.iterations - done, _later(callback, done))
            paths = [before.then(path) for before, path in zip(paths, found, strict=True)]
            self.checkpoint.beside(begun=None)
            return objective, paths, name
        return objective, paths, self.solvers[0]

    def _is_unfinished(self, paths: Sequence[Convergence]) -> bool:
        return any(path.norm > self.tol and path.recorded_at[-1] < self.iterations for path in paths)

    def _by(
        self, name: str, objective: DataObjective, b: Array, W: Array | None, most: int, callback: Callback | None
    ) -> tuple[DataObjective, list[Convergence]]:
        """Return the objective as it was used, and the paths by one solver."""
        solver, tol = SOLVERS[name], self.tol
        test = None if self.measure is None else self.measure(objective)
        if test is None and (found := converge_in_one_call(solver, objective, b, W, most, tol, callback)) is not None:
            return objective, found
        if name != "newton":  # which needs no preconditioner
            objective = objective.prepared(self.models)
        iterate = solver.start(objective, b, W)
        return objective, converge(self.backend, solver, objective, iterate, most, tol, callback, test, self.checkpoint)


def stack(backend: Backend, paths: Sequence[Convergence]) -> tuple[Array, Array]:
    """Return the coordinates and the intercepts at which the paths ended."""
    return tuple(backend.xp.concat([path.state[i] for path in paths], axis=0) for i in range(2))


def _later(callback: Callback | None, done: int) -> Callback | None:
    """Return the callback for what goes on after so many iterations."""
    return callback and (lambda iteration, costs: callback(done + iteration, costs) if iteration else None)

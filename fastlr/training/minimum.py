"""Bringing models to their minimum: by one solver, or one after another, in float32 first where that is faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.objectives.protocol import each, without_shift
from fastlr.objectives.streamed import DataObjective, Streamed
from fastlr.solvers import SOLVERS
from fastlr.training.checkpoint import Checkpoint
from fastlr.training.converge import Convergence, converge, converge_in_one_call
from fastlr.training.follow import Callback, Measure

LAST = 5  # one part in so many of the iterations, at least, is left to the solver that takes over
FIRST = 200  # iterations at most of a solver from which another may take over
FINEST = 1e-6  # a `tol` below which float64 would begin anew, without pairs, where the objective hardly falls any more
LESS = 0.9  # times `tol` is what float32 comes down to, so that its rounding does not leave float64 just above; or,
DIGITS = 1e-5  # times the first norm of the gradient: what is smaller has few digits in float32


class Stage(NamedTuple):
    """A part of the way."""

    solver: str
    end: int  # the iteration at which it ends if the gradient is still too large
    in_float32: bool = False


@dataclass(frozen=True)
class Way:
    """How models come to their minimum.

    Where there are two solvers, the second takes over a single model that the first left unfinished. A fit of one
    model in float64 to pixels that a kernel reads faster in float32 begins so; float64 goes on where that ended, until
    `tol` is met in float64 too.
    """

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
        stages, none = self._stages(objective), list[Convergence]()
        begun, paths = self.checkpoint.restored("begun") or (0, none)
        name, shift = stages[max(begun - 1, 0)].solver, b - without_shift(b)
        for number, stage in enumerate(stages[begun:], begun):
            unproven = number > 0 and stages[number - 1].in_float32
            if number > begun and not unproven and not self._is_unfinished(paths):
                break
            self.checkpoint.beside(begun=(number, paths))
            if paths:
                W, b = stack(self.backend, paths)
                # Float64 does not see the shift of all intercepts that float32's rounding brought.
                b = without_shift(b) + shift if unproven else b
            done = max((path.recorded_at[-1] for path in paths), default=0)
            told = _later(callback, done) if paths else callback
            objective, found = self._by(stage, objective, b, W, stage.end - done, told)
            paths = [before.then(path) for before, path in zip(paths, found, strict=True)] if paths else found
            if stage.in_float32 and not all(math.isfinite(path.norm) for path in paths):
                paths = none  # its range is too small: float64 starts anew
            name = stage.solver
        self.checkpoint.beside(begun=None)
        return objective, paths, name

    def _stages(self, objective: DataObjective) -> list[Stage]:
        """Return the parts of the way, the last of which has the iterations that the others leave."""
        first, last = self.solvers[0], self.iterations
        end = last if len(self.solvers) == 1 else min(FIRST, last - last // LAST)
        alone = objective.l2.shape[0] == 1 and first == "lbfgs" and self.tol >= FINEST
        single = [Stage(first, end, True)] if alone and objective.is_faster_in_float32 else []
        return [*single, Stage(first, end), *(Stage(solver, last) for solver in self.solvers[1:])]

    def _is_unfinished(self, paths: Sequence[Convergence]) -> bool:
        return any(path.norm > self.tol and path.recorded_at[-1] < self.iterations for path in paths)

    def _by(
        self, stage: Stage, objective: DataObjective, b: Array, W: Array | None, most: int, callback: Callback | None
    ) -> tuple[DataObjective, list[Convergence]]:
        """Return the objective as it was used, and the paths of one stage."""
        if stage.in_float32 and isinstance(objective, Streamed):
            objective = objective.prepared(self.models)
            return objective, self._in_float32(stage.solver, objective, b, W, most, callback)
        solver, tol = SOLVERS[stage.solver], self.tol
        test = None if self.measure is None else self.measure(objective)
        if test is None and (found := converge_in_one_call(solver, objective, b, W, most, tol, callback)) is not None:
            return objective, found
        if stage.solver != "newton":  # which needs no preconditioner
            objective = objective.prepared(self.models)
        iterate = solver.start(objective, b, W)
        return objective, converge(self.backend, solver, objective, iterate, most, tol, callback, test, self.checkpoint)

    def _in_float32(
        self, name: str, objective: Streamed, b: Array, W: Array | None, most: int, callback: Callback | None
    ) -> list[Convergence]:
        """Return the path of one model in float32, to where its gradient still has digits."""
        solver = SOLVERS[name]
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for it ends the path
            within = objective.in_dtype("float32")
            iterate = solver.start(within, *each(within.backend.floats, (b, W)))
            tol = max(LESS * self.tol, DIGITS * float(iterate.at.norm[0, 0, 0]))
            test = None if self.measure is None else self.measure(within)
            return converge(within.backend, solver, within, iterate, most, tol, callback, test, self.checkpoint)


def stack(backend: Backend, paths: Sequence[Convergence]) -> tuple[Array, Array]:
    """Return the coordinates and the intercepts at which the paths ended."""
    return tuple(backend.floats(backend.xp.concat([path.state[i] for path in paths], axis=0)) for i in range(2))


def _later(callback: Callback | None, done: int) -> Callback | None:
    """Return the callback for what goes on after so many iterations."""
    return callback and (lambda iteration, costs: callback(done + iteration, costs) if iteration else None)

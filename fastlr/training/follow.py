"""Following k models along their cost trajectories, until they are done or one stops being finite."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.objectives.protocol import Descending, State
from fastlr.solvers import Solver
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.packing import packable

Callback = Callable[[int, list[float]], object]
Measure = Callable[[Any, Any], Array]  # the cost (k, 1, 1) of a state on samples that it is not trained on


@packable
@dataclass
class Path:
    """Where one model's training led: its last state with a finite cost, of one row, and the costs on the way."""

    state: Any = None  # while it goes on
    costs: list[float] = field(default_factory=list)
    recorded_at: list[int] = field(default_factory=list)
    test_costs: list[float] = field(default_factory=list)
    diverged_at: int | None = None
    steps_per_second: float | None = None  # of all the models at once, in this process

    def so_far(self) -> Self:
        """Return the path as it is now, which stays while this one grows."""
        now = copy.copy(self)
        for name, value in vars(self).items():
            setattr(now, name, list(value) if isinstance(value, list) else value)
        return now


def follow(
    backend: Backend,
    solver: Solver,
    objective: Descending,
    state: State,
    iterations: int,
    record_every: int = 100,
    callback: Callback | None = None,
    measure: Measure | None = None,
    checkpoint: Checkpoint = NONE,
) -> list[Path]:
    """Advance k models by `iterations` steps, many at a time, and record their costs in between.

    A model whose cost is not finite at a recording ends there, with the state of the recording before; the others
    go on without it. `callback(iteration, costs)` is given each cost, NaN for models that ended; what `measure` returns
    is recorded as `test_costs`.
    """
    paths = [Path() for _ in range(state.b.shape[0])]
    going, done, before = list(range(len(paths))), 0, state  # `before` is the state of the last recording
    if (kept := checkpoint.restored("descent")) is not None:
        paths, going, done, before, state = kept
        objective = objective.rows(going) if len(going) < len(paths) else objective
    first, started, compiled = done, time.perf_counter(), backend.compile_seconds()
    while True:
        checkpoint.offer(lambda: {"descent": ([path.so_far() for path in paths], going, done, before, state)})  # noqa: B023
        if done % record_every == 0 or done == iterations:
            with np.errstate(over="ignore", invalid="ignore"):
                costs = on_host(backend, objective.cost(state))
            finite = [row for row, cost in enumerate(costs) if math.isfinite(cost)]
            for row, model in enumerate(going):
                if row not in finite:
                    paths[model].state, paths[model].diverged_at = before.rows([row]), done
                elif done == iterations:
                    paths[model].state = state.rows([row])
            if done == iterations or not finite:
                seconds = time.perf_counter() - started - (backend.compile_seconds() - compiled)
                for path in paths:
                    path.steps_per_second = (done - first) / seconds if done > first and seconds > 0 else None
                return paths
            if len(finite) < len(going):
                objective, state = objective.rows(finite), state.rows(finite)
                going, costs = [going[row] for row in finite], [costs[row] for row in finite]
            for model, cost in zip(going, costs, strict=True):
                paths[model].costs.append(cost)
                paths[model].recorded_at.append(done)
            if measure is not None:
                for model, cost in zip(going, on_host(backend, measure(objective, state)), strict=True):
                    paths[model].test_costs.append(cost)
            if callback is not None:
                now = dict(zip(going, costs, strict=True))
                callback(done, [now.get(model, math.nan) for model in range(len(paths))])
            before = state
        steps = checkpoint.steps(min(record_every - done % record_every, iterations - done), state)
        with np.errstate(over="ignore", invalid="ignore"):
            state = solver.advance(backend, objective, state, steps)
        done += steps


def on_host(backend: Backend, costs: Array) -> list[float]:
    """Return a cost for each model."""
    return [float(cost) for cost in backend.to_host(costs).reshape(-1)]

"""Models trained side by side, those of the splits of the samples and of the columns of their labels among them.

A candidate has `copies` models, split after split: first those of all samples, one for each column of the labels,
which is one model where a sample has one label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.dataset import Dataset
from fastlr.model.evaluation import percent_correct
from fastlr.model.scores import Scoring
from fastlr.objectives.network import Layer, outputs_for
from fastlr.objectives.protocol import State, joined
from fastlr.objectives.streamed import DataObjective
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.converge import Convergence
from fastlr.training.follow import Callback, Measure, Path, follow
from fastlr.training.inputs import set_up
from fastlr.training.packing import packable
from fastlr.training.settings import Candidate, Settings
from fastlr.training.splits import Splits
from fastlr.training.warm_start import fit_each
from fastlr.training.weights import Weightings

Test = Callable[[DataObjective], Measure]


@dataclass(frozen=True)
class Asked:
    """What training is asked for beside settings: weights, splits and what their models are judged by, who watches."""

    weightings: Weightings
    splits: Splits | None = None
    scoring: Scoring | None = None
    test: Test | None = None
    callback: Callback | None = None
    checkpoint: Checkpoint = NONE

    @property
    def models(self) -> int:
        """Return of how many sets of samples a candidate has models: of all, and of each split."""
        return 1 + (0 if self.splits is None else len(self.splits))

    @property
    def columns(self) -> int:
        """Return how many columns the labels have."""
        return len(self.weightings.of) // self.models


@packable
@dataclass(frozen=True)
class Trained:
    """What is kept of a candidate: its model of all samples, and scores of the others."""

    path: Path  # of several columns the mean
    W: Array  # of the first layer, (units, n)
    notes: list[str]
    accuracy: float  # on the training samples, in percent
    by_fold: tuple[float, ...]  # in percent, on what each split left out
    scores: dict[str, tuple[float, ...]]  # the same by what was asked for
    done: tuple[bool, ...] = ()  # whether the models of each split came to their minimum

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Return its layers."""
        state = self.path.state
        first = Layer(self.W, state.b.reshape(-1, 1) if state.b.shape[0] > 1 else state.b[0, ...])
        return (first, *(Layer(layer.W[0, ...], layer.b[0, ...]) for layer in state.deeper))


def descend(
    backend: Backend, data: Dataset, settings: Settings, models: Sequence[Candidate], asked: Asked
) -> tuple[list[Trained], DataObjective, str]:
    """Follow the trajectories of all models at once; return what is kept, the objective and the solver."""
    copies, columns = len(asked.weightings.of), asked.columns
    objective, state = set_up(backend, data, settings, models, asked.weightings, asked.checkpoint)
    measure = None if asked.test is None else asked.test(objective)

    def watch(iteration: int, costs: list[float]) -> None:
        if asked.callback is not None:
            mine = np.reshape(costs, (len(models), asked.models, columns))[:, 0]
            asked.callback(iteration, mine.mean(axis=1).tolist())

    paths = follow(
        backend, settings.choose_descent(), objective, state, settings.iterations, settings.record_every,
        None if asked.callback is None else watch, measure, asked.checkpoint,
    )  # fmt: skip
    # All the weights at once: the Gram form reads the data for them.
    whole = [number * copies + column for number in range(len(models)) for column in range(columns)]
    mine = objective if len(whole) == len(paths) else objective.rows(whole)
    W = mine.weights(backend.xp.concat([paths[row].state.W for row in whole], axis=0))
    states = [path.state for path in paths]
    predicted = objective.predicted(states)
    kept = []
    for number in range(len(models)):
        rows = slice(number * copies, (number + 1) * copies)
        path, own = _of_all_columns(paths[rows][:columns]), W[number * columns : (number + 1) * columns, ...]
        judged = _judged(data, asked, predicted[rows], objective, states[rows])
        kept.append(Trained(path, _of_units(own), [], *judged))
    return kept, objective, settings.solver


def fit_to_minimum(
    backend: Backend, data: Dataset, settings: Settings, models: Sequence[Candidate], asked: Asked
) -> tuple[list[Trained], DataObjective, str]:
    """Fit every model to its minimum; return what is kept, the objective and the solver."""
    copies, columns = len(asked.weightings.of), asked.columns
    l2 = np.repeat([[model.l2] for model in models], copies, axis=1)
    kept: dict[int, Trained] = asked.checkpoint.restored("fitted") or {}
    asked.checkpoint.beside(fitted=dict(kept))
    # inf is the cost of those whose turn has not come.
    latest = [kept[i].path.costs[-1] if i in kept else math.inf for i in range(len(models))]

    def watch(numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
        for number, cost in zip(numbers, costs, strict=True):
            latest[number] = cost
        if asked.callback is not None:
            asked.callback(iteration, list(latest))

    outputs = 1 if data.is_table else outputs_for(len(data.classes))
    for fit in fit_each(
        backend, data.rows, data.labels, outputs, l2, settings,
        weightings=asked.weightings.values, weighting_of=asked.weightings.of, column_of=asked.weightings.column_of,
        scale=settings.scale_of(data.images), watch=watch, measure=asked.test,
        checkpoint=asked.checkpoint,
    ):  # fmt: skip
        for place, number in enumerate(fit.numbers):
            rows = slice(place * copies, (place + 1) * copies)
            path = _of_all_columns(fit.paths[rows][:columns])
            notes = dict.fromkeys(note for some in fit.notes[rows][:columns] for note in some)
            own, states = fit.W[rows.start : rows.start + columns, ...], [one.state for one in fit.paths[rows]]
            judged = _judged(data, asked, fit.predicted[rows], fit.objective, states)
            path = replace(path, state=path.state._replace(Z=()))
            ends = [one.is_done(settings.tolerance) for one in fit.paths[rows][columns:]]
            done = tuple(all(ends[i : i + columns]) for i in range(0, len(ends), columns))
            kept[number] = Trained(path, _of_units(own), list(notes), *judged, done)
        asked.checkpoint.beside(fitted=dict(kept))
    return [kept[i] for i in range(len(models))], fit.objective, fit.solver


def _of_units(W: Array) -> Array:
    """Return the weights of one model `(1, units, n)`, or those of all columns, as `(units, n)`."""
    return W[0, ...] if W.shape[0] == 1 else W[:, 0, :]


def _of_all_columns(paths: Sequence[Any]) -> Any:
    """Return the path of one model, or the mean of those of all columns: one that is done stays where it ended."""
    if len(paths) == 1:
        return paths[0]
    longest = max(paths, key=lambda path: len(path.costs))
    ends = [path.diverged_at for path in paths if path.diverged_at is not None]
    more: dict[str, Any] = {"diverged_at": min(ends, default=None), "state": joined([path.state for path in paths])}
    names = ["costs", "test_costs"]
    if isinstance(longest, Convergence):
        names.append("objectives")
        more |= {"norm": max(path.norm for path in paths), "stalled": any(path.stalled for path in paths)}
    count = len(longest.costs) if not ends else min(len(path.costs) for path in paths)
    for name in names:
        each = [getattr(path, name)[:count] for path in paths]
        if each[0]:
            more[name] = np.mean([row + row[-1:] * (count - len(row)) for row in each], axis=0).tolist()
    return replace(longest, recorded_at=longest.recorded_at[:count], **more)


def _judged(
    data: Dataset, asked: Asked, predicted: NDArray[Any], objective: DataObjective, states: Sequence[State]
) -> tuple[float, tuple[float, ...], dict[str, tuple[float, ...]]]:  # fmt: skip
    """Return the accuracy of a candidate's model of all samples, and those and the scores of its splits."""
    columns, tests = asked.columns, () if asked.splits is None else asked.splits.tests
    chosen = predicted.reshape(asked.models, columns, -1).transpose(0, 2, 1)
    chosen = chosen if data.is_table else chosen[..., 0]
    accuracy = percent_correct(chosen[0], data.labels, data.known)
    by_fold = tuple(
        percent_correct(row[test], data.labels[test], None if data.known is None else data.known[test])
        for row, test in zip(chosen[1:], tests, strict=True)
    )
    if asked.scoring is None or asked.splits is None:
        return accuracy, by_fold, {}
    of_each = [test for test in tests for _ in range(columns)]
    found = objective.probabilities(states[columns:], of_each)
    scores = []
    for number, test in enumerate(tests):
        mine = np.concatenate(found[number * columns : (number + 1) * columns], axis=1)
        scores.append(asked.scoring(data.targets[test], both_classes(mine, data)))
    return accuracy, by_fold, {name: tuple(score[name] for score in scores) for name in asked.scoring.names}


def both_classes(probabilities: NDArray[Any], data: Dataset) -> NDArray[Any]:
    """Return probabilities `(m, outputs)` with a column for each class: of two there is one of the second alone."""
    if data.is_table or probabilities.shape[1] > 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], axis=1)

"""Models trained side by side: the objective, the trajectories, and a run of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.model.evaluation import percent_correct
from fastlr.model.model import Model
from fastlr.namespace import dtype_name, library_of
from fastlr.objectives.network import Layer, one_hot, outputs_for, unstandardized
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.protocol import State
from fastlr.objectives.streamed import DataObjective, Streamed
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.converge import Convergence
from fastlr.training.folds import assign, fold_weights
from fastlr.training.follow import Callback, Measure, Path, follow
from fastlr.training.inputs import set_up
from fastlr.training.packing import packable
from fastlr.training.ranges import check_range
from fastlr.training.run import Run
from fastlr.training.settings import Candidate, Settings
from fastlr.training.warm_start import fit_each


def fit(
    backend: Backend,
    train_data: Dataset,
    test_data: Dataset | None,
    settings: Settings,
    models: Sequence[Candidate],
    *,
    folds: int | None = None,
    test_costs: bool = False,
    callback: Callback | None = None,
    checkpoint: Checkpoint = NONE,
) -> list[Run]:
    """Train all models side by side, within the backend's scope, and return their runs; `seconds` is left at 0.

    With `folds`, each has as many others beside it, one for each fold, which is left out of its training.
    """
    if settings.batch_size is not None and settings.batch_size > len(train_data):
        raise InputError(
            f"batch size: {settings.batch_size}, but {train_data.source} has {len(train_data)} examples; "
            "take at most as many"
        )
    if test_data is not None and not settings.standardize:
        check_range(
            f"features of {test_data.source}", test_data.rows, backend.dtype, settings.scale_of(test_data.images)
        )
    fold = None if folds is None else assign(train_data.labels, folds, settings.seed)
    measure = partial(_measure, backend, test_data) if test_costs and test_data is not None else None
    train = _converge if settings.converges else _descend
    trained = train(backend, train_data, settings, models, fold, measure, callback, checkpoint)
    objective, tol = trained.objective, settings.tolerance
    moments = objective.moments
    # What came from the host goes back there; what came on a device stays.
    kept = backend.to_host if library_of(train_data.images) == "numpy" else lambda array: array
    runs = []
    for i, (path, candidate) in enumerate(zip(trained.paths, models, strict=True)):
        first = Layer(trained.weights[i], path.state.b[0, ...])
        if moments is not None:
            first = unstandardized(first, *moments)
        layers = (first, *(Layer(layer.W[0, ...], layer.b[0, ...]) for layer in path.state.deeper))
        model = Model(
            layers=tuple(Layer(kept(layer.W), kept(layer.b)) for layer in layers),
            classes=train_data.classes,
            scale=settings.scale_of(train_data.images),
            pixels=dtype_name(train_data.images) == "uint8",
            image_shape=tuple(train_data.images.shape[1:]) if train_data.images.ndim == 4 else None,
            resample=train_data.resample,
            class_of=train_data.class_of,
            moments=None if moments is None else tuple(kept(values) for values in moments),
            settings=settings.as_dict()
            | asdict(candidate)
            | {
                "solver": trained.solver,
                "form": objective.name,
                "dtype": backend.dtype,
                "precision": backend.precision,
            },
            costs=tuple(path.costs),
            recorded_at=tuple(path.recorded_at),
        )
        runs.append(
            Run(
                model=model,
                costs=path.costs,
                recorded_at=path.recorded_at,
                train_accuracy=trained.accuracies[i],
                test_accuracy=None if test_data is None else model.accuracy(test_data, backend),
                seconds=0.0,
                form=objective.name,
                backend=backend.name,
                device=backend.device,
                dtype=backend.dtype,
                precision=backend.precision,
                n_train=len(train_data),
                n_test=0 if test_data is None else len(test_data),
                n_features=train_data.n_features,
                layers=settings.layers,
                seed=candidate.seed,
                solver=trained.solver,
                logits="kept" if objective.is_resident else "recomputed",
                converged=path.norm <= tol if isinstance(path, Convergence) else None,
                fold_accuracies=trained.fold_accuracies[i],
                test_costs=None if measure is None else path.test_costs,
                warning=_advice(path, settings, objective, i, candidate.learning_rate),
                notes=(*trained.notes[i], *_notes(path, settings, objective, candidate)),
                train_set=train_data,
                test_set=test_data,
            )
        )
    return runs


@dataclass(frozen=True)
class _Trained:
    """What training leaves behind, for each model in its order."""

    paths: Sequence[Path]
    accuracies: Sequence[float]  # on the training examples, in percent
    fold_accuracies: Sequence[tuple[float, ...]]  # on each fold, of the model that was trained without it
    weights: Sequence[Array]  # of the first layer, (units, n)
    notes: Sequence[Sequence[str]]
    objective: DataObjective
    solver: str


Test = Callable[[DataObjective], Measure]


def _descend(
    backend: Backend, data: Dataset, settings: Settings, models: Sequence[Candidate],
    fold: NDArray[np.int64] | None, test: Test | None, callback: Callback | None, checkpoint: Checkpoint,
) -> _Trained:  # fmt: skip
    """Follow the trajectories of all models at once."""
    objective, state = set_up(backend, data, settings, models, fold, checkpoint)
    k = len(models)
    measure = None if test is None else test(objective)
    watch = None if callback is None else lambda iteration, costs: callback(iteration, costs[:k])
    descent = settings.choose_descent()
    paths = follow(
        backend, descent, objective, state, settings.iterations, settings.record_every, watch, measure, checkpoint
    )
    # All the weights at once: the Gram form reads the data for them.
    mine = objective if fold is None else objective.rows(range(k))
    W = mine.weights(backend.xp.concat([path.state.W for path in paths[:k]], axis=0))
    predicted, folds = objective.predicted([path.state for path in paths]), len(paths) // k - 1
    accuracies = [percent_correct(predicted[i], data.labels) for i in range(k)]
    by_fold = [_on_folds(predicted[k + i * folds : k + (i + 1) * folds], data.labels, fold) for i in range(k)]
    return _Trained(paths[:k], accuracies, by_fold, [W[i, ...] for i in range(k)], [()] * k, objective, settings.solver)


def _converge(
    backend: Backend, data: Dataset, settings: Settings, models: Sequence[Candidate],
    fold: NDArray[np.int64] | None, test: Test | None, callback: Callback | None, checkpoint: Checkpoint,
) -> _Trained:  # fmt: skip
    """Fit every model, and those of its folds, to its minimum."""
    weightings = None if fold is None else fold_weights(fold)[0]
    copies = 1 if weightings is None else len(weightings)
    l2 = np.repeat([[model.l2] for model in models], copies, axis=1)
    fitted: dict[int, _Fitted] = checkpoint.restored("fitted") or {}
    checkpoint.beside(fitted=dict(fitted))
    # inf is the cost of those whose turn has not come.
    latest = [fitted[i].path.costs[-1] if i in fitted else math.inf for i in range(len(models))]

    def watch(numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
        for number, cost in zip(numbers, costs, strict=True):
            latest[number] = cost
        if callback is not None:
            callback(iteration, list(latest))

    outputs = outputs_for(len(data.classes))
    for fit in fit_each(
        backend, data.rows, data.labels, outputs, l2, settings,
        weightings=weightings, scale=settings.scale_of(data.images), watch=watch, measure=test, checkpoint=checkpoint,
    ):  # fmt: skip
        for place, number in enumerate(fit.numbers):
            mine = slice(place * copies, (place + 1) * copies)
            path, predicted = fit.paths[mine.start], fit.predicted[mine]
            fitted[number] = _Fitted(
                replace(path, state=path.state._replace(Z=())), fit.W[mine.start, ...], list(fit.notes[mine.start]),
                percent_correct(predicted[0], data.labels), _on_folds(predicted[1:], data.labels, fold),
            )  # fmt: skip
        checkpoint.beside(fitted=dict(fitted))
    each = [fitted[i] for i in range(len(models))]
    return _Trained(
        [one.path for one in each], [one.accuracy for one in each], [one.by_fold for one in each],
        [one.W for one in each], [one.notes for one in each], fit.objective, fit.solver,
    )  # fmt: skip


@packable
@dataclass(frozen=True)
class _Fitted:
    """What is kept of a model at its minimum: of all examples nothing but the scores."""

    path: Convergence
    W: Array  # of the first layer, (units, n)
    notes: list[str]
    accuracy: float
    by_fold: tuple[float, ...]


def _on_folds(predicted: NDArray[Any], labels: NDArray[np.int64], fold: Any) -> tuple[float, ...]:
    """Return, for each fold, the accuracy on it of the model that was trained without it."""
    return tuple(percent_correct(row[fold == number], labels[fold == number]) for number, row in enumerate(predicted))


def _measure(backend: Backend, data: Dataset, objective: DataObjective) -> Measure:
    """Return what gives the cost of a state on a test set, each time from the weights themselves."""
    if isinstance(objective, Streamed):
        return partial(_streamed_cost, replace(objective.blocks, rows=data.rows, labels=data.labels))
    X = backend.asarray(data.rows).T
    known = outputs_for(len(data.classes))
    Y = backend.floats(one_hot(data.labels, known)[np.newaxis])

    def cost(some: DataObjective, state: Any) -> Array:
        W, form = some.weights(state.W), objective.form
        test = PrimalForm.of(X, W, form.scale, backend.kernels, form.moments)
        return some.network.cost(test.logits(W, state.b), getattr(state, "deeper", ()), Y)

    return cost


def _streamed_cost(blocks: Blocks, some: Streamed, state: Any) -> Array:
    """Return the cost of a state on examples that come in blocks."""
    there = replace(some, blocks=blocks, sample_weight=None)
    return there.cost(state if isinstance(state, State) else State(*state))


def _advice(path: Path, settings: Settings, objective: DataObjective, model: int, learning_rate: float) -> str | None:
    """Return what went wrong and what to try, None where nothing did."""
    if path.diverged_at is None:
        return None
    with np.errstate(all="ignore"):
        hidden = objective.network.hidden
        suggested = learning_rate / 10 if hidden else objective.rows([model]).stable_rate()
    what_to_do = (
        f"try a learning rate of {suggested:.1g}" if 0 < suggested < learning_rate else "scale the features to about 1"
    )
    kept = f"the parameters of iteration {path.recorded_at[-1]} are kept" if path.recorded_at else "nothing was learned"
    return f"diverged: the cost was no longer finite at iteration {path.diverged_at} ({kept}); {what_to_do}"


def _notes(path: Path, settings: Settings, objective: DataObjective, candidate: Candidate) -> list[str]:
    """Return what is worth knowing of a run that went through."""
    notes = []
    if settings.form == "auto" and settings.needs_primal:
        notes.append(f"{settings.needs_primal}: the {objective.name} form was taken")
    if dead := objective.dead_layers(path.state):
        notes.append(
            f"the network is dead: every ReLU of hidden layer {min(dead)} is off for every example, and only what lies "
            f"above it can still learn; the seed was {candidate.seed}, try another, or a smaller learning rate"
        )
    return notes

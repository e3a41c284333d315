"""Models trained side by side: the objective, the trajectories, and a run of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.model.model import Model
from fastlr.model.scores import Scoring
from fastlr.namespace import dtype_name, itemsize_of, library_of
from fastlr.objectives.cluster import Clustered
from fastlr.objectives.network import Layer, one_hot, outputs_for, unstandardized
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.protocol import State
from fastlr.objectives.streamed import DataObjective, Streamed
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.converge import Convergence
from fastlr.training.follow import Callback, Measure, Path
from fastlr.training.ranges import check_range
from fastlr.training.run import Run
from fastlr.training.settings import LEARNING_RATE, PRIMAL, Candidate, Settings
from fastlr.training.splits import Splits
from fastlr.training.trained import Asked, descend, fit_to_minimum
from fastlr.training.weights import ONE_MODEL, Weightings

RISE = 2  # times the first cost, above which a rise on the way is told, even if the cost fell again
FAR_FROM_ZERO = 1e4  # deviations, of which float32 rounds a thousandth


def fit(
    backend: Backend,
    train_data: Dataset,
    test_data: Dataset | None,
    settings: Settings,
    models: Sequence[Candidate],
    *,
    weightings: Weightings = ONE_MODEL,
    splits: Splits | None = None,
    scoring: Scoring | None = None,
    test_costs: bool = False,
    callback: Callback | None = None,
    checkpoint: Checkpoint = NONE,
) -> list[Run]:
    """Train all models side by side, within the backend's scope, and return their runs; `seconds` is left at 0.

    With `splits`, each has as many others beside it, whose scores on what they were not trained on it has.
    """
    if settings.batch_size is not None and settings.batch_size > len(train_data):
        raise InputError(
            f"batch size: {settings.batch_size}, but {train_data.source} has {len(train_data)} samples; "
            "take at most as many"
        )
    if train_data.is_table and settings.layers:
        raise InputError("layers: a table of labels has a linear model for each of its columns; leave them out")
    if train_data.is_table and test_costs:
        raise InputError("test costs: they are not recorded for a table of labels; leave test_costs out")
    if test_data is not None and not settings.standardize:
        check_range(
            f"features of {test_data.source}", test_data.rows, backend.dtype, settings.scale_of(test_data.images)
        )
    measure = partial(_measure, backend, test_data) if test_costs and test_data is not None else None
    asked = Asked(weightings, splits, scoring, measure, callback, checkpoint)
    train = fit_to_minimum if settings.converges else descend
    trained, objective, solver = train(backend, train_data, settings, models, asked)
    tol = settings.tolerance
    batches = -(-len(train_data) // (settings.batch_size or len(train_data)))
    step = len(train_data) / batches * train_data.n_features * itemsize_of(train_data.rows)  # bytes, the mean
    moments = objective.moments
    far = _far_from_zero(backend, moments)
    # What came from the host goes back there; what came on a device stays.
    kept = backend.to_host if library_of(train_data.images) == "numpy" else lambda array: array
    runs = []
    for i, (found, candidate) in enumerate(zip(trained, models, strict=True)):
        path, (first, *deeper) = found.path, found.layers
        pace = path.steps_per_second
        if moments is not None:
            first = unstandardized(first, *moments)
        model = Model(
            layers=tuple(Layer(kept(layer.W), kept(layer.b)) for layer in (first, *deeper)),
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
                "solver": solver,
                "form": objective.name,
                "dtype": backend.dtype,
                "precision": backend.precision,
            },
            costs=tuple(path.costs),
            recorded_at=tuple(path.recorded_at),
            multi_label=train_data.is_table,
        )
        runs.append(
            Run(
                model=model,
                costs=path.costs,
                recorded_at=path.recorded_at,
                train_accuracy=found.accuracy,
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
                solver=solver,
                logits="kept" if objective.is_resident else "recomputed",
                converged=path.norm <= tol if isinstance(path, Convergence) else None,
                fold_accuracies=found.by_fold,
                fold_scores=found.scores,
                folds_converged=found.done,
                test_costs=None if measure is None else path.test_costs,
                steps_per_second=pace,
                bytes_per_second=None if pace is None or objective.name != PRIMAL else step * pace,
                warning=_advice(path, objective, i * len(weightings.of), candidate.learning_rate),
                notes=(*far, *_notes(path, settings, objective, i * len(weightings.of), candidate), *found.notes),
                train_set=train_data,
                test_set=test_data,
            )
        )
    return runs


def _far_from_zero(backend: Backend, moments: tuple[Array, Array] | None) -> list[str]:
    """Return a note if predictions in float32, which do not subtract the means first, lose digits."""
    if moments is None or backend.dtype != "float32":
        return []
    mean, deviation = (np.asarray(backend.to_host(values), dtype=np.float64) for values in moments)
    most = float((np.abs(mean) / deviation).max())
    if most <= FAR_FROM_ZERO:
        return []
    return [
        f"a feature's mean is {most:.1g} times its standard deviation: predictions in float32 lose digits; "
        "take float64, or subtract the means first"
    ]


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
    """Return the cost of a state on samples that come in blocks."""
    return some.on(blocks).cost(state if isinstance(state, State) else State(*state))


def _advice(path: Path, objective: DataObjective, model: int, learning_rate: float) -> str | None:
    """Return what went wrong and what to try, None where nothing did."""
    if path.diverged_at is None:
        return None
    what_to_do = _smaller_rate(objective, model, learning_rate) or "scale the features to about 1"
    kept = f"the parameters of iteration {path.recorded_at[-1]} are kept" if path.recorded_at else "nothing was learned"
    return f"diverged: the cost was no longer finite at iteration {path.diverged_at} ({kept}); {what_to_do}"


def _smaller_rate(objective: DataObjective, model: int, learning_rate: float) -> str | None:
    """Return the advice of a learning rate that is stable, None where none is known or it is no smaller."""
    with np.errstate(all="ignore"):
        hidden = objective.network.hidden
        suggested = learning_rate / 10 if hidden else objective.rows([model]).stable_rate()
    return f"try a learning rate of {suggested:.1g}" if 0 < suggested < learning_rate else None


def _risen(path: Path, objective: DataObjective, model: int) -> float | None:
    """Return the highest cost of a descent that ends above its first cost, or that rose far above it; else None."""
    last = path.costs[-1]
    if len(path.costs) == 1:  # of few iterations only the first is recorded
        alone = objective.rows([model])
        with np.errstate(all="ignore"):
            last = float(alone.cost(alone.arrive(path.state))[0, 0, 0])
    first, highest = path.costs[0], max(last, *path.costs)
    return highest if not last <= first or highest > RISE * first else None


def _notes(path: Path, settings: Settings, objective: DataObjective, model: int, candidate: Candidate) -> list[str]:
    """Return what is worth knowing of a run that went through."""
    notes = [objective.placed.description] if isinstance(objective, Clustered) else []
    if settings.converges and candidate.learning_rate != LEARNING_RATE:
        notes.append(f"the learning rate {candidate.learning_rate:g} was not used: only solver gd has one")
    if settings.form == "auto" and settings.needs_primal:
        notes.append(f"{settings.needs_primal}: the {objective.name} form was taken")
    if not settings.converges and path.diverged_at is None and (highest := _risen(path, objective, model)):
        advice = [_smaller_rate(objective, model, candidate.learning_rate) or "try a smaller learning rate"]
        advice += [] if settings.standardize else ["standardized features"]
        advice += [] if settings.layers else ["the solver auto"]
        notes.append(f"the cost rose from {path.costs[0]:.4g} to {highest:.4g}: {', or '.join(advice)}")
    if dead := objective.dead_layers(path.state):
        notes.append(
            f"the network is dead: every ReLU of hidden layer {min(dead)} is off for every sample, and only what lies "
            f"above it can still learn; the seed was {candidate.seed}, try another, or a smaller learning rate"
        )
    return notes

"""Models trained side by side: the data's form, the trajectories, and a run of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.folds import assign, weights
from fastlr.forms import FORMS, Form, GramForm, PrimalForm, choose_form
from fastlr.model import Model, percent_correct
from fastlr.namespace import dtype_name, library_of
from fastlr.network import Layer, Network, classes_of, one_hot
from fastlr.network import fold as fold_in
from fastlr.run import Run
from fastlr.settings import Candidate, Settings
from fastlr.solvers.optimizers import choose_optimizer
from fastlr.solvers.problem import Problem, Solver, State
from fastlr.trajectory import Callback, Measure, Path, follow

PIXEL_SCALE = 1 / 255


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
) -> list[Run]:
    """Train all models side by side, within the backend's scope, and return their runs; `seconds` is left at 0.

    With `folds`, each has as many others beside it, one for each fold, which is left out of its training.
    """
    if settings.batch_size is not None and settings.batch_size > len(train_data):
        raise InputError(
            f"batch size: {settings.batch_size}, but {train_data.source} has {len(train_data)} examples; "
            "take at most as many"
        )
    fold = None if folds is None else assign(train_data.labels, folds, settings.seed)
    space, problem, state = set_up(backend, train_data, settings, models, fold)
    solver = settings.choose_solver()
    measure = _measure(backend, test_data, problem.network, space) if test_costs and test_data is not None else None
    watch = None if callback is None else lambda iteration, costs: callback(iteration, costs[: len(models)])
    paths = follow(backend, solver, problem, state, settings.iterations, settings.record_every, watch, measure)
    # All the weights at once: the Gram form reads the data for them.
    mine = space if fold is None else space.rows(range(len(models)))
    all_weights = mine.weights(backend.xp.concat([path.state.W for path in paths[: len(models)]], axis=0))
    # What came from the host goes back there; what came on a device stays.
    kept = backend.to_host if library_of(train_data.images) == "numpy" else lambda array: array
    network, runs = problem.network, []
    for i, (path, candidate) in enumerate(zip(paths, models, strict=False)):
        first = Layer(all_weights[i, ...], path.state.b[0, ...])
        if space.moments is not None:
            first = fold_in(first, *space.moments)
        layers = (first, *(Layer(layer.W[0, ...], layer.b[0, ...]) for layer in path.state.deeper))
        model = Model(
            layers=tuple(Layer(kept(layer.W), kept(layer.b)) for layer in layers),
            classes=train_data.classes,
            scale=_scale(train_data),
            image_shape=tuple(train_data.images.shape[1:]) if train_data.images.ndim == 4 else None,
            resample=train_data.resample,
            class_of=train_data.class_of,
            moments=None if space.moments is None else tuple(kept(values) for values in space.moments),
            settings=settings.as_dict()
            | candidate._asdict()
            | {"form": space.name, "dtype": backend.dtype, "precision": backend.precision},
            costs=tuple(path.costs),
            recorded_at=tuple(path.recorded_at),
        )
        runs.append(
            Run(
                model=model,
                costs=path.costs,
                recorded_at=path.recorded_at,
                train_accuracy=_accuracy(backend, network, path, train_data.labels),
                test_accuracy=None if test_data is None else model.accuracy(test_data),
                seconds=0.0,
                form=space.name,
                backend=backend.name,
                device=backend.device,
                dtype=backend.dtype,
                precision=backend.precision,
                n_train=len(train_data),
                n_test=0 if test_data is None else len(test_data),
                n_features=train_data.n_features,
                layers=settings.layers,
                seed=candidate.seed,
                fold_accuracies=() if fold is None else _fold_accuracies(backend, network, paths, i, train_data, fold),
                test_costs=None if measure is None else path.test_costs,
                warning=_advice(path, solver, problem.rows([i]), candidate.learning_rate),
                notes=_notes(path, network, settings, space, candidate.seed),
                train_set=train_data,
                test_set=test_data,
            )
        )
    return runs


def set_up(
    backend: Backend,
    data: Dataset,
    settings: Settings,
    models: Sequence[Candidate],
    fold: NDArray[np.int64] | None = None,
) -> tuple[Form, Problem, State]:
    """Return the data's form on the backend's device, the problem of all models, and the state in which they start.

    Where the examples are in folds, the models of the folds follow after all others.
    """
    counted = None if fold is None else backend.floats(weights(fold, len(models)))
    models = [*models, *(model for model in models for _ in range(0 if fold is None else fold.max() + 1))]
    k, m, n = len(models), len(data), data.n_features
    network = Network(settings.layers, 1 if len(data.classes) == 2 else len(data.classes))
    chosen = _choose_form(backend, settings, n, m, k * network.units[0])
    rows = data.images.reshape(m, n)
    # Converted once where every step would have to convert all of it; K is computed from what is there.
    as_it_is = chosen == GramForm.name or settings.batch_size is not None or dtype_name(rows) in backend.reads
    X = (backend.asarray(rows) if as_it_is else backend.floats(rows)).T
    moments = core.moments(X, backend.float_dtype, _scale(data)) if settings.standardize else None
    drawn = {seed: network.draw(n, seed) for seed in {model.seed for model in models}}
    layers = [
        Layer(*(backend.floats(np.stack(parts)) for parts in zip(*same, strict=True)))
        for same in zip(*(drawn[model.seed] for model in models), strict=True)
    ]
    space = FORMS[chosen].of(X, layers[0].W, _scale(data), backend.kernels, moments)
    rates = backend.floats(np.reshape([model.learning_rate for model in models], (k, 1, 1)))
    penalties = backend.floats(np.reshape([model.l2 for model in models], (k, 1, 1)))
    Y = backend.floats(one_hot(data.labels, network.outputs)[np.newaxis])
    problem = Problem(space, Y, rates, penalties, network, choose_optimizer(settings.optimizer), counted)
    return space, problem, settings.choose_solver().start(problem, layers[0].b, tuple(layers[1:]))


def _accuracy(
    backend: Backend, network: Network, path: Path, labels: NDArray[np.int64], some: NDArray[np.bool_] | None = None
) -> float:
    """Return the accuracy in percent on the training examples, or on some of them."""
    probabilities = backend.to_host(network.probabilities(path.state.Z, path.state.deeper))[0]
    chosen = slice(None) if some is None else some
    return percent_correct(classes_of(probabilities)[chosen], labels[chosen])


def _fold_accuracies(
    backend: Backend, network: Network, paths: Sequence[Path], model: int, data: Dataset, fold: NDArray[np.int64]
) -> tuple[float, ...]:
    """Return, for each fold, the accuracy on it of the model that was trained without it."""
    count = int(fold.max()) + 1
    first = len(paths) // (1 + count) + model * count
    return tuple(
        _accuracy(backend, network, path, data.labels, fold == number)
        for number, path in enumerate(paths[first : first + count])
    )


def _choose_form(backend: Backend, settings: Settings, n: int, m: int, rows: int) -> str:
    """Return the form for so many rows of weights."""
    if settings.needs_primal:
        return PrimalForm.name
    itemsize = np.dtype(backend.dtype).itemsize
    return choose_form(settings.form, n, m, rows, settings.iterations, backend.costs, itemsize)


def _measure(backend: Backend, data: Dataset, network: Network, space: Form) -> Measure:
    """Return what gives the cost of a state on a test set, each time from the weights themselves."""
    X = backend.asarray(data.images.reshape(len(data), -1)).T
    Y = backend.floats(one_hot(data.labels, network.outputs)[np.newaxis])

    def cost(problem: Problem, state: State) -> Array:
        form: Any = problem.form
        W = form.weights(state.W)
        test = PrimalForm.of(X, W, _scale(data), backend.kernels, space.moments)
        return network.cost(test.logits(W, state.b), state.deeper, Y)

    return cost


def _scale(data: Dataset) -> float:
    """Return what the numbers are multiplied by: uint8 is pixels, 0…255."""
    return PIXEL_SCALE if dtype_name(data.images) == "uint8" else 1.0


def _advice(path: Path, solver: Solver, problem: Problem, learning_rate: float) -> str | None:
    """Return what went wrong and what to try, None where nothing did."""
    if path.diverged_at is None:
        return None
    with np.errstate(all="ignore"):
        suggested = solver.suggest_learning_rate(problem) if not problem.network.hidden else learning_rate / 10
    what_to_do = (
        f"try a learning rate of {suggested:.1g}" if 0 < suggested < learning_rate else "scale the features to about 1"
    )
    kept = f"the parameters of iteration {path.recorded_at[-1]} are kept" if path.recorded_at else "nothing was learned"
    return f"diverged: the cost was no longer finite at iteration {path.diverged_at} ({kept}); {what_to_do}"


def _notes(path: Path, network: Network, settings: Settings, space: Form, seed: int) -> tuple[str, ...]:
    """Return what is worth knowing of a run that went through."""
    notes = []
    if settings.form == "auto" and settings.needs_primal:
        notes.append(f"{settings.needs_primal}: the {space.name} form was taken")
    dead = network.dead_layer(path.state.Z, path.state.deeper)
    if dead is not None:
        notes.append(
            f"the network is dead: every ReLU of hidden layer {dead} is off for every example, and only what lies "
            f"above it can still learn; the seed was {seed}, try another, or a smaller learning rate"
        )
    return tuple(notes)

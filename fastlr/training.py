"""train() and sweep(): check what is given, choose a form, follow the trajectories, hand back runs."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.core import Array
from fastlr.data.dataset import Dataset
from fastlr.data.given import test_set, training_set
from fastlr.data.reading import as_dataset
from fastlr.errors import DivergenceWarning, InputError
from fastlr.forms import FORMS, Form, GramForm, PrimalForm, choose_form
from fastlr.model import Model, percent_correct
from fastlr.namespace import dtype_name, library_of
from fastlr.network import Layer, Network, classes_of, fold, one_hot
from fastlr.settings import Settings, hidden_units, real
from fastlr.solvers.optimizers import choose_optimizer
from fastlr.solvers.problem import Problem, Solver, State
from fastlr.trajectory import Callback, Measure, Path, follow

PIXEL_SCALE = 1 / 255


@dataclass(frozen=True)
class Run:
    """A finished training: the model, its cost curve, its accuracies in percent, and what it ran on."""

    model: Model
    costs: list[float]
    recorded_at: list[int]
    train_accuracy: float
    test_accuracy: float | None
    seconds: float
    form: str
    backend: str
    device: str
    dtype: str
    precision: str
    n_train: int
    n_test: int
    n_features: int
    layers: tuple[int, ...] = ()  # the units of the hidden layers
    seed: int = 0
    test_costs: list[float] | None = None  # on the test set, beside `costs`, where they were asked for
    warning: str | None = None  # what went wrong and what to try, where a run diverged
    notes: tuple[str, ...] = ()  # what else is worth knowing, a line each
    train_set: Dataset | None = field(default=None, repr=False)
    test_set: Dataset | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain values, for JSON: all but the model and the data."""
        left_out = ("model", "train_set", "test_set")
        fields = {name: value for name, value in vars(self).items() if name not in left_out}
        return fields | {"classes": list(self.model.classes)}


def train(
    data: Any,
    labels: Any = None,
    *,
    test: Any = None,
    layers: Sequence[int] = (),
    iterations: int = 2000,
    learning_rate: float = 0.005,
    l2: float = 0.0,
    solver: str = "gd",
    optimizer: str = "gd",
    batch_size: int | None = None,
    standardize: bool = False,
    seed: int = 0,
    record_every: int = 100,
    form: str = "auto",
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    precision: str = "full",
    test_costs: bool = False,
    callback: Callback | None = None,
) -> Run:
    """Train a classifier: logistic regression for two classes, a softmax for more, over hidden layers if asked for.

    `data` is a Dataset, or an array of uint8 images `(m, h, w, c)` or features `(m, n)` with `labels (m,)`, in any
    library that has a backend: the model's arrays are then in that library and on that device;
    `test` is a Dataset or a pair `(examples, labels)`. `iterations` updates with step `learning_rate` minimise
    the mean log-loss plus l2/2 ‖W‖²; the cost (without the l2 term) is recorded before the updates
    0, record_every, …, and `callback(iteration, cost)` is called there. With `test_costs` that of the test set is
    recorded beside it, which reads all the data each time.

    `layers` holds the units of the hidden ReLU layers, whose initial weights are drawn from `seed`; without any, the
    weights start at zero. `optimizer` is "gd", "momentum", "nesterov" or "adam". With a `batch_size` each iteration
    looks at so many examples, shuffled from the seed anew each time all were seen. `standardize` subtracts the mean
    of each feature and divides by its standard deviation, both of the training set; the model does so by itself.

    `backend`, `device` and `dtype` override the environment variables `FASTLR_BACKEND`, `FASTLR_DEVICE` and
    `FASTLR_DTYPE`. Products of float32 are made in float32, `precision` "full", unless "tf32" lets an NVIDIA GPU round
    their factors.

    A run whose cost stops being finite ends there, warns, and returns the last finite parameters.
    Raises InputError for input that cannot be used.
    """
    learning_rate, l2 = real("learning rate", learning_rate, above=0.0), real("l2", l2, least=0.0)
    settings = Settings(
        iterations, hidden_units(layers), solver, optimizer, batch_size, standardize, seed, record_every, form
    )
    data, test = as_dataset(data), as_dataset(test, "test")
    target = _backend_for(data, backend, device, dtype, precision)
    with target.scope():
        (run,) = _train_all(data, labels, test, target, settings, [(learning_rate, l2)], callback, test_costs)
    if run.warning:
        warnings.warn(run.warning, DivergenceWarning, stacklevel=2)
    return run


def sweep(
    data: Any,
    labels: Any = None,
    *,
    learning_rates: Sequence[float] = (0.005,),
    l2: Sequence[float] = (0.0,),
    test: Any = None,
    layers: Sequence[int] = (),
    iterations: int = 2000,
    solver: str = "gd",
    optimizer: str = "gd",
    batch_size: int | None = None,
    standardize: bool = False,
    seed: int = 0,
    record_every: int = 100,
    form: str = "auto",
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    precision: str = "full",
    test_costs: bool = False,
    callback: Callback | None = None,
) -> list[Run]:
    """Train one model for each learning rate and each l2, all in one pass over the data, and return their runs.

    The runs are in the order of `learning_rates`, and for each of them in that of `l2`. A run that diverges ends
    with its last finite parameters and a `warning` of its own; the others go on. `seconds` is that of the whole.
    All else is as in `train`.
    """
    rates = [real("learning rate", rate, above=0.0) for rate in learning_rates]
    penalties = [real("l2", penalty, least=0.0) for penalty in l2]
    if not rates or not penalties:
        raise InputError("sweep: at least one learning rate and one l2 are needed")
    settings = Settings(
        iterations, hidden_units(layers), solver, optimizer, batch_size, standardize, seed, record_every, form
    )
    data, test = as_dataset(data), as_dataset(test, "test")
    target = _backend_for(data, backend, device, dtype, precision)
    models = [(rate, penalty) for rate in rates for penalty in penalties]
    with target.scope():
        return _train_all(data, labels, test, target, settings, models, callback, test_costs)


def _train_all(
    data: Any,
    labels: Any,
    test: Any,
    backend: Backend,
    settings: Settings,
    models: Sequence[tuple[float, float]],
    callback: Callback | None,
    test_costs: bool,
) -> list[Run]:
    """Train one model for each pair of learning rate and l2, within the backend's scope."""
    started = time.perf_counter()
    train_data = training_set(data, labels)
    test_data = test_set(test, train_data)
    if settings.batch_size is not None and settings.batch_size > len(train_data):
        raise InputError(
            f"batch size: {settings.batch_size}, but {train_data.source} has {len(train_data)} examples; "
            "take at most as many"
        )
    space, problem, state = set_up(backend, train_data, settings, models)
    solver = settings.choose_solver()
    measure = _measure(backend, test_data, problem.network, space) if test_costs and test_data is not None else None
    paths = follow(backend, solver, problem, state, settings.iterations, settings.record_every, callback, measure)
    # All the weights at once: the Gram form reads the data for them.
    weights = space.weights(backend.xp.concat([path.state.W for path in paths], axis=0))
    # What came from the host goes back there; what came on a device stays.
    kept = backend.to_host if library_of(train_data.images) == "numpy" else lambda array: array
    network, runs = problem.network, []
    for i, (path, (learning_rate, l2)) in enumerate(zip(paths, models, strict=True)):
        first = Layer(weights[i, ...], path.state.b[0, ...])
        if space.moments is not None:
            first = fold(first, *space.moments)
        layers = (first, *(Layer(layer.W[0, ...], layer.b[0, ...]) for layer in path.state.deeper))
        probabilities = backend.to_host(network.probabilities(path.state.Z, path.state.deeper))[0]
        model = Model(
            layers=tuple(Layer(kept(layer.W), kept(layer.b)) for layer in layers),
            classes=train_data.classes,
            scale=_scale(train_data),
            image_shape=tuple(train_data.images.shape[1:]) if train_data.images.ndim == 4 else None,
            resample=train_data.resample,
            class_of=train_data.class_of,
            moments=None if space.moments is None else tuple(kept(values) for values in space.moments),
            settings=settings.as_dict()
            | {"learning_rate": learning_rate, "l2": l2, "form": space.name, "dtype": backend.dtype}
            | {"precision": backend.precision},
            costs=tuple(path.costs),
            recorded_at=tuple(path.recorded_at),
        )
        runs.append(
            Run(
                model=model,
                costs=path.costs,
                recorded_at=path.recorded_at,
                train_accuracy=percent_correct(classes_of(probabilities), train_data.labels),
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
                seed=settings.seed,
                test_costs=None if measure is None else path.test_costs,
                warning=_advice(path, solver, problem.rows([i]), learning_rate),
                notes=_notes(path, network, settings, space),
                train_set=train_data,
                test_set=test_data,
            )
        )
    seconds = time.perf_counter() - started
    return [replace(run, seconds=seconds) for run in runs]


def _backend_for(data: Any, backend: str | None, device: str | None, dtype: str | None, precision: str) -> Backend:
    if isinstance(data, str | os.PathLike):
        raise InputError(f"data: {os.fspath(data)!r} is a path; give fastlr.open_dataset of it, or an array")
    examples = data.images if isinstance(data, Dataset) else data
    host_data = isinstance(data, Dataset | list | tuple) and library_of(examples) == "numpy"
    return choose_backend(backend, device, dtype, like=None if host_data else examples, precision=precision)


def set_up(
    backend: Backend, data: Dataset, settings: Settings, models: Sequence[tuple[float, float]]
) -> tuple[Form, Problem, State]:
    """Return the data's form on the backend's device, the problem of one model for each learning rate and l2, and
    the state in which their training starts.
    """
    k, m, n = len(models), len(data), data.n_features
    network = Network(settings.layers, 1 if len(data.classes) == 2 else len(data.classes))
    chosen = _choose_form(backend, settings, n, m, k * network.units[0])
    rows = data.images.reshape(m, n)
    # Converted once where every step would have to convert all of it; K is computed from what is there.
    as_it_is = chosen == GramForm.name or settings.batch_size is not None or dtype_name(rows) in backend.reads
    X = (backend.asarray(rows) if as_it_is else backend.floats(rows)).T
    moments = core.moments(X, backend.float_dtype, _scale(data)) if settings.standardize else None
    layers = [
        Layer(*(backend.floats(np.broadcast_to(part, (k, *part.shape))) for part in layer))
        for layer in network.draw(n, settings.seed)
    ]
    space = FORMS[chosen].of(X, layers[0].W, _scale(data), backend.kernels, moments)
    rates, penalties = (backend.floats(np.reshape(values, (k, 1, 1))) for values in zip(*models, strict=True))
    Y = backend.floats(one_hot(data.labels, network.outputs)[np.newaxis])
    problem = Problem(space, Y, rates, penalties, network, choose_optimizer(settings.optimizer))
    return space, problem, settings.choose_solver().start(problem, layers[0].b, tuple(layers[1:]))


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


def _notes(path: Path, network: Network, settings: Settings, space: Form) -> tuple[str, ...]:
    """Return what is worth knowing of a run that went through."""
    notes = []
    if settings.form == "auto" and settings.needs_primal:
        notes.append(f"{settings.needs_primal}: the {space.name} form was taken")
    dead = network.dead_layer(path.state.Z, path.state.deeper)
    if dead is not None:
        notes.append(
            f"the network is dead: every ReLU of hidden layer {dead} is off for every example, and only what lies "
            f"above it can still learn; the seed was {settings.seed}, try another, or a smaller learning rate"
        )
    return tuple(notes)

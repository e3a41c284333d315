"""train() and sweep(): check what is given, choose a form, follow the trajectories, hand back runs."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.data.dataset import Dataset, from_arrays, list_names
from fastlr.data.reading import as_dataset
from fastlr.errors import DivergenceWarning, InputError
from fastlr.forms import FORMS, Form, GramForm, choose_form
from fastlr.model import Layer, Model, percent_correct
from fastlr.namespace import dtype_name, library_of
from fastlr.solvers import choose_solver
from fastlr.solvers.problem import Problem, Solver
from fastlr.trajectory import Callback, Path, follow

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
    warning: str | None = None  # what went wrong and what to try, where a run diverged

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain values, for JSON."""
        fields = {name: value for name, value in vars(self).items() if name != "model"}
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
    seed: int = 0,
    record_every: int = 100,
    form: str = "auto",
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    precision: str = "full",
    callback: Callback | None = None,
) -> Run:
    """Train a classifier of two classes by gradient descent from zero weights.

    `data` is a Dataset, or an array of uint8 images `(m, h, w, c)` or features `(m, n)` with `labels (m,)`, in any
    library that has a backend: the model's arrays are then in that library and on that device;
    `test` is a Dataset or a pair `(examples, labels)`. `iterations` updates with step `learning_rate` minimise
    the mean log-loss plus l2/2 ‖W‖²; the cost (without the l2 term) is recorded before the updates
    0, record_every, …, and `callback(iteration, cost)` is called there. `backend`, `device` and `dtype` override
    the environment variables `FASTLR_BACKEND`, `FASTLR_DEVICE` and `FASTLR_DTYPE`. Products of float32 are made in
    float32, `precision` "full", unless "tf32" lets an NVIDIA GPU round their factors.

    A run whose cost stops being finite ends there, warns, and returns the last finite parameters.
    Raises InputError for input that cannot be used.
    """
    learning_rate, l2 = _real("learning rate", learning_rate, above=0.0), _real("l2", l2, least=0.0)
    settings = _settings(iterations, solver, seed, record_every)
    if tuple(layers):
        raise InputError(f"layers: {tuple(layers)} is not supported yet; leave it out for logistic regression")
    data, test = as_dataset(data), as_dataset(test, "test")
    target = _backend_for(data, backend, device, dtype, precision)
    with target.scope():
        (run,) = _train_all(data, labels, test, target, form, settings, [(learning_rate, l2)], callback)
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
    iterations: int = 2000,
    solver: str = "gd",
    seed: int = 0,
    record_every: int = 100,
    form: str = "auto",
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    precision: str = "full",
    callback: Callback | None = None,
) -> list[Run]:
    """Train one model for each learning rate and each l2, all in one pass over the data, and return their runs.

    The runs are in the order of `learning_rates`, and for each of them in that of `l2`. A run that diverges ends
    with its last finite parameters and a `warning` of its own; the others go on. `seconds` is that of the whole.
    All else is as in `train`.
    """
    rates = [_real("learning rate", rate, above=0.0) for rate in learning_rates]
    penalties = [_real("l2", penalty, least=0.0) for penalty in l2]
    if not rates or not penalties:
        raise InputError("sweep: at least one learning rate and one l2 are needed")
    settings = _settings(iterations, solver, seed, record_every)
    data, test = as_dataset(data), as_dataset(test, "test")
    target = _backend_for(data, backend, device, dtype, precision)
    models = [(rate, penalty) for rate in rates for penalty in penalties]
    with target.scope():
        return _train_all(data, labels, test, target, form, settings, models, callback)


def _train_all(
    data: Any,
    labels: Any,
    test: Any,
    backend: Backend,
    form: str,
    settings: dict[str, Any],
    models: Sequence[tuple[float, float]],
    callback: Callback | None,
) -> list[Run]:
    """Train one model for each pair of learning rate and l2, within the backend's scope."""
    started = time.perf_counter()
    solver = choose_solver(settings["solver"])
    train_set, test_set = _training_set(data, labels), _test_set(test)
    if test_set is not None:
        test_set = test_set.aligned(train_set.classes, train_set.class_of)
        theirs, ours = dtype_name(test_set.images), dtype_name(train_set.images)
        if (theirs == "uint8") != (ours == "uint8"):
            raise InputError(
                f"{test_set.source}: its examples are {theirs}, those of {train_set.source} "
                f"{ours}; both must be uint8 pixels, or neither"
            )
        theirs, ours = library_of(test_set.images), library_of(train_set.images)
        if theirs != ours:
            raise InputError(
                f"{test_set.source}: its examples are of {theirs}, those of {train_set.source} of {ours}; "
                "bring both to one library"
            )
        if test_set.n_features != train_set.n_features:
            raise InputError(
                f"{test_set.source}: its examples have {test_set.n_features} numbers each, "
                f"those of {train_set.source} have {train_set.n_features}; they must be alike"
            )

    space, problem = set_up(backend, form, train_set, models, settings["iterations"])
    start = solver.start(problem, backend.floats(np.zeros((len(models), 1))))
    paths = follow(backend, solver, problem, start, settings["iterations"], settings["record_every"], callback)
    # All the weights at once: the Gram form reads the data for them.
    weights = space.weights(backend.xp.concat([path.state.W for path in paths], axis=0))
    advice = [_advice(path, solver, problem.rows([i]), models[i][0]) for i, path in enumerate(paths)]
    right = [backend.to_host(core.sigmoid(path.state.Z))[0] > 0.5 for path in paths]
    # What came from the host goes back there; what came on a device stays.
    kept = backend.to_host if library_of(train_set.images) == "numpy" else lambda array: array
    runs = []
    for i, (path, (learning_rate, l2)) in enumerate(zip(paths, models, strict=True)):
        model = Model(
            layers=(Layer(kept(weights[i : i + 1, :]), kept(path.state.b)),),
            classes=train_set.classes,
            scale=_scale(train_set),
            image_shape=tuple(train_set.images.shape[1:]) if train_set.images.ndim == 4 else None,
            resample=train_set.resample,
            class_of=train_set.class_of,
            settings=settings
            | {
                "learning_rate": learning_rate,
                "l2": l2,
                "form": space.name,
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
                train_accuracy=percent_correct(right[i], train_set.labels),
                test_accuracy=None if test_set is None else model.accuracy(test_set),
                seconds=0.0,
                form=space.name,
                backend=backend.name,
                device=backend.device,
                dtype=backend.dtype,
                precision=backend.precision,
                n_train=len(train_set),
                n_test=0 if test_set is None else len(test_set),
                n_features=train_set.n_features,
                warning=advice[i],
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
    backend: Backend, form: str, data: Dataset, models: Sequence[tuple[float, float]], iterations: int
) -> tuple[Form, Problem]:
    """Return the data's form on the backend's device, and the problem of one model for each learning rate and l2."""
    m, n, k = len(data), data.n_features, len(models)
    chosen = choose_form(form, n, m, k, iterations, backend.costs, np.dtype(backend.dtype).itemsize)
    rows = data.images.reshape(m, n)
    # Converted once where every step would have to convert it; K is computed from what is there.
    as_it_is = chosen == GramForm.name or dtype_name(rows) in backend.reads
    X = (backend.asarray(rows) if as_it_is else backend.floats(rows)).T
    space = FORMS[chosen].of(X, backend.floats(np.zeros((k, n))), _scale(data), backend.kernels)
    rates, penalties = (backend.floats(np.array(values)[:, np.newaxis]) for values in zip(*models, strict=True))
    return space, Problem(space, backend.floats(data.labels[np.newaxis, :]), rates, penalties)


def _scale(data: Dataset) -> float:
    """Return what the numbers are multiplied by: uint8 is pixels, 0…255."""
    return PIXEL_SCALE if dtype_name(data.images) == "uint8" else 1.0


def _settings(iterations: int, solver: str, seed: int, record_every: int) -> dict[str, Any]:
    return {
        "iterations": _whole("iterations", iterations, least=1),
        "solver": solver,
        "seed": _whole("seed", seed, least=0),
        "record_every": _whole("record every", record_every, least=1),
    }


def _training_set(data: Any, labels: Any) -> Dataset:
    if isinstance(data, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset has its own; leave them out, or give an array of examples")
        chosen = data
    elif labels is None:
        raise InputError("labels: they are missing; an array of examples needs one label for each")
    else:
        chosen = from_arrays("data", data, labels)
    present = np.unique(chosen.labels)
    if len(present) < 2:
        name = f"class {str(chosen.classes[present[0]])!r} alone" if len(present) else "no examples"
        raise InputError(f"{chosen.source}: holds {name}; examples of two classes are needed")
    if len(chosen.classes) > 2:
        raise InputError(
            f"{chosen.source}: has {len(chosen.classes)} classes ({list_names(chosen.classes)}); "
            "this version tells two apart: name those that count as 1 with --positive NAME[,NAME]"
        )
    return chosen


def _test_set(test: Any) -> Dataset | None:
    if test is None:
        return None
    if isinstance(test, Dataset):
        return test
    if not isinstance(test, tuple) or len(test) != 2:
        raise InputError("test: a Dataset or a pair (examples, labels) is needed")
    return from_arrays("test", *test)


def _advice(path: Path, solver: Solver, problem: Problem, learning_rate: float) -> str | None:
    """Return what went wrong and what to try, None where nothing did."""
    if path.diverged_at is None:
        return None
    with np.errstate(all="ignore"):
        suggested = solver.suggest_learning_rate(problem)
    what_to_do = (
        f"try a learning rate of {suggested:.1g}" if 0 < suggested < learning_rate else "scale the features to about 1"
    )
    kept = f"the parameters of iteration {path.recorded_at[-1]} are kept" if path.recorded_at else "nothing was learned"
    return f"diverged: the cost was no longer finite at iteration {path.diverged_at} ({kept}); {what_to_do}"


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}: {value!r}; a whole number of at least {least} is needed")
    return int(value)


def _real(name: str, value: Any, least: float = -math.inf, above: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < least or number <= above:
        wanted = "a positive number" if above == 0 else "a number of at least 0"
        raise InputError(f"{name}: {value!r}; {wanted} is needed")
    return number

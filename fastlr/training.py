"""train(): checks what it is given, follows a solver on a form, records the costs, hands back a run."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.data.dataset import Dataset, from_arrays, list_names
from fastlr.errors import DivergenceWarning, InputError
from fastlr.forms import FORMS, Form, choose_form
from fastlr.model import Layer, Model, percent_correct
from fastlr.solvers import choose_solver
from fastlr.solvers.problem import Problem, Solver, State

PIXEL_SCALE = 1 / 255
Callback = Callable[[int, float], object]


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
    n_train: int
    n_test: int
    n_features: int
    warning: str | None = None  # what went wrong and what to try, where a run diverged

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain values, for JSON."""
        fields = {name: value for name, value in vars(self).items() if name != "model"}
        return fields | {"classes": list(self.model.classes)}


class Trajectory(NamedTuple):
    """The state where a training ended and the costs on the way: one list of k numbers for each recording."""

    state: State
    costs: list[list[float]]
    recorded_at: list[int]
    diverged_at: int | None


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
    callback: Callback | None = None,
) -> Run:
    """Train a classifier of two classes by gradient descent from zero weights.

    `data` is a Dataset, or an array of uint8 images `(m, h, w, c)` or features `(m, n)` with `labels (m,)`;
    `test` is a Dataset or a pair `(examples, labels)`. `iterations` updates with step `learning_rate` minimise
    the mean log-loss plus l2/2 ‖W‖²; the cost (without the l2 term) is recorded before the updates
    0, record_every, …, and `callback(iteration, cost)` is called there. `backend`, `device` and `dtype` override
    the environment variables `FASTLR_BACKEND`, `FASTLR_DEVICE` and `FASTLR_DTYPE`.

    A run whose cost stops being finite ends there, warns, and returns the last finite parameters.
    Raises InputError for input that cannot be used.
    """
    started = time.perf_counter()
    settings = {
        "iterations": _whole("iterations", iterations, least=1),
        "learning_rate": _real("learning rate", learning_rate, above=0.0),
        "l2": _real("l2", l2, least=0.0),
        "solver": solver,
        "seed": _whole("seed", seed, least=0),
        "record_every": _whole("record every", record_every, least=1),
    }
    if tuple(layers):
        raise InputError(f"layers: {tuple(layers)} is not supported yet; leave it out for logistic regression")
    chosen_solver, chosen_form = choose_solver(solver), choose_form(form)
    target = choose_backend(backend, device, dtype, like=None if isinstance(data, Dataset | list | tuple) else data)
    train_set, test_set = _training_set(data, labels), _test_set(test)
    if test_set is not None:
        test_set = test_set.aligned(train_set.classes, train_set.class_of)
        if test_set.n_features != train_set.n_features:
            raise InputError(
                f"{test_set.source}: its examples have {test_set.n_features} numbers each, "
                f"those of {train_set.source} have {train_set.n_features}; they must be alike"
            )

    space, problem = _set_up(target, chosen_form, train_set, [learning_rate], [l2])
    W, b = target.floats(np.zeros((1, train_set.n_features))), target.floats(np.zeros((1, 1)))
    start = chosen_solver.start(problem, space.start(W), b)
    path = follow(target, chosen_solver, problem, start, iterations, record_every, callback)
    model = Model(
        layers=(Layer(target.to_host(space.weights(path.state.W)), target.to_host(path.state.b)),),
        classes=train_set.classes,
        scale=_scale(train_set),
        image_shape=train_set.images.shape[1:] if train_set.images.ndim == 4 else None,
        resample=train_set.resample,
        class_of=train_set.class_of,
        settings=settings | {"form": space.name, "dtype": target.dtype},
        costs=tuple(cost for (cost,) in path.costs),
        recorded_at=tuple(path.recorded_at),
    )
    warning = None
    if path.diverged_at is not None:
        warning = _advice(path, chosen_solver, problem, learning_rate)
        warnings.warn(warning, DivergenceWarning, stacklevel=2)
    predicted = target.to_host(core.sigmoid(path.state.Z))[0] > 0.5
    return Run(
        model=model,
        costs=list(model.costs),
        recorded_at=path.recorded_at,
        train_accuracy=percent_correct(predicted, train_set.labels),
        test_accuracy=None if test_set is None else model.accuracy(test_set),
        seconds=time.perf_counter() - started,
        form=space.name,
        backend=target.name,
        device=target.device,
        dtype=target.dtype,
        n_train=len(train_set),
        n_test=0 if test_set is None else len(test_set),
        n_features=train_set.n_features,
        warning=warning,
    )


def follow(
    backend: Backend,
    solver: Solver,
    problem: Problem,
    state: State,
    iterations: int,
    record_every: int = 100,
    callback: Callback | None = None,
) -> Trajectory:
    """Advance `state` by `iterations` steps, many at a time, and record the k costs between them.

    Stops at the first recording where a cost is not finite, and returns the state of the recording before it.
    """
    costs: list[list[float]] = []
    recorded_at: list[int] = []
    last_finite, done = state, 0
    while True:
        with np.errstate(over="ignore", invalid="ignore"):
            now = [float(cost) for cost in backend.to_host(core.cost(state.Z, problem.Y)).reshape(-1)]
        if not all(math.isfinite(cost) for cost in now):
            return Trajectory(last_finite, costs, recorded_at, done)
        if done == iterations:
            return Trajectory(state, costs, recorded_at, None)
        costs.append(now)
        recorded_at.append(done)
        if callback is not None:
            callback(done, now[0])
        last_finite = state
        steps = min(record_every, iterations - done)
        state = solver.advance(backend.repeat, problem, state, steps)
        done += steps


def _set_up(
    backend: Backend, form: str, data: Dataset, learning_rates: Sequence[float], l2: Sequence[float]
) -> tuple[Form, Problem]:
    """Return the data's form on the backend's device, and the problem of one model for each learning rate and l2."""
    X = backend.floats(data.images.reshape(len(data), -1)).T
    space = FORMS[form](X, _scale(data))
    columns = [backend.floats(np.array(values, dtype=np.float64)[:, np.newaxis]) for values in (learning_rates, l2)]
    return space, Problem(space, backend.floats(data.labels[np.newaxis, :]), *columns)


def _scale(data: Dataset) -> float:
    """Return what the numbers are multiplied by: uint8 is pixels, 0…255."""
    return PIXEL_SCALE if data.images.dtype == np.uint8 else 1.0


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


def _advice(path: Trajectory, solver: Solver, problem: Problem, learning_rate: float) -> str:
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

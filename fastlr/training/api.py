"""train(), sweep() and path(): what callers ask for, checked, brought to a backend, and timed."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastlr.backends import Backend, choose_backend
from fastlr.data.dataset import Dataset
from fastlr.data.given import test_set, training_set
from fastlr.data.reading import as_dataset
from fastlr.errors import ConvergenceWarning, DivergenceWarning, InputError
from fastlr.namespace import library_of
from fastlr.solvers import GD
from fastlr.training.fit import fit
from fastlr.training.follow import Callback
from fastlr.training.run import RegularizationPath, Run
from fastlr.training.settings import Candidate, Settings, candidates, hidden_units

L2 = (1e-6, 1e2, 96)  # first, last and number of the values of a path where none are given, each the same times more


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
    tol: float | None = None,
    scale: float | str = "auto",
    callback: Callable[[int, float], object] | None = None,
) -> Run:
    """Train a classifier: logistic regression for two classes, a softmax for more, over hidden layers if asked for.

    `data` is a Dataset, or an array of uint8 images `(m, h, w, c)` or features `(m, n)` with `labels (m,)`, in any
    library that has a backend: the model's arrays are then in that library and on that device;
    `test` is a Dataset or a pair `(examples, labels)`. `iterations` updates with step `learning_rate` minimise
    the mean log-loss plus l2/2 ‖W‖²; the cost (without the l2 term) is recorded before the updates
    0, record_every, …, and `callback(iteration, cost)` is called there. With `test_costs` that of the test set is
    recorded beside it, which reads all the data each time.

    `solver` "gd" follows that trajectory. The others go to the minimum, whatever the learning rate: "newton" (with the
    matrix of second derivatives), "newton-cg" and "lbfgs" (without), or "auto", which takes what is the least work.
    They end where the norm of the gradient is at most `tol`, by default 1e-6 in float64 and 1e-4 in float32, or after
    `iterations`, which warns; each of their iterations is recorded.

    `scale` multiplies the examples, the test set's, and all that the model is given later: "auto" is 1/255 for uint8,
    which is pixels, and 1 for everything else.

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
    models = candidates([learning_rate], [l2], [seed])
    settings = Settings(
        iterations,
        hidden_units(layers),
        solver,
        optimizer,
        batch_size,
        standardize,
        seed,
        record_every,
        form,
        tol,
        scale,
    )
    follow_one = None if callback is None else lambda iteration, costs: callback(iteration, costs[0])
    data, target = as_dataset(data), (backend, device, dtype, precision)
    (run,) = _train(data, labels, test, target, settings, models, test_costs=test_costs, callback=follow_one)
    if run.warning:
        warnings.warn(run.warning, DivergenceWarning, stacklevel=2)
    if run.converged is False:
        warnings.warn(run.notes[-1], ConvergenceWarning, stacklevel=2)
    return run


def sweep(
    data: Any,
    labels: Any = None,
    *,
    learning_rates: Sequence[float] = (0.005,),
    l2: Sequence[float] = (0.0,),
    seeds: Sequence[int] | None = None,
    folds: int | None = None,
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
    tol: float | None = None,
    scale: float | str = "auto",
    callback: Callback | None = None,
) -> list[Run]:
    """Train one model for each learning rate, l2 and seed, all in one pass over the data, and return their runs.

    The runs are in the order of `learning_rates`, for each of them in that of `l2`, and for each of these in that of
    `seeds`, which is of use where there are hidden layers. With `folds` each run has the accuracies of a
    cross-validation: as many models more, each trained without one fold of the examples, in the same pass. The fold of
    an example, and all else that is drawn, comes from `seed`.

    A run that diverges ends with its last finite parameters and a `warning` of its own; the others go on. `seconds` is
    that of the whole. `callback(iteration, costs)` is given the cost of each model, folds apart, NaN where it diverged.
    All else is as in `train`.
    """
    models = candidates(learning_rates, l2, [seed] if seeds is None else seeds)
    settings = Settings(
        iterations,
        hidden_units(layers),
        solver,
        optimizer,
        batch_size,
        standardize,
        seed,
        record_every,
        form,
        tol,
        scale,
    )
    if settings.converges and len(models) > len(l2):
        raise InputError(
            f"learning rate: solver {settings.solver!r} has none, and no seed either; give several of l2 alone"
        )
    data, target = as_dataset(data), (backend, device, dtype, precision)
    more = {"folds": folds, "test_costs": test_costs, "callback": callback}
    return _train(data, labels, test, target, settings, models, **more)


def path(
    data: Any,
    labels: Any = None,
    *,
    l2: Sequence[float] | None = None,
    folds: int | None = 5,
    solver: str = "auto",
    iterations: int = 200,
    **settings: Any,
) -> RegularizationPath:
    """Fit a linear model for each l2 to its minimum, and cross-validate it on so many folds.

    `l2` are 96 values from 1e-6 to 1e2 unless given, each of which is fitted from the minimum of the larger one. All
    other settings are those of `fastlr.sweep`: `test`, `tol`, `standardize`, `seed`, `form`, `backend`, and so on.
    Raises InputError for what cannot be used.
    """
    if solver == GD:
        raise InputError(f"solver: {GD!r} does not go to the minimum; take 'auto', or fastlr.sweep")
    values = np.geomspace(*L2).tolist() if l2 is None else l2
    return RegularizationPath(
        sweep(data, labels, l2=values, folds=folds, solver=solver, iterations=iterations, **settings)
    )


def _train(
    data: Any,
    labels: Any,
    test: Any,
    target: tuple[str | None, str | None, str | None, str],
    settings: Settings,
    models: Sequence[Candidate],
    **more: Any,
) -> list[Run]:
    """Train all models on the backend that is asked for, or that goes with the data."""
    backend = _backend_for(data, *target)
    with backend.scope():
        started = time.perf_counter()
        train_data = training_set(data, labels)
        runs = fit(backend, train_data, test_set(as_dataset(test, "test"), train_data), settings, models, **more)
        seconds = time.perf_counter() - started
    return [replace(run, seconds=seconds) for run in runs]


def _backend_for(data: Any, backend: str | None, device: str | None, dtype: str | None, precision: str) -> Backend:
    if isinstance(data, str | os.PathLike):
        raise InputError(f"data: {os.fspath(data)!r} is a path; give fastlr.open_dataset of it, or an array")
    examples = data.images if isinstance(data, Dataset) else data
    host_data = isinstance(data, Dataset | list | tuple) and library_of(examples) == "numpy"
    return choose_backend(backend, device, dtype, like=None if host_data else examples, precision=precision)

"""train() and sweep(): what callers ask for, checked, brought to a backend and its cluster, and timed."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from fastlr.backends import Backend
from fastlr.data.dataset import Dataset
from fastlr.data.finite import check_finite
from fastlr.data.given import matching_set, training_set
from fastlr.data.placed import Placed
from fastlr.data.reading import as_dataset
from fastlr.data.workers import Cluster
from fastlr.errors import ConvergenceWarning, DivergenceWarning, InputError, shown
from fastlr.files import as_path, check_writable
from fastlr.namespace import is_lazy
from fastlr.training.checkpoint import NONE, Checkpoint, digest, digest_of
from fastlr.training.checks import several
from fastlr.training.definition import spread
from fastlr.training.fit import fit
from fastlr.training.follow import Callback
from fastlr.training.given import Given, backend_for, in_library_of
from fastlr.training.placing import cluster_for, in_memory, placed, placed_dataset
from fastlr.training.run import Run, unfinished
from fastlr.training.settings import Candidate, Settings, Target, candidates
from fastlr.training.splits import make_splits
from fastlr.training.weights import Weightings, weightings_of


@spread
def train(
    data: Any,
    labels: Any = None,
    *,
    test: Any = None,
    sample_weight: Any = None,
    missing_label: float | None = None,
    candidate: Candidate,
    settings: Settings,
    target: Target,
    test_costs: bool = False,
    callback: Callable[[int, float], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Run:
    """Train logistic regression for two classes, a softmax for more; with hidden ReLU layers if asked for.

    Gradient descent makes `iterations` updates with step `learning_rate`, and follows the textbook's trajectory. The
    other solvers go to the minimum, whatever the learning rate. What is minimised is

        mean of the log-losses + l2/2 ‖W‖²        without a penalty on the intercepts

    Parameters
    ----------
    data : Dataset or array
        `uint8` images `(m, height, width, channels)`, or features `(m, n)`, in any library that has a backend; or an
        array of Dask. The model's arrays are in that library and on that device.
    labels : array or list, optional
        One for each sample `(m,)`, numbers or text; or a table `(m, L)` of zeros and ones, which trains a model for
        each column. Left out for a Dataset, which has its own.
    test : Dataset or pair (samples, labels), optional
        Data to test the model on.
    sample_weight : array (m,), optional
        How much each sample counts. The cost is the mean of the weighted losses; weights are brought to a mean of 1.
    missing_label : -1 or NaN, optional
        What stands for labels of a table that are not known. They do not count.
    test_costs : bool, default False
        Also record the cost of the test set, which reads all data each time.
    callback : function, optional
        Called as `callback(iteration, cost)` at each recorded cost.
    checkpoint : path, optional
        File for the state of the training. The same call continues from it, and returns the same bits as a run that
        was not interrupted. The file stays when the run ends.

    Returns
    -------
    Run
        The model, its costs, its accuracies in percent, and what it ran on. A run whose cost stops being finite ends
        there with the last finite parameters.

    Raises
    ------
    InputError
        For input that cannot be used, in one line.

    Warns
    -----
    DivergenceWarning
        The cost stopped being finite.
    ConvergenceWarning
        A solver did not come down to `tol` within `iterations`.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> run = fastlr.train(X, ["low", "low", "high", "high"], iterations=500, learning_rate=0.5)
    >>> run.train_accuracy
    100.0
    >>> run.model.predict(np.array([[0.2], [2.9]])).tolist()
    ['low', 'high']
    """
    follow_one: Any = (lambda iteration, costs: callback(iteration, costs[0])) if callable(callback) else callback
    data = as_dataset(data)
    given = Given(data, labels, sample_weight, missing_label, test)
    (run,) = train_all(given, target, settings, [candidate], checkpoint, test_costs=test_costs, callback=follow_one)
    if run.warning:
        warnings.warn(run.warning, DivergenceWarning, stacklevel=3)  # of whoever called what `spread` made
    if run.converged is False:
        warnings.warn(run.notes[-1], ConvergenceWarning, stacklevel=3)
    return run


@spread
def sweep(
    data: Any,
    labels: Any = None,
    *,
    learning_rates: Sequence[float] = (0.005,),
    l2: Sequence[float] = (0.0,),
    seeds: Sequence[int] | None = None,
    folds: Any = None,
    groups: Any = None,
    test: Any = None,
    sample_weight: Any = None,
    missing_label: float | None = None,
    settings: Settings,
    target: Target,
    test_costs: bool = False,
    callback: Callback | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> list[Run]:
    """Train one model for each learning rate, l2 and seed; all of them share each pass over the data.

    Parameters
    ----------
    data, labels, test, sample_weight, missing_label, test_costs, checkpoint
        As in `fastlr.train`.
    learning_rates : sequence of float, default (0.005,)
        Learning rates of gradient descent.
    l2 : sequence of float, default (0.0,)
        Penalties.
    seeds : sequence of int, optional
        Seeds of the initial weights, for hidden layers. By default the `seed` of the settings.
    folds : int, array (m,), splitter or list of pairs, optional
        Cross-validate: a number of folds, each sample's fold, a scikit-learn splitter, or pairs of index arrays. For
        each fold every model is trained once more without it, in the same passes.
    groups : array (m,), optional
        Given to the splitter.
    callback : function, optional
        Called as `callback(iteration, costs)` with the cost of each model, folds apart, NaN for one that diverged.

    Returns
    -------
    list of Run
        Ordered by learning rate, then l2, then seed. A run that diverges has a `warning`; the others go on. `seconds`
        is the time of the whole.

    Raises
    ------
    InputError
        For input that cannot be used, in one line.

    Warns
    -----
    ConvergenceWarning
        Some models of a solver that goes to the minimum, those of the folds among them, did not come down to `tol`
        within `iterations`.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> runs = fastlr.sweep(X, [0, 0, 1, 1], learning_rates=[0.1, 0.01], iterations=100)
    >>> [run.model.settings["learning_rate"] for run in runs]
    [0.1, 0.01]
    """
    rates = several("learning_rates", learning_rates)
    seeds = several("seeds", [settings.seed] if seeds is None else seeds)
    models = candidates(rates, l2, seeds)
    if settings.converges and len(rates) * len(seeds) > 1:
        what = "learning rates" if len(rates) > 1 else "seeds"
        raise InputError(f"{what}: solver {settings.solver!r} uses none; give one, or several values of l2")
    if not settings.layers and len({model.seed for model in models}) > 1:
        raise InputError("seeds: without hidden layers all models begin at 0; give one seed, or hidden layers")
    given = Given(as_dataset(data), labels, sample_weight, missing_label, test, folds, groups)
    runs = train_all(given, target, settings, models, checkpoint, test_costs=test_costs, callback=callback)
    if note := unfinished(runs):
        warnings.warn(note, ConvergenceWarning, stacklevel=3)
    return runs


def train_all(
    given: Given,
    target: Target,
    settings: Settings,
    models: Sequence[Candidate],
    checkpoint: str | os.PathLike[str] | None,
    *,
    test_costs: bool = False,
    callback: Callback | None = None,
) -> list[Run]:
    """Train all models on the backend that is asked for, or that goes with the data."""
    given = given.as_numpy_views(target)
    if callback is not None and not callable(callback):
        raise InputError(f"callback: {shown(callback)}; a function of the iteration and the cost is needed")
    if checkpoint is not None:
        check_writable(as_path("checkpoint", checkpoint))  # before the data are read
    with cluster_for(given.data, target) as cluster:
        given = given._replace(data=placed(given.data, cluster), labels=in_memory(given.labels))
        backend = backend_for(given.data, target)
        with backend.scope():
            return _train_all(given, backend, cluster, settings, models, checkpoint, test_costs, callback)


def _train_all(
    given: Given,
    backend: Backend,
    cluster: Cluster | None,
    settings: Settings,
    models: Sequence[Candidate],
    checkpoint: str | os.PathLike[str] | None,
    test_costs: bool,
    callback: Callback | None,
) -> list[Run]:
    started, compiled = time.perf_counter(), backend.compile_seconds()
    here = training_set(given.data, given.labels, given.missing_label)
    train_data = placed_dataset(here, cluster)
    test_data = matching_set("test", as_dataset(given.test, "test"), train_data, given.missing_label)
    for data in (train_data, test_data):
        if data is not None and is_lazy(data.images):
            check_finite(data.source, data.rows)
    splits = make_splits(train_data.labels, given.folds, given.groups, settings.seed)
    weightings = weightings_of(train_data, given.sample_weight, settings.class_weight, splits)
    with _open(checkpoint, backend, train_data, test_data, settings, models, given, weightings, test_costs) as kept:
        runs = fit(
            backend, train_data, test_data, settings, models, weightings=weightings, splits=splits,
            scoring=given.scoring, test_costs=test_costs, callback=callback, checkpoint=kept,
        )  # fmt: skip
        runs = [replace(run, train_set=None if isinstance(here.images, Placed) else here) for run in runs]
    seconds, compiled = time.perf_counter() - started, backend.compile_seconds() - compiled
    runs = [replace(run, seconds=seconds, compile_seconds=compiled) for run in runs]
    return runs if given.home is None else [replace(run, model=in_library_of(run.model, given.home)) for run in runs]


def _open(
    path: str | os.PathLike[str] | None,
    backend: Backend,
    train_data: Dataset,
    test_data: Dataset | None,
    settings: Settings,
    models: Sequence[Candidate],
    given: Given,
    weightings: Weightings,
    test_costs: bool,
) -> Checkpoint:
    """Return the checkpoint of a run, which is known by its settings, its models, its data and its backend."""
    if path is None:
        return NONE
    own = [name for name in asdict(models[0]) if name == "l2" or not settings.converges]
    each: dict[str, list[Any]] = {name: [getattr(model, name) for model in models] for name in own}
    run: dict[str, Any] = each | {name: value for name, value in settings.as_dict().items() if name not in each}
    run |= {"folds": given.folds if isinstance(given.folds, int | None) else "the caller's own"}
    run |= {"weights of the samples": None if weightings.values is None else digest_of(weightings.values)}
    run |= {"scoring": None if given.scoring is None else list(given.scoring.names)}
    run |= {"backend": backend.name, "device": backend.device}
    run |= {"dtype": backend.dtype, "precision": backend.precision, "data": digest(train_data, backend)}
    run |= {"test data": None if test_data is None else digest(test_data, backend)}
    run["costs of the test data, which a report asks for,"] = bool(test_costs)
    return Checkpoint(
        as_path("checkpoint", path), backend, {name.replace("_", " "): value for name, value in run.items()}
    )

"""Models trained side by side: the data's form, the trajectories, and a run of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.convergence import Descent, converge, findings
from fastlr.core import Array
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.folds import assign
from fastlr.forms import Form, PrimalForm
from fastlr.model import Model, percent_correct
from fastlr.namespace import library_of
from fastlr.network import Layer, Network, classes_of, one_hot
from fastlr.network import fold as fold_in
from fastlr.problems import resolve, scale_of, set_up, shape_of
from fastlr.run import Run
from fastlr.settings import Candidate, Settings
from fastlr.solvers import SOLVERS
from fastlr.solvers.problem import Problem, State
from fastlr.trajectory import Callback, Measure, Path, follow


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
    asked, settings = (
        settings,
        resolve(backend, settings, shape_of(backend, train_data, models, 1 + (folds or 0))),
    )
    space, problem, state = set_up(backend, train_data, settings, models, fold)
    measure = _measure(backend, test_data, problem.network, space) if test_costs and test_data is not None else None
    watch = None if callback is None else lambda iteration, costs: callback(iteration, costs[: len(models)])
    paths: Sequence[Path]
    tol = settings.tolerance(backend.dtype)
    if settings.converges:
        solver = SOLVERS[settings.solver]
        paths = converge(backend, solver, problem, state, settings.iterations, tol, watch, measure)
    else:
        descent = settings.choose_descent()
        paths = follow(backend, descent, problem, state, settings.iterations, settings.record_every, watch, measure)
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
            scale=scale_of(train_data),
            image_shape=tuple(train_data.images.shape[1:]) if train_data.images.ndim == 4 else None,
            resample=train_data.resample,
            class_of=train_data.class_of,
            moments=None if space.moments is None else tuple(kept(values) for values in space.moments),
            settings=asked.as_dict()
            | candidate._asdict()
            | {"solver": settings.solver, "form": space.name, "dtype": backend.dtype, "precision": backend.precision},
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
                solver=settings.solver,
                converged=path.norm <= tol if isinstance(path, Descent) else None,
                fold_accuracies=() if fold is None else _fold_accuracies(backend, network, paths, i, train_data, fold),
                test_costs=None if measure is None else path.test_costs,
                warning=_advice(path, settings, problem.rows([i]), candidate.learning_rate),
                notes=_notes(path, problem, asked, candidate, tol),
                train_set=train_data,
                test_set=test_data,
            )
        )
    return runs


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


def _measure(backend: Backend, data: Dataset, network: Network, space: Form) -> Measure:
    """Return what gives the cost of a state on a test set, each time from the weights themselves."""
    X = backend.asarray(data.images.reshape(len(data), -1)).T
    Y = backend.floats(one_hot(data.labels, network.outputs)[np.newaxis])

    def cost(problem: Problem, state: State) -> Array:
        form: Any = problem.form
        W = form.weights(state.W)
        test = PrimalForm.of(X, W, scale_of(data), backend.kernels, space.moments)
        return network.cost(test.logits(W, state.b), state.deeper, Y)

    return cost


def _advice(path: Path, settings: Settings, problem: Problem, learning_rate: float) -> str | None:
    """Return what went wrong and what to try, None where nothing did."""
    if path.diverged_at is None:
        return None
    with np.errstate(all="ignore"):
        descent = settings.choose_descent()
        suggested = descent.suggest_learning_rate(problem) if not problem.network.hidden else learning_rate / 10
    what_to_do = (
        f"try a learning rate of {suggested:.1g}" if 0 < suggested < learning_rate else "scale the features to about 1"
    )
    kept = f"the parameters of iteration {path.recorded_at[-1]} are kept" if path.recorded_at else "nothing was learned"
    return f"diverged: the cost was no longer finite at iteration {path.diverged_at} ({kept}); {what_to_do}"


def _notes(path: Path, problem: Problem, settings: Settings, candidate: Candidate, tol: float) -> tuple[str, ...]:
    """Return what is worth knowing of a run that went through."""
    notes = []
    if settings.form == "auto" and settings.needs_primal:
        notes.append(f"{settings.needs_primal}: the {problem.form.name} form was taken")
    if isinstance(path, Descent):
        notes += findings(path, problem, candidate.l2, tol)
    dead = problem.network.dead_layer(path.state.Z, path.state.deeper)
    if dead is not None:
        notes.append(
            f"the network is dead: every ReLU of hidden layer {dead} is off for every example, and only what lies "
            f"above it can still learn; the seed was {candidate.seed}, try another, or a smaller learning rate"
        )
    return tuple(notes)

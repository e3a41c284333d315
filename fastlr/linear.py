"""Linear models fitted to their minimum from arrays: what the estimators and the path are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.choice import Shape
from fastlr.convergence import Descent, converge, findings
from fastlr.core import Array
from fastlr.network import Layer, Network
from fastlr.problems import assemble, resolve
from fastlr.settings import Candidate, Settings
from fastlr.solvers import SOLVERS
from fastlr.trajectory import Callback


@dataclass(frozen=True)
class Fit:
    """k fitted models: `W (k, outputs, n)`, `b (k, outputs, 1)`, and how each came to its minimum."""

    W: Array
    b: Array
    paths: Sequence[Descent]
    notes: Sequence[Sequence[str]]  # of each model
    solver: str
    form: str


def fit_linear(
    backend: Backend,
    rows: Array,
    labels: NDArray[np.int64],
    outputs: int,
    l2: Sequence[float],
    settings: Settings,
    *,
    weights: NDArray[Any] | None = None,
    intercept: bool = True,
    initial: Layer | None = None,
    callback: Callback | None = None,
) -> Fit:
    """Fit a model for each l2 to the examples `rows (m, n)`, within the backend's scope.

    `labels` are from 0 to outputs − 1, or 0 and 1 for one output; `weights (k, m)` count the examples, each model's
    with a mean of 1; `initial` has `W (outputs, n)` and `b (outputs, 1)` to start from.
    """
    (m, n), k = rows.shape, len(l2)
    shape = Shape(n, m, k, outputs, np.dtype(backend.dtype).itemsize, min(l2) > 0)
    settings = resolve(backend, settings, shape)
    zero = Layer(np.zeros((outputs, n)), np.zeros((outputs, 1)))
    layer = Layer(*(np.broadcast_to(part, (k, *part.shape)) for part in initial or zero))
    counted = None if weights is None else weights[:, np.newaxis, :]
    models = [Candidate(0.0, penalty) for penalty in l2]
    network = Network((), outputs, intercept)
    form, problem, start = assemble(backend, rows, labels, network, settings, models, [layer], counted=counted)
    tol = settings.tolerance(backend.dtype)
    paths = converge(backend, SOLVERS[settings.solver], problem, start, settings.iterations, tol, callback)
    W = form.weights(backend.xp.concat([path.state.W for path in paths], axis=0))
    b = backend.xp.concat([path.state.b for path in paths], axis=0)
    notes = [findings(path, problem, penalty, tol) for path, penalty in zip(paths, l2, strict=True)]
    return Fit(W, b, paths, notes, settings.solver, settings.form)

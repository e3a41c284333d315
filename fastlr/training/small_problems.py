"""Many small problems fitted to their minima, those of like sizes together.

On the CPU a compiled loop fits each problem in one thread. Elsewhere, and as its twin, all problems of one shape step
together, each product a batch. A problem with fewer samples than features is fitted in coordinates of its Gram matrix,
K = X Xᵀ = L Lᵀ: with X = L Qᵀ, Q having orthonormal columns, the weights W at the minimum lie in the space of the
samples, W = V Qᵀ, and V is the minimum for the features L. Source: B. Schölkopf and A. Smola, Learning with Kernels,
2002, §4.2 (the representer theorem).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.dataset import Dataset
from fastlr.namespace import as_rows
from fastlr.objectives import gram_factor
from fastlr.objectives.batch import BatchForm
from fastlr.objectives.network import Network, one_hot
from fastlr.objectives.resident import Resident
from fastlr.solvers import lbfgs
from fastlr.solvers.iterate import PATIENCE
from fastlr.solvers.line_search import RULES
from fastlr.training.converge import converge

NUMBERS = 2**25  # of the samples of problems that are fitted together
STEP = 8  # sizes of subsets are brought to multiples of it


class Asked(NamedTuple):
    """What is asked for of every problem."""

    l2: NDArray[np.float64]
    intercept: bool
    iterations: int
    tol: float


class Fitted(NamedTuple):
    """Weights `(problems, values, outputs, n)`, intercepts, and on the host steps and norms `(problems, values, 2)`."""

    W: Array
    b: Array
    found: NDArray[np.float64]


class Problem(NamedTuple):
    """The numbers of its samples among all rows, and how much they count; None is all alike."""

    rows: NDArray[np.intp]
    weights: NDArray[np.float64] | None


def fit_all(
    backend: Backend, data: Dataset, problems: Sequence[Problem], outputs: int, scale: float, asked: Asked
) -> Fitted:
    """Fit the problems some at a time, those of like sizes together."""
    xp, n = backend.xp, data.n_features
    order = np.argsort(-asked.l2, kind="stable")
    falling = asked._replace(l2=asked.l2[order])
    W, b = [None] * len(problems), [None] * len(problems)
    found = np.empty((len(problems), len(order), 2))
    back = np.argsort(order).tolist()
    for numbers, rows, weights in _groups(problems, n):
        X = backend.floats(core.rows(as_rows(data.images), rows.reshape(-1).tolist()))
        X = xp.reshape(X if scale == 1 else scale * X, (*rows.shape, n))
        Y = backend.floats(np.stack([one_hot(data.labels[some], outputs) for some in rows]))
        fitted = _fit_group(backend, X, Y, weights, falling)
        for place, number in enumerate(numbers):
            W[number], b[number] = (core.rows(part[place, ...], back) for part in fitted[:2])
            found[number] = fitted.found[place][back]
    return Fitted(xp.stack(W), xp.stack(b), found)


def _groups(
    problems: Sequence[Problem], n: int
) -> Iterator[tuple[list[int], NDArray[np.intp], NDArray[np.float64] | None]]:
    """Give the numbers of problems of like sizes, their rows `(problems, m)`, and weights with a mean of 1, or None."""
    sizes = [len(problem.rows) for problem in problems]
    several_sizes = len(set(sizes)) > len(problems) // 2
    wide = [-(-size // STEP) * STEP if several_sizes else size for size in sizes]
    for width in sorted(set(wide)):
        numbers = [i for i, one in enumerate(wide) if one == width]
        at_once = max(1, NUMBERS // (width * n))
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            rows, weights = np.zeros((len(some), width), np.intp), np.zeros((len(some), width))
            for place, number in enumerate(some):
                problem = problems[number]
                count = len(problem.rows)
                rows[place, :count], rows[place, count:] = problem.rows, problem.rows[0]  # which counts nothing
                weights[place, :count] = 1 if problem.weights is None else problem.weights
            weights *= width / weights.sum(axis=1, keepdims=True)
            yield some, rows, None if (weights == 1).all() else weights


def _fit_group(backend: Backend, X: Array, Y: Array, weights: NDArray[np.float64] | None, asked: Asked) -> Fitted:
    """Fit problems of one shape, `X (p, m, n)`, for values of l2 that fall."""
    xp, (_, m, n) = backend.xp, X.shape
    L = None
    if backend.dtype == "float64" and gram_factor.pays(n, m, Y.shape[1] * len(asked.l2)):
        # Samples of weight 0 may be copies of others, which have no factor: zeros take their place.
        X = X if weights is None else X * backend.floats((weights > 0)[..., np.newaxis])
        L = gram_factor.of(X)
    kernel = backend.kernels.get("many_fits")
    given = X if L is None else L
    if kernel is None:
        fitted = _step_together(backend, given, Y, weights, asked)
    else:
        V, b, found, _ = kernel(
            np.ascontiguousarray(given), Y, weights, asked.l2, asked.intercept, RULES, asked.tol, asked.iterations,
            PATIENCE, lbfgs.PAIRS,
        )  # fmt: skip
        fitted = Fitted(V, b, found[..., :2])
    if L is None:
        return fitted
    V = fitted.W
    W = gram_factor.back(xp.reshape(V, (V.shape[0], -1, m)), L, X)
    return fitted._replace(W=xp.reshape(W, (*V.shape[:3], n)))


def _step_together(backend: Backend, X: Array, Y: Array, weights: NDArray[np.float64] | None, asked: Asked) -> Fitted:
    """Fit problems of one shape together, value after value: the plain twin of the kernel."""
    xp, (p, _, n), outputs = backend.xp, X.shape, Y.shape[1]
    W, b = (backend.floats(np.zeros((p, outputs, size))) for size in (n, 1))
    counts = None if weights is None else backend.floats(weights[:, np.newaxis, :])
    found, each = np.empty((p, len(asked.l2), 2)), []
    for number, value in enumerate(asked.l2):
        l2 = backend.floats(np.full((p, 1, 1), value))
        network = Network((), outputs, asked.intercept)
        objective = Resident(BatchForm(X, W), Y, l2, l2, network, counts).prepared(p)
        iterate = lbfgs.start(objective, b, W)
        paths = converge(backend, lbfgs, objective, iterate, asked.iterations, asked.tol)
        W, b = (xp.concat([path.state[i] for path in paths], axis=0) for i in range(2))
        each.append((W, b[..., 0]))
        found[:, number] = [[path.recorded_at[-1], path.norm] for path in paths]
    of_all = [xp.stack(parts, axis=1) for parts in zip(*each, strict=True)]
    return Fitted(of_all[0], of_all[1], found)

"""The CPU's kernels as replacements for functions of the core, on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr import core
from fastlr.core import Array
from fastlr.kernels.cpu import starting

LOGITS = 2**16  # of sigmoids, from which the kernel is faster than what NumPy does in many passes
EXPONENTIALS = 32  # operations that an exponential and a logarithm take
READS = ("uint8", "float32", "float64")  # dtypes of X for which there are kernels
NATIVE = frozenset(map(np.dtype, READS))
FEW = 64  # rows of a product for which a BLAS gains little


def project(W: Array, X: Array, scale: float = 1.0) -> Array:
    """Return W (scale X), shape (k, m). Twin: `core.project`."""
    if not _read_here(W, X):
        return core.project(W, X, scale)
    Z = np.empty((W.shape[0], X.shape[1]), dtype=W.dtype)
    starting.run("project", W.shape[0] * X.size, X.T, np.ascontiguousarray(W * scale), Z)
    return Z


def predict(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return the probabilities σ(W (scale X) + b), shape (k, m), in one pass over X. Twin: `core.predict`."""
    # A few pictures are done before the compiler would be imported.
    few = X.size < core.BLOCK
    return core.predict(W, b, X, scale) if few else core.sigmoid(project(W, X, scale) + b)


def combine(C: Array, X: Array, scale: float = 1.0) -> Array:
    """Return C (scale X)ᵀ, (k, n). Twin: `core.combine`."""
    if not _read_here(C, X):
        return core.combine(C, X, scale)
    work = C.shape[0] * X.size
    parts = np.empty((starting.parts_for(work, starting.ALONE_ONCE), C.shape[0], X.shape[0]), dtype=C.dtype)
    starting.run("combine", work, X.T, np.ascontiguousarray(C * scale), parts)
    return parts[0] if len(parts) == 1 else parts.sum(axis=0)


def multiply(W: Array, V: Array) -> Array:
    """Return W V (k, units, n) for square V, few units at a time. Twin: `core.multiply`."""
    C = W.reshape(-1, W.shape[-1])
    out = combine(C, V.T) if V.flags.c_contiguous else project(C, V)
    return out.reshape(*W.shape[:2], -1)


def _read_here(W: Array, X: Array) -> bool:
    """Return whether the kernels take this product.

    Of few rows, W (k, …), they are the faster: they read X once for all of them, and the threads of a BLAS go on
    spinning after their work, and take the CPUs from what comes next.
    """
    return readable(X) and (X.dtype != W.dtype or len(W) <= FEW)


def sigmoid_losses(Z: Array, Y: Array, weights: Array | None) -> tuple[Array, Array] | None:
    """Return J `(k, 1, 1)` and D for logits `Z (k, 1, m)`; None where there are few.

    Twin: `core.losses_and_residuals`.
    """
    if Z.size < LOGITS:
        return None
    D, J, counted = np.empty_like(Z), np.empty(len(Z)), np.empty((1, 0), Z.dtype)
    counted = counted if weights is None else weights[:, 0, :]
    given = _writable(Z[:, 0, :], Y[:, 0, :], counted)
    starting.run("sigmoid_losses", EXPONENTIALS * Z.size, *given, D[:, 0, :], J)
    return J.astype(Z.dtype).reshape(-1, 1, 1), D


def loss_and_gradient(
    W: Array, b: Array, X: Array, labels: Array, scale: float, weights: Array | None, block: int, every: int, size: int
) -> list[tuple[Array, ...]] | None:
    """Return J, dW, db and the curvature of k softmaxes for each block of so many samples, in one reading of X.

    The curvature is `(k, size, size)`, for a size of the units or of 1: the sum of what `class_curvature` is the mean
    of, over one in `every` samples, which `preconditioner.some_of` names. None where the kernel does not read X.
    Twin: `passes.loss_and_gradient`, where nothing is fused.
    """
    (k, units, n), m = W.shape, X.shape[1]
    if not readable(X):
        return None
    blocks = -(-m // block)
    count = starting.parts_for(2 * W.size * block)
    parts, sums = np.empty((blocks * count, k, units, n), W.dtype), np.empty((blocks * count, k, units))
    losses, curvatures = np.empty((blocks * count, k)), np.empty((blocks * count, k, size, size))
    counted = np.empty((1, 0), W.dtype) if weights is None else weights[:, 0, :]
    given = _writable(W, b[..., 0], labels, counted)
    starting.run("loss_and_gradient", 2 * W.size * m, X.T, scale, *given, block, every, parts, sums, losses, curvatures)
    found = []
    for start in range(0, m, block):
        here, mine = min(block, m - start), slice(start // block * count, (start // block + 1) * count)
        J = (losses[mine].sum(axis=0) / here).astype(W.dtype).reshape(k, 1, 1)
        db = (sums[mine].sum(axis=0) / here).astype(W.dtype)[..., np.newaxis]
        C = curvatures[mine].sum(axis=0) / (units // size)
        found.append((J, parts[mine].sum(axis=0) * (scale / here), db, C))
    return found


def primal_conjugate_gradients(
    X: Array, scale: float, moments: tuple[Array, Array] | None, A: Array, counts: Array | None, l2: float,
    mean: Array | None, turned: tuple[Array, ...] | None, W: Array, b: Array, longest: int, least: float,
) -> tuple[Array, Array] | None:  # fmt: skip
    """Return a direction's weights and intercepts of one model, None where the kernel does not read X.

    `A (units, m)` are probabilities, `W (units, n)` and `b (units,)` the gradient; `turned` is what
    `Preconditioner.of_one` says of the spectrum. Twin: `newton_cg.direction`.
    """
    if not readable(X):
        return None
    (units, n), m, dtype = W.shape, X.shape[1], W.dtype
    at, deviation = moments or (np.zeros((1, n), dtype), np.ones((1, n), dtype))
    if units == 1:
        A, counts = core.curvature_at(A, np.ones_like(A), counts), None
    given = (
        A,
        np.empty(0, dtype) if counts is None else counts[0],
        (scale / deviation[0]).astype(dtype),
        at[0] / deviation[0],
    )
    turned = turned or (np.empty((0, 0), dtype), np.empty((0, 0), dtype), np.empty(0, dtype), np.empty((0, 0), dtype))
    work = 2 * W.size * m
    count = starting.parts_for(work)
    moving = [-W, -b, *(np.zeros_like(array) for array in (W, b, W, b)), np.array([0.0, 0.0, 0.0, 1.0])]
    scratch = [np.empty_like(W) for _ in range(3)]
    sums = np.empty(units, dtype), np.empty((count, units, n), dtype), np.empty((count, units), dtype)
    means = np.zeros(n, dtype) if mean is None else mean
    for steps in starting.turns(longest, work):
        starting.start(
            "primal_conjugate_gradients", min(count, starting.size_that_meets(work)), steps, X.T, *_writable(*given),
            l2, float(mean is not None), *_writable(means, *turned), least, *moving, *scratch, *sums,
        )  # fmt: skip
        if moving[-1][3] == 0:
            break
    return moving[4], moving[5]


def newton_steps(
    X: Array, Y: Array, l2: Array, weights: Array | None, penalized: int, rounding: float, rules: Any, V: Array,
    most: int, tol: float,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Return V (k, units, d), its logits, its gradient and what else is known there, after steps of Newton's method.

    All in float64, X (m, …) as `PrimalForm.in_vectors`. The last are for each step J, the objective, the gradient's
    norm, and 1 where it was taken, else 0, `(k, most, 4)`; and how many there were, `(k,)`: none where the matrix has
    no factors. Twin: `solvers.newton.step`, where nothing is fused.
    """
    (k, units, d), (m, width) = V.shape, X.shape
    padded = np.zeros((k, units, width))
    padded[..., :d] = V
    Z, G, found, steps = np.empty((k, units, m)), np.empty_like(padded), np.empty((k, most, 4)), np.empty(k, np.int64)
    Y, counted, l2 = _writable(Y, np.empty((1, 1, 0)) if weights is None else weights, l2[:, 0, 0])
    size = min(k, starting.size_for(k * m * (units * d) ** 2))
    starting.start("newton_steps", size, X, Y, counted, penalized, l2, rounding, rules, tol, padded, Z, G, found, steps)
    return padded[..., :d], Z, G[..., :d], found, steps


def many_fits(
    X: Array, Y: Array, weights: Array | None, l2: Array, intercept: bool, rules: Any, tol: float, most: int,
    patience: int, pairs: int, start: tuple[Array, Array] | None = None, spectrum: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Return weights, intercepts and what was found of the minima of problems `X (p, m, n)`, in its dtype of floats.

    They are `(p, values, units, n)`, `(p, values, units)` and `(p, values, 4)`: steps, gradient's norm, objective, and
    the last steps that led nowhere; then, where there is a start, the costs and objectives on the way, `(p, values,
    1 + most, 2)`. The start is `W (p, units, n)` and `b (p, units)`, by default zero. `Y (p, units, m)` are one-hot
    labels, `weights (p, m)` have a mean of 1, `l2 (values,)`. Twin: `lbfgs` on a `BatchForm`.
    """
    p, units, n, dtype, values = len(X), Y.shape[1], X.shape[2], X.dtype, len(l2)
    counted = np.empty((0, 0), dtype) if weights is None else np.asarray(weights, dtype)
    W, b = np.zeros((p, values, units, n), dtype), np.zeros((p, values, units), dtype)
    if start is not None:
        W[:, 0], b[:, 0] = start
    found, passed = np.empty((p, values, 4)), np.empty((p, values, 0 if start is None else 1 + most, 2))
    given = _writable(X, np.asarray(Y, dtype), counted, np.asarray(l2, np.float64))
    size = min(p, starting.size_for(64 * units * X.size))
    starting.start(
        "many_fits", size, *given, float(intercept), core.rounding(dtype), rules, tol, most, patience, pairs,
        *_writable(*(spectrum or (np.empty((0, 0), dtype), np.empty(0, dtype)))), W, b, found, passed,
    )  # fmt: skip
    return W, b, found, passed


def _writable(*arrays: Array) -> list[Array]:
    """Return arrays, copied where they may not be written: such ones are other types, of a kernel of their own."""
    return [np.require(array, requirements=("C", "W")) for array in arrays]


def readable(X: Array) -> bool:
    """Return whether the kernels read X: its samples are contiguous rows of a dtype they know, bytes in its order."""
    return X.dtype in NATIVE and X.flags.f_contiguous

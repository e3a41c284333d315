"""The CPU's kernels as replacements for functions of the core, on NumPy arrays."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np

from fastlr import core
from fastlr.core import Array
from fastlr.kernels.cpu import starting

READS = ("uint8", "float32", "float64")  # dtypes of X for which there are kernels
NATIVE = frozenset(map(np.dtype, READS))
# K of uint8 pixels stays below 2³¹ up to so many features.
INT32_FEATURES = (2**31 - 1) // 255**2
# Of `fastlr.kernels.cpu.gram`, which is imported when it is needed.
PANEL = 16
LANES = 8
FEATURES = 1024
EXPONENTIAL = 16  # operations that one takes
SMALL = 512  # rows, up to which LAPACK's threads cost more than they bring
SHORT = 5_000_000_000  # operations of a Gram matrix that is done before a BLAS stops spinning
FEW = 64  # rows of a product for which a BLAS gains little
KEPT = 2**23  # bytes that a thread keeps
_KEPT = threading.local()


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


class GramMatrix(NamedTuple):
    """XᵀX as `fastlr.kernels.cpu.gram` reads it: the upper triangle (M, M) without its diagonal, and that, (M,)."""

    upper: Array
    diagonal: Array


def gram_matrix(X: Array, dtype: Any) -> GramMatrix:
    """Return XᵀX, for pixels as int32 where it fits: half the bytes, still exact. Twin: `core.gram_matrix`."""
    n, m = X.shape
    padded = padded_to(m, PANEL)
    if X.dtype != np.uint8 or not readable(X):
        return _set_diagonal_apart(core.gram_matrix(X, dtype))
    upper = np.zeros((padded, padded), dtype=np.int32 if n <= INT32_FEATURES else np.float64)
    diagonal = np.empty(padded, dtype)
    packed = np.empty((padded // PANEL, FEATURES // 2, PANEL, 2), np.int16)
    size_for = starting.size_that_meets if n * m * m < SHORT else starting.size_for
    starting.start("gram_matrix", size_for(n * m * m), X.T, packed, upper, diagonal)
    return GramMatrix(upper, diagonal)


def standardized_gram_matrix(X: Array, mean: Array, deviation: Array, scale: float = 1.0) -> GramMatrix:
    """Return the Gram matrix of standardized features. Twin: `core.standardized_gram_matrix`."""
    return _set_diagonal_apart(core.standardized_gram_matrix(X, mean, deviation, scale))


def _set_diagonal_apart(K: Array) -> GramMatrix:
    """Return K (m, m) as the kernels read it."""
    m = K.shape[0]
    padded = padded_to(m, PANEL)
    upper, diagonal = np.zeros((padded, padded), K.dtype), np.zeros(padded, K.dtype)
    upper[:m, :m], diagonal[:m] = K, K.diagonal()
    for row in range(LANES):
        for column in range(row + 1):
            upper[np.arange(row, padded, LANES), np.arange(column, padded, LANES)] = 0
    return GramMatrix(upper, diagonal)


def gram_product(C: Array, K: GramMatrix) -> Array:
    """Return C K, (k, m). Twin: `core.gram_product`."""
    k, m = C.shape
    Z = np.empty_like(C)
    count = starting.parts_for(k * m * m)
    size = min(count, starting.size_that_meets(k * m * m))
    C = pad(C)
    starting.start("gram_product", size, *K, C, Z, np.empty((count, *C.shape), C.dtype))
    return Z


def gram_diagonal(K: GramMatrix) -> Array:
    """Return the diagonal of K, (1, M), padded with zeros. Twin: `core.diagonal`."""
    return K.diagonal[np.newaxis, :]


def curvature_along(Z: Array, V: Array, weights: Array | None = None) -> Array:
    """Return the derivative of D along V at logits Z, (k, units, m). Twin: `core.curvature_along`."""
    _, units, m = Z.shape
    out = np.empty_like(Z)
    counted = np.empty((1, 1, 0), Z.dtype) if weights is None else weights
    count = starting.parts_for(EXPONENTIAL * units * m)
    starting.run("curvature_along", EXPONENTIAL * Z.size, Z, V, counted, count, out)
    return out


def loss_and_gradient(
    W: Array, b: Array, X: Array, labels: Array, scale: float, weights: Array | None, every: int
) -> tuple[Array, Array, Array, Array] | None:
    """Return J, dW, db and the mean curvature of k softmaxes in one reading of X, None where the kernel does not.

    Twin: `PrimalForm.loss_and_gradient`, where nothing is fused.
    """
    (k, units, n), m = W.shape, X.shape[1]
    if not readable(X):
        return None
    work = 2 * W.size * m
    count = starting.parts_for(work)
    parts, sums = np.empty((count, k, units, n), W.dtype), np.empty((count, k, units))
    losses, curvatures = np.empty((count, k)), np.empty((count, k))
    counted = np.empty((1, 0), W.dtype) if weights is None else weights[:, 0, :]
    given = _writable(W, b[..., 0], labels, counted)
    starting.run("loss_and_gradient", work, X.T, scale, *given, every, parts, sums, losses, curvatures)
    J, c = (a.sum(axis=0).astype(W.dtype).reshape(k, 1, 1) for a in (losses / m, curvatures / (units * -(-m // every))))
    return J, parts.sum(axis=0) * (scale / m), (sums.sum(axis=0) / m).astype(W.dtype)[..., np.newaxis], c


def primal_conjugate_gradients(
    X: Array, scale: float, moments: tuple[Array, Array] | None, A: Array, counts: Array | None, l2: float, c: float,
    mean: Array | None, spectrum: tuple[Array, Array] | None, W: Array, b: Array, longest: int, least: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Return a direction's weights and intercepts of one model, `W (units, n)` and `b (units,)` the gradient.

    `A (units, m)` are probabilities. Twin: `newton_cg.direction`.
    """
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
    V, curvatures = spectrum or (np.empty((0, 0), dtype), np.empty(0, dtype))
    work = 2 * W.size * m
    count = starting.parts_for(work)
    moving = [-W, -b, *(np.zeros_like(array) for array in (W, b, W, b)), np.array([0.0, 0.0, 0.0, 1.0])]
    room = [np.empty_like(W) for _ in range(3)]
    sums = np.empty(units, dtype), np.empty((count, units, n), dtype), np.empty((count, units), dtype)
    means = np.zeros(n, dtype) if mean is None else mean
    for steps in starting.turns(longest, work):
        starting.start(
            "primal_conjugate_gradients", min(count, starting.size_that_meets(work)), steps, X.T, *_writable(*given),
            l2, float(mean is not None), c, *_writable(means, V, curvatures), least, *moving, *room, *sums,
        )  # fmt: skip
        if moving[-1][3] == 0:
            break
    return moving[4], moving[5]


def gram_conjugate_gradients(
    K: GramMatrix, scale: float, S: Array, l2: Array, mean: tuple[Array, Array] | None, W: Array, b: Array,
    longest: int, least: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return a direction's coordinates, intercept and logits (1, 1, …), for `S (1, 1, m)` from weights of zero.

    `mean` holds the coefficients and the logits of the examples' mean, W and b the gradient. Twin:
    `newton_cg.direction`.
    """
    m, dtype = S.shape[-1], S.dtype
    count, M = starting.parts_for(m * m), padded_to(m, LANES)
    size = min(count, starting.size_that_meets(m * m))
    means = np.zeros((2, m), dtype)
    if mean is not None:
        means[:] = mean[0][0, 0], mean[1][0, 0]
    r, both = -W[0, 0, :m], np.array([-b[0, 0, 0], mean is not None], dtype)
    d_W, d_Z = np.zeros((1, 1, m + 1), dtype), np.zeros((1, 1, m), dtype)
    room = np.zeros((1, M), dtype), np.empty(m, dtype), np.empty((count, 1, M), dtype), np.zeros(1, np.bool_)
    starting.start(
        "gram_conjugate_gradients", size, *K, scale, S[0, 0], float(l2[0, 0, 0]), *means, r, both,
        longest, least, *room, d_W[0, 0, :m], d_Z[0, 0],
    )  # fmt: skip
    return d_W, both[1:].reshape(1, 1, 1), d_Z


def gram_solve(K: GramMatrix, h: Array, l2: Array, right: Array) -> Array:
    """Return (h K h + l2 I)⁻¹ right. Twin: `core.gram_solve`."""
    M, m = K.diagonal.shape[0], h.shape[-1]
    R = _room((h.shape[0], M, M), h.dtype)
    starting.run("gram_hessian", R.size, *K, h, l2, R)
    solved = _solve(R, right)
    if solved is None:
        starting.run("gram_hessian", R.size, *K, h, l2, R)
        solved = core.solve_positive(R[:, :m, :m], right)
    return solved


def newton_step(
    X: Array, Y: Array, l2: Array, weights: Array | None, penalized: int, rounding: float, rules: Any, V: Array
) -> tuple[Array, Array, Array, Array]:
    """Return V (k, units, d), its logits, its gradient and what else is known there, after a step of Newton's method.

    All in float64, X (m, …) as `PrimalForm.in_vectors`. The last are J, the objective, the gradient's norm, and 1 where
    the step was taken, `(k, 4)`: 0 where it led nowhere, −1 where the matrix has no factors. Twin:
    `solvers.newton.step`, where nothing is fused.
    """
    (k, units, d), (m, width) = V.shape, X.shape
    padded = np.zeros((k, units, width))
    padded[..., :d] = V
    Z, G, found = np.empty((k, units, m)), np.empty_like(padded), np.empty((k, 4))
    Y, counted, l2 = _writable(Y, np.empty((1, 1, 0)) if weights is None else weights, l2[:, 0, 0])
    size = min(k, starting.size_for(k * m * (units * d) ** 2))
    starting.start("newton_step", size, X, Y, counted, penalized, l2, rounding, rules, padded, Z, G, found)
    return padded[..., :d], Z, G[..., :d], found


def _solve(R: Array, right: Array) -> Array | None:
    """Return H⁻¹ right, for H the upper triangle of R (k, M, M), which is overwritten; None if H is not positive."""
    k, d, columns = right.shape
    if d <= SMALL:
        positive = np.empty(k, np.bool_)
        starting.start("factor", min(k, starting.size_for(k * d**3)), d, R, positive)
        if not positive.all():
            return None
    else:
        try:
            R[:, :d, :d] = np.linalg.cholesky(R[:, :d, :d], upper=True)
        except np.linalg.LinAlgError:
            return None
    x = np.zeros((k, columns, R.shape[1]), R.dtype)
    x[..., :d] = right.swapaxes(1, 2)
    starting.start("substitute", min(k, starting.size_for(k * columns * d * d)), d, R, x)
    return x[..., :d].swapaxes(1, 2)


def _room(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return memory of whatever content; the thread keeps a small one, as new pages cost more than what is done there.

    It is this thread's until it asks again.
    """
    count = math.prod(shape)
    if count * np.dtype(dtype).itemsize > KEPT:
        return np.empty(shape, dtype)
    if not hasattr(_KEPT, "bytes"):
        _KEPT.bytes = np.empty(KEPT, np.uint8)
    return _KEPT.bytes.view(dtype)[:count].reshape(shape)


def pad(C: Array) -> Array:
    """Return a copy of C (k, m) with columns of zeros up to whole vectors."""
    k, m = C.shape
    padded = np.zeros((k, padded_to(m, LANES)), C.dtype)
    padded[:, :m] = C
    return padded


def padded_to(m: int, unit: int) -> int:
    """Return m brought up to a multiple of the unit."""
    return -(-m // unit) * unit


def _writable(*arrays: Array) -> list[Array]:
    """Return arrays, copied where they may not be written: such ones are other types, of a kernel of their own."""
    return [np.require(array, requirements=("C", "W")) for array in arrays]


def readable(X: Array) -> bool:
    """Return whether the kernels read X: its examples are contiguous rows of a dtype they know, bytes in its order."""
    return X.dtype in NATIVE and X.flags.f_contiguous

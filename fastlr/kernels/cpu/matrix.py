"""The CPU's kernels on the Gram matrix as replacements for functions of the core, on NumPy arrays."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np

from fastlr import core
from fastlr.core import Array
from fastlr.kernels.cpu import starting
from fastlr.kernels.cpu.arrays import readable

# K of uint8 pixels stays below 2³¹ up to so many features.
INT32_FEATURES = (2**31 - 1) // 255**2
# Of `fastlr.kernels.cpu.gram`, which is imported when it is needed.
PANEL = 16
LANES = 8
FEATURES = 1024
SMALL = 512  # rows, up to which LAPACK's threads cost more than they bring
SHORT = 5_000_000_000  # operations of a Gram matrix that is done before a BLAS stops spinning
KEPT = 2**23  # bytes that a thread keeps
_KEPT = threading.local()


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


def gram_conjugate_gradients(
    K: GramMatrix, scale: float, S: Array, l2: Array, mean: tuple[Array, Array] | None, W: Array, b: Array,
    longest: int, least: float,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return a direction's coordinates, intercept and logits (1, 1, …), for `S (1, 1, m)` from weights of zero.

    `mean` holds the coefficients and the logits of the samples' mean, W and b the gradient. Twin:
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
    scratch = np.zeros((1, M), dtype), np.empty(m, dtype), np.empty((count, 1, M), dtype), np.zeros(1, np.bool_)
    starting.start(
        "gram_conjugate_gradients", size, *K, scale, S[0, 0], float(l2[0, 0, 0]), *means, r, both,
        longest, least, *scratch, d_W[0, 0, :m], d_Z[0, 0],
    )  # fmt: skip
    return d_W, both[1:].reshape(1, 1, 1), d_Z


def gram_solve(K: GramMatrix, h: Array, l2: Array, right: Array) -> Array:
    """Return (h K h + l2 I)⁻¹ right. Twin: `core.gram_solve`."""
    M, m = K.diagonal.shape[0], h.shape[-1]
    R = _scratch((h.shape[0], M, M), h.dtype)
    starting.run("gram_hessian", R.size, *K, h, l2, R)
    solved = _solve(R, right)
    if solved is None:
        starting.run("gram_hessian", R.size, *K, h, l2, R)
        solved = core.solve_positive(R[:, :m, :m], right)
    return solved


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


def _scratch(shape: tuple[int, ...], dtype: Any) -> Array:
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

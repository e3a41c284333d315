"""The CPU's kernels as replacements for functions of the core, on NumPy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastlr import core
from fastlr.core import Array
from fastlr.kernels import starting

READS = ("uint8", "float32", "float64")  # dtypes of X for which there are kernels
# K of uint8 pixels stays below 2³¹ up to so many features.
INT32_FEATURES = (2**31 - 1) // 255**2
# Of `fastlr.kernels.gram`, which is imported when it is needed.
PANEL = 16
LANES = 8
FEATURES = 1024


def project(W: Array, X: Array, scale: float = 1.0) -> Array:
    """Return W (scale X), shape (k, m). Twin: `core.project`."""
    if not readable(X) or X.dtype == W.dtype:  # a BLAS is as fast where nothing is to be converted
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
    if not readable(X) or X.dtype == C.dtype or C.shape[0] > 1:  # for several models a BLAS is the faster
        return core.combine(C, X, scale)
    W = np.empty((C.shape[0], X.shape[0]), dtype=C.dtype)
    starting.run("combine", C.shape[0] * X.size, X.T, np.ascontiguousarray(C * scale), W)
    return W


class GramMatrix(NamedTuple):
    """XᵀX as `fastlr.kernels.gram` reads it: the upper triangle (M, M) without its diagonal, and that, (M,)."""

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
    starting.run("gram_matrix", n * m * m, np.zeros(1, np.int64), X.T, packed, upper, diagonal)
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
    size = min(count, starting.size_for(k * m * m))
    C = pad(C)
    starting.start("gram_product", size, np.zeros(1, np.int64), *K, C, Z, np.empty((count, *C.shape), C.dtype))
    return Z


def dense(K: GramMatrix) -> Array:
    """Return K as one array in the working dtype, from what of it is read; padded with zeros."""
    above = np.triu(K.upper, 1).astype(K.diagonal.dtype)
    return above + above.T + np.diag(K.diagonal)


def solve_positive(H: Array, right: Array) -> Array:
    """Return H⁻¹ right by Cholesky's factors: half the work of any other. Twin: `core.solve_positive`."""
    try:
        factors = np.linalg.cholesky(H)
    except np.linalg.LinAlgError:  # not positive to the last bit
        return core.solve_positive(H, right)
    solved = right.copy()
    for L, columns in zip(factors, solved, strict=True):
        for j in range(columns.shape[1]):
            column = columns[:, j].copy()
            starting.start("substitute", 1, L, column)
            columns[:, j] = column
    return solved


def pad(C: Array) -> Array:
    """Return a copy of C (k, m) with columns of zeros up to whole vectors."""
    k, m = C.shape
    padded = np.zeros((k, padded_to(m, LANES)), C.dtype)
    padded[:, :m] = C
    return padded


def padded_to(m: int, unit: int) -> int:
    """Return m brought up to a multiple of the unit."""
    return -(-m // unit) * unit


def readable(X: Array) -> bool:
    """Return whether the kernels read X: its examples are contiguous rows of a dtype they know."""
    return X.dtype.name in READS and X.T.flags.c_contiguous

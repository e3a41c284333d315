"""Samples in fewer coordinates than they have features: the Cholesky factor of their Gram matrix."""

from __future__ import annotations

import numpy as np
from array_api_compat import device

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace

PASSES = 30  # over the samples, of a fit
DENSER = 4  # times as many multiply-adds a second does a BLAS
JITTER = 1e-12  # of the mean of the diagonal of a Gram matrix


def pays(n: int, m: int, units: int) -> bool:
    """Return whether a fit of so many units is less work in m coordinates than in n features.

    The factor and the way back take 3 n m² multiply-adds of a BLAS, a pass of a fit 2 units m times as many of ours.
    """
    return m < n and 3 * n * m * m < DENSER * PASSES * 2 * units * (n - m) * m


def of(rows: Array) -> Array:
    """Return L with L Lᵀ = K, the Gram matrix of samples `(…, m, n)`, in float64: their features in m coordinates.

    Weights W that lie in the space of the samples are V = W Q for X = L Qᵀ with orthonormal columns of Q, and
    W Xᵀ = V Lᵀ, ‖W‖ = ‖V‖. A little is added to K's diagonal: a sample may be there twice.
    """
    xp = array_namespace(rows)
    rows = xp.astype(rows, xp.float64)
    K = rows @ xp.matrix_transpose(rows)
    least = JITTER * xp.mean(core.diagonal(K), axis=-2, keepdims=True) + float(np.finfo(np.float64).tiny)
    return xp.linalg.cholesky(K + least * xp.eye(K.shape[-1], dtype=K.dtype, device=device(K)))


def back(V: Array, L: Array, rows: Array) -> Array:
    """Return W for the coordinates V `(…, units, m)`: C X with C L = V."""
    xp = array_namespace(L)
    C = xp.matrix_transpose(xp.linalg.solve(xp.matrix_transpose(L), xp.matrix_transpose(V)))
    return C @ xp.astype(rows, L.dtype, copy=False)

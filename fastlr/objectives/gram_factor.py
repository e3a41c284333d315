"""Samples in fewer coordinates than they have features: the Cholesky factor of their Gram matrix."""

from __future__ import annotations

from array_api_compat import device

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace

PASSES = 30  # over the samples, of a fit
DENSER = 4  # times as many multiply-adds a second does a BLAS
APART = 1e-8  # of its square, that a sample must have in a direction of its own


def pays(n: int, m: int, units: int) -> bool:
    """Return whether a fit of so many units is less work in m coordinates than in n features.

    The factor and the way back take 3 n m² multiply-adds of a BLAS, a pass of a fit 2 units m times as many of ours.
    """
    return m < n and 3 * n * m * m < DENSER * PASSES * 2 * units * (n - m) * m


def of(rows: Array) -> Array | None:
    """Return L with L Lᵀ = K, the Gram matrix of samples `(…, m, n)`, in float64: their features in m coordinates.

    Weights W that lie in the space of the samples are V = W Q for X = L Qᵀ with orthonormal columns of Q, and
    W Xᵀ = V Lᵀ, ‖W‖ = ‖V‖. A sample of zeros has a coordinate of its own, 1. None where a sample is too close to a sum
    of others, such as one that is there twice: rounding would be most of what is left of it.
    """
    xp = array_namespace(rows)
    rows = xp.astype(rows, xp.float64)
    K = rows @ xp.matrix_transpose(rows)
    found = core.diagonal(K)
    squares = xp.where(found > 0, found, xp.ones_like(found))
    try:
        L = xp.linalg.cholesky(K + (squares - found) * xp.eye(K.shape[-1], dtype=K.dtype, device=device(K)))
    except (ValueError, RuntimeError):  # NumPy's and PyTorch's LinAlgError; other libraries return NaN
        return None
    return L if bool(xp.all(core.diagonal(L) ** 2 > APART * squares)) else None


def back(V: Array, L: Array, rows: Array) -> Array:
    """Return W for the coordinates V `(…, units, m)`: C X with C L = V."""
    xp = array_namespace(L)
    C = xp.matrix_transpose(xp.linalg.solve(xp.matrix_transpose(L), xp.matrix_transpose(V)))
    return C @ xp.astype(rows, L.dtype, copy=False)

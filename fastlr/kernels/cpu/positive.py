"""Kernels for the CPU that solve small systems with positive definite matrices, one matrix to a thread.

LAPACK starts its threads for a matrix of a few hundred rows, which takes longer than the factors. A matrix H (d, d) is
the upper triangle of `R (M, M)`, padded with columns of zeros to M, a multiple of 16, so that no row has a ragged end.
What is below the triangle is not read, and may be overwritten. Within, R is flat and its indices are unsigned: slices
and signs of indices cost as much as a short row.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from numba import uint64

from fastlr.kernels.cpu.compiling import inlined, kernel

LANES = 16
PANEL = 4  # rows that are subtracted from those below them at a time


@kernel
def factor(member: int, size: int, counter: Any, d: int, R: Any, positive: Any) -> None:
    """R (k, M, M) ← its upper Cholesky factor, RᵀR = H; positive (k,) ← whether there was one.

    Twin: `numpy.linalg.cholesky`.
    """
    M = R.shape[2]
    for q in range(member, R.shape[0], size):
        positive[q] = factor_one(R[q].reshape(M * M), uint64(M), d)


@inlined
def factor_one(R: Any, M: Any, d: int) -> bool:
    """R (M · M) ← its upper Cholesky factor; return whether there was one."""
    for p in range(0, d, PANEL):
        stop, start = min(p + PANEL, d), uint64(p // LANES * LANES)
        for i in range(p, stop):
            row = uint64(i) * M
            pivot = R[row + uint64(i)]
            if not pivot > 0:
                return False
            _scale(R, M, row, 1 / sqrt(pivot), start)
            for low in range(i + 1, stop):
                _subtract(R, M, uint64(low) * M, R[row + uint64(low)], row, start)
        for i in range(stop, d - 1, 2):
            _subtract_panel(R, M, uint64(p), uint64(i), uint64(i // LANES * LANES))
        if stop < d and (d - stop) % 2:
            last = uint64(d - 1)
            for i in range(p, stop):
                x = R[uint64(i) * M + last]
                R[last * M + last] -= x * x
    return True


@inlined
def _scale(R: Any, M: Any, row: Any, factor: float, start: Any) -> None:
    for j in range(start, M):
        R[row + j] *= factor


@inlined
def _subtract(R: Any, M: Any, low: Any, c: float, row: Any, start: Any) -> None:
    """Subtract c times a row from one below it; both begin where they are given to."""
    for j in range(start, M):
        R[low + j] -= c * R[row + j]


@inlined
def _subtract_panel(R: Any, M: Any, p: Any, i: Any, start: Any) -> None:
    """Subtract from rows i and i + 1 their part of rows p … p + 3, which are loaded once for both."""
    x0, y, k = p * M, i * M, i + uint64(1)
    x1, z = x0 + M, y + M
    x2 = x1 + M
    x3 = x2 + M
    a0, a1, a2, a3 = R[x0 + i], R[x1 + i], R[x2 + i], R[x3 + i]
    b0, b1, b2, b3 = R[x0 + k], R[x1 + k], R[x2 + k], R[x3 + k]
    for j in range(start, M):
        R[y + j] -= (a0 * R[x0 + j] + a1 * R[x1 + j]) + (a2 * R[x2 + j] + a3 * R[x3 + j])
        R[z + j] -= (b0 * R[x0 + j] + b1 * R[x1 + j]) + (b2 * R[x2 + j] + b3 * R[x3 + j])


@kernel
def substitute(member: int, size: int, counter: Any, d: int, R: Any, x: Any) -> None:
    """x (k, r, M) ← H⁻¹ x from the factors, for r right sides a matrix; the padding of x is zeros."""
    M = uint64(R.shape[2])
    for q in range(member, R.shape[0], size):
        for r in range(x.shape[1]):
            substitute_one(R[q].reshape(R.shape[2] * R.shape[2]), M, uint64(d), x[q, r])


@inlined
def substitute_one(R: Any, M: Any, d: Any, x: Any) -> None:
    """x (M,) ← R⁻¹ R⁻ᵀ x."""
    one = uint64(1)
    for i in range(d):
        row = i * M
        value = x[i] / R[row + i]
        for j in range(i + one, M):
            x[j] -= value * R[row + j]
        x[i] = value
    for n in range(d):
        i = d - one - n
        row, total = i * M, x[i] - x[i]
        for j in range(i + one, M):
            total += R[row + j] * x[j]
        x[i] = (x[i] - total) / R[row + i]

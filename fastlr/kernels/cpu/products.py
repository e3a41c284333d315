"""Kernels for the CPU, in Numba: the core's functions on samples as rows, uint8 or floating point, read as they are.

`rows (m, n)` is X transposed, C-contiguous. Each kernel does one member's part of the work of a team, and names in its
docstring the function of `core` that is its plain twin. Sums run over vectors and parts, so results agree with the
twin to rounding, not to the bit; but they are the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.vector import number

TILE = 4  # samples that are converted at a time, where several models read them: they stay in the first cache


@inlined
def sum_of(values: Any) -> Any:
    """Return the sum of values (m,)."""
    added = values.dtype.type(0)
    for i in range(values.shape[0]):
        added += values[i]
    return added


@inlined
def share(member: int, size: int, count: int, unit: int) -> tuple[int, int]:
    """Return the part of 0 … count that is this member's, cut at multiples of `unit`."""
    units = (count + unit - 1) // unit
    return min(count, units * member // size * unit), min(count, units * (member + 1) // size * unit)


@inlined
def convert(row: Any, target: Any) -> None:
    """target ← row, in target's dtype."""
    for j in range(row.shape[0]):
        target[j] = number(row[j], target[j])


@inlined
def dot8(rows: Any, i: int, last: int, w: Any) -> Any:
    """Return the products of rows i … i + 7 with w, which is loaded once for all; past the last row, that one again."""
    x0, x1, x2, x3 = rows[i], rows[min(i + 1, last)], rows[min(i + 2, last)], rows[min(i + 3, last)]
    x4, x5, x6, x7 = rows[min(i + 4, last)], rows[min(i + 5, last)], rows[min(i + 6, last)], rows[min(i + 7, last)]
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = w.dtype.type(0)
    for j in range(w.shape[0]):
        a0 += number(x0[j], w[j]) * w[j]
        a1 += number(x1[j], w[j]) * w[j]
        a2 += number(x2[j], w[j]) * w[j]
        a3 += number(x3[j], w[j]) * w[j]
        a4 += number(x4[j], w[j]) * w[j]
        a5 += number(x5[j], w[j]) * w[j]
        a6 += number(x6[j], w[j]) * w[j]
        a7 += number(x7[j], w[j]) * w[j]
    return a0, a1, a2, a3, a4, a5, a6, a7


@inlined
def add8(rows: Any, i: int, last: int, d: Any, g: Any) -> None:
    """Add rows i … i + 7, each times its number in d, to g, which is loaded and stored once for all."""
    x0, x1, x2, x3 = rows[i], rows[min(i + 1, last)], rows[min(i + 2, last)], rows[min(i + 3, last)]
    x4, x5, x6, x7 = rows[min(i + 4, last)], rows[min(i + 5, last)], rows[min(i + 6, last)], rows[min(i + 7, last)]
    d0, d1, d2, d3, d4, d5, d6, d7 = d
    for j in range(g.shape[0]):
        g[j] += (number(x0[j], d0) * d0 + number(x1[j], d1) * d1 + number(x2[j], d2) * d2 + number(x3[j], d3) * d3) + (
            number(x4[j], d4) * d4 + number(x5[j], d5) * d5 + number(x6[j], d6) * d6 + number(x7[j], d7) * d7
        )


@inlined
def multiply_tile(tile: Any, W: Any, Z: Any) -> None:
    """Z (units, 4) ← W tileᵀ for W (units, n): two units at a time, so that a load of the tile serves both."""
    for u in range(0, W.shape[0], 2):
        w, v = W[u], W[min(u + 1, W.shape[0] - 1)]
        x0, x1, x2, x3 = tile[0], tile[1], tile[2], tile[3]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = W.dtype.type(0)
        for j in range(w.shape[0]):
            a0 += x0[j] * w[j]
            a1 += x1[j] * w[j]
            a2 += x2[j] * w[j]
            a3 += x3[j] * w[j]
            b0 += x0[j] * v[j]
            b1 += x1[j] * v[j]
            b2 += x2[j] * v[j]
            b3 += x3[j] * v[j]
        _set(Z[min(u + 1, W.shape[0] - 1)], b0, b1, b2, b3)
        _set(Z[u], a0, a1, a2, a3)


@inlined
def _set(z: Any, a0: float, a1: float, a2: float, a3: float) -> None:
    z[0], z[1], z[2], z[3] = a0, a1, a2, a3


@inlined
def add_tile(tile: Any, D: Any, G: Any) -> None:
    """G (units, n) ← G + D tile for D (units, 4), two units at a time."""
    for u in range(0, G.shape[0] - 1, 2):
        x0, x1, x2, x3 = tile[0], tile[1], tile[2], tile[3]
        d, e, g, h = D[u], D[u + 1], G[u], G[u + 1]
        d0, d1, d2, d3, e0, e1, e2, e3 = d[0], d[1], d[2], d[3], e[0], e[1], e[2], e[3]
        for j in range(g.shape[0]):
            g[j] += (x0[j] * d0 + x1[j] * d1) + (x2[j] * d2 + x3[j] * d3)
            h[j] += (x0[j] * e0 + x1[j] * e1) + (x2[j] * e2 + x3[j] * e3)
    if G.shape[0] % 2:
        x0, x1, x2, x3 = tile[0], tile[1], tile[2], tile[3]
        d, g = D[-1], G[-1]
        d0, d1, d2, d3 = d[0], d[1], d[2], d[3]
        for j in range(g.shape[0]):
            g[j] += (x0[j] * d0 + x1[j] * d1) + (x2[j] * d2 + x3[j] * d3)


@kernel
def project(member: int, size: int, counter: Any, rows: Any, W: Any, Z: Any) -> None:
    """Z (k, m) ← W rowsᵀ. Twin: `core.project` with scale 1."""
    start, stop = share(member, size, rows.shape[0], 8)
    if W.shape[0] == 1:
        for i in range(start, stop, 8):
            dots = dot8(rows, i, stop - 1, W[0])
            for r in range(min(8, stop - i)):
                Z[0, i + r] = dots[r]
        return
    tile, products = np.empty((TILE, rows.shape[1]), W.dtype), np.empty((W.shape[0], TILE), W.dtype)
    for i in range(start, stop, TILE):  # converted once for all the models
        for r in range(TILE):
            convert(rows[min(i + r, stop - 1)], tile[r])
        multiply_tile(tile, W, products)
        for r in range(min(TILE, stop - i)):
            for q in range(W.shape[0]):
                Z[q, i + r] = products[q, r]


@kernel
def combine(member: int, size: int, counter: Any, rows: Any, C: Any, parts: Any) -> None:
    """Set each of `parts (count, k, n)` to C rows for its part of the rows. Twin: `core.combine`, scale 1."""
    (m, n), (count, k) = rows.shape, parts.shape[:2]
    tile, D, zero = np.zeros((TILE, n), C.dtype), np.empty((k, TILE), C.dtype), C.dtype.type(0)
    for p in range(member, count, size):
        start, stop = share(p, count, m, 8)
        parts[p] = 0
        if k == 1:
            for i in range(start, stop, 8):
                add8(rows, i, stop - 1, eight(C[0], i, stop - 1), parts[p, 0])
            continue
        for i in range(start, stop, TILE):  # converted once for all the models
            for r in range(min(TILE, stop - i)):
                convert(rows[i + r], tile[r])
            for q in range(k):
                for r in range(TILE):
                    D[q, r] = C[q, i + r] if i + r < stop else zero
            add_tile(tile, D, parts[p])


@inlined
def of_model(weights: Any, q: int) -> Any:
    """Return what the samples count for model q: a row of `weights (1 or k, m)`; of no samples where it has none."""
    return weights[q % weights.shape[0]] if weights.shape[0] > 0 else weights.reshape(weights.size)


@inlined
def eight(c: Any, i: int, last: int) -> Any:
    """Return c[i … i + 7], 0 past the last."""
    zero = c.dtype.type(0)
    return (
        c[i],
        c[i + 1] if i + 1 <= last else zero,
        c[i + 2] if i + 2 <= last else zero,
        c[i + 3] if i + 3 <= last else zero,
        c[i + 4] if i + 4 <= last else zero,
        c[i + 5] if i + 5 <= last else zero,
        c[i + 6] if i + 6 <= last else zero,
        c[i + 7] if i + 7 <= last else zero,
    )

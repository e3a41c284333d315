"""Kernels for the CPU, in Numba: the core's functions on examples as rows, uint8 or floating point, read as they are.

`rows (m, n)` is X transposed, C-contiguous. Each kernel does one member's part of the work of a team, and names in its
docstring the function of `core` that is its plain twin. Sums run over vectors and parts, so results agree with the
twin to rounding, not to the bit; but they are the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from fastlr.kernels.pixels import products
from fastlr.kernels.team import wait_for_all
from fastlr.kernels.vector import number, sigmoid

# What the compiler may do to the sums: reorder them, fuse multiply and add. NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz"}
SIDE = 64  # rows in a tile of the Gram matrix
FEATURES = 2048  # features of one pass over a tile: two tiles of uint8 stay in the second cache


def _kernel(function: Any) -> Any:
    return njit(function, nogil=True, cache=True, fastmath=FAST, error_model="numpy")


def _inlined(function: Any) -> Any:
    return njit(function, nogil=True, fastmath=FAST, error_model="numpy")


@_inlined
def _share(member: int, size: int, count: int, unit: int) -> tuple[int, int]:
    """Return the part of 0 … count that is this member's, cut at multiples of `unit`."""
    units = (count + unit - 1) // unit
    return min(count, units * member // size * unit), min(count, units * (member + 1) // size * unit)


@_inlined
def _dot8(rows: Any, i: int, last: int, w: Any) -> Any:
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


@_inlined
def _add8(rows: Any, i: int, last: int, d: Any, g: Any) -> None:
    """Add rows i … i + 7, each times its number in d, to g, which is loaded and stored once for all."""
    x0, x1, x2, x3 = rows[i], rows[min(i + 1, last)], rows[min(i + 2, last)], rows[min(i + 3, last)]
    x4, x5, x6, x7 = rows[min(i + 4, last)], rows[min(i + 5, last)], rows[min(i + 6, last)], rows[min(i + 7, last)]
    d0, d1, d2, d3, d4, d5, d6, d7 = d
    for j in range(g.shape[0]):
        g[j] += (number(x0[j], d0) * d0 + number(x1[j], d1) * d1 + number(x2[j], d2) * d2 + number(x3[j], d3) * d3) + (
            number(x4[j], d4) * d4 + number(x5[j], d5) * d5 + number(x6[j], d6) * d6 + number(x7[j], d7) * d7
        )


@_kernel
def project(member: int, size: int, rows: Any, W: Any, Z: Any) -> None:
    """Z (k, m) ← W rowsᵀ. Twin: `core.project` with scale 1."""
    start, stop = _share(member, size, rows.shape[0], 8)
    for i in range(start, stop, 8):
        for q in range(W.shape[0]):
            dots = _dot8(rows, i, stop - 1, W[q])
            for r in range(min(8, stop - i)):
                Z[q, i + r] = dots[r]


@_kernel
def combine(member: int, size: int, rows: Any, C: Any, W: Any) -> None:
    """W (k, n) ← C rows, for a part of the features. Twin: `core.combine` with scale 1."""
    start, stop = _share(member, size, rows.shape[1], 64)
    part, last = rows[:, start:stop], rows.shape[0] - 1
    W[:, start:stop] = 0
    for i in range(0, rows.shape[0], 8):
        for q in range(C.shape[0]):
            _add8(part, i, last, _eight(C[q], i, last), W[q, start:stop])


@_inlined
def _eight(c: Any, i: int, last: int) -> Any:
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


@_kernel
def gram_matrix(member: int, size: int, rows: Any, K: Any) -> None:
    """K (m, m) ← rows rowsᵀ for uint8 rows, exactly; K is int32 or float64 and zero. Twin: `core.gram_matrix`.

    Sums of up to 2048 products of two pixels stay below 2048 · 255² < 2³¹.
    """
    m, n = rows.shape
    tiles, pair = (m + SIDE - 1) // SIDE, 0
    for tile_i in range(tiles):
        for tile_j in range(tile_i, tiles):
            pair += 1
            if pair % size != member:
                continue
            i0, i1 = tile_i * SIDE, min(m, tile_i * SIDE + SIDE)
            j0, j1 = tile_j * SIDE, min(m, tile_j * SIDE + SIDE)
            for f in range(0, n, FEATURES):
                part = rows[:, f : min(n, f + FEATURES)]
                for i in range(i0, i1, 4):
                    for j in range(j0, j1, 2):
                        _multiply_pixels(part, i, i1, j, j1, K)
            if tile_i != tile_j:
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        K[j, i] = K[i, j]


@_inlined
def _multiply_pixels(rows: Any, i: int, i1: int, j: int, j1: int, K: Any) -> None:
    """Add the products of rows i … i + 3 with rows j and j + 1 to K."""
    x0, x1, x2, x3 = rows[i], rows[min(i + 1, i1 - 1)], rows[min(i + 2, i1 - 1)], rows[min(i + 3, i1 - 1)]
    y0, y1 = rows[j], rows[min(j + 1, j1 - 1)]
    sums = products(x0, x1, x2, x3, y0, y1)
    for r in range(min(4, i1 - i)):
        K[i + r, j] += sums[r]
        if j + 1 < j1:
            K[i + r, j + 1] += sums[4 + r]


@_kernel
def gram_steps(
    member: int, size: int, counter: Any, steps: int, K: Any, scale: float, Z0: Any, Y: Any, rates: Any, l2: Any,
    C: Any, s: Any, b: Any, Z: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance C (k, m), s, b (k,) and Z (k, m) in place by `steps` steps. Twin: `descent.step` on a GramForm.

    Reads the upper triangle of K (m, m) only, once a step for all models: K[i, j] serves z[i] and z[j]. K is
    unscaled, `scale` is its factor. The work is cut into parts, whose results `parts (count, k, m)` and
    `sums (count, k)` take; members share the parts, so the numbers do not depend on how many members there are.
    """
    k, m = C.shape
    count = parts.shape[0]
    reached = 0
    for _ in range(steps):
        for p in range(member, count, size):
            start, stop = _share(p, count, m, 8)
            for q in range(k):
                y = Y[q % Y.shape[0], start:stop]
                sums[p, q] = _update(Z[q, start:stop], y, C[q, start:stop], rates[q], l2[q], m)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for p in range(member, count, size):
            parts[p] = 0
            for i in range(4 * p, m, 4 * count):
                for q in range(k):
                    _multiply_symmetric(K, i, C[q], parts[p, q])
        if member == 0:
            for q in range(k):
                b[q] -= rates[q] * sums[:, q].sum() / m
                s[q] -= rates[q] * l2[q] * s[q]
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for p in range(member, count, size):
            start, stop = _share(p, count, m, 8)
            for q in range(k):
                _gather(parts[:, q, start:stop], scale, s[q], Z0[q, start:stop], b[q], Z[q, start:stop])


@_inlined
def _update(z: Any, y: Any, c: Any, rate: float, l2: float, m: int) -> float:
    """c ← c − rate (d / m + l2 c) with d = σ(z) − y; return the sum of d."""
    total = 0.0
    for i in range(z.shape[0]):
        d = sigmoid(z[i]) - y[i]
        c[i] -= rate * (d / m + l2 * c[i])
        total += d
    return total


@_inlined
def _multiply_symmetric(K: Any, i: int, c: Any, z: Any) -> None:
    """Add to z what rows i … i + 3 of the upper triangle of K, and the same numbers below it, make of c."""
    m = c.shape[0]
    last = min(i + 4, m)
    for r in range(i, last):
        for j in range(i, last):
            z[r] += K[r, j] * c[j]
    if last == m:
        return
    k0, k1, k2, k3 = K[i, last:], K[i + 1, last:], K[i + 2, last:], K[i + 3, last:]
    c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
    right, below = c[last:], z[last:]
    a0 = a1 = a2 = a3 = c.dtype.type(0)
    for j in range(right.shape[0]):
        a0 += k0[j] * right[j]
        a1 += k1[j] * right[j]
        a2 += k2[j] * right[j]
        a3 += k3[j] * right[j]
        below[j] += k0[j] * c0 + k1[j] * c1 + k2[j] * c2 + k3[j] * c3
    z[i] += a0
    z[i + 1] += a1
    z[i + 2] += a2
    z[i + 3] += a3


@_inlined
def _gather(parts: Any, scale: float, s: float, z0: Any, b: float, z: Any) -> None:
    """z ← scale · (sum of the members' parts) + s z0 + b."""
    for i in range(z.shape[0]):
        z[i] = s * z0[i] + b
    for member in range(parts.shape[0]):
        part = parts[member]
        for i in range(z.shape[0]):
            z[i] += scale * part[i]


@_kernel
def primal_steps(
    member: int, size: int, counter: Any, steps: int, rows: Any, scale: float, Y: Any, rates: Any, l2: Any,
    W: Any, b: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance W (k, n) and b (k,) in place by `steps` steps. Twin: `descent.step` on a PrimalForm.

    Each row is read from memory once a step: eight rows stay in the cache between their products with W and
    their part in the gradient. The work is cut into parts as in `gram_steps`: `parts (count, k, n)`, `sums (count, k)`.
    """
    m, n = rows.shape
    k, count = W.shape[0], parts.shape[0]
    left, right = _share(member, size, n, 8)
    reached = 0
    for _ in range(steps):
        for p in range(member, count, size):
            start, stop = _share(p, count, m, 8)
            parts[p] = 0
            sums[p] = 0
            for i in range(start, stop, 8):
                for q in range(k):
                    dots, y = _dot8(rows, i, stop - 1, W[q]), Y[q % Y.shape[0]]
                    d = _residuals(dots, scale, b[q], y, i, stop, W.dtype.type(0))
                    _add8(rows, i, stop - 1, d, parts[p, q])
                    for r in range(8):
                        sums[p, q] += d[r]
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for q in range(k):
            _descend(parts[:, q, left:right], scale / m, rates[q], l2[q], W[q, left:right])
            if member == 0:
                b[q] -= rates[q] * sums[:, q].sum() / m
        reached += size
        if size > 1:
            wait_for_all(counter, reached)


@_inlined
def _residuals(dots: Any, scale: float, b: float, y: Any, i: int, stop: int, zero: Any) -> Any:
    """Return σ(scale · dot + b) − y for rows i … i + 7, 0 past the end."""
    return (
        _residual(dots[0], scale, b, y, i, stop, zero),
        _residual(dots[1], scale, b, y, i + 1, stop, zero),
        _residual(dots[2], scale, b, y, i + 2, stop, zero),
        _residual(dots[3], scale, b, y, i + 3, stop, zero),
        _residual(dots[4], scale, b, y, i + 4, stop, zero),
        _residual(dots[5], scale, b, y, i + 5, stop, zero),
        _residual(dots[6], scale, b, y, i + 6, stop, zero),
        _residual(dots[7], scale, b, y, i + 7, stop, zero),
    )


@_inlined
def _residual(dot: float, scale: float, b: float, y: Any, i: int, stop: int, zero: Any) -> Any:
    return type(zero)(sigmoid(scale * dot + b) - y[i]) if i < stop else zero


@_inlined
def _descend(parts: Any, factor: float, rate: float, l2: float, w: Any) -> None:
    """w ← w − rate (factor · (sum of the members' parts) + l2 w)."""
    for j in range(w.shape[0]):
        w[j] -= rate * l2 * w[j]
    for member in range(parts.shape[0]):
        part = parts[member]
        for j in range(w.shape[0]):
            w[j] -= rate * factor * part[j]

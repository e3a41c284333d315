"""Kernels for the CPU on the Gram matrix: many steps of gradient descent in one call, and the product with K.

K is symmetric, so its upper triangle is all that is read: K[i, j] serves z[i] and z[j]. It is kept as `upper (M, M)`,
padded with zeros to M, a multiple of 16; zero on the diagonal and, within blocks of eight rows and columns, below it;
and as `diagonal (M,)`, its diagonal in the working dtype. What else lies below is not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.pixels import BAND, PANEL, pack, products
from fastlr.kernels.cpu.products import of_model, share, sum_of
from fastlr.kernels.cpu.team import wait_for_all
from fastlr.kernels.cpu.vector import assign, number, sigmoid

ROWS = 8  # rows of K that stay in the first cache while all models pass over them
WIDTH = 2048  # columns of such a block
FEATURES = 1024  # features that are packed and multiplied at a time


@kernel
def gram_matrix(member: int, size: int, counter: Any, rows: Any, packed: Any, upper: Any, diagonal: Any) -> None:
    """Fill upper (M, M), int32 or float64, and diagonal (M,) for the uint8 rows (m, n), exactly. `upper` must be zero.

    Sums of 1024 products of two pixels stay below 1024 · 255² < 2³¹. `packed` takes FEATURES of all rows at a time.
    Twin: `core.gram_matrix`.
    """
    n, panels = rows.shape[1], packed.shape[0]
    sums = np.empty((BAND, PANEL), np.int32)
    reached = 0
    for start in range(0, n, FEATURES):
        stop = min(n, start + FEATURES)
        for panel in range(member, panels, size):
            pack(rows, start, stop, panel, packed)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        for right in range(panels):
            turn = right % size if right // size % 2 == 0 else size - 1 - right % size
            if turn != member:
                continue
            for left in range(right + 1):
                for r in range(0, PANEL, BAND):
                    products(packed, (stop - start + 1) // 2, left, r, right, sums)
                    for i in range(BAND):
                        row = upper[left * PANEL + r + i, right * PANEL : right * PANEL + PANEL]
                        for j in range(PANEL):
                            row[j] += sums[i, j]
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
    start, stop = share(member, size, upper.shape[0], 8)
    _set_diagonal_apart(upper, start, stop, diagonal)


@inlined
def _set_diagonal_apart(upper: Any, start: int, stop: int, diagonal: Any) -> None:
    """Move the diagonal of rows start … stop, and clear what is below it in each block of eight."""
    for i in range(start, stop):
        diagonal[i] = upper[i, i]
        for j in range(i // 8 * 8, i + 1):
            upper[i, j] = 0


@kernel
def gram_hessian(member: int, size: int, counter: Any, upper: Any, diagonal: Any, h: Any, l2: Any, H: Any) -> None:
    """H (k, M, M) ← h K h + l2 I for h (k, 1, m) and l2 (k, 1, 1), with zeros in columns m … M of the first m rows.

    Twin: `core.gram_hessian`.
    """
    k, m = h.shape[0], h.shape[2]
    for start in range(ROWS * member, m, ROWS * size):
        for q in range(k):
            g = h[q, 0]
            for i in range(start, min(start + ROWS, m)):
                H[q, i, i] = g[i] * g[i] * diagonal[i] + l2[q, 0, 0]
                for j in range(i + 1, m):
                    H[q, i, j] = H[q, j, i] = g[i] * g[j] * number(upper[i, j], g[i])
                H[q, i, m:] = 0


@kernel
def gram_product(member: int, size: int, counter: Any, upper: Any, diagonal: Any, C: Any, Z: Any, parts: Any) -> None:
    """Z (k, m) ← C K. C, here and below, is padded with zeros to a multiple of 8 columns, and the parts are as wide.

    Twin: `core.gram_product`.
    """
    (k, m), count = Z.shape, parts.shape[0]
    for p in range(member, count, size):
        parts[p] = 0
        multiply(upper, ROWS * p, ROWS * count, C, parts[p])
    if size > 1:
        wait_for_all(counter, size)
    zero = Z.dtype.type(0)
    for p in range(member, count, size):
        start, stop = share(p, count, m, 8)
        for q in range(k):
            z = Z[q, start:stop]
            z[:] = 0
            gather(parts[:, q, start:stop], diagonal[start:stop], C[q, start:stop], zero + 1, zero, z, zero, z)


@kernel
def gram_steps(
    member: int, size: int, counter: Any, done: int, steps: int, upper: Any, diagonal: Any, scale: float, Z0: Any,
    Y: Any, weights: Any, rates: Any, l2: Any, C: Any, s: Any, b: Any, Z: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance C, s, b (k,) and Z (k, m) in place by `steps` steps. Twin: `descent.step` on a GramForm.

    K is unscaled, `scale` is its factor. `weights (1 or k, m)` say how much the samples count; without rows all count
    alike. The work is cut into parts, whose results `parts (count, k, …)` and
    `sums (count, k)` take; members share the parts, so the numbers do not depend on how many members there are.
    """
    (k, m), count = Z.shape, parts.shape[0]
    own_s, own_b = s.copy(), b.copy()  # the same in every member
    reached = 0
    for step in range(steps + 1):
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            for q in range(k):
                z, z0, c = Z[q, start:stop], Z0[q, start:stop], C[q, start:stop]
                if step > 0:
                    gather(parts[:, q, start:stop], diagonal[start:stop], c, scale, own_s[q], z0, own_b[q], z)
                if step < steps:
                    w = of_model(weights, q)[start:stop]
                    sums[p, q] = _update(z, Y[q % Y.shape[0], start:stop], w, c, rates[q], l2[q], m)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        if step == steps:
            break

        for q in range(k):
            own_b[q] -= rates[q] * sum_of(sums[:, q]) / m
            own_s[q] -= rates[q] * l2[q] * own_s[q]
        for p in range(member, count, size):
            parts[p] = 0
            multiply(upper, ROWS * p, ROWS * count, C, parts[p])
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
    if member == 0:
        assign(s, own_s)
        assign(b, own_b)


@inlined
def _update(z: Any, y: Any, w: Any, c: Any, rate: float, l2: float, m: int) -> float:
    """c ← c − rate (d / m + l2 c) with d = w (σ(z) − y); return the sum of d."""
    total = 0.0
    if w.shape[0] > 0:
        for i in range(z.shape[0]):
            d = w[i] * (sigmoid(z[i]) - y[i])
            c[i] -= rate * (d / m + l2 * c[i])
            total += d
        return total
    for i in range(z.shape[0]):
        d = sigmoid(z[i]) - y[i]
        c[i] -= rate * (d / m + l2 * c[i])
        total += d
    return total


@inlined
def gather(parts: Any, diagonal: Any, c: Any, scale: float, s: float, z0: Any, b: float, z: Any) -> None:
    """z ← scale · (sum of the parts + diagonal c) + s z0 + b."""
    for i in range(z.shape[0]):
        z[i] = s * z0[i] + b + scale * diagonal[i] * c[i]
    for part in range(parts.shape[0]):
        product = parts[part]
        for i in range(z.shape[0]):
            z[i] += scale * product[i]


@inlined
def multiply(upper: Any, first: int, stride: int, C: Any, Z: Any) -> None:
    """Add to Z, shaped as C, what rows first … first + ROWS − 1, those a stride further on, and so on, make of C."""
    (k, m), M = C.shape, upper.shape[1]
    K, lanes = upper.reshape(upper.size), 32 // C.itemsize  # whole vectors only: no row has a ragged end
    for left in range(0, m, WIDTH):
        right = min(m, left + WIDTH)
        for group in range(first, right, stride):
            for q in range(k):
                for i in range(group, min(group + ROWS, right), 4):
                    start = max(i // lanes * lanes, left)
                    _fold(K, uint64(M), uint64(i), uint64(start), uint64(right), C[q], Z[q])


@inlined
def _fold(K: Any, M: Any, i: Any, left: Any, right: Any, c: Any, z: Any) -> None:
    """Add to z what rows i … i + 3 from column `left` to `right`, and the same numbers below the diagonal, make of c.

    K is flat, in rows of M, and the indices are unsigned: slices and signs of indices cost as much as a short row.
    """
    i1, i2, i3 = i + uint64(1), i + uint64(2), i + uint64(3)
    c0, c1, c2, c3 = c[i], c[i1], c[i2], c[i3]
    a0 = a1 = a2 = a3 = c.dtype.type(0)
    for j in range(left, right):
        k0, k1 = number(K[i * M + j], c0), number(K[i1 * M + j], c0)
        k2, k3 = number(K[i2 * M + j], c0), number(K[i3 * M + j], c0)
        a0 += k0 * c[j]
        a1 += k1 * c[j]
        a2 += k2 * c[j]
        a3 += k3 * c[j]
        z[j] += k0 * c0 + k1 * c1 + k2 * c2 + k3 * c3
    z[i] += a0
    z[i1] += a1
    z[i2] += a2
    z[i3] += a3

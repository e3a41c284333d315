"""Kernels for the CPU that take many steps of gradient descent in one call, in the terms of `fastlr.kernels.cpu`."""

from __future__ import annotations

from typing import Any

from fastlr.kernels.cpu import add8, dot8, inlined, kernel, share
from fastlr.kernels.team import wait_for_all
from fastlr.kernels.vector import sigmoid


@kernel
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
            start, stop = share(p, count, m, 8)
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
            start, stop = share(p, count, m, 8)
            for q in range(k):
                _gather(parts[:, q, start:stop], scale, s[q], Z0[q, start:stop], b[q], Z[q, start:stop])


@inlined
def _update(z: Any, y: Any, c: Any, rate: float, l2: float, m: int) -> float:
    """c ← c − rate (d / m + l2 c) with d = σ(z) − y; return the sum of d."""
    total = 0.0
    for i in range(z.shape[0]):
        d = sigmoid(z[i]) - y[i]
        c[i] -= rate * (d / m + l2 * c[i])
        total += d
    return total


@inlined
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


@inlined
def _gather(parts: Any, scale: float, s: float, z0: Any, b: float, z: Any) -> None:
    """z ← scale · (sum of the members' parts) + s z0 + b."""
    for i in range(z.shape[0]):
        z[i] = s * z0[i] + b
    for member in range(parts.shape[0]):
        part = parts[member]
        for i in range(z.shape[0]):
            z[i] += scale * part[i]


@kernel
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
    left, right = share(member, size, n, 8)
    reached = 0
    for _ in range(steps):
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            parts[p] = 0
            sums[p] = 0
            for i in range(start, stop, 8):
                for q in range(k):
                    dots, y = dot8(rows, i, stop - 1, W[q]), Y[q % Y.shape[0]]
                    d = _residuals(dots, scale, b[q], y, i, stop, W.dtype.type(0))
                    add8(rows, i, stop - 1, d, parts[p, q])
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


@inlined
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


@inlined
def _residual(dot: float, scale: float, b: float, y: Any, i: int, stop: int, zero: Any) -> Any:
    return type(zero)(sigmoid(scale * dot + b) - y[i]) if i < stop else zero


@inlined
def _descend(parts: Any, factor: float, rate: float, l2: float, w: Any) -> None:
    """w ← w − rate (factor · (sum of the members' parts) + l2 w)."""
    for j in range(w.shape[0]):
        w[j] -= rate * l2 * w[j]
    for member in range(parts.shape[0]):
        part = parts[member]
        for j in range(w.shape[0]):
            w[j] -= rate * factor * part[j]

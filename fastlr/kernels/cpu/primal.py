"""Kernels for the CPU that take many steps of gradient descent on the samples themselves in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.digits import BLOCK, add_block, dots, fetch, peak_of, split, unit_of
from fastlr.kernels.cpu.products import add8, dot8, eight, of_model, share, sum_of
from fastlr.kernels.cpu.team import wait_for_all
from fastlr.kernels.cpu.vector import sigmoid

CACHE = 2**21  # bytes of rows that stay in the caches between their products and their part in the gradient


@kernel
def primal_steps(
    member: int, size: int, counter: Any, done: int, steps: int, rows: Any, scale: float, Y: Any, weights: Any,
    rates: Any, l2: Any, W: Any, b: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance W (k, n) and b (k,) in place by `steps` steps. Twin: `descent.step` on a PrimalForm.

    Each row is read from memory once a step: eight rows stay in the cache between their products with W and
    their part in the gradient. Parts of the work, `parts (count, k, n)` and `sums (count, k)`, and weights are as in
    `gram_steps`.
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
                    if weights.shape[0] > 0:
                        d = _weighted(d, eight(of_model(weights, q), i, stop - 1))
                    add8(rows, i, stop - 1, d, parts[p, q])
                    for r in range(8):
                        sums[p, q] += d[r]
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for q in range(k):
            descend(parts[:, q, left:right], scale / m, rates[q], l2[q], W[q, left:right])
            if member == 0:
                b[q] -= rates[q] * sum_of(sums[:, q]) / m
        reached += size
        if size > 1:
            wait_for_all(counter, reached)


@kernel
def pixel_steps(
    member: int, size: int, counter: Any, done: int, steps: int, rows: Any, scale: float, Y: Any, weights: Any,
    rates: Any, l2: Any, W: Any, b: Any, parts: Any, sums: Any, peaks: Any,
) -> None:  # fmt: skip
    """Do what `primal_steps` does, for rows of uint8, by `digits`. Twin: `descent.step` on a PrimalForm.

    `peaks (count, k)` is scratch: the largest weight of each member's share of the features.
    """
    (m, n), (k, count), like = rows.shape, (W.shape[0], parts.shape[0]), W.dtype.type(0)
    digit_count = 3 if W.itemsize == 8 else 2
    block = max(8, min(BLOCK, CACHE // n // 8 * 8))
    W_digits, units = np.empty((k, digit_count, n), np.int16), np.empty(k)
    d, d_digits = np.empty(block), np.empty((digit_count, block), np.int16)
    d_pairs, d_sums = np.empty((block // 2, digit_count), np.int32), np.empty((digit_count, n), np.int32)
    left, right = share(member, size, n, 8)
    if member == 0:
        peaks[size:] = 0
    for q in range(k):
        peaks[member, q] = peak_of(W[q, left:right])
    reached = size
    if size > 1:
        wait_for_all(counter, reached)
    for _ in range(steps):
        for q in range(k):
            units[q] = unit_of(peak_of(peaks[:, q]), digit_count)
            split(W[q], units[q], W_digits[q])
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            parts[p] = 0
            sums[p] = 0
            for first in range(start, stop, block):
                last = min(stop, first + block)
                for q in range(k):
                    for i in range(first, last, 2):
                        fetch(rows, (2 * last - first + i) * n // 2, (2 * last - first + i + 2) * n // 2)
                        z = dots(rows, i, last - 1, W_digits[q], like)
                        d[i - first], d[i - first + 1] = z[0] * units[q], z[1] * units[q]
                    y, w = Y[q % Y.shape[0], first:last], of_model(weights, q)[first:last]
                    sums[p, q] += _set_residuals(d[: last - first], scale, b[q], y, w)
                    d[last - first :] = 0
                    add_block(rows, first, last, d, d_digits, d_pairs, d_sums, like, parts[p, q])
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for q in range(k):
            w = W[q, left:right]
            descend(parts[:, q, left:right], scale / m, rates[q], l2[q], w)
            peaks[member, q] = peak_of(w)
            if member == 0:
                b[q] -= rates[q] * sum_of(sums[:, q]) / m
        reached += size
        if size > 1:
            wait_for_all(counter, reached)


@inlined
def _set_residuals(d: Any, scale: float, b: float, y: Any, w: Any) -> float:
    """d ← w (σ(scale · d + b) − y); return the sum."""
    total = 0.0
    for i in range(d.shape[0]):
        d[i] = sigmoid(scale * d[i] + b) - y[i]
    for i in range(w.shape[0]):
        d[i] *= w[i]
    for i in range(d.shape[0]):
        total += d[i]
    return total


@inlined
def _weighted(d: Any, w: Any) -> Any:
    """Return the products of eight numbers with eight others."""
    return (
        d[0] * w[0], d[1] * w[1], d[2] * w[2], d[3] * w[3],
        d[4] * w[4], d[5] * w[5], d[6] * w[6], d[7] * w[7],
    )  # fmt: skip


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
def descend(parts: Any, factor: float, rate: float, l2: float, w: Any) -> None:
    """w ← w − rate (factor · (sum of the members' parts) + l2 w)."""
    for j in range(w.shape[0]):
        w[j] -= rate * l2 * w[j]
    for member in range(parts.shape[0]):
        part = parts[member]
        for j in range(w.shape[0]):
            w[j] -= rate * factor * part[j]

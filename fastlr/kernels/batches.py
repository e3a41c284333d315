"""A kernel for the CPU that takes steps of gradient descent on given examples, for a softmax or sigmoid units."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu import add8, dot8, fetch, inlined, kernel, share
from fastlr.kernels.primal import descend
from fastlr.kernels.team import wait_for_all
from fastlr.kernels.vector import exp_of_negative, sigmoid


@kernel
def batch_steps(
    member: int, size: int, counter: Any, steps: int, batches: Any, rows: Any, scale: float, Y: Any, rates: Any,
    l2: Any, W: Any, b: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance W (k, units, n) and b (k, units) in place by `steps` steps. Twin: `minibatch.step`.

    Each row of `batches` holds the examples of a step, and after the last comes the first again: with one row of all
    examples the twin is `descent.step`.
    Eight examples at a time are fetched, converted once, multiplied with all the weights and added to all the
    gradients. A batch is cut into parts, whose sums `parts (count, k, units, n)` and `sums (count, k, units)` are
    added up in their order: the same bits for any number of threads.
    """
    (k, units, n), m, count = W.shape, batches.shape[1], parts.shape[0]
    left, right = share(member, size, n, 8)
    tile, d = np.empty((8, n), W.dtype), np.empty((units, 8), W.dtype)
    reached = 0
    for step in range(steps):
        picked = batches[step % batches.shape[0]]
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            parts[p] = 0
            sums[p] = 0
            for i in range(start, stop, 8):
                for r in range(8):
                    fetch(rows[picked[min(i + r, stop - 1)]], tile[r])
                for q in range(k):
                    for u in range(units):
                        dots = dot8(tile, 0, 7, W[q, u])
                        for r in range(8):
                            d[u, r] = scale * dots[r] + b[q, u]
                    _set_residuals(d, Y[q % Y.shape[0]], picked[i : min(i + 8, stop)])
                    for u in range(units):
                        each = d[u]
                        add8(
                            tile, 0, 7,
                            (each[0], each[1], each[2], each[3], each[4], each[5], each[6], each[7]), parts[p, q, u],
                        )  # fmt: skip
                        for r in range(8):
                            sums[p, q, u] += each[r]
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for q in range(k):
            for u in range(units):
                descend(parts[:, q, u, left:right], scale / m, rates[q], l2[q], W[q, u, left:right])
                if member == 0:
                    b[q, u] -= rates[q] * sums[:, q, u].sum() / m
        reached += size
        if size > 1:
            wait_for_all(counter, reached)


@inlined
def _set_residuals(z: Any, Y: Any, picked: Any) -> None:
    """z (units, 8) ← σ(z) − y for one unit, softmax(z) − y for more; 0 past the examples that were picked."""
    units = z.shape[0]
    z[:, picked.shape[0] :] = 0
    for r in range(picked.shape[0]):
        if units == 1:
            z[0, r] = sigmoid(z[0, r]) - Y[0, picked[r]]
            continue
        highest, total = z[:, r].max(), 0.0
        for u in range(units):
            z[u, r] = exp_of_negative(z[u, r] - highest)
            total += z[u, r]
        for u in range(units):
            z[u, r] = z[u, r] / total - Y[u, picked[r]]

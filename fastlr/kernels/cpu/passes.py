"""A kernel for the CPU that makes the loss of a softmax and its gradient in one reading of the samples."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.products import TILE, add_tile, convert, multiply_tile, share
from fastlr.kernels.cpu.vector import exp_of_negative

GOLDEN = 2654435769  # as in `preconditioner`


@kernel
def loss_and_gradient(
    member: int, size: int, counter: Any, rows: Any, scale: float, W: Any, b: Any, labels: Any, weights: Any,
    block: int, every: int, parts: Any, sums: Any, losses: Any, curvatures: Any,
) -> None:  # fmt: skip
    """Add up, for each part of a block, gradient by W and b, losses, and diag(a) − a aᵀ of one in `every` samples.

    The samples are cut into blocks of so many, and each block into as many parts.

    `W (k, units, n)`, `b (k, units)`, `labels (m,)` are the indices of the units, `weights (1 or k, m)`; without
    weights their m is 0. What is added up: `parts (count, k, units, n)`, `sums (count, k, units)`, `losses (count, k)`,
    `curvatures (count, k, units, units)`, or `(count, k, 1, 1)` for Σ a (1 − a). Four rows at a time stay in the first
    cache between their logits and their part in the gradient. Twin: `passes.loss_and_gradient`.
    """
    (m, n), (count, k, units), zero = rows.shape, sums.shape, W.dtype.type(0)
    tile, Z, each = np.zeros((TILE, n), W.dtype), np.empty((units, TILE), W.dtype), count // (1 + (m - 1) // block)
    for p in range(member, count, size):
        first = p // each * block
        start, stop = share(p % each, each, min(block, m - first), TILE)
        parts[p] = 0
        sums[p] = 0
        losses[p] = 0
        curvatures[p] = 0
        for i in range(first + start, first + stop, TILE):
            here = min(TILE, first + stop - i)
            for r in range(here):
                convert(rows[i + r], tile[r])
            for q in range(k):
                multiply_tile(tile, W[q], Z)
                for r in range(TILE):
                    weight = 1.0
                    if weights.shape[1] > 0 and r < here:
                        weight = float(weights[q % weights.shape[0], i + r])
                    if r < here:
                        losses[p, q] += _softmax(Z[:, r], scale, b[q], labels[i + r], weight)
                        at = i + r - first
                        if at % every == (at // every * GOLDEN & 0xFFFFFFFF) * every >> 32:
                            _add_curvature(Z[:, r], labels[i + r], weight, curvatures[p, q])
                    else:
                        Z[:, r] = zero
                for u in range(units):
                    for r in range(TILE):
                        sums[p, q, u] += Z[u, r]
                add_tile(tile, Z, parts[p, q])


@inlined
def _softmax(z: Any, scale: float, b: Any, label: int, weight: float) -> float:
    """z ← softmax(scale z + b) − y, times w; return the loss times w."""
    units, top, total = z.shape[0], -np.inf, 0.0
    for u in range(units):
        z[u] = scale * z[u] + b[u]
        top = max(top, float(z[u]))
    excess = top - z[label]
    for u in range(units):
        z[u] = exp_of_negative(z[u] - top)
        total += z[u]
    for u in range(units):
        z[u] = weight * (z[u] / total - (1.0 if u == label else 0.0))
    loss: float = weight * (excess + log(total))
    return loss


@inlined
def _add_curvature(z: Any, label: int, weight: float, C: Any) -> None:
    """Add w (diag(a) − a aᵀ), or the sum of its diagonal, to C. Of a there is z = w (a − y), which took its place."""
    if weight == 0:
        return
    for u in range(z.shape[0]):
        a = z[u] / weight + (1.0 if u == label else 0.0)
        at = u if C.shape[0] > 1 else 0
        C[at, at] += a * (-z[u] if u == label else weight - z[u])
        for v in range(u if C.shape[0] > 1 else 0):
            both = a * (z[v] + (weight if v == label else 0.0))
            C[u, v] -= both
            C[v, u] -= both

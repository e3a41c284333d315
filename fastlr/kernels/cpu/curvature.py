"""A kernel for the CPU that differentiates the residuals along a direction, in one pass over the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.products import share
from fastlr.kernels.cpu.vector import exp_of_negative

BLOCK = 256  # examples whose sums over the units are kept at a time


@kernel
def curvature_along(member: int, size: int, counter: Any, Z: Any, V: Any, weights: Any, count: int, out: Any) -> None:
    """Out (k, units, m) ← the derivative of D along V at logits Z, parts of the examples at a time.

    `weights (1 or k, 1, m)`; without weights their m is 0. Twin: `core.curvature_along`.
    """
    k, units, m = Z.shape
    tops, totals, sums = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for part in range(member, k * count, size):
        q, p = part // count, part % count
        first, last = share(p, count, m, 8)
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            if units == 1:
                _sigmoid_slopes(Z[q, 0, start:stop], V[q, 0, start:stop], out[q, 0, start:stop])
            else:
                _softmax_slopes(Z[q], V[q], out[q], start, stop, tops, totals, sums)
            if weights.shape[2] > 0:
                for u in range(units):
                    _multiply(out[q, u, start:stop], weights[q % weights.shape[0], 0, start:stop])


@inlined
def _sigmoid_slopes(z: Any, v: Any, out: Any) -> None:
    for j in range(z.shape[0]):
        e = exp_of_negative(-abs(float(z[j])))
        out[j] = e / ((1.0 + e) * (1.0 + e)) * v[j]


@inlined
def _softmax_slopes(Z: Any, V: Any, out: Any, start: int, stop: int, tops: Any, totals: Any, sums: Any) -> None:
    """Out ← A (V − Σ A V), A = softmax(Z), for examples start … stop."""
    units, m = Z.shape[0], stop - start
    _find_tops(Z, start, stop, tops)
    totals[:m] = 0
    sums[:m] = 0
    for u in range(units):
        _add_product(Z[u, start:stop], V[u, start:stop], tops, out[u, start:stop], totals, sums)
    for j in range(m):
        totals[j] = 1 / totals[j]
        sums[j] *= totals[j]
    for u in range(units):
        _centre(V[u, start:stop], totals, sums, out[u, start:stop])


# LLVM makes no vectors of a loop over more than a few arrays: it would have to see first that none overlap.
@inlined
def _add_product(z: Any, v: Any, tops: Any, e: Any, totals: Any, sums: Any) -> None:
    """e ← e^(z − top), which is added to the totals; e v is added to the sums."""
    for j in range(z.shape[0]):
        e[j] = exp_of_negative(z[j] - tops[j])
    for j in range(z.shape[0]):
        totals[j] += e[j]
    for j in range(z.shape[0]):
        sums[j] += e[j] * v[j]


@inlined
def _centre(v: Any, inverses: Any, means: Any, e: Any) -> None:
    """e ← e / total · (v − mean)."""
    for j in range(e.shape[0]):
        e[j] *= inverses[j] * (v[j] - means[j])


@inlined
def _multiply(values: Any, w: Any) -> None:
    for j in range(w.shape[0]):
        values[j] *= w[j]


@inlined
def _find_tops(Z: Any, start: int, stop: int, tops: Any) -> None:
    """Tops ← the largest logit of each of the examples start … stop."""
    tops[: stop - start] = Z[0, start:stop]
    for u in range(1, Z.shape[0]):
        _raise(tops, Z[u, start:stop])


@inlined
def _raise(tops: Any, z: Any) -> None:
    for j in range(z.shape[0]):
        tops[j] = max(tops[j], float(z[j]))

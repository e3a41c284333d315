"""A kernel for the CPU that makes of the logits the cost and its derivatives, in one pass over them."""

from __future__ import annotations

from math import log, log1p
from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.products import share
from fastlr.kernels.cpu.vector import exp_of_negative

BLOCK = 256  # examples whose sums over the units are kept at a time


@kernel
def losses_and_residuals(member: int, size: int, counter: Any, Z: Any, Y: Any, weights: Any, sums: Any, D: Any) -> None:
    """D (k, units, m) ← the derivatives, sums (k, count) ← the losses of each part of the examples.

    `Y (1 or k, units, m)` and `weights (1 or k, 1, m)`; without weights their m is 0. The parts are one after another,
    whoever works them out. Twin: `core.losses_and_residuals`.
    """
    (k, units, m), count = Z.shape, sums.shape[1]
    tops, totals, losses = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for part in range(member, k * count, size):
        q, p = part // count, part % count
        first, last = share(p, count, m, 8)
        sums[q, p] = 0
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            if units == 1:
                _sigmoid(Z[q, 0, start:stop], Y[q % Y.shape[0], 0, start:stop], D[q, 0, start:stop], losses)
            else:
                _softmax(Z[q], Y[q % Y.shape[0]], D[q], start, stop, tops, totals, losses)
            if weights.shape[2] > 0:
                w = weights[q % weights.shape[0], 0, start:stop]
                _multiply(losses, w)
                for u in range(units):
                    _multiply(D[q, u, start:stop], w)
            for j in range(stop - start):
                sums[q, p] += losses[j]


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
def _sigmoid(z: Any, y: Any, d: Any, losses: Any) -> None:
    """d ← σ(z) − y and the losses of the examples z (m,)."""
    for j in range(z.shape[0]):
        losses[j] = exp_of_negative(-abs(float(z[j])))
    for j in range(z.shape[0]):
        d[j] = (1.0 if z[j] >= 0 else losses[j]) / (1.0 + losses[j]) - y[j]
    for j in range(z.shape[0]):
        losses[j] = max(float(z[j]), 0.0) - y[j] * z[j] + log1p(losses[j])


@inlined
def _softmax(Z: Any, Y: Any, D: Any, start: int, stop: int, tops: Any, totals: Any, losses: Any) -> None:
    """D ← softmax(Z) − Y and the losses, for examples start … stop of Z (units, m)."""
    units, m = Z.shape[0], stop - start
    _find_tops(Z, start, stop, tops)
    totals[:m] = 0
    losses[:m] = 0
    for u in range(units):
        _add(Z[u, start:stop], Y[u, start:stop], tops, D[u, start:stop], totals, losses)
    for j in range(m):
        losses[j] += log(totals[j])
        totals[j] = 1 / totals[j]
    for u in range(units):
        _divide(D[u, start:stop], totals, Y[u, start:stop])


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


# LLVM makes no vectors of a loop over more than a few arrays: it would have to see first that none overlap.
@inlined
def _add(z: Any, y: Any, tops: Any, e: Any, totals: Any, losses: Any) -> None:
    """e ← e^(z − top), which is added to the totals; y (z − top) is taken from the losses."""
    for j in range(z.shape[0]):
        e[j] = exp_of_negative(z[j] - tops[j])
    for j in range(z.shape[0]):
        totals[j] += e[j]
    for j in range(z.shape[0]):
        losses[j] -= y[j] * (z[j] - tops[j])


@inlined
def _divide(e: Any, inverses: Any, y: Any) -> None:
    """e ← e / total − y."""
    for j in range(e.shape[0]):
        e[j] = e[j] * inverses[j] - y[j]

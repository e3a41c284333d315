"""Kernels for the CPU that take many steps of gradient descent on networks, a softmax without hidden layers among them.

The first layer goes through the rows or the Gram matrix. All above it is done one sample after another, from the
logits of the first layer to their derivatives, in numbers that stay in the cache. What lies above is `deeper (k, P)`:
layer by layer the weights, one unit's after the other's, and then the intercepts. `units` counts each layer's units.
The work is cut into parts, whose sums are added up in their order: the same bits for any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.gram import ROWS, gather, multiply
from fastlr.kernels.cpu.primal import descend
from fastlr.kernels.cpu.products import TILE, add_tile, convert, multiply_tile, of_model, share, sum_of
from fastlr.kernels.cpu.team import wait_for_all
from fastlr.kernels.cpu.vector import assign, exp_of_negative, sigmoid


@kernel
def batch_steps(
    member: int, size: int, counter: Any, done: int, steps: int, batches: Any, rows: Any, scale: float, Y: Any,
    weights: Any, rates: Any, l2: Any, units: Any, weighted: Any, W: Any, b: Any, deeper: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance W (k, units, n), b (k, units) and the deeper layers in place by `steps` steps. Twin: `minibatch.step`.

    Each row of `batches` holds the samples of a step, of which `done` were done before, and after the last comes the
    first again: with one row of all samples the twin is `descent.step`. Four samples at a time are fetched,
    converted once, multiplied with all the weights and added to all the gradients, `parts (count, k, units, n)`;
    `sums (count, k, units + P)` are those of b and of the deeper layers, of which `weighted (P,)` is 1 for weights
    and 0 for intercepts; `weights` are as in `gram_steps`.
    """
    (k, first, n), m, count = W.shape, batches.shape[1], parts.shape[0]
    left, right = share(member, size, n, 8)
    tile, d, scratch = np.empty((TILE, n), W.dtype), np.empty((first, TILE), W.dtype), _scratch(units, W)
    own_b, own_deeper = b.copy(), deeper.copy()  # the same in every member
    own_sums = np.empty(sums.shape[1:], sums.dtype)  # not shared: two members must not write to one line of a cache
    reached = 0
    for step in range(steps):
        picked = batches[(done + step) % batches.shape[0]]
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            parts[p] = 0
            own_sums[:] = 0
            for i in range(start, stop, TILE):
                for r in range(TILE):
                    convert(rows[picked[min(i + r, stop - 1)]], tile[r])
                some = picked[i : min(i + TILE, stop)]
                for q in range(k):
                    multiply_tile(tile, W[q], d)
                    for u in range(first):
                        for r in range(TILE):
                            d[u, r] = scale * d[u, r] + own_b[q, u]
                    y, w = Y[q % Y.shape[0]], of_model(weights, q)
                    _backward(d, y, w, some, units, own_deeper[q], own_sums[q], scratch)
                    d[:, some.shape[0] :] = 0
                    add_tile(tile, d, parts[p, q])
            assign(sums[p], own_sums)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)

        for q in range(k):
            for u in range(first):
                descend(parts[:, q, u, left:right], scale / m, rates[q], l2[q], W[q, u, left:right])
            _descend_deeper(sums[:, q], m, rates[q], l2[q], weighted, own_b[q], own_deeper[q])
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
    if member == 0:
        assign(b, own_b)
        assign(deeper, own_deeper)


@kernel
def gram_network_steps(
    member: int, size: int, counter: Any, done: int, steps: int, upper: Any, diagonal: Any, scale: float, Z0: Any,
    Y: Any, weights: Any, rates: Any, l2: Any, units: Any, weighted: Any, C: Any, s: Any, b: Any, deeper: Any, Z: Any,
    columns: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Advance C (k · units, M), s and b (k, units), the deeper layers and Z (k, units, m) in place by `steps` steps.

    K is as in `fastlr.kernels.cpu.gram`, `scale` its factor; `columns (m,)` counts the samples. The rest is as in
    `batch_steps`, with `parts (count, k · units, M)` for the products with K. Twin: `descent.step` on a GramForm.
    """
    (k, first, m), count = Z.shape, parts.shape[0]
    scratch, like = _scratch(units, Z), Z.dtype.type(0)
    own_s, own_b, own_deeper = s.copy(), b.copy(), deeper.copy()  # the same in every member
    own_sums = np.empty(sums.shape[1:], sums.dtype)  # not shared, as above
    reached = 0
    for step in range(steps + 1):
        for p in range(member, count, size):
            start, stop = share(p, count, m, 8)
            own_sums[:] = 0
            d = np.empty((first, stop - start), Z.dtype)
            for q in range(k):
                for u in range(first):
                    row, z = q * first + u, Z[q, u, start:stop]
                    if step > 0:
                        gather(
                            parts[:, row, start:stop], diagonal[start:stop], C[row, start:stop], scale, own_s[q, u],
                            Z0[q, u, start:stop], own_b[q, u], z,
                        )  # fmt: skip
                    assign(d[u], z)
                if step < steps:
                    y, w = Y[q % Y.shape[0]], of_model(weights, q)
                    _backward(d, y, w, columns[start:stop], units, own_deeper[q], own_sums[q], scratch)
                    for u in range(first):
                        c, e = C[q * first + u, start:stop], d[u]
                        for i in range(stop - start):
                            c[i] -= rates[q] * (e[i] / m + l2[q] * c[i])
            assign(sums[p], own_sums)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        if step == steps:
            break

        for q in range(k):
            _descend_deeper(sums[:, q], m, rates[q], l2[q], weighted, own_b[q], own_deeper[q])
            for u in range(first):
                own_s[q, u] -= rates[q] * l2[q] * own_s[q, u]
        for p in range(member, count, size):
            parts[p] = like
            multiply(upper, ROWS * p, ROWS * count, C, parts[p])
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
    if member == 0:
        assign(s, own_s)
        assign(b, own_b)
        assign(deeper, own_deeper)


@inlined
def _scratch(units: Any, like: Any) -> Any:
    """Return scratch buffers for each layer's logits and derivatives of one sample."""
    return np.empty((2, units.shape[0], units.max()), like.dtype)


@inlined
def _backward(z: Any, Y: Any, w: Any, picked: Any, units: Any, deeper: Any, sums: Any, scratch: Any) -> None:
    """z (units, …) ← D₁, for the samples that were picked; add theirs to `sums`. Twin: `Network.backward`."""
    first, layers, logits, D = z.shape[0], units.shape[0], scratch[0], scratch[1]
    for r in range(picked.shape[0]):
        for u in range(first):
            logits[0, u] = z[u, r]
        at = 0
        for layer in range(1, layers):
            inputs = units[layer - 1]
            for u in range(units[layer]):
                total = deeper[at + units[layer] * inputs + u]
                for t in range(inputs):
                    total += deeper[at + u * inputs + t] * max(logits[layer - 1, t], 0)
                logits[layer, u] = total
            at += units[layer] * (inputs + 1)
        _set_residuals(logits[layers - 1], units[layers - 1], Y, picked[r], D[layers - 1])
        if w.shape[0] > 0:
            for u in range(units[layers - 1]):
                D[layers - 1, u] *= w[picked[r]]
        for layer in range(layers - 1, 0, -1):
            inputs = units[layer - 1]
            at -= units[layer] * (inputs + 1)
            D[layer - 1, :inputs] = 0
            for u in range(units[layer]):
                d = D[layer, u]
                for t in range(inputs):
                    sums[first + at + u * inputs + t] += d * max(logits[layer - 1, t], 0)
                    D[layer - 1, t] += deeper[at + u * inputs + t] * d
                sums[first + at + units[layer] * inputs + u] += d
            for t in range(inputs):
                if not logits[layer - 1, t] >= 0:
                    D[layer - 1, t] = 0
        for u in range(first):
            z[u, r] = D[0, u]
            sums[u] += D[0, u]


@inlined
def _set_residuals(z: Any, outputs: int, Y: Any, sample: int, d: Any) -> None:
    """d ← σ(z) − y for one output, softmax(z) − y for more."""
    if outputs == 1:
        d[0] = sigmoid(z[0]) - Y[0, sample]
        return
    highest, total = z[:outputs].max(), 0.0
    for u in range(outputs):
        d[u] = exp_of_negative(z[u] - highest)
        total += d[u]
    for u in range(outputs):
        d[u] = d[u] / total - Y[u, sample]


@inlined
def _descend_deeper(sums: Any, m: int, rate: float, l2: float, weighted: Any, b: Any, deeper: Any) -> None:
    """b ← b − rate mean, deeper ← deeper − rate (mean + l2 of what is a weight); the means are those of all parts."""
    first = b.shape[0]
    for u in range(first):
        b[u] -= rate * sum_of(sums[:, u]) / m
    for i in range(deeper.shape[0]):
        deeper[i] -= rate * (sum_of(sums[:, first + i]) / m + l2 * weighted[i] * deeper[i])

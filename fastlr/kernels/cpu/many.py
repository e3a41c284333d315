"""A kernel for the CPU that fits many small problems, each in one thread, from its first step to its last."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.conjugate_primal import _aim, _centre, _gather, _move, _pass, _pass_one
from fastlr.kernels.cpu.newton import _dot, _evaluate, _search
from fastlr.kernels.cpu.products import TILE, add8, add_tile, convert, dot8, eight, multiply_tile


@kernel
def many_fits(
    member: int, size: int, counter: Any, rows: Any, Y: Any, weights: Any, l2: Any, intercept: float, rounding: float,
    rules: Any, tol: float, most: int, patience: int, longest: int, least: float, W: Any, b: Any, found: Any,
    passed: Any,
) -> None:  # fmt: skip
    """W (p, values, units, n) and b (p, values, units) ← the minima for `rows (p, m, n)`, a problem after another.

    `Y (p, units, m)` are one-hot labels, `weights (p, m)` how much the examples count, with a mean of 1, or of no
    examples; l2 (values,) the penalties: the first starts at what W and b hold, each other at the minimum before. A fit
    ends as in `converge`: at a norm of at most tol, after `most` steps, or after so many (`patience`) that led nowhere.
    `found (p, values, 4)` ← its steps, the norm of its gradient, its objective, and how many steps led nowhere, in the
    end; `passed (p, values, 1 + most or 0, 2)` ← the cost and the objective of each point. `rules` are those of
    `line_search`, `longest` and `least` those of `newton_cg`. Twin: `newton_cg` on a `BatchForm`.
    """
    (problems, values, units, n), m = W.shape, rows.shape[1]
    dtype = W.dtype
    of_rows, of_features = np.empty((5, units, m), dtype), np.empty((6, units, n), dtype)
    of_units = np.empty((5, units), dtype)
    Z, along, there, A, D = of_rows[0], of_rows[1], of_rows[2], of_rows[3], of_rows[4]
    G, r, p = of_features[0], of_features[1], of_features[2]
    d, q, V = of_features[3], of_features[4], of_features[5]
    G_b, r_b, p_b, d_b, q_b = of_units[0], of_units[1], of_units[2], of_units[3], of_units[4]
    scratch, mean, ones, zeros = np.empty((3, m), dtype), np.empty(n, dtype), np.ones(n, dtype), np.zeros(n, dtype)
    part, sums, state = np.empty((1, units, n), dtype), np.empty((1, units), dtype), np.empty(4)
    tile, T, none = np.zeros((TILE, n), dtype), np.empty((units, TILE), dtype), np.empty(0, dtype)
    for problem in range(member, problems, size):
        X, y = rows[problem], Y[problem]
        w = weights[problem] if weights.shape[0] > 0 else none
        _mean(X, w, intercept, mean)
        for value in range(values):
            here, here_b, penalty = W[problem, value], b[problem, value], l2[value]
            if value == 0:
                _logits(X, here, here_b, tile, T, Z)
            else:  # Z holds the logits of the minimum before
                here[:] = W[problem, value - 1]
                here_b[:] = b[problem, value - 1]
            stalled, lowest, f, kept = 0, np.inf, np.inf, True
            for done in range(most + 1):
                J = _evaluate(Z, y, w, A, D, scratch)
                _gradient(X, D, here, penalty, intercept, tile, T, G, G_b)
                norm = sqrt(_dot(G, G, n) + np.sum(G_b * G_b))
                f0, f = f, J + penalty / 2 * _dot(here, here, n)
                if done > 0:
                    hidden = f0 - f <= rounding * abs(f0) and norm >= lowest
                    stalled = stalled + 1 if hidden or not kept else 0
                lowest = min(lowest, norm)
                found[problem, value, 0], found[problem, value, 1] = done, norm
                found[problem, value, 2], found[problem, value, 3] = f, stalled
                if done < passed.shape[2]:
                    passed[problem, value, done, 0], passed[problem, value, done, 1] = J, f
                if not norm > tol or stalled >= patience or done == most:
                    break
                # The direction, by conjugate gradients.
                for u in range(units):
                    for j in range(n):
                        r[u, j] = -G[u, j]
                    r_b[u] = -G_b[u]
                p[:] = 0
                p_b[:] = 0
                d[:] = 0
                d_b[:] = 0
                state[:] = 0
                state[3] = 1
                if units == 1:
                    for i in range(m):
                        A[0, i] *= 1 - A[0, i]
                        if w.shape[0] > 0:
                            A[0, i] *= w[i]
                _centre(r, r_b, mean, q)
                for _ in range(longest):
                    _aim(r, r_b, 1.0, mean, ones, zeros, q, p, p_b, V, q_b, state)
                    part[:] = 0
                    sums[:] = 0
                    if units == 1:
                        _pass_one(X, A[0], V[0], q_b[0], part[0, 0], sums[0])
                    else:
                        _pass(X, 0, A, w, V, q_b, tile, T, part[0], sums[0])
                    _gather(part, sums, ones, zeros, m, penalty, intercept, p, q, q_b)
                    _move(least, q, q_b, p, p_b, d, d_b, r, r_b, state)
                    if state[3] == 0:
                        break
                    _centre(r, r_b, mean, q)
                _logits(X, d, d_b, tile, T, along)
                slope = _dot(G, d, n) + np.sum(G_b * d_b)
                start = J, slope, penalty, _dot(here, here, n), _dot(here, d, n)
                t, _, kept = _search(Z, along, start, _dot(d, d, n), rounding, rules, y, w, A, D, scratch, there)
                for u in range(units):
                    for j in range(n):
                        here[u, j] += t * d[u, j]
                    here_b[u] += t * d_b[u]
                    for i in range(m):
                        Z[u, i] += t * along[u, i]


@inlined
def _mean(X: Any, w: Any, intercept: float, mean: Any) -> None:
    """mean (n,) ← that of the rows, as counted; without intercept 0, as no shift of it can make up for a mean."""
    m = X.shape[0]
    mean[:] = 0
    for i in range(m):
        count, row = intercept * (w[i] if w.shape[0] > 0 else 1.0) / m, X[i]
        for j in range(row.shape[0]):
            mean[j] += count * row[j]


@inlined
def _logits(X: Any, W: Any, b: Any, tile: Any, T: Any, Z: Any) -> None:
    """Z (units, m) ← W Xᵀ + b."""
    units, m = Z.shape
    if units == 1:
        for i in range(0, m, 8):
            dots = dot8(X, i, m - 1, W[0])
            for r in range(min(8, m - i)):
                Z[0, i + r] = dots[r] + b[0]
        return
    for i in range(0, m, TILE):
        for r in range(TILE):
            convert(X[min(i + r, m - 1)], tile[r])
        multiply_tile(tile, W, T)
        for u in range(units):
            for r in range(min(TILE, m - i)):
                Z[u, i + r] = T[u, r] + b[u]


@inlined
def _gradient(X: Any, D: Any, W: Any, l2: float, intercept: float, tile: Any, T: Any, G: Any, G_b: Any) -> None:
    """G (units, n) ← D X / m + l2 W, G_b (units,) ← the mean of D, or 0 without intercept."""
    (units, m), n = D.shape, X.shape[1]
    G[:] = 0
    if units == 1:
        for i in range(0, m, 8):
            add8(X, i, m - 1, eight(D[0], i, m - 1), G[0])
    for i in range(0, m if units > 1 else 0, TILE):
        for r in range(min(TILE, m - i)):
            convert(X[i + r], tile[r])
        for u in range(units):
            for r in range(TILE):
                T[u, r] = D[u, i + r] if i + r < m else 0.0
        add_tile(tile, T, G)
    for u in range(units):
        total = 0.0
        for i in range(m):
            total += D[u, i]
        G_b[u] = intercept * total / m
        for j in range(n):
            G[u, j] = G[u, j] / m + l2 * W[u, j]

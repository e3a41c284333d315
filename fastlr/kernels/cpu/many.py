"""A kernel for the CPU that fits many small problems, each in one thread, from its first step to its last."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.conjugate_primal import _centre, _turn, _turn_back
from fastlr.kernels.cpu.conjugate_primal import _dot as _dot_one
from fastlr.kernels.cpu.newton import _dot, _evaluate, _search
from fastlr.kernels.cpu.products import TILE, add8, add_tile, convert, dot8, eight, multiply_tile

LEAST = 1e-6  # curvature, as `preconditioner.LEAST`
AFRESH = 64  # steps, after which the logits are made anew


@kernel
def many_fits(
    member: int, size: int, counter: Any, rows: Any, Y: Any, weights: Any, l2: Any, intercept: float, rounding: float,
    rules: Any, tol: float, most: int, patience: int, pairs: int, V: Any, eigenvalues: Any, W: Any, b: Any, found: Any,
    passed: Any,
) -> None:  # fmt: skip
    """W (p, values, units, n) and b (p, values, units) ← the minima for `rows (p, m, n)`, a problem after another.

    `Y (p, units, m)` are one-hot labels, `weights (p, m)` how much the examples count, with a mean of 1, or of no
    examples; l2 (values,) the penalties: the first starts at what W and b hold, each other at the minimum before. A fit
    ends as in `converge`: at a norm of at most tol, after `most` steps, or after so many (`patience`) that led nowhere.
    `found (p, values, 4)` ← its steps, the norm of its gradient, its objective, and how many steps led nowhere, in the
    end; `passed (p, values, 1 + most or 0, 2)` ← the cost and the objective of each point. `rules` are those of
    `line_search`, `pairs` how many steps L-BFGS remembers. For one problem `V (n, n)` and `eigenvalues (n,)` may be
    those of the features' covariance, else they are of no features. Twin: `lbfgs` on a `BatchForm` or `PrimalForm`.
    """
    (problems, values, units, n), m = W.shape, rows.shape[1]
    dtype = W.dtype
    of_rows, of_features = np.empty((5, units, m), dtype), np.empty((5, units, n), dtype)
    Z, along, there, A, D = of_rows[0], of_rows[1], of_rows[2], of_rows[3], of_rows[4]
    G, before, d, y, turned = of_features[0], of_features[1], of_features[2], of_features[3], of_features[4]
    of_units = np.empty((4, units), dtype)
    G_b, before_b, d_b, y_b = of_units[0], of_units[1], of_units[2], of_units[3]
    moves, moves_b = np.empty((pairs, units, n), dtype), np.empty((pairs, units), dtype)  # s and y of each pair
    turns, turns_b = np.empty((pairs, units, n), dtype), np.empty((pairs, units), dtype)
    products, curvatures = np.empty(pairs), np.empty(len(eigenvalues) + 1, dtype)  # ⟨y, s⟩ of each pair
    scratch, mean = np.empty((3, m), dtype), np.empty(n, dtype)
    tile, T, none = np.zeros((TILE, n), dtype), np.empty((units, TILE), dtype), np.empty(0, dtype)
    for problem in range(member, problems, size):
        X, labels = rows[problem], Y[problem]
        w = weights[problem] if weights.shape[0] > 0 else none
        _mean(X, w, intercept, mean)
        for value in range(values):
            here, here_b, penalty = W[problem, value], b[problem, value], l2[value]
            if value == 0:
                _logits(X, here, here_b, tile, T, Z)
            else:  # Z holds the logits of the minimum before
                here[:] = W[problem, value - 1]
                here_b[:] = b[problem, value - 1]
            stalled, lowest, f, kept, t, J = 0, np.inf, np.inf, True, 0.0, 0.0
            for done in range(most + 1):
                if done % AFRESH == 0 and done > 0:  # what rounding has added to the logits is left behind
                    _logits(X, here, here_b, tile, T, Z)
                if done % AFRESH == 0 or not kept:
                    J = _evaluate(Z, labels, w, A, D, scratch)
                _gradient(X, D, here, penalty, intercept, tile, T, G, G_b)
                norm = sqrt(_inner(G, G_b, G, G_b))
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
                if done > 0:  # what the last step was and what it changed
                    last = (done - 1) % pairs
                    _combine(t, d, d_b, 0.0, d, d_b, moves[last], moves_b[last])
                    _combine(1.0, G, G_b, -1.0, before, before_b, turns[last], turns_b[last])
                    products[last] = _inner(turns[last], turns_b[last], moves[last], moves_b[last])
                _combine(1.0, G, G_b, 0.0, G, G_b, before, before_b)
                if eigenvalues.shape[0] > 0:
                    _curvatures(A, w, eigenvalues, penalty, curvatures)
                _direction(
                    G, G_b, done, moves, moves_b, turns, turns_b, products, mean, V, curvatures, y, y_b, turned, d, d_b
                )
                _logits(X, d, d_b, tile, T, along)
                start = J, _inner(G, G_b, d, d_b), penalty, _dot(here, here, n), _dot(here, d, n)
                t, _, J, kept = _search(
                    Z, along, start, _dot(d, d, n), rounding, rules, labels, w, A, D, scratch, there
                )
                _combine(1.0, here, here_b, t, d, d_b, here, here_b)
                for u in range(units):
                    for i in range(m):
                        Z[u, i] += t * along[u, i]


@inlined
def _inner(U: Any, a: Any, V: Any, c: Any) -> float:
    """Return ⟨(U, a), (V, c)⟩."""
    total: float = _dot(U, V, U.shape[1]) + np.sum(a * c)
    return total


@inlined
def _combine(p: float, U: Any, a: Any, q: float, V: Any, c: Any, out: Any, out_b: Any) -> None:
    """Set an array of units and its intercepts to p (U, a) + q (V, c)."""
    for u in range(U.shape[0]):
        x, y, z = U[u], V[u], out[u]
        for j in range(x.shape[0]):
            z[j] = p * x[j] + q * y[j]
        out_b[u] = p * a[u] + q * c[u]


@inlined
def _direction(
    G: Any, G_b: Any, done: int, moves: Any, moves_b: Any, turns: Any, turns_b: Any, products: Any, mean: Any, V: Any,
    curvatures: Any, y: Any, y_b: Any, turned: Any, d: Any, d_b: Any,
) -> None:  # fmt: skip
    """Set d and its intercepts to the direction of L-BFGS after so many steps, of which the pairs are the last.

    y and turned are scratch. Twin: `lbfgs._direction`.
    """
    pairs = len(products)
    alphas, oldest, gamma = np.empty(pairs), max(0, done - pairs), 1.0
    _combine(-1.0, G, G_b, 0.0, G, G_b, d, d_b)
    for step in range(done - 1, oldest - 1, -1):
        i = step % pairs
        alphas[i] = _inner(d, d_b, moves[i], moves_b[i]) / products[i] if products[i] > 0 else 0.0
        _combine(1.0, d, d_b, -alphas[i], turns[i], turns_b[i], d, d_b)
    if done > 0:
        i = (done - 1) % pairs
        _precondition(turns[i], turns_b[i], mean, V, curvatures, turned, y, y_b)
        square = _inner(y, y_b, turns[i], turns_b[i])
        gamma = products[i] / square if products[i] > 0 and square > 0 else 1.0
    _precondition(d, d_b, mean, V, curvatures, turned, y, y_b)
    _combine(gamma, y, y_b, 0.0, y, y_b, d, d_b)
    for step in range(oldest, done):
        i = step % pairs
        beta = _inner(d, d_b, turns[i], turns_b[i]) / products[i] if products[i] > 0 else 0.0
        _combine(1.0, d, d_b, alphas[i] - beta, moves[i], moves_b[i], d, d_b)


@inlined
def _curvatures(A: Any, w: Any, eigenvalues: Any, l2: float, curvatures: Any) -> None:
    """Set the curvatures along the eigenvectors to c λ + l2, and what c is after them: `preconditioner.curvatures`."""
    units, m = A.shape
    c, n = 0.0, len(eigenvalues)
    for u in range(units):
        for i in range(m):
            c += A[u, i] * (1 - A[u, i]) * (w[i] if w.shape[0] > 0 else 1.0)
    c = max(c / (units * m), LEAST)
    largest, lowest = np.max(eigenvalues), np.min(eigenvalues)
    lost = l2 < c * np.finfo(eigenvalues.dtype).eps * largest
    for j in range(n):
        curvatures[j] = c * (largest if lost and eigenvalues[j] <= lowest else eigenvalues[j]) + l2
    curvatures[n] = c


@inlined
def _precondition(
    U: Any, a: Any, mean: Any, V: Any, curvatures: Any, turned: Any, out: Any, out_b: Any
) -> None:  # fmt: skip
    """Set out and its intercepts to what `Preconditioner` makes of (U, a); turned is scratch."""
    _centre(U, a, mean, out)
    units, middle, c, n = U.shape[0], 0.0, 1.0, V.shape[0]
    if n > 0:
        _turn(V, curvatures[:n], out, turned)
        _turn_back(V, turned, out)
        c = curvatures[n]
    for u in range(units):
        out_b[u] = a[u] / c - _dot_one(out[u], mean)
        middle += out_b[u] / units
    for u in range(units if units > 1 else 0):
        out_b[u] -= middle


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

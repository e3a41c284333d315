"""A kernel for the CPU that fits many small problems, each in one thread, from its first step to its last."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.conjugate_primal import _centre, _divide, _turn, _turn_back
from fastlr.kernels.cpu.newton import _evaluate, _search
from fastlr.kernels.cpu.products import TILE, add8, add_tile, convert, dot8, eight, multiply_tile
from fastlr.kernels.cpu.vector import assign

LEAST, SMALL = 1e-6, 1e-3  # as in `preconditioner`
CLASSES = 32  # fewer than in `preconditioner`: the axes of more would take longer than a pass over little data
SWEEPS = 20  # of rotations: each makes what is beside the diagonal far smaller
AFRESH = 64  # steps, after which the logits are made anew


@kernel
def many_fits(
    member: int, size: int, counter: Any, rows: Any, Y: Any, weights: Any, l2: Any, intercept: float, rounding: float,
    rules: Any, tol: float, most: int, patience: int, pairs: int, V: Any, eigenvalues: Any, W: Any, b: Any, found: Any,
    passed: Any,
) -> None:  # fmt: skip
    """W (p, values, units, n) and b (p, values, units) ← the minima for `rows (p, m, n)`, a problem after another.

    `Y (p, units, m)` are one-hot labels, `weights (p, m)` how much the samples count, with a mean of 1, or of no
    samples; l2 (values,) the penalties: the first starts at what W and b hold, each other at the minimum before. A fit
    ends as in `converge`: at a norm of at most tol, after `most` steps, or after so many (`patience`) that led nowhere.
    `found (p, values, 4)` ← its steps, the norm of its gradient, its objective, and how many steps led nowhere, in the
    end; `passed (p, values, 1 + most or 0, 2)` ← the cost and the objective of each point. `rules` are those of
    `line_search`, `pairs` how many steps L-BFGS remembers. For one problem `V (n, n)` and `eigenvalues (n,)` may be
    those of the features' covariance, else they are of no features. Twin: `lbfgs` on a `BatchForm` or `PrimalForm`.
    """
    (problems, values, units, n), m = W.shape, rows.shape[1]
    dtype, inside = W.dtype, units * n  # a vector is the weights, and after them the intercepts
    of_rows, vectors = np.empty((5, units, m), dtype), np.empty((6, inside + units), dtype)
    Z, along, there, A, D = of_rows[0], of_rows[1], of_rows[2], of_rows[3], of_rows[4]
    here, G, before, d = vectors[0], vectors[1], vectors[2], vectors[3]
    here_W, here_b = here[:inside].reshape(units, n), here[inside:]
    G_W, G_b = G[:inside].reshape(units, n), G[inside:]
    d_W, d_b = d[:inside].reshape(units, n), d[inside:]
    moves, turns = np.empty((pairs, inside + units), dtype), np.empty((pairs, inside + units), dtype)  # s and y of each
    products = np.empty(pairs)  # ⟨y, s⟩ of each pair
    known = len(eigenvalues) > 0
    axes = units if known and 1 < units <= CLASSES else 0  # else one number stands for all classes
    C, U = np.zeros((axes, axes)), np.empty((axes, axes), dtype)
    by_class = np.empty(max(1, axes) if known else 0, dtype)
    curvatures = np.empty((len(by_class), len(eigenvalues)), dtype)
    scratch, mean = np.empty((3, m), dtype), np.empty(n, dtype)
    tile, T, none = np.zeros((TILE, n), dtype), np.empty((units, TILE), dtype), np.empty(0, dtype)
    for problem in range(member, problems, size):
        X, labels = rows[problem], Y[problem]
        w = weights[problem] if weights.shape[0] > 0 else none
        _mean(X, w, intercept, mean)
        assign(here_W, W[problem, 0])
        assign(here_b, b[problem, 0])
        for value in range(values):
            penalty, done, afresh = l2[value], 0, True
            stalled, lowest, mark, kept, t, J = 0, np.inf, np.inf, True, 0.0, 0.0
            while True:
                # The logits of the point, or along the direction: from one call, as it takes long to compile.
                _logits(X, here_W if afresh else d_W, here_b if afresh else d_b, tile, T, Z if afresh else along)
                if not afresh:
                    start = J, _inner(G, d), penalty, _inner(here[:inside], here[:inside]), _inner(here[:inside], d)
                    square = _inner(d[:inside], d)
                    t, _, J, kept = _search(Z, along, start, square, rounding, rules, labels, w, A, D, scratch, there)
                    _combine(1.0, here, t, d, here)
                    for u in range(units):
                        for i in range(m):
                            Z[u, i] += t * along[u, i]
                    done += 1
                    afresh = done % AFRESH == 0  # what rounding has added to the logits is left behind
                    if afresh:
                        continue
                if afresh or not kept:
                    J = _evaluate(Z, labels, w, A, D, scratch)
                afresh = False
                _gradient(X, D, here_W, penalty, intercept, tile, T, G_W, G_b)
                norm = sqrt(_inner(G, G))
                f = J + penalty / 2 * _inner(here[:inside], here)
                if done > 0 and (not kept or (mark - f <= rounding * abs(mark) and norm >= lowest)):
                    stalled += 1
                else:
                    stalled, mark = 0, f
                lowest = min(lowest, norm)
                found[problem, value, 0], found[problem, value, 1] = done, norm
                found[problem, value, 2], found[problem, value, 3] = f, stalled
                if done < passed.shape[2]:
                    passed[problem, value, done, 0], passed[problem, value, done, 1] = J, f
                if not norm > tol or stalled >= patience or done == most:
                    break
                if done > 0:  # what the last step was and what it changed
                    last = (done - 1) % pairs
                    _combine(t, d, 0.0, d, moves[last])
                    _combine(1.0, G, -1.0, before, turns[last])
                    products[last] = _inner(turns[last], moves[last])
                _combine(1.0, G, 0.0, G, before)
                if eigenvalues.shape[0] > 0:
                    _axes(A, w, C, U, by_class)
                    _curvatures(eigenvalues, by_class, penalty, curvatures)
                _direction(G, done, moves, turns, products, mean, V, U, by_class, curvatures, vectors[4], vectors[5], d)
            assign(W[problem, value], here_W)
            assign(b[problem, value], here_b)


@inlined
def _inner(u: Any, v: Any) -> float:
    """Return ⟨u, v⟩, of as many numbers as u has."""
    total = 0.0
    for i in range(u.shape[0]):
        total += u[i] * v[i]
    return total


@inlined
def _combine(p: float, u: Any, q: float, v: Any, out: Any) -> None:
    """Set out to p u + q v."""
    for i in range(u.shape[0]):
        out[i] = p * u[i] + q * v[i]


@inlined
def _direction(
    G: Any, done: int, moves: Any, turns: Any, products: Any, mean: Any, V: Any, U: Any, by_class: Any, curvatures: Any,
    y: Any, turned: Any, d: Any,
) -> None:  # fmt: skip
    """Set d to the direction of L-BFGS after so many steps, of which the pairs are the last.

    y and turned are scratch. Twin: `lbfgs._direction`.
    """
    pairs, oldest, gamma = len(products), max(0, done - len(products)), 1.0
    alphas = np.empty(pairs)
    _combine(-1.0, G, 0.0, G, d)
    for step in range(done - 1, oldest - 1, -1):
        i = step % pairs
        alphas[i] = _inner(d, moves[i]) / products[i] if products[i] > 0 else 0.0
        _combine(1.0, d, -alphas[i], turns[i], d)
    last = (done - 1) % pairs
    for turn in range(1 if done > 0 else 0, -1, -1):
        _precondition(turns[last] if turn else d, mean, V, U, by_class, curvatures, turned, y)
        if turn:
            square = _inner(y, turns[last])
            gamma = products[last] / square if products[last] > 0 and square > 0 else 1.0
    _combine(gamma, y, 0.0, y, d)
    for step in range(oldest, done):
        i = step % pairs
        beta = _inner(d, turns[i]) / products[i] if products[i] > 0 else 0.0
        _combine(1.0, d, alphas[i] - beta, moves[i], d)


@inlined
def _axes(A: Any, w: Any, C: Any, U: Any, by_class: Any) -> None:
    """U and `by_class` (d) ← what `preconditioner.axes_of` makes of `class_curvature`.

    C is scratch. Where it has no rows, one number stands for all classes, and there is no U.
    """
    (units, m), together = A.shape, 0.0
    for u in range(units):
        total = 0.0
        for i in range(m):
            total += A[u, i] * (1 - A[u, i]) * (w[i] if w.shape[0] > 0 else 1.0)
        together += total / m / units
        if C.shape[0] > 0:
            C[u, u] = total / m
    for u in range(C.shape[0]):
        C[u, u] += together / units
        for v in range(u):
            total = 0.0
            for i in range(m):
                total += A[u, i] * A[v, i] * (w[i] if w.shape[0] > 0 else 1.0)
            C[u, v] = C[v, u] = together / units - total / m
    _diagonalize(C, U)
    for u in range(by_class.shape[0]):
        d = max(C[u, u] if C.shape[0] > 0 else together, LEAST, SMALL * together)
        by_class[u] = d if together > 0 else 1.0 / (units if units > 1 else 4)


@inlined
def _diagonalize(C: Any, U: Any) -> None:
    """Make a symmetric C diagonal by rotations, whose product is U. Source: G. Golub and C. Van Loan, §8.5 (Jacobi)."""
    units = C.shape[0]
    for u in range(units):
        for v in range(units):
            U[u, v] = 1.0 if u == v else 0.0
    for _ in range(SWEEPS):
        beside, on = 0.0, 0.0
        for u in range(units):
            on += C[u, u] * C[u, u]
            for v in range(u):
                beside += C[u, v] * C[u, v]
        if beside <= 1e-24 * on:
            break
        for u in range(units - 1):
            for v in range(u + 1, units):
                if C[u, v] != 0:
                    half = (C[v, v] - C[u, u]) / (2 * C[u, v])
                    tangent = (1.0 if half >= 0 else -1.0) / (abs(half) + sqrt(half * half + 1))
                    cosine = 1 / sqrt(tangent * tangent + 1)
                    sine = tangent * cosine
                    for i in range(units):
                        C[i, u], C[i, v] = cosine * C[i, u] - sine * C[i, v], sine * C[i, u] + cosine * C[i, v]
                        U[i, u], U[i, v] = cosine * U[i, u] - sine * U[i, v], sine * U[i, u] + cosine * U[i, v]
                    for i in range(units):
                        C[u, i], C[v, i] = cosine * C[u, i] - sine * C[v, i], sine * C[u, i] + cosine * C[v, i]


@inlined
def _curvatures(eigenvalues: Any, by_class: Any, l2: float, curvatures: Any) -> None:
    """Set the curvatures along the eigenvectors to d λ + l2: `preconditioner.curvatures`."""
    largest = abs(eigenvalues[0])
    for j in range(len(eigenvalues)):
        largest = max(largest, abs(eigenvalues[j]))
    for u in range(by_class.shape[0]):
        d = by_class[u]
        without_l2 = l2 < d * np.finfo(eigenvalues.dtype).eps * largest
        for j in range(len(eigenvalues)):
            hidden = without_l2 and eigenvalues[j] < 0
            curvatures[u, j] = d * (largest if hidden else abs(eigenvalues[j])) + l2


@inlined
def _precondition(v: Any, mean: Any, V: Any, U: Any, by_class: Any, curvatures: Any, turned: Any, out: Any) -> None:
    """Set out to what `Preconditioner` makes of v; `turned` is a scratch buffer."""
    n = len(mean)
    units, middle = len(v) // (n + 1), 0.0
    inside = units * n
    W, b = out[:inside].reshape(units, n), out[inside:]
    _centre(v[:inside].reshape(units, n), v[inside:], mean, W)
    if V.shape[0] > 0:
        t = turned[:inside].reshape(units, n)
        _turn(V, U, curvatures, W, t)
        _turn_back(V, t, W)
    _divide(v[inside:], U, by_class, b)
    for u in range(units):
        b[u] -= _inner(mean, W[u])
        middle += b[u] / units
    for u in range(units if units > 1 else 0):
        b[u] -= middle


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

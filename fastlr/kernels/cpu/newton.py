"""A kernel for the CPU that does steps of Newton's method on few numbers, where calls would take longer than sums."""

from __future__ import annotations

from math import isfinite, log, log1p, sqrt
from typing import Any

import numpy as np
from numba import uint64

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.positive import LANES, factor_one, substitute_one
from fastlr.kernels.cpu.vector import assign, exp_of_negative

WIDTH = 8  # numbers of a vector, of which the columns are a multiple


@kernel
def newton_steps(
    member: int, size: int, counter: Any, X: Any, Y: Any, weights: Any, penalized: int, l2: Any, rounding: float,
    rules: Any, tol: float, V: Any, Z: Any, G: Any, found: Any, steps: Any,
) -> None:  # fmt: skip
    """Advance `V (k, units, d)` by some steps; Z (k, units, m) and G (k, units, d) ← its logits and gradient.

    `X (m, d)` are the samples, with a column of ones where there is an intercept, and of zeros up to whole vectors; V
    and G have the same columns. `Y (1, units, m)` are one-hot labels, `weights (1 or k, 1, m)` or of no samples.
    l2 (k,) is the penalty of the first coordinates of a unit, so many. The rules of the line search are those of
    `line_search`: trials, fall, flat, farthest and margin. `found (k, most, 4)` ← for each step J, the objective, the
    gradient's norm, and whether it was taken: 1, or 0 where it led nowhere. `steps (k,)` ← how many they are: the last
    led to a norm of at most tol, or was not taken, or what it brought is hidden by rounding, or the next matrix has no
    factors. Twin: `PrimalForm.newton` and `line_search.search`.
    """
    (k, units, d), m = V.shape, X.shape[0]
    M = (units * d + LANES - 1) // LANES * LANES
    R, x, scales, step = np.empty(M * M), np.empty(M), np.empty(units * d), np.empty((units, d))
    A, D, along, there = np.empty((units, m)), np.empty((units, m)), np.empty((units, m)), np.empty((units, m))
    scratch = np.empty((3, m))
    for q in range(member, k, size):
        y, w = Y[q % Y.shape[0]], weights[q % weights.shape[0], 0]
        steps[q], f0, f, last, kept = 0, np.inf, np.inf, np.inf, True
        for done in range(found.shape[1] + 1):
            _project(X, V[q], Z[q])
            J = _evaluate(Z[q], y, w, A, D, scratch)
            _gradient(X, D, V[q], penalized, l2[q], G[q])
            norm = sqrt(_dot(G[q], G[q], d))
            if done > 0:
                found[q, done - 1, 0], found[q, done - 1, 1], found[q, done - 1, 2] = J, f, norm
                found[q, done - 1, 3] = 1.0 if kept else 0.0
                steps[q] = done
                hidden = f0 - f <= rounding * abs(f0) and norm >= last
                if done == found.shape[1] or not kept or norm <= tol or hidden:
                    break
            last = norm
            _hessian(X, A, w, penalized, l2[q], rounding, R, uint64(M), scales)
            if not factor_one(R, uint64(M), units * d):
                break
            x[:] = 0
            for i in range(units * d):
                x[i] = -G[q, i // d, i % d] * scales[i]
            substitute_one(R, uint64(M), uint64(units * d), x)
            for i in range(units * d):
                step[i // d, i % d] = x[i] * scales[i]
            _project(X, step, along)
            start = J, _dot(G[q], step, d), l2[q], _dot(V[q], V[q], penalized), _dot(V[q], step, penalized)
            f0 = J + l2[q] / 2 * start[3]
            t, f, _, kept = _search(
                Z[q], along, start, _dot(step, step, penalized), rounding, rules, y, w, A, D, scratch, there
            )
            for i in range(units * d):
                V[q, i // d, i % d] += t * step[i // d, i % d]


@inlined
def _evaluate(Z: Any, y: Any, w: Any, A: Any, D: Any, scratch: Any) -> float:
    """A (units, m) ← the probabilities, D ← w (A − y); return the mean loss."""
    (units, m), losses = Z.shape, 0.0
    tops, totals, others = scratch[0], scratch[1], scratch[2]
    tops[:] = 0.0 if units == 1 else -np.inf  # the other class of a sigmoid has the logit 0
    for u in range(units):
        for i in range(m):
            tops[i] = max(tops[i], Z[u, i])
    for i in range(m):
        others[i] = exp_of_negative(-tops[i]) if units == 1 else 0.0
    assign(totals, others)
    for u in range(units):
        a, z = A[u], Z[u]
        for i in range(m):
            a[i] = exp_of_negative(z[i] - tops[i])
        for i in range(m):
            totals[i] += a[i]
    for i in range(m):
        # Of a sigmoid one of the two exponentials is 1.
        loss = log1p(min(A[0, i], others[i])) + (1 - y[0, i]) * tops[i] if units == 1 else log(totals[i])
        for u in range(units):
            loss += y[u, i] * (tops[i] - Z[u, i])
        losses += w[i] * loss if w.shape[0] > 0 else loss
    for u in range(units):
        a, d = A[u], D[u]
        for i in range(m):
            a[i] /= totals[i]
        for i in range(m):
            d[i] = a[i] - y[u, i]
        if w.shape[0] > 0:
            for i in range(m):
                d[i] *= w[i]
    mean: float = losses / m
    return mean


@inlined
def _search(
    Z: Any, along: Any, start: Any, dd: float, rounding: float, rules: Any, y: Any, w: Any, A: Any, D: Any,
    scratch: Any, there: Any,
) -> tuple[float, float, float, bool]:  # fmt: skip
    """Return how far to go, the objective and J there, and whether it is worth going, as `line_search.search` does.

    If it is, A and D are those there.

    `start` holds J, the slope, l2, ‖V‖² and ⟨V, d⟩, each of the penalized coordinates.
    """
    J, slope, l2, VV, Vd = start
    trials, fall, flat, farthest, margin = rules
    m, f0, t, low, high = Z.shape[1], J + l2 / 2 * VV, 1.0, 0.0, np.inf
    noise, f, loss = rounding * abs(f0), f0, J
    f_low, slope_low = f0, slope
    for trial in range(1, trials + 1):
        for u in range(Z.shape[0]):
            for i in range(m):
                there[u, i] = Z[u, i] + t * along[u, i]
        loss = _evaluate(there, y, w, A, D, scratch)
        f = loss + l2 / 2 * VV + l2 * (t * Vd + t * t / 2 * dd)
        slope_t = _dot(D, along, m) / m + l2 * (Vd + t * dd)
        fell = f <= f0 + fall * t * slope + noise
        if (fell and abs(slope_t) <= flat * abs(slope)) or not slope < 0 or trial == trials:
            break
        rise = slope_t - slope
        guess, between = -slope * t / rise if rise > 0 else 0.0, slope_t - slope_low
        corner = np.inf
        if not fell or not slope_t < 0:
            if isfinite(high):
                corner = (f_low - slope_low * low - f + slope_t * t) / between if between > 0 else 0.0
            high = t
        else:
            low, f_low, slope_low = t, f, slope_t
        end = high if isfinite(high) else farthest * t
        if not isfinite(rise):
            guess = (low + end) / 2
        if isfinite(corner):
            guess = corner
        t = min(max(guess, low + margin * (end - low)), end - margin * (end - low))
    if f <= f0 + noise and slope < 0:
        return t, f, loss, True
    return 0.0, f0, J, False


@inlined
def _project(X: Any, V: Any, Z: Any) -> None:
    """Z (units, m) ← V Xᵀ."""
    for i in range(X.shape[0]):
        row = X[i]
        for u in range(V.shape[0]):
            v, total = V[u], 0.0
            for j in range(row.shape[0]):
                total += row[j] * v[j]
            Z[u, i] = total


@inlined
def _gradient(X: Any, D: Any, V: Any, penalized: int, l2: float, G: Any) -> None:
    """G (units, d) ← D X / m + l2 V, the latter for the penalized coordinates."""
    m = X.shape[0]
    for u in range(V.shape[0]):
        g = G[u]
        g[:] = 0
        for i in range(m):
            c, row = D[u, i] / m, X[i]
            for j in range(row.shape[0]):
                g[j] += c * row[j]
        for j in range(penalized):
            g[j] += l2 * V[u, j]


@inlined
def _hessian(
    X: Any, A: Any, weights: Any, penalized: int, l2: float, rounding: float, R: Any, M: Any, scales: Any
) -> None:
    """R (M · M) ← the upper triangle of the second derivatives at probabilities A (units, m), its diagonal made ones.

    It is multiplied by the scales from both sides; what is added is as in `PrimalForm.newton`.
    """
    (m, d), units = X.shape, A.shape[0]
    R[:] = 0
    s = np.empty(m)
    for u in range(units):
        for v in range(u, units):
            one = 1.0 if u == v else 0.0
            for i in range(m):
                s[i] = A[u, i] * (one - A[v, i]) / m
            if weights.shape[0] > 0:
                for i in range(m):
                    s[i] *= weights[i]
            for i in range(0, m, 4):
                _add_four(X, s, i, m - 1, u == v, R, M, uint64(u * d) * M + uint64(v * d))
    for r in range(d):
        mean = 0.0
        for u in range(units):
            place = uint64(u * d + r) * (M + uint64(1))
            if r < penalized:
                R[place] += l2
            mean += R[place] / units
        if units > 1:
            for u in range(units):
                for v in range(u, units):
                    R[uint64(u * d + r) * M + uint64(v * d + r)] += mean
    for p in range(units * d):
        value = R[uint64(p) * (M + uint64(1))]
        scales[p] = 1 / sqrt(value) if value > 0 else 1.0
    for p in range(units * d):
        start = uint64(p) * M
        for j in range(units * d):
            R[start + uint64(j)] *= scales[p] * scales[j]
        R[start + uint64(p)] += rounding


@inlined
def _add_four(X: Any, s: Any, i: int, last: int, symmetric: bool, R: Any, M: Any, place: Any) -> None:
    """Add Σ s x xᵀ of rows i … i + 3 to the block of R at a place, two rows at a time; if symmetric, half of it."""
    x0, x1, x2, x3 = X[i], X[min(i + 1, last)], X[min(i + 2, last)], X[min(i + 3, last)]
    s0, s1 = s[i], s[i + 1] if i + 1 <= last else 0.0
    s2, s3 = s[i + 2] if i + 2 <= last else 0.0, s[i + 3] if i + 3 <= last else 0.0
    for r in range(0, X.shape[1], 2):
        a0, a1, a2, a3 = s0 * x0[r], s1 * x1[r], s2 * x2[r], s3 * x3[r]
        b0, b1, b2, b3 = s0 * x0[r + 1], s1 * x1[r + 1], s2 * x2[r + 1], s3 * x3[r + 1]
        upper = place + uint64(r) * M
        lower = upper + M
        for j in range(uint64(r // WIDTH * WIDTH) if symmetric else uint64(0), uint64(X.shape[1])):
            R[upper + j] += (a0 * x0[j] + a1 * x1[j]) + (a2 * x2[j] + a3 * x3[j])
            R[lower + j] += (b0 * x0[j] + b1 * x1[j]) + (b2 * x2[j] + b3 * x3[j])


@inlined
def _dot(U: Any, V: Any, stop: int) -> float:
    """Return the sum of the products of two arrays of units but for their last columns."""
    total = 0.0
    for u in range(U.shape[0]):
        a, b = U[u], V[u]
        for j in range(stop):
            total += a[j] * b[j]
    return total

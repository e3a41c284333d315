"""A kernel for the CPU that takes the conjugate gradients of one Newton step on the samples themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.products import TILE, add8, add_tile, convert, dot8, eight, multiply_tile, share
from fastlr.kernels.cpu.team import wait_for_all

COLUMNS = 16  # of V that are turned by classes at a time


@kernel
def primal_conjugate_gradients(
    member: int, size: int, counter: Any, steps: int, rows: Any, A: Any, weights: Any, factors: Any, shifts: Any,
    l2: float, intercept: float, mean: Any, V: Any, U: Any, by_class: Any, curvatures: Any, least: float, r: Any,
    r_b: Any, p: Any, p_b: Any, d: Any, d_b: Any, state: Any, y: Any, t: Any, W: Any, b: Any, parts: Any, sums: Any,
) -> None:  # fmt: skip
    """Take at most so many steps more; the last of all is the one that brings less than `least` of their mean.

    Of one model: `r (units, n)` and `r_b (units,)` are the residual, p the last direction, d the sum so far, `state`
    holds ⟨r, z⟩, what was gained, the steps taken, and 1 while there are more to take. `A (units, m)` are the
    probabilities of a softmax, and `weights (m,)` or none; of one unit, A are the second derivatives of the losses. The
    features are `factors · rows − shifts`, `intercept` is 1 or 0. `mean`, V, U, `by_class` (d) and the curvatures are
    what `Preconditioner.of_one` gives; without a spectrum all but the mean are empty. y, t, `W (units, n)`, b,
    `parts (count, units, n)` and `sums (count, units)` are scratch. The first member does what is not a product. Twin:
    `newton_cg.direction`.
    """
    (m, n), count, reached = rows.shape, parts.shape[0], 0
    left, right = share(member, size, n, 8)
    tile, Z = np.zeros((TILE, n), W.dtype), np.empty((W.shape[0], TILE), W.dtype)
    if member == 0:
        _centre(r, r_b, mean, y)
    for _ in range(steps):
        reached = _meet(size, counter, reached)
        if state[3] == 0:
            break
        if V.shape[0] > 0:
            _turn(V[:, left:right], U, curvatures[:, left:right], y, t[:, left:right])
            reached = _meet(size, counter, reached)
            _turn_back(V[left:right], t, y[:, left:right])
            reached = _meet(size, counter, reached)
        if member == 0:
            _aim(r, r_b, U, by_class, mean, factors, shifts, y, p, p_b, W, b, state)
        reached = _meet(size, counter, reached)
        for part in range(member, count, size):
            start, stop = share(part, count, m, 8)
            parts[part] = 0
            sums[part] = 0
            if W.shape[0] == 1:
                _pass_one(rows[start:stop], A[0, start:stop], W[0], b[0], parts[part, 0], sums[part])
            else:
                _pass(rows[:stop], start, A, weights, W, b, tile, Z, parts[part], sums[part])
        reached = _meet(size, counter, reached)
        if member == 0:
            _gather(parts, sums, factors, shifts, m, l2, intercept, p, y, b)
            _move(least, y, b, p, p_b, d, d_b, r, r_b, state)
            _centre(r, r_b, mean, y)


@inlined
def _meet(size: int, counter: Any, reached: int) -> int:
    """Wait for the other members; return how often they arrived together."""
    reached += size
    if size > 1:
        wait_for_all(counter, reached)
    return reached


@inlined
def _centre(r: Any, r_b: Any, mean: Any, y: Any) -> None:
    """y ← r − r_b mean."""
    for u in range(r.shape[0]):
        for j in range(r.shape[1]):
            y[u, j] = r[u, j] - r_b[u] * mean[j]


@inlined
def _turn(V: Any, U: Any, curvatures: Any, y: Any, t: Any) -> None:
    """t ← U ((Uᵀ y V) / curvatures), for some of the columns of V."""
    t[:] = 0
    n = V.shape[0]
    for i in range(0, n, 8):
        for u in range(y.shape[0]):
            add8(V, i, n - 1, eight(y[u], i, n - 1), t[u])
    if U.shape[0] == 0:
        for u in range(y.shape[0]):
            for j in range(t.shape[1]):
                t[u, j] /= curvatures[0, j]
        return
    units = U.shape[0]
    turned = np.empty((units, COLUMNS), t.dtype)
    for j in range(0, t.shape[1], COLUMNS):
        width = min(COLUMNS, t.shape[1] - j)
        for u in range(units):
            turned[u] = 0
            for v in range(units):
                for i in range(width):
                    turned[u, i] += U[v, u] * t[v, j + i]
            for i in range(width):
                turned[u, i] /= curvatures[u, j + i]
        for u in range(units):
            for i in range(width):
                t[u, j + i] = 0
            for v in range(units):
                for i in range(width):
                    t[u, j + i] += U[u, v] * turned[v, i]


@inlined
def _divide(r_b: Any, U: Any, by_class: Any, b: Any) -> None:
    """b ← U ((Uᵀ r_b) / d), for the d that `by_class` holds; where there is none, b ← r_b."""
    units = r_b.shape[0]
    for u in range(units):
        b[u] = 0.0 if U.shape[0] > 0 else r_b[u] / (by_class[0] if by_class.shape[0] > 0 else 1.0)
    for v in range(U.shape[0]):
        along = 0.0
        for u in range(units):
            along += U[u, v] * r_b[u]
        for u in range(units):
            b[u] += U[u, v] * along / by_class[v]


@inlined
def _turn_back(V: Any, t: Any, y: Any) -> None:
    """y ← t Vᵀ, for some of the rows of V."""
    rows = V.shape[0]
    for j in range(0, rows, 8):
        for u in range(t.shape[0]):
            dots = dot8(V, j, rows - 1, t[u])
            for i in range(min(8, rows - j)):
                y[u, j + i] = dots[i]


@inlined
def _aim(
    r: Any, r_b: Any, U: Any, by_class: Any, mean: Any, factors: Any, shifts: Any, y: Any, p: Any, p_b: Any, W: Any,
    b: Any, state: Any,
) -> None:  # fmt: skip
    """Make the next direction p of what the preconditioner makes of the residual, y; W and b ← it, for the rows."""
    units, before, middle = r.shape[0], state[0], 0.0
    _divide(r_b, U, by_class, b)
    for u in range(units):
        b[u] -= _dot(y[u], mean)
        middle += b[u] / units
    if units > 1:
        for u in range(units):
            b[u] -= middle
    rz = 0.0
    for u in range(units):
        rz += _dot(r[u], y[u]) + r_b[u] * b[u]
    beta = rz / before if before > 0 else 0.0
    for u in range(units):
        for j in range(p.shape[1]):
            p[u, j] = y[u, j] + beta * p[u, j]
        p_b[u] = b[u] + beta * p_b[u]
        for j in range(p.shape[1]):
            W[u, j] = p[u, j] * factors[j]
        b[u] = p_b[u] - _dot(p[u], shifts)
    state[0] = rz


@inlined
def _pass(rows: Any, start: int, A: Any, weights: Any, W: Any, b: Any, tile: Any, Z: Any, part: Any, sums: Any) -> None:
    """Add the part of these rows in the product: x a (z − Σ a z) with z = W x + b, of a softmax."""
    zero, stop = W.dtype.type(0), rows.shape[0]
    for i in range(start, stop, TILE):
        here, last = min(TILE, stop - i), stop - 1
        for q in range(here):
            convert(rows[i + q], tile[q])
        multiply_tile(tile, W, Z)
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        t0 = t1 = t2 = t3 = zero
        for u in range(W.shape[0]):
            a, z = A[u], Z[u]
            z[0], z[1], z[2], z[3] = z[0] + b[u], z[1] + b[u], z[2] + b[u], z[3] + b[u]
            t0 += a[i] * z[0]
            t1 += a[i1] * z[1]
            t2 += a[i2] * z[2]
            t3 += a[i3] * z[3]
        w0 = w1 = w2 = w3 = zero + 1
        if weights.shape[0] > 0:
            w0, w1, w2, w3 = weights[i], weights[i1], weights[i2], weights[i3]
        w1, w2, w3 = w1 if here > 1 else zero, w2 if here > 2 else zero, w3 if here > 3 else zero
        for u in range(W.shape[0]):
            a, z = A[u], Z[u]
            z[0], z[1] = w0 * a[i] * (z[0] - t0), w1 * a[i1] * (z[1] - t1)
            z[2], z[3] = w2 * a[i2] * (z[2] - t2), w3 * a[i3] * (z[3] - t3)
            sums[u] += (z[0] + z[1]) + (z[2] + z[3])
        add_tile(tile, Z, part)


@inlined
def _pass_one(rows: Any, s: Any, w: Any, b: float, part: Any, sums: Any) -> None:
    """Add the part of these rows in the product: x s (w x + b), of a sigmoid."""
    last = rows.shape[0] - 1
    for i in range(0, rows.shape[0], 8):
        z, v = dot8(rows, i, last, w), eight(s, i, last)
        d = (
            v[0] * (z[0] + b), v[1] * (z[1] + b), v[2] * (z[2] + b), v[3] * (z[3] + b),
            v[4] * (z[4] + b), v[5] * (z[5] + b), v[6] * (z[6] + b), v[7] * (z[7] + b),
        )  # fmt: skip
        add8(rows, i, last, d, part)
        for q in range(8):
            sums[0] += d[q]


@inlined
def _gather(
    parts: Any, sums: Any, factors: Any, shifts: Any, m: int, l2: float, intercept: float, p: Any, q: Any, q_b: Any
) -> None:
    """q and q_b ← the product with the second derivatives."""
    for u in range(p.shape[0]):
        total = 0.0
        for part in range(sums.shape[0]):
            total += sums[part, u]
        total /= m
        q_b[u], out = intercept * total, q[u]
        out[:] = 0
        for part in range(parts.shape[0]):
            added = parts[part, u]
            for j in range(out.shape[0]):
                out[j] += added[j]
        for j in range(out.shape[0]):
            out[j] = out[j] * factors[j] / m - total * shifts[j] + l2 * p[u, j]


@inlined
def _move(least: float, q: Any, q_b: Any, p: Any, p_b: Any, d: Any, d_b: Any, r: Any, r_b: Any, state: Any) -> None:
    """Go along p as far as the quadratic model falls, and say whether to go on."""
    rz, pq = state[0], 0.0
    for u in range(p.shape[0]):
        pq += _dot(q[u], p[u]) + q_b[u] * p_b[u]
    possible = pq > 0 and rz > 0
    alpha = rz / pq if possible else 0.0
    for u in range(p.shape[0]):
        for j in range(p.shape[1]):
            d[u, j] += alpha * p[u, j]
        for j in range(p.shape[1]):
            r[u, j] -= alpha * q[u, j]
        d_b[u] += alpha * p_b[u]
        r_b[u] -= alpha * q_b[u]
    state[1] += alpha * rz
    state[2] += 1
    state[3] = 1.0 if possible and state[2] * alpha * rz > least * state[1] else 0.0


@inlined
def _dot(u: Any, v: Any) -> float:
    """Return the sum of the products."""
    total = 0.0
    for j in range(u.shape[0]):
        total += u[j] * v[j]
    return total

"""A kernel for the CPU that takes all steps of the conjugate gradients of one Newton step on the Gram matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.gram import ROWS, gather, multiply
from fastlr.kernels.cpu.team import wait_for_all


@kernel
def gram_conjugate_gradients(
    member: int, size: int, counter: Any, upper: Any, diagonal: Any, scale: float, S: Any, l2: float, mean_W: Any,
    mean_Z: Any, r: Any, b: Any, longest: int, least: float, C: Any, Z: Any, parts: Any, going: Any, d_W: Any, d_Z: Any,
) -> None:  # fmt: skip
    """d ← what ∇²f d = r leads to in at most `longest` steps, the last of which brings less than `least` of the mean.

    Of one model of one unit whose initial weights are zero: `r`, `mean_W`, `mean_Z`, `d_W` and its logits `d_Z` are
    (m,), `S (m,)` the second derivatives of the losses; `b (2,)` are r's intercept, and 1 where there is one, else 0,
    in whose place d's comes. K is unscaled, `scale` its factor. C (1, M), Z (m,), `parts` and `going (1,)` are scratch.
    The first member does what is not a product with K. Twin: `newton_cg.direction`.
    """
    m, count = S.shape[0], parts.shape[0]
    p_W, p_Z, q = np.zeros(m, S.dtype), np.zeros(m, S.dtype), np.empty(m, S.dtype)
    intercept, r_b, d_b, p_b, rz, gained = b[1], b[0], 0.0, 0.0, 0.0, 0.0
    reached = 0
    for step in range(1, longest + 1):
        if member == 0:
            for i in range(m):
                C[0, i] = r[i] - r_b * mean_W[i]
            z_b = r_b - _dot(C[0, :m], mean_Z, 0.0)
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        for p in range(member, count, size):
            parts[p] = 0
            multiply(upper, ROWS * p, ROWS * count, C, parts[p])
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        if member == 0:
            z, zero = C[0, :m], S[0] - S[0]
            gather(parts[:, 0, :m], diagonal[:m], z, scale, zero, r, z_b, Z)
            before, rz = rz, _dot(r, Z, z_b) + r_b * z_b
            beta = rz / before if before > 0 else 0.0
            p_b = z_b + beta * p_b
            _add(z, beta, p_W)
            _add(Z, beta, p_Z)
            q_b = _curve(S, p_Z, l2, p_W, q) * intercept
            pq = _dot(q, p_Z, p_b) + q_b * p_b
            possible = pq > 0 and rz > 0
            alpha = rz / pq if possible else 0.0
            gained += alpha * rz
            d_b += alpha * p_b
            r_b -= alpha * q_b
            for i in range(m):
                d_W[i] += alpha * p_W[i]
            for i in range(m):
                d_Z[i] += alpha * p_Z[i]
            for i in range(m):
                r[i] -= alpha * q[i]
            going[0] = possible and step * alpha * rz > least * gained
        reached += size
        if size > 1:
            wait_for_all(counter, reached)
        if not going[0]:
            break
    if member == 0:
        b[0], b[1] = r_b, d_b


@inlined
def _dot(u: Any, v: Any, b: float) -> float:
    """Return u · (v − b)."""
    total = 0.0
    for i in range(u.shape[0]):
        total += u[i] * (v[i] - b)
    return total


@inlined
def _add(z: Any, beta: float, p: Any) -> None:
    """p ← z + beta p."""
    for i in range(p.shape[0]):
        p[i] = z[i] + beta * p[i]


@inlined
def _curve(S: Any, Z: Any, l2: float, W: Any, q: Any) -> Any:
    """q ← S Z / m + l2 W; return the mean of S Z."""
    total, m = 0.0, S.shape[0]
    for i in range(m):
        v = S[i] * Z[i]
        q[i] = v / m + l2 * W[i]
        total += v
    return total / m

"""A kernel for the CPU that makes the losses and residuals of many sigmoids in one pass over their logits."""

from __future__ import annotations

from typing import Any

from fastlr.kernels.cpu.compiling import inlined, kernel
from fastlr.kernels.cpu.vector import exp_of_negative


@kernel
def sigmoid_losses(member: int, size: int, counter: Any, Z: Any, Y: Any, weights: Any, D: Any, J: Any) -> None:
    """D (k, m) ← w (σ(Z) − Y), J (k,) ← the mean of the weighted losses, model after model.

    `Y (1 or k, m)`, `weights (1 or k, m)` or of no samples. Twin: `core.losses_and_residuals`.
    """
    k, m = Z.shape
    for q in range(member, k, size):
        z, y, d, total = Z[q], Y[q % Y.shape[0]], D[q], 0.0
        if weights.shape[1] > 0:
            w = weights[q % weights.shape[0]]
            for i in range(m):
                e = exp_of_negative(-abs(float(z[i])))
                total += w[i] * (max(float(z[i]), 0.0) - y[i] * z[i] + _log_of_one_more(e))
                d[i] = w[i] * ((1.0 if z[i] >= 0 else e) / (1.0 + e) - y[i])
        else:
            for i in range(m):
                e = exp_of_negative(-abs(float(z[i])))
                total += max(float(z[i]), 0.0) - y[i] * z[i] + _log_of_one_more(e)
                d[i] = (1.0 if z[i] >= 0 else e) / (1.0 + e) - y[i]
        J[q] = total / m


@inlined
def _log_of_one_more(e: float) -> float:
    """Return log(1 + e) for 0 ≤ e ≤ 1, to about one unit in the last place.

    log(1 + e) = 2 artanh(s) with s = e / (2 + e) ≤ 1/3, whose series in s² has 17 terms: the next is below 1e-17. The
    C library's `log1p` is called a number at a time; this one is plain arithmetic, which makes vectors.
    """
    s = e / (2.0 + e)
    t = s * s
    series = 1.0 / 33.0
    series = series * t + 1.0 / 31.0
    series = series * t + 1.0 / 29.0
    series = series * t + 1.0 / 27.0
    series = series * t + 1.0 / 25.0
    series = series * t + 1.0 / 23.0
    series = series * t + 1.0 / 21.0
    series = series * t + 1.0 / 19.0
    series = series * t + 1.0 / 17.0
    series = series * t + 1.0 / 15.0
    series = series * t + 1.0 / 13.0
    series = series * t + 1.0 / 11.0
    series = series * t + 1.0 / 9.0
    series = series * t + 1.0 / 7.0
    series = series * t + 1.0 / 5.0
    series = series * t + 1.0 / 3.0
    return 2.0 * s * (series * t + 1.0)

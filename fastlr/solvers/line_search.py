"""A step length along a direction that descends, for k models at once, each with its own.

    φ(t) = J(Z + t Z_P) + l2/2 (‖W‖² + 2 t ⟨W, P⟩ + t² ‖P‖²)

φ is convex, and the logits lie on a line too: a trial costs no pass over the data. t is taken where φ fell by at least
1e-4 t |φ'(0)| and |φ'(t)| ≤ 0.9 |φ'(0)| (the strong Wolfe conditions; J. Nocedal and S. Wright, Numerical Optimization,
§3.1). Where it was not, the next trial is where a straight φ' would be zero, kept within the bracket.
"""

from __future__ import annotations

from fastlr import core
from fastlr.namespace import array_namespace
from fastlr.solvers import convex
from fastlr.solvers.convex import Iterate
from fastlr.solvers.problem import Problem, Vector

TRIALS = 30
FALL, FLAT = 1e-4, 0.9  # of the conditions
FARTHEST = 10.0  # times the last trial
MARGIN = 0.1  # of the bracket, which the next trial keeps from its ends


def search(problem: Problem, iterate: Iterate, direction: Vector) -> Iterate:
    """Return the iterate at the end of a step along a direction; `stalled` where it led nowhere."""
    xp, point = array_namespace(iterate.b), iterate.point
    slope = convex.inner(problem, iterate.gradient, direction)
    Wd = convex.weights_inner(problem, point, direction)
    dd = convex.weights_inner(problem, direction, direction)
    dd = xp.maximum(dd, xp.zeros_like(dd))  # which rounding can make negative in the Gram form
    f0 = iterate.objective
    penalty0 = f0 - iterate.cost
    noise = core.rounding(f0.dtype) * xp.abs(f0)
    t, low, high = xp.ones_like(f0), xp.zeros_like(f0), xp.full_like(f0, xp.inf)
    for trial in range(1, TRIALS + 1):
        J, D = convex.value(problem, point.Z + t * direction.Z)
        f = J + penalty0 + problem.l2 * (t * Wd + t * t / 2 * dd)
        slope_t = xp.mean(xp.sum(D * direction.Z, axis=1, keepdims=True), axis=-1, keepdims=True)
        slope_t = slope_t + problem.l2 * (Wd + t * dd)
        fell = f <= f0 + FALL * t * slope + noise
        good = (fell & (xp.abs(slope_t) <= FLAT * xp.abs(slope))) | ~(slope < 0) | (t == 0)
        if trial == TRIALS or bool(xp.all(good)):
            break
        beyond = ~fell | ~(slope_t < 0)  # also where φ is not finite
        high = xp.where(beyond, t, high)
        low = xp.where(beyond, low, t)
        end = xp.where(xp.isfinite(high), high, FARTHEST * t)
        rise = slope_t - slope
        guess = xp.where(xp.isfinite(rise), convex.ratio(-slope * t, rise), (low + end) / 2)
        guess = xp.minimum(xp.maximum(guess, low + MARGIN * (end - low)), end - MARGIN * (end - low))
        t = xp.where(good, t, guess)
    kept = (f <= f0 + noise) & (slope < 0)
    t = xp.where(kept, t, xp.zeros_like(t))
    if not bool(xp.all(kept)):
        J, D = convex.value(problem, point.Z + t * direction.Z)
        f = xp.where(kept, f, f0)
    moved = Vector(*(p + t * d for p, d in zip(point, direction, strict=True)))
    new = convex.at(problem, moved, D, J, f)
    stalled = ~kept | ((f0 - f <= noise) & (new.norm >= iterate.norm))
    return new._replace(stalled=xp.where(stalled, iterate.stalled + 1, xp.zeros_like(f0)))

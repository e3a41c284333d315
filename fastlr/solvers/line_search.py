"""A step length along a direction that descends, for k models at once, each with its own.

φ(t) = f(x + t d) is convex. t is taken where φ fell by at least 1e-4 t |φ'(0)| and |φ'(t)| ≤ 0.9 |φ'(0)| (the strong
Wolfe conditions; J. Nocedal and S. Wright, Numerical Optimization, §3.1). Where it was not, the next trial is where a
straight φ' would be zero, kept within the bracket. If φ rises like a straight line beyond its minimum, such trials stay
close to the end of the bracket. So once that end has moved, the next trial is where the tangents at both ends meet.
"""

from __future__ import annotations

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.protocol import Evaluation, Objective, Vector, ratio
from fastlr.solvers.iterate import Iterate

TRIALS = 30
FALL, FLAT = 1e-4, 0.9  # of the conditions
FARTHEST = 10.0  # times the last trial
MARGIN = 0.1  # of the bracket, which the next trial keeps from its ends
RULES = (TRIALS, FALL, FLAT, FARTHEST, MARGIN)


def search(objective: Objective, iterate: Iterate, direction: Vector) -> Iterate:
    """Return the iterate at the end of a step along a direction; `stalled` where it led nowhere."""
    xp, start = array_namespace(iterate.stalled), iterate.at
    line = objective.along(start, direction)
    slope, f0 = line.slope, start.objective
    noise = core.rounding(f0.dtype) * xp.abs(f0)
    t, low, high = xp.ones_like(f0), xp.zeros_like(f0), xp.full_like(f0, xp.inf)
    f_low, slope_low = f0, slope
    for trial in range(1, TRIALS + 1):
        f, slope_t = line.at(t)
        fell = f <= f0 + FALL * t * slope + noise
        good = (fell & (xp.abs(slope_t) <= FLAT * xp.abs(slope))) | ~(slope < 0) | (t == 0)
        if trial == TRIALS or bool(xp.all(good)):
            break
        beyond = ~fell | ~(slope_t < 0)  # also where φ is not finite
        again = beyond & xp.isfinite(high)
        corner = ratio(f_low - slope_low * low - f + slope_t * t, slope_t - slope_low)
        high = xp.where(beyond, t, high)
        low, f_low, slope_low = (
            xp.where(beyond, old, new) for old, new in ((low, t), (f_low, f), (slope_low, slope_t))
        )
        end = xp.where(xp.isfinite(high), high, FARTHEST * t)
        rise = slope_t - slope
        guess = xp.where(xp.isfinite(rise), ratio(-slope * t, rise), (low + end) / 2)
        guess = xp.where(again & xp.isfinite(corner), corner, guess)
        guess = xp.minimum(xp.maximum(guess, low + MARGIN * (end - low)), end - MARGIN * (end - low))
        t = xp.where(good, t, guess)
    kept = (f <= f0 + noise) & (slope < 0)
    if not bool(xp.all(kept)):
        line.at(xp.where(kept, t, xp.zeros_like(t)))
        f = xp.where(kept, f, f0)
    return arrived(iterate, line.arrive(f), kept)


def arrived(iterate: Iterate, new: Evaluation, kept: Array) -> Iterate:
    """Return the iterate at a new point; `kept (k, 1, 1)` is true for the models whose step was taken."""
    start = iterate.at
    xp, f0 = array_namespace(start.objective), start.objective
    hidden = iterate.mark - new.objective <= core.rounding(f0.dtype) * xp.abs(iterate.mark)
    stalled = ~kept | (hidden & (new.norm >= iterate.lowest))
    count = xp.where(stalled, iterate.stalled + 1, xp.zeros_like(f0))
    mark = xp.where(stalled, iterate.mark, new.objective)
    return Iterate(new, count, xp.minimum(iterate.lowest, new.norm), mark)

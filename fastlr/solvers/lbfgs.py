"""L-BFGS: a quasi-Newton step from the last few steps s and the changes y of the gradient along them.

    q = ∇f;  α_i = ⟨s_i, q⟩ / ⟨y_i, s_i⟩,  q ← q − α_i y_i          from the newest to the oldest
    r = γ M q;  r ← r + s_i (α_i − ⟨y_i, r⟩ / ⟨y_i, s_i⟩)            from the oldest to the newest
    x ← x − t r                                                      t by a line search

with M as in `preconditioner` and γ = ⟨s, y⟩ / ⟨y, M y⟩ of the newest. An iteration reads the data twice in the
primal form, and K a few times in the Gram form. Source: J. Nocedal and S. Wright, Numerical Optimization, §7.2.
"""

from __future__ import annotations

from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers import convex
from fastlr.solvers.convex import Iterate
from fastlr.solvers.convex import start as start  # what a solver offers
from fastlr.solvers.line_search import search
from fastlr.solvers.preconditioner import mean_curvature, precondition
from fastlr.solvers.problem import Delegate, Problem, Vector

PAIRS = 10

Pair = tuple[Vector, Vector, Array]  # s, y and ⟨y, s⟩


def why_not(form: str, outputs: int) -> str | None:
    """Return None: it needs products alone, of any form, with any number of outputs."""
    return None


def step(backend: Delegate, problem: Problem, iterate: Iterate) -> Iterate:
    """Return the iterate after one step."""
    xp, pairs = array_namespace(iterate.b), iterate.memory
    c = mean_curvature(problem, convex.probabilities(problem, iterate.Z))
    direction = _direction(problem, c, iterate.gradient, pairs)
    moved = search(problem, iterate, direction)
    keeps_logits = problem.form.inner_needs_logits
    s = Vector(*(new - old for new, old in zip(moved.point, iterate.point, strict=True)))
    y = Vector(
        moved.gradient.W - iterate.gradient.W,
        moved.gradient.b - iterate.gradient.b,
        moved.gradient.Z - iterate.gradient.Z if keeps_logits else (),
    )
    ys = convex.inner(problem, y, s)
    # A model that did not move, or moved by nothing but rounding, gives a pair that changes nothing.
    ys = xp.where(ys > 0, ys, xp.zeros_like(ys))
    pair = (s if keeps_logits else s._replace(Z=()), y, ys)
    return moved._replace(memory=(*pairs[-PAIRS + 1 :], pair))


def _direction(problem: Problem, c: Array, gradient: Vector, pairs: tuple[Pair, ...]) -> Vector:
    """Return −r with its logits."""
    xp, q, alphas = array_namespace(gradient.b), gradient, []
    for s, y, ys in reversed(pairs):
        alpha = convex.ratio(convex.inner(problem, q, s), ys)
        q = Vector(q.W - alpha * y.W, q.b - alpha * y.b)
        alphas.append(alpha)
    r = precondition(problem, c, q)
    if pairs:
        s, y, ys = pairs[-1]
        gamma = convex.ratio(ys, convex.inner(problem, precondition(problem, c, y), y))
        gamma = xp.where(gamma > 0, gamma, xp.ones_like(gamma))
        r = Vector(gamma * r.W, gamma * r.b)
    for (s, y, ys), alpha in zip(pairs, reversed(alphas), strict=True):
        factor = alpha - convex.ratio(convex.inner(problem, r, y), ys)
        r = Vector(r.W + factor * s.W, r.b + factor * s.b)
    return Vector(-r.W, -r.b, problem.form.logits(-r.W, -r.b))

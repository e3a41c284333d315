"""L-BFGS: a quasi-Newton step from the last few steps s and the changes y of the gradient along them.

    q = ∇f;  α_i = ⟨s_i, q⟩ / ⟨y_i, s_i⟩,  q ← q − α_i y_i          from the newest to the oldest
    r = γ M q;  r ← r + s_i (α_i − ⟨y_i, r⟩ / ⟨y_i, s_i⟩)            from the oldest to the newest
    x ← x − t r                                                      t by a line search

with M the objective's preconditioner and γ = ⟨s, y⟩ / ⟨y, M y⟩ of the newest. An iteration reads the data twice in the
primal form, and K a few times in the Gram form. Source: J. Nocedal and S. Wright, Numerical Optimization, §7.2.
"""

from __future__ import annotations

from fastlr.backends.record import Backend
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.protocol import Compiled, Evaluation, Objective, Vector, plus, ratio
from fastlr.solvers.iterate import PATIENCE, Iterate
from fastlr.solvers.iterate import start as start  # what a solver offers
from fastlr.solvers.line_search import RULES, search

PAIRS = 10

Pair = tuple[Vector, Vector, Array]  # s, y and ⟨y, s⟩


def why_not(form: str, outputs: int) -> str | None:
    """Return None: it needs products alone, of any form, with any number of outputs."""
    return None


def step(backend: Backend, objective: Objective, iterate: Iterate) -> Iterate:
    """Return the iterate after one step."""
    xp, pairs, at = array_namespace(iterate.stalled), iterate.memory, objective.curved(iterate.at)
    moved = search(objective, iterate, _direction(objective, at, pairs))
    y = plus(moved.at.gradient, -1, at.gradient)
    s = plus(moved.at.x, -1, at.x)
    ys = objective.inner(y, s)
    # A model that did not move, or moved by nothing but rounding, gives a pair that changes nothing.
    ys = xp.where(ys > 0, ys, xp.zeros_like(ys))
    s = (
        s._replace(Z=()) if isinstance(y.Z, tuple) else s
    )  # nobody asks for the logits of a point where a gradient has none
    return moved._replace(memory=(*pairs[-PAIRS + 1 :], (s, y, ys)))


def fit(objective: Objective, b: Array, W: Array | None, most: int, tol: float) -> Compiled | None:
    """Return where all steps lead from W and b, in one compiled call; None where no kernel does them all."""
    return objective.lbfgs_fit(b, W, most, tol, (RULES, PATIENCE, PAIRS))


def _direction(objective: Objective, at: Evaluation, pairs: tuple[Pair, ...]) -> Vector:
    """Return −r, complete."""
    xp, q, alphas = array_namespace(at.norm), at.gradient._replace(Z=()), []
    for s, y, ys in reversed(pairs):
        alpha = ratio(objective.inner(q, s), ys)
        q = plus(q, -alpha, y)
        alphas.append(alpha)
    r = objective.precondition(at, q)
    if pairs:
        s, y, ys = pairs[-1]
        gamma = ratio(ys, objective.inner(objective.precondition(at, y), y))
        gamma = xp.where(gamma > 0, gamma, xp.ones_like(gamma))
        r = Vector(gamma * r.W, gamma * r.b)
    for (s, y, ys), alpha in zip(pairs, reversed(alphas), strict=True):
        r = plus(r, alpha - ratio(objective.inner(r, y), ys), s)
    return objective.complete(Vector(-r.W, -r.b))

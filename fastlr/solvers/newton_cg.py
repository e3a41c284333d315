"""Newton's method whose steps are found by conjugate gradients: no matrix is formed.

    ∇²f d = −∇f      by conjugate gradients, left when a further step no longer pays
    x ← x + t d      t by a line search, mostly 1

Each step of conjugate gradients reads the data twice in the primal form, or K once. It ends where it brought less than
a `SHARE` of the mean of all steps before it (S. Nash and A. Sofer, Assessing a search direction within a
truncated-Newton method, 1990). It is preconditioned by the objective. Source: J. Nocedal and S. Wright, Numerical
Optimization, §7.1.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from fastlr.backends.record import Backend, loop
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.protocol import Evaluation, Objective, Vector, plus, ratio
from fastlr.solvers.iterate import Iterate
from fastlr.solvers.iterate import start as start  # what a solver offers
from fastlr.solvers.line_search import search

SHARE = 0.25
LONGEST = 500  # steps of conjugate gradients


class _Search(NamedTuple):
    """Where the conjugate gradients are: `d` solves ∇²f d = −∇f but for the residual r."""

    d: Vector
    r: Vector
    p: Vector
    rz: Array  # (k, 1, 1)
    gained: Array  # by how much the quadratic model fell, (k, 1, 1)
    steps: Array
    active: Array  # 1 where it goes on, 0 where it has ended


def why_not(form: str, outputs: int) -> str | None:
    """Return None: it needs products alone, of any form, with any number of outputs."""
    return None


def step(backend: Backend, objective: Objective, iterate: Iterate) -> Iterate:
    """Return the iterate after one step of Newton's method."""
    return search(objective, iterate, direction(backend, objective, objective.curved(iterate.at)))


def direction(backend: Backend, objective: Objective, at: Evaluation) -> Vector:
    """Return d, complete."""
    whole = objective.conjugate_gradients(at, LONGEST, SHARE)
    if whole is not None:
        return whole
    xp, g = array_namespace(at.norm), at.gradient
    r = Vector(-g.W, -g.b)
    with_logits = at.x if objective.inner_needs_logits else at.x._replace(Z=())
    nothing = Vector(*(part if isinstance(part, tuple) else xp.zeros_like(part) for part in with_logits))
    zero, one = xp.zeros_like(at.norm), xp.ones_like(at.norm)
    now = _Search(nothing, r, nothing, zero, zero, zero, one)
    repeat = backend.repeat if objective.is_resident else loop
    for _ in range(LONGEST // backend.ahead):
        now = repeat(partial(_advance, objective, at), now, backend.ahead)
        if not bool(xp.any(now.active > 0)):
            break
    return now.d if objective.inner_needs_logits else objective.complete(now.d)


def _advance(objective: Objective, at: Evaluation, now: _Search) -> _Search:
    """Return the state of the conjugate gradients after one more step of those that are active."""
    xp = array_namespace(now.rz)
    needed = objective.inner_needs_logits
    z = objective.precondition(at, now.r)
    z = objective.complete(z) if needed else z
    rz = objective.inner(now.r, z)
    p = plus(z, ratio(rz, now.rz), now.p)
    q = objective.product(at, p if needed else objective.complete(p))
    pq = objective.inner(q, p)
    possible = (now.active > 0) & (pq > 0) & (rz > 0)
    alpha = xp.where(possible, ratio(rz, pq), xp.zeros_like(pq))
    gain = alpha * rz
    gained, steps = now.gained + gain, now.steps + 1
    active = xp.astype(possible & (steps * gain > SHARE * gained), rz.dtype)
    return _Search(plus(now.d, alpha, p), plus(now.r, -alpha, q), p, rz, gained, steps, active)

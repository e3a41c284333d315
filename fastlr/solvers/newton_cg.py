"""Newton's method whose steps are found by conjugate gradients: no matrix is formed.

    ∇²f d = −∇f      by conjugate gradients, left when a further step no longer pays
    x ← x + t d      t by a line search, mostly 1

Each step of conjugate gradients reads the data twice in the primal form, or K once. It ends where it brought less than
a `SHARE` of the mean of all steps before it (S. Nash and A. Sofer, Assessing a search direction within a
truncated-Newton method, 1990). It is preconditioned, see `preconditioner`. Source: J. Nocedal and S. Wright, Numerical
Optimization, §7.1.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers import convex
from fastlr.solvers.convex import Iterate
from fastlr.solvers.convex import start as start  # what a solver offers
from fastlr.solvers.line_search import search
from fastlr.solvers.preconditioner import mean_curvature, precondition
from fastlr.solvers.problem import Delegate, Problem, Vector

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


def step(backend: Delegate, problem: Problem, iterate: Iterate) -> Iterate:
    """Return the iterate after one step of Newton's method."""
    A = convex.probabilities(problem, iterate.Z)
    return search(problem, iterate, direction(backend, problem, iterate, A))


def direction(backend: Delegate, problem: Problem, iterate: Iterate, A: Array) -> Vector:
    """Return d with its logits; A is the iterate's probabilities."""
    xp, g = array_namespace(A), iterate.gradient
    form: Any = problem.form
    whole = form.kernels.get("gram_conjugate_gradients") if form.name == "gram" and A.shape[:2] == (1, 1) else None
    if whole is not None and not xp.any(form.square != 0):
        S = convex.curvature(problem, A, xp.ones_like(A))
        d: Vector = whole(form.K, form.factor, S, problem.l2, problem.mean, g, LONGEST, SHARE)
        return d
    nothing = Vector(xp.zeros_like(g.W), xp.zeros_like(g.b), xp.zeros_like(A))
    zero, one = xp.zeros_like(iterate.norm), xp.ones_like(iterate.norm)
    c = mean_curvature(problem, A)
    now = _Search(nothing, Vector(-g.W, -g.b), nothing, zero, zero, zero, one)
    for _ in range(LONGEST // backend.ahead):
        now = backend.repeat(partial(_advance, problem, A, c), now, backend.ahead)
        if not bool(xp.any(now.active > 0)):
            break
    return now.d


def _advance(problem: Problem, A: Array, c: Array, now: _Search) -> _Search:
    """Return the state of the conjugate gradients after one more step of those that are active."""
    xp = array_namespace(A)
    z = precondition(problem, c, now.r)
    z = z._replace(Z=problem.form.logits(z.W, z.b))
    rz = convex.inner(problem, now.r, z)
    beta = convex.ratio(rz, now.rz)
    p = Vector(*(u + beta * v for u, v in zip(z, now.p, strict=True)))
    q = convex.adjoint(problem, convex.curvature(problem, A, p.Z), p.W)
    pq = convex.inner(problem, q, p)
    possible = (now.active > 0) & (pq > 0) & (rz > 0)
    alpha = xp.where(possible, convex.ratio(rz, pq), xp.zeros_like(pq))
    gain = alpha * rz
    gained, steps = now.gained + gain, now.steps + 1
    active = xp.astype(possible & (steps * gain > SHARE * gained), rz.dtype)
    d = Vector(*(u + alpha * v for u, v in zip(now.d, p, strict=True)))
    r = Vector(now.r.W - alpha * q.W, now.r.b - alpha * q.b)
    return _Search(d, r, p, rz, gained, steps, active)

"""Newton's method with the whole matrix of second derivatives, for where it is small.

In the primal form, with x̃ = [scale x; 1], the matrix is made of blocks, one for each pair of units u, v:

    H_uv = x̃ diag(w a_u (δ_uv − a_v)) x̃ᵀ / m + δ_uv l2 I          (the intercept's place has no l2)

In the Gram form, for one unit, the direction W = C (scale X)ᵀ solves  S (K C + b) + l2 C = r  with S = w a (1 − a) / m:

    C = (r − h B⁻¹ h K r) / l2 − b h B⁻¹ h          B = l2 I + h K h,  h = √S
    b = −(db + S·K C₀) / (l2 h·B⁻¹ h)               C₀ = C for b = 0

whose B has no eigenvalue below l2 (C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, §3.4.3).
"""

from __future__ import annotations

from typing import Any

from array_api_compat import device

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers import convex
from fastlr.solvers.convex import Iterate
from fastlr.solvers.convex import start as start  # what a solver offers
from fastlr.solvers.line_search import search
from fastlr.solvers.problem import Delegate, Problem, Vector


def why_not(form: str, outputs: int) -> str | None:
    """Return why it cannot work on a form with so many outputs, None where it can."""
    if form == "gram" and outputs > 1:
        return "newton has no Gram form for more than two classes; take newton-cg, or form primal"
    return None


def step(backend: Delegate, problem: Problem, iterate: Iterate) -> Iterate:
    """Return the iterate after one step."""
    A = convex.probabilities(problem, iterate.Z)
    direction = _in_primal_form if problem.form.name == "primal" else _in_gram_form
    return search(problem, iterate, direction(problem, A, iterate))


def _in_primal_form(problem: Problem, A: Array, iterate: Iterate) -> Vector:
    """Return the direction, from the blocks of H."""
    xp, g, intercept = array_namespace(A), iterate.gradient, problem.network.intercept
    form: Any = problem.form
    k, units, n = g.W.shape
    size = n + intercept
    blocks: dict[tuple[int, int], Array] = {}
    for u in range(units):
        for v in range(u, units):
            S = A[:, u, :] * ((1 if u == v else 0) - A[:, v, :])
            S = S if problem.weights is None else S * problem.weights[:, 0, :]
            blocks[u, v] = blocks[v, u] = form.hessian(S, intercept)
    H = xp.concat([xp.concat([blocks[u, v] for v in range(units)], axis=2) for u in range(units)], axis=1)
    penalized = xp.astype(xp.arange(units * size, device=device(H)) % size < n, H.dtype)
    H = H + xp.eye(units * size, dtype=H.dtype, device=device(H)) * (problem.l2 * penalized)
    if units > 1:
        # A shift of all units alike is seen by l2 alone, and for the intercepts by nothing. The gradient has no such
        # part, so that what H is there changes nothing but that it can be inverted.
        mean = xp.mean(xp.reshape(core.diagonal(H), (k, units, size)), axis=1, keepdims=True)
        same = xp.eye(size, dtype=H.dtype, device=device(H)) * mean
        H = H + xp.tile(same, (1, units, units))
    right = xp.concat([g.W, g.b], axis=2) if intercept else g.W
    solved = xp.reshape(_solve(form, H, xp.reshape(right, (k, units * size, 1))), (k, units, size))
    W, b = -solved[..., :n], -solved[..., n:] if intercept else 0 * g.b
    return Vector(W, b, form.logits(W, b))


def _in_gram_form(problem: Problem, A: Array, iterate: Iterate) -> Vector:
    """Return the direction, from h K h."""
    form: Any = problem.form
    xp, m, g = array_namespace(A), A.shape[-1], iterate.gradient
    S = A * (1 - A) / m if problem.weights is None else A * (1 - A) * problem.weights / m
    h = xp.sqrt(S)
    # Without l2, what keeps the rounding of K from the division: the step is then a little shorter.
    least = core.rounding(h.dtype) ** 0.75 * xp.sum(S * form.diagonal, axis=-1, keepdims=True)
    l2 = xp.maximum(problem.l2, least)

    s = -iterate.W[..., -1:]  # l2 takes what is left of W₀ away
    r = -g.W[..., :-1] - S * (s * form.Z)
    Kr = form.logits(xp.concat([r, 0 * s], axis=-1), 0 * g.b)
    solved = form.solve(h, l2, xp.matrix_transpose(xp.concat([h * Kr, h], axis=-2)))
    first, of_h = (h * xp.matrix_transpose(solved[..., i : i + 1]) for i in range(2))
    W = xp.concat([(r - first) / l2, s], axis=-1)
    if not problem.network.intercept:
        return Vector(W, 0 * g.b, form.logits(W, 0 * g.b))
    shift = xp.concat([of_h, 0 * s], axis=-1)
    Z = form.logits(xp.concat([W, shift], axis=-2), 0 * g.b)  # of both in one reading of K
    Z, Z_shift = Z[..., :1, :], Z[..., 1:, :]
    b = -(g.b + xp.sum(S * Z, axis=-1, keepdims=True)) / (l2 * xp.sum(of_h, axis=-1, keepdims=True))
    return Vector(W - b * shift, b, Z + b * (1 - Z_shift))


def _solve(form: Any, H: Array, right: Array) -> Array:
    """Return H⁻¹ right for symmetric H (k, d, d), brought to a diagonal of ones first, and a little more than that."""
    xp = array_namespace(H)
    diagonal = core.diagonal(H)
    scale = 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))
    ridge = core.rounding(H.dtype) * xp.eye(H.shape[-1], dtype=H.dtype, device=device(H))
    down = xp.matrix_transpose(scale)
    solve = form.kernels.get("solve_positive", core.solve_positive)
    solved: Array = down * solve(H * scale * down + ridge, right * down)
    return solved

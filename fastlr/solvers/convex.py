"""What the solvers that converge have in common: the objective of k linear models, its gradient and its curvature.

    f(W, b) = J + l2/2 ‖W‖²          J = mean(w · loss(z, y)),  Z = A W + b,  A W = W (scale X)
    ∇f = [A*D + l2 W, mean(D)]       D = w (σ(Z) − Y), or w (softmax(Z) − Y);  A*D = D (scale X)ᵀ / m
    ∇²f P = [A*V + l2 P, mean(V)]    V = w σ(Z) (1 − σ(Z)) Z_P, or w A (Z_P − Σ A Z_P) with A = softmax(Z)

A and its adjoint A* are the form's, and so is the inner product of coordinates, which is that of the weights
themselves: every solver takes the same steps in both forms. Vectors carry their logits, so that a point on a line
needs no further pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.network import Deeper
from fastlr.solvers.problem import Problem, Vector, each


class Iterate(NamedTuple):
    """A point, with all that is known of the objective there; `(k, 1, 1)` where nothing else is said."""

    W: Array  # (k, units, d)
    b: Array  # (k, units, 1)
    Z: Array  # (k, units, m)
    D: Array  # (k, units, m), the derivative of m J by the logits
    cost: Array  # J
    objective: Array
    gradient: Vector  # its logits are there only where the form's inner product asks for them
    norm: Array  # of the gradient
    stalled: Array  # how many steps in a row brought neither a lower objective nor a lower norm
    memory: tuple[Any, ...] = ()  # what a solver remembers

    @property
    def point(self) -> Vector:
        """Return the parameters with their logits."""
        return Vector(self.W, self.b, self.Z)

    @property
    def deeper(self) -> Deeper:
        """Return no layers: the models are linear."""
        return ()

    def rows(self, models: Sequence[int]) -> Iterate:
        """Return the iterate of some of the models."""
        chosen: Iterate = each(lambda array: core.rows(array, models), self)
        return chosen


def start(problem: Problem, b: Array, W: Array | None = None) -> Iterate:
    """Return the iterate at coordinates W, else at the form's initial weights, and the intercepts `b (k, units, 1)`."""
    form = problem.form
    point = Vector(form.origin(), b, form.initial_logits() + b) if W is None else Vector(W, b, form.logits(W, b))
    J, D = value(problem, point.Z)
    objective = J + problem.l2 / 2 * weights_inner(problem, point, point)
    return at(problem, point, D, J, objective)


def at(problem: Problem, point: Vector, D: Array, J: Array, objective: Array) -> Iterate:
    """Return the iterate at a point whose D, J and objective are known: this is where the gradient is computed."""
    gradient = adjoint(problem, D, point.W)
    if problem.form.inner_needs_logits:
        gradient = gradient._replace(Z=problem.form.logits(gradient.W, gradient.b))
    xp, square = array_namespace(D), inner(problem, gradient, gradient)
    # Where the Gram form's square is all rounding it may be anything, also negative: no less than that is known then.
    norm = xp.sqrt(xp.maximum(square, _rounding_of_square(problem, gradient)))
    return Iterate(*point, D, J, objective, gradient, norm, 0 * norm)


def value(problem: Problem, Z: Array) -> tuple[Array, Array]:
    """Return J `(k, 1, 1)` and D `(k, units, m)` from the logits."""
    fused = problem.form.kernels.get("losses_and_residuals", core.losses_and_residuals)
    J, D = fused(Z, problem.Y, problem.weights)
    return J, D


def adjoint(problem: Problem, V: Array, P: Array) -> Vector:
    """Return [A*V + l2 P, mean(V)], without logits."""
    b = core.intercept_gradient(V)
    return Vector(problem.form.gradient(V) + problem.l2 * P, b if problem.network.intercept else 0 * b)


def inner(problem: Problem, u: Vector, v: Vector) -> Array:
    """Return ⟨u, v⟩ `(k, 1, 1)`; v has logits where the form's inner product asks for them."""
    return _total(problem.form.dot(u.W, v) + u.b * v.b)


def _rounding_of_square(problem: Problem, u: Vector) -> Array:
    """Return how large ⟨u, u⟩ may come out of rounding alone, `(k, 1, 1)`: 0 where its terms are squares."""
    xp = array_namespace(u.W)
    if not problem.form.inner_needs_logits:
        return xp.zeros_like(problem.l2)
    terms = xp.abs(u.W[..., :-1] * (u.Z - u.b))
    return xp.finfo(u.W.dtype).eps * xp.sum(xp.sum(terms, axis=-1, keepdims=True), axis=1, keepdims=True)


def weights_inner(problem: Problem, u: Vector, v: Vector) -> Array:
    """Return the part ⟨W_u, W_v⟩ `(k, 1, 1)` of it."""
    return _total(problem.form.dot(u.W, v))


def ratio(a: Array, b: Array) -> Array:
    """Return a / b, and 0 where b is not positive."""
    xp = array_namespace(b)
    return xp.where(b > 0, a / xp.where(b > 0, b, xp.ones_like(b)), xp.zeros_like(b))


def _total(dots: Array) -> Array:
    return array_namespace(dots).sum(dots, axis=1, keepdims=True)


def probabilities(problem: Problem, Z: Array) -> Array:
    """Return σ(Z) or softmax(Z)."""
    return core.sigmoid(Z) if problem.network.outputs == 1 else core.softmax(Z)


def curvature(problem: Problem, A: Array, Z: Array) -> Array:
    """Return V: the second derivative of each example's loss, times its weight, applied to logits of a direction."""
    V = A * (1 - A) * Z if problem.network.outputs == 1 else core.softmax_curvature(A, Z)
    return V if problem.weights is None else V * problem.weights

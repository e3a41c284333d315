"""The Gram form: the weights as combinations of the samples.

Full-batch gradient descent only ever adds multiples of the samples to the first layer's weights, and l2 only
shrinks them. So from initial weights W₀ every later W is  s W₀ + C (scale X)ᵀ  for some C (k, m) and s (k, 1),
and the whole trajectory can be followed in C and s:

    Z = s W₀ (scale X) + scale² C K + b,  K = XᵀX            dW = D (scale X)ᵀ / m + l2 W
    C ← C − learning_rate (D / m + l2 C)                     s ← s − learning_rate l2 s

A step then reads K, m² numbers, in place of X twice, 2·n·m numbers. K takes n·m² multiply-adds, once. Both
forms follow the same trajectory in exact arithmetic.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastlr import core
from fastlr.backends.record import NO_KERNELS, Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.form import Data, in_rows, in_units
from fastlr.objectives.preconditioner import Axes, Preconditioner
from fastlr.objectives.protocol import Vector

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class GramForm(Data):
    """Coefficients of the samples: a step reads K = XᵀX (m, m). The coordinates are [C, s], `(k, units, m + 1)`."""

    K: Any  # without its factor, and exact where X is uint8; kept as the kernels that made it like to read it
    factor: float  # of K: scale², or 1 where the features are standardized
    Z: Array  # the logits of the initial weights without intercept, (k, units, m)
    square: Array  # ‖W₀‖² of each unit, (k, units, 1)
    name: ClassVar[str] = "gram"
    arrays: ClassVar[tuple[str, ...]] = ("X", "W", "moments", "K", "Z", "square")
    has_kernels: ClassVar[bool] = True
    inner_needs_logits: ClassVar[bool] = True

    @property
    def for_kernels(self) -> tuple[Any, ...]:
        """Return K, its factor, and the logits of the initial weights."""
        return self.K, self.factor, self.Z

    @classmethod
    def of(
        cls,
        X: Array,
        W: Array,
        scale: float = 1.0,
        kernels: Kernels = NO_KERNELS,
        moments: tuple[Array, Array] | None = None,
    ) -> GramForm:
        """Return the form of the data; this is where K is computed."""
        Z = Data(X, W, scale, kernels, moments).initial_logits()
        square = array_namespace(W).sum(W * W, axis=-1, keepdims=True)
        if moments is None:
            gram_matrix: Callable[..., Any] = kernels.get("gram_matrix", core.gram_matrix)
            return cls(X, W, scale, kernels, moments, gram_matrix(X, W.dtype), scale**2, Z, square)
        standardized: Callable[..., Any] = kernels.get("standardized_gram_matrix", core.standardized_gram_matrix)
        return cls(X, W, scale, kernels, moments, standardized(X, *moments, scale), 1.0, Z, square)

    def initial_logits(self) -> Array:
        """Return Z, which is at hand."""
        return self.Z

    def origin(self) -> Array:
        """Return C = 0, s = 1; s = 0 where W₀ = 0, which it would count for nothing."""
        xp = array_namespace(self.Z)
        return xp.concat([xp.zeros_like(self.Z), xp.astype(self.square > 0, self.Z.dtype)], axis=-1)

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return s W₀ (scale X) + scale² C K + b."""
        gram_product: Callable[..., Array] = self.kernels.get("gram_product", core.gram_product)
        product = gram_product(in_rows(coordinates)[:, :-1] * self.factor, self.K)
        return coordinates[..., -1:] * self.Z + in_units(product, coordinates) + b

    def gradient(self, D: Array) -> Array:
        """Return [D / m, 0]."""
        xp = array_namespace(D)
        return xp.concat([D / D.shape[-1], xp.zeros_like(D[..., :1])], axis=-1)

    def dot(self, u: Array, v: Vector) -> Array:
        """Return ⟨s W₀ + C (scale X)ᵀ, W_v⟩ = s ⟨W₀, W_v⟩ + C Z_v, whose ⟨W₀, W_v⟩ = s_v ‖W₀‖² + C_v Z₀.

        ε C·C_v is added: where samples are alike some C stand for W = 0, and would grow unseen.
        """
        xp = array_namespace(u)
        initial = v.W[..., -1:] * self.square + xp.sum(v.W[..., :-1] * self.Z, axis=-1, keepdims=True)
        Z = v.Z - v.b + self.least * v.W[..., :-1]
        return u[..., -1:] * initial + xp.sum(u[..., :-1] * Z, axis=-1, keepdims=True)

    @functools.cached_property
    def least(self) -> Array:
        """Return ε (1, 1), the rounding of the mean of the diagonal of scale² K in float64."""
        return EPSILON * array_namespace(self.diagonal).mean(self.diagonal, axis=-1, keepdims=True)

    def weights(self, coordinates: Array) -> Array:
        """Return s W₀ + C (scale X)ᵀ."""
        return coordinates[..., -1:] * self.W + self.combine(coordinates[..., :-1])

    def spectrum(self, units: int, centred: bool, counts: Array | None) -> None:
        """Return None: the covariance of the features is not at hand."""

    def newton(self, A: Array, W: Array, gradient: Vector, l2: Array, counts: Array | None, intercept: bool) -> Vector:
        """Return the direction of Newton's method for one unit.

        The direction W = C (scale X)ᵀ solves  S (K C + b) + l2 C = r  with S = w a (1 − a) / m:

            C = (r − h B⁻¹ h K r) / l2 − b h B⁻¹ h          B = l2 I + h K h,  h = √S
            b = −(db + S·K C₀) / (l2 h·B⁻¹ h)               C₀ = C for b = 0

        whose B has no eigenvalue below l2 (C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning,
        §3.4.3).
        """
        xp, m, g = array_namespace(A), A.shape[-1], gradient
        S = A * (1 - A) / m if counts is None else A * (1 - A) * counts / m
        h = xp.sqrt(S)
        # Without l2, what keeps the rounding of K from the division: the step is then a little shorter.
        least = core.rounding(h.dtype) ** 0.75 * xp.sum(S * self.diagonal, axis=-1, keepdims=True)
        l2 = xp.maximum(l2, least)

        s = -W[..., -1:]  # l2 takes what is left of W₀ away
        r = -g.W[..., :-1] - S * (s * self.Z)
        Kr = self.logits(xp.concat([r, 0 * s], axis=-1), 0 * g.b)
        solved = self.solve(h, l2, xp.matrix_transpose(xp.concat([h * Kr, h], axis=-2)))
        first, of_h = (h * xp.matrix_transpose(solved[..., i : i + 1]) for i in range(2))
        W = xp.concat([(r - first) / l2, s], axis=-1)
        if not intercept:
            return Vector(W, 0 * g.b, self.logits(W, 0 * g.b))
        shift = xp.concat([of_h, 0 * s], axis=-1)
        Z = self.logits(xp.concat([W, shift], axis=-2), 0 * g.b)  # of both in one reading of K
        Z, Z_shift = Z[..., :1, :], Z[..., 1:, :]
        b = -(g.b + xp.sum(S * Z, axis=-1, keepdims=True)) / (l2 * xp.sum(of_h, axis=-1, keepdims=True))
        return Vector(W - b * shift, b, Z + b * (1 - Z_shift))

    def solve(self, h: Array, l2: Array, right: Array) -> Array:
        """Return (h scale² K h + l2 I)⁻¹ right (k, m, r) for h (k, 1, m) and l2 (k, 1, 1)."""
        solve: Callable[..., Array] = self.kernels.get("gram_solve", core.gram_solve)
        return solve(self.K, h * self.factor**0.5, l2, right)

    @functools.cached_property
    def diagonal(self) -> Array:
        """Return the diagonal of scale² K, (1, m)."""
        diagonal: Callable[..., Array] = self.kernels.get("gram_diagonal", core.diagonal)
        return self.factor * diagonal(self.K)[:, : self.X.shape[1]]

    def newton_steps(self, *arguments: Any) -> None:
        """Return None: there is no kernel for all of it."""

    def lbfgs_fit(self, *arguments: Any) -> None:
        """Return None: what is small is fitted in the primal form."""

    def conjugate_gradients(
        self, A: Array, counts: Array | None, l2: Array, preconditioner: Preconditioner, axes: Axes | None,
        gradient: Vector, longest: int, share: float,
    ) -> Vector | None:  # fmt: skip
        """Return the direction that a kernel finds for one model of one unit that starts at zero; else None."""
        kernel, xp = self.kernels.get("gram_conjugate_gradients"), array_namespace(A)
        if kernel is None or A.shape[:2] != (1, 1) or xp.any(self.square != 0):
            return None
        mean, S = preconditioner.mean, core.curvature_at(A, xp.ones_like(A), counts)
        means = None if mean is None else (mean.W[..., : A.shape[-1]], mean.Z)
        return Vector(*kernel(self.K, self.factor, S, l2, means, gradient.W, gradient.b, longest, share))

    def rows(self, models: Sequence[int]) -> GramForm:
        """Return the form for some of the models."""
        mine = {name: core.rows(getattr(self, name), models) for name in ("W", "Z", "square")}
        return replace(self, **mine)

    def batch(self, samples: Array) -> GramForm:
        """Raise: a batch's gradient is a combination of few samples, which this form has no shorter way for."""
        raise NotImplementedError("mini-batches have no Gram form")

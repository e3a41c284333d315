"""How the data enters the first layer.

Full-batch gradient descent only ever adds multiples of the examples to the first layer's weights, and l2 only
shrinks them. So from initial weights W₀ every later W is  s W₀ + C (scale X)ᵀ  for some C (k, m) and s (k, 1),
and the whole trajectory can be followed in C and s:

    Z = s W₀ (scale X) + scale² C K + b,  K = XᵀX            dW = D (scale X)ᵀ / m + l2 W
    C ← C − learning_rate (D / m + l2 C)                     s ← s − learning_rate l2 s

A step then reads K, m² numbers, in place of X twice, 2·n·m numbers. K takes n·m² multiply-adds, once. Both
forms follow the same trajectory in exact arithmetic.

A form is a vector space of coordinates: W itself in the primal form, [C, s] in the Gram form. A solver written
over `logits` and `gradient` never sees X. k models with so many units in their first layer are `(k, units, …)`, and
all of them share one reading of X.

Where the features are standardized, (scale X − mean) / deviation takes the place of scale X; pixels stay what they
are, since W ((x − mean) / deviation) = Ŵ x − Ŵ mean with Ŵ = W / deviation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

from array_api_compat import device

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers import problem
from fastlr.solvers.problem import Vector

Kernels = Mapping[str, Callable[..., Any]]  # a backend's replacements for functions of the core, by their names
NO_KERNELS: Kernels = MappingProxyType({})


class Form(problem.Form, Protocol):
    """What training asks of a form, beside what its solver does."""

    @classmethod
    def of(
        cls,
        X: Array,
        W: Array,
        scale: float = 1.0,
        kernels: Kernels = NO_KERNELS,
        moments: tuple[Array, Array] | None = None,
    ) -> Self:
        """Return the form of the data `X (n, m)`, of any real dtype, with initial weights `W (k, units, n)`.

        With `moments`, mean and deviation of the scaled features as `(1, n)`, it is that of standardized features.
        """

    @property
    def scale(self) -> float:
        """Return what multiplies the data."""

    @property
    def moments(self) -> tuple[Array, Array] | None:
        """Return the mean and the deviation that standardize the features, where they are standardized."""

    def weights(self, coordinates: Array) -> Array:
        """Return W (k, units, n)."""


@dataclass(frozen=True)
class _Data:
    """The data, the initial weights, and the functions that multiply them."""

    X: Array  # (n, m), of any real dtype
    W: Array  # (k, units, n)
    scale: float
    kernels: Kernels
    moments: tuple[Array, Array] | None

    def project(self, W: Array) -> Array:
        """Return W (scale X), or that of standardized features."""
        flat = _flat(W) if self.moments is None else _flat(W) / self.moments[1]
        Z = self.kernels.get("project", core.project)(flat, self.X, self.scale)
        return _like(Z if self.moments is None else Z - flat @ self.moments[0].T, W)

    def initial_logits(self) -> Array:
        """Return W₀ (scale X). Training mostly starts at zero: no need to read X for that."""
        xp = array_namespace(self.W)
        if xp.any(self.W != 0):
            return self.project(self.W)
        return xp.zeros((*self.W.shape[:2], self.X.shape[1]), dtype=self.W.dtype, device=device(self.W))

    def combine(self, C: Array) -> Array:
        """Return C (scale X)ᵀ, or that of standardized features."""
        xp, flat = array_namespace(C), _flat(C)
        W = self.kernels.get("combine", core.combine)(flat, self.X, self.scale)
        if self.moments is not None:
            mean, deviation = self.moments
            W = (W - xp.sum(flat, axis=1, keepdims=True) * mean) / deviation
        return _like(W, C)


@dataclass(frozen=True)
class PrimalForm(_Data):
    """The weights themselves: a step reads X (n, m), twice where there is no kernel for it."""

    name: ClassVar[str] = "primal"
    inner_needs_logits: ClassVar[bool] = False

    @property
    def has_kernels(self) -> bool:
        """Return whether the features are as they are: kernels know no others."""
        return self.moments is None

    @classmethod
    def of(
        cls,
        X: Array,
        W: Array,
        scale: float = 1.0,
        kernels: Kernels = NO_KERNELS,
        moments: tuple[Array, Array] | None = None,
    ) -> PrimalForm:
        """Return the form of the data; X is read as it is, converted tile by tile where need be."""
        return cls(X, W, scale, kernels, moments)

    def origin(self) -> Array:
        """Return the initial W: the coordinates are the weights."""
        return self.W

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return W (scale X) + b."""
        return self.project(coordinates) + b

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return self.combine(D / D.shape[-1])

    def dot(self, u: Array, v: Vector) -> Array:
        """Return the inner products of the coordinates: they are the weights."""
        return array_namespace(u).sum(u * v.W, axis=-1, keepdims=True)

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates

    def covariance(self, every: int, centred: bool) -> Array:
        """Return the features' covariance (n, n), or second moments where not centred, from every so many examples."""
        X, xp = self.X[:, ::every], array_namespace(self.W)
        ones = xp.ones((1, X.shape[1]), dtype=self.W.dtype, device=device(self.W))
        mean = core.combine(ones, X, self.scale / X.shape[1])
        given, deviation = self.moments or (xp.zeros_like(mean), xp.ones_like(mean))
        about = mean if centred else given
        moments = core.second_moments(X, self.W.dtype) * self.scale**2
        return (moments - mean.T @ about - about.T @ mean + about.T @ about) / (deviation.T @ deviation)

    def hessian(self, S: Array, intercept: bool) -> Array:
        """Return x̃ diag(S) x̃ᵀ / m (k, n + 1, n + 1) of x̃ = [scale x; 1] for S (k, m); without the 1 where not asked."""
        xp, m = array_namespace(S), S.shape[-1]
        moments = [core.second_moments(self.X, S.dtype, S[i : i + 1, :]) for i in range(S.shape[0])]
        H = xp.stack(moments) * self.scale**2
        sums = self.combine(S[:, None, :] / m)
        total = xp.mean(S, axis=-1)[:, None, None]
        if self.moments is not None:
            mean, deviation = self.moments
            shift = xp.matrix_transpose(sums * deviation) @ mean[None, ...]  # what Σ s x is in excess of Σ s mean
            H = (H - shift - xp.matrix_transpose(shift) - total * (mean.T @ mean)) / (deviation.T @ deviation)
        if not intercept:
            return H
        return xp.concat([xp.concat([H, sums], axis=1), xp.concat([xp.matrix_transpose(sums), total], axis=1)], axis=2)

    def rows(self, models: Sequence[int]) -> PrimalForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models))

    def batch(self, examples: Array) -> PrimalForm:
        """Return the form of some of the examples, which are copied."""
        return replace(self, X=core.rows(self.X.T, examples).T)


@dataclass(frozen=True)
class GramForm(_Data):
    """Coefficients of the examples: a step reads K = XᵀX (m, m). The coordinates are [C, s], `(k, units, m + 1)`."""

    K: Any  # without its factor, and exact where X is uint8; kept as the kernels that made it like to read it
    factor: float  # of K: scale², or 1 where the features are standardized
    Z: Array  # the logits of the initial weights without intercept, (k, units, m)
    square: Array  # ‖W₀‖² of each unit, (k, units, 1)
    name: ClassVar[str] = "gram"
    has_kernels: ClassVar[bool] = True
    inner_needs_logits: ClassVar[bool] = True

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
        Z = _Data(X, W, scale, kernels, moments).initial_logits()
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
        """Return C = 0, s = 1."""
        xp = array_namespace(self.Z)
        return xp.concat([xp.zeros_like(self.Z), xp.ones_like(self.Z[..., :1])], axis=-1)

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return s W₀ (scale X) + scale² C K + b."""
        gram_product: Callable[..., Array] = self.kernels.get("gram_product", core.gram_product)
        product = gram_product(_flat(coordinates)[:, :-1] * self.factor, self.K)
        return coordinates[..., -1:] * self.Z + _like(product, coordinates) + b

    def gradient(self, D: Array) -> Array:
        """Return [D / m, 0]."""
        xp = array_namespace(D)
        return xp.concat([D / D.shape[-1], xp.zeros_like(D[..., :1])], axis=-1)

    def dot(self, u: Array, v: Vector) -> Array:
        """Return ⟨s W₀ + C (scale X)ᵀ, W_v⟩ = s ⟨W₀, W_v⟩ + C Z_v, whose ⟨W₀, W_v⟩ = s_v ‖W₀‖² + C_v Z₀."""
        xp = array_namespace(u)
        initial = v.W[..., -1:] * self.square + xp.sum(v.W[..., :-1] * self.Z, axis=-1, keepdims=True)
        return u[..., -1:] * initial + xp.sum(u[..., :-1] * (v.Z - v.b), axis=-1, keepdims=True)

    def weights(self, coordinates: Array) -> Array:
        """Return s W₀ + C (scale X)ᵀ."""
        return coordinates[..., -1:] * self.W + self.combine(coordinates[..., :-1])

    def solve(self, h: Array, l2: Array, right: Array) -> Array:
        """Return (h scale² K h + l2 I)⁻¹ right (k, m, r) for h (k, 1, m) and l2 (k, 1, 1)."""
        solve: Callable[..., Array] = self.kernels.get("gram_solve", core.gram_solve)
        return solve(self.K, h * self.factor**0.5, l2, right)

    @functools.cached_property
    def diagonal(self) -> Array:
        """Return the diagonal of scale² K, (1, m)."""
        diagonal: Callable[..., Array] = self.kernels.get("gram_diagonal", core.diagonal)
        return self.factor * diagonal(self.K)[:, : self.X.shape[1]]

    def rows(self, models: Sequence[int]) -> GramForm:
        """Return the form for some of the models."""
        mine = {name: core.rows(getattr(self, name), models) for name in ("W", "Z", "square")}
        return replace(self, **mine)

    def batch(self, examples: Array) -> GramForm:
        """Raise: a batch's gradient is a combination of few examples, which this form has no shorter way for."""
        raise NotImplementedError("mini-batches have no Gram form")


def _flat(array: Array) -> Array:
    """Return `(k, units, …)` as rows, `(k · units, …)`."""
    return array_namespace(array).reshape(array, (-1, array.shape[-1]))


def _like(rows: Array, array: Array) -> Array:
    """Return rows as `(k, units, …)`, as those of an array are."""
    return array_namespace(rows).reshape(rows, (*array.shape[:2], -1))


FORMS: dict[str, type[PrimalForm] | type[GramForm]] = {form.name: form for form in (PrimalForm, GramForm)}

"""How the data enter the first layer: linear maps between coordinates `(k, units, d)` and samples.

A form is a vector space of coordinates: W itself in the primal form, [C, s] in the Gram form. k models with so many
units in their first layer are `(k, units, …)`, and all of them share one reading of X.

Where the features are standardized, (scale X − mean) / deviation takes the place of scale X; pixels stay what they
are, since W ((x − mean) / deviation) = Ŵ x − Ŵ mean with Ŵ = W / deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from array_api_compat import device

from fastlr import core
from fastlr.backends.record import NO_KERNELS, Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.preconditioner import Axes, Preconditioner
from fastlr.objectives.protocol import Compiled, Evaluation, Passed, Vector

SOME = 8  # rows of a product, and
MANY = 2**26  # its multiply-adds, from which a BLAS is faster than the kernels


class Form(Protocol):
    """What an objective asks of a form."""

    name: ClassVar[str]
    inner_needs_logits: ClassVar[bool]  # whether `dot` takes it from the logits of v

    @property
    def scale(self) -> float:
        """Return what multiplies the data."""

    @property
    def moments(self) -> tuple[Array, Array] | None:
        """Return the mean and the deviation that standardize the features, where they are standardized."""

    @property
    def kernels(self) -> Kernels:
        """Return the backend's replacements for functions of the core, and for steps of gradient descent."""

    @property
    def has_kernels(self) -> bool:
        """Return whether kernels can do all of gradient descent's steps on it."""

    @property
    def for_kernels(self) -> tuple[Any, ...]:
        """Return what those kernels read: their first arguments."""

    def origin(self) -> Array:
        """Return the coordinates of the initial weights."""

    def initial_logits(self) -> Array:
        """Return Z (k, units, m) for the initial weights, without intercepts."""

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return Z (k, units, m) for these coordinates and the intercepts `b (k, units, 1)`."""

    def gradient(self, D: Array) -> Array:
        """Return the coordinates of D (scale X)ᵀ / m, which is dW without its l2 part, for `D (k, units, m)`."""

    def dot(self, u: Array, v: Vector) -> Array:
        """Return the inner product (k, units, 1) of the weights with coordinates u and those of v, unit by unit."""

    def weights(self, coordinates: Array) -> Array:
        """Return W (k, units, n)."""

    def spectrum(self, work: int, centred: bool, counts: Array | None) -> tuple[Array, Array] | None:
        """Return eigenvectors `(n, n)` and eigenvalues `(n,)` of the features' covariance, where that is known cheaply.

        `work` is how many units of all models there are to fit; where the eigenvectors cost more than they save: None.
        `counts (k, 1, m)` are those of the models.
        """

    def newton(self, A: Array, W: Array, gradient: Vector, l2: Array, counts: Array | None, intercept: bool) -> Vector:
        """Return the direction of Newton's method at probabilities A, from the whole matrix of second derivatives."""

    def newton_steps(
        self, at: Evaluation, Y: Array, l2: Array, counts: Array | None, intercept: bool, rules: tuple[Any, ...],
        most: int, tol: float,
    ) -> tuple[Evaluation, Array, Passed] | None:  # fmt: skip
        """Return what `Objective.newton_steps` does."""

    def lbfgs_fit(
        self, W: Array, b: Array, Y: Array, l2: Array, counts: Array | None, intercept: bool, most: int, tol: float,
        settings: tuple[Any, ...],
    ) -> Compiled | None:  # fmt: skip
        """Return what `Objective.lbfgs_fit` does; None without a kernel for it."""

    def conjugate_gradients(
        self, A: Array, counts: Array | None, l2: Array, preconditioner: Preconditioner, axes: Axes | None,
        gradient: Vector, longest: int, share: float,
    ) -> Vector | None:  # fmt: skip
        """Return what a kernel finds of that direction by conjugate gradients; None where there is no kernel.

        A are the probabilities, `axes` those of their mean curvature, where there is a spectrum.
        """

    def rows(self, models: Sequence[int]) -> Self:
        """Return the form for some of the k models, given by their indices."""

    def batch(self, samples: Array) -> Self:
        """Return the form of some of the samples, given by an array of their indices."""


@dataclass(frozen=True)
class Data:
    """The data, the initial weights, and the functions that multiply them."""

    X: Array  # (n, m), of any real dtype
    W: Array  # (k, units, n)
    scale: float
    kernels: Kernels
    moments: tuple[Array, Array] | None

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
        return cls(X, W, scale, kernels, moments)

    def project(self, W: Array) -> Array:
        """Return W (scale X), or that of standardized features."""
        rows = in_rows(W) if self.moments is None else in_rows(W) / self.moments[1]
        Z = self._product("project", W, core.project)(rows, self.X, self.scale)
        return in_units(Z if self.moments is None else Z - rows @ self.moments[0].T, W)

    def _product(self, name: str, of: Array, plain: Callable[..., Array]) -> Callable[..., Array]:
        """Return what multiplies X by the rows of some models, `(k, units, …)`: a kernel, or the library.

        Kernels that do all inner steps are for one model alone. Where several step together, no kernel follows whose
        CPUs the spinning threads of a BLAS would take, and it is the faster.
        """
        k, units = of.shape[:2]
        large = k > 1 and k * units > SOME and k * units * math.prod(self.X.shape) >= MANY
        kernel: Callable[..., Array] = self.kernels.get(name, plain)
        return plain if large and self.X.dtype == of.dtype else kernel

    def initial_logits(self) -> Array:
        """Return W₀ (scale X). Training mostly starts at zero: no need to read X for that."""
        xp = array_namespace(self.W)
        if xp.any(self.W != 0):
            return self.project(self.W)
        return xp.zeros((*self.W.shape[:2], self.X.shape[1]), dtype=self.W.dtype, device=device(self.W))

    def combine(self, C: Array, factor: float = 1.0) -> Array:
        """Return factor C (scale X)ᵀ, or that of standardized features."""
        xp, rows = array_namespace(C), in_rows(C)
        W = self._product("combine", C, core.combine)(rows, self.X, factor * self.scale)
        if self.moments is not None:
            mean, deviation = self.moments
            W = (W - factor * xp.sum(rows, axis=1, keepdims=True) * mean) / deviation
        return in_units(W, C)


def in_rows(array: Array) -> Array:
    """Return `(k, units, …)` as rows, `(k · units, …)`."""
    return array_namespace(array).reshape(array, (-1, array.shape[-1]))


def in_units(rows: Array, array: Array) -> Array:
    """Return rows as `(k, units, …)`, as those of an array are."""
    return array_namespace(rows).reshape(rows, (*array.shape[:2], -1))

"""The primal form of many problems of one shape, each with data of its own: their products are one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fastlr import core
from fastlr.backends.record import NO_KERNELS, Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.preconditioner import Axes, Preconditioner
from fastlr.objectives.protocol import Evaluation, Passed, Vector


@dataclass(frozen=True)
class BatchForm:
    """Data `X (k, m, n)` in floats, and initial weights `W (k, units, n)`, of k models."""

    X: Array
    W: Array
    scale: float = 1.0
    name: ClassVar[str] = "batch"
    arrays: ClassVar[tuple[str, ...]] = ("X", "W")
    inner_needs_logits: ClassVar[bool] = False
    moments: ClassVar[None] = None
    kernels: ClassVar[Kernels] = NO_KERNELS
    has_kernels: ClassVar[bool] = False
    for_kernels: ClassVar[tuple[Any, ...]] = ()

    def origin(self) -> Array:
        """Return the initial W: the coordinates are the weights."""
        return self.W

    def initial_logits(self) -> Array:
        """Return W₀ (scale X)."""
        return self.logits(self.W, 0.0)

    def logits(self, coordinates: Array, b: Array | float) -> Array:
        """Return W (scale X) + b `(k, units, m)`."""
        return (self.scale * coordinates) @ array_namespace(self.X).matrix_transpose(self.X) + b

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return (D * (self.scale / D.shape[-1])) @ self.X

    def dot(self, u: Array, v: Vector) -> Array:
        """Return the inner products of the coordinates: they are the weights."""
        return array_namespace(u).sum(u * v.W, axis=-1, keepdims=True)

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates

    def spectrum(self, work: int, centred: bool, counts: Array | None) -> None:
        """Return None: each problem has a covariance of its own, and finding its eigenvectors is no batch."""

    def newton(self, A: Array, W: Array, gradient: Vector, l2: Array, counts: Array | None, intercept: bool) -> Vector:
        """Raise: newton-cg is what batches are fitted by."""
        raise NotImplementedError("a batch is fitted by newton-cg")

    def newton_steps(
        self, at: Evaluation, Y: Array, l2: Array, counts: Array | None, intercept: bool, rules: tuple[Any, ...],
        most: int, tol: float,
    ) -> tuple[Evaluation, Array, Passed] | None:  # fmt: skip
        """Return None: there is no kernel for it."""
        return None

    def lbfgs_fit(self, *arguments: Any) -> None:
        """Return None: the kernel takes the whole batch, see `training.many`."""

    def conjugate_gradients(
        self, A: Array, counts: Array | None, l2: Array, preconditioner: Preconditioner, axes: Axes | None,
        gradient: Vector, longest: int, share: float,
    ) -> None:  # fmt: skip
        """Return None: there is no kernel for it."""

    def rows(self, models: Sequence[int]) -> BatchForm:
        """Return the form of some of the models."""
        return replace(self, X=core.rows(self.X, models), W=core.rows(self.W, models))

    def batch(self, samples: Array) -> BatchForm:
        """Return the form of some of the samples of each."""
        return replace(self, X=array_namespace(samples).take(self.X, samples, axis=1))

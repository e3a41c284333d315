"""The primal form: the weights themselves. A step reads X (n, m), twice where there is no kernel for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from array_api_compat import device

from fastlr import core
from fastlr.backends.record import Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace, itemsize_of
from fastlr.objectives import preconditioner
from fastlr.objectives.form import Data
from fastlr.objectives.protocol import Vector

EVERY = 8  # examples of which one is looked at for the mean curvature
FUSED = 2**19  # bytes of one model's weights that stay in the cache of a CPU's core


def fuses(kernels: Kernels, units: int, n: int, itemsize: int) -> bool:
    """Return whether a softmax's loss and gradient are made in one reading of the examples."""
    return "loss_and_gradient" in kernels and units > 1 and units * n * itemsize <= FUSED


@dataclass(frozen=True)
class PrimalForm(Data):
    """The weights themselves."""

    name: ClassVar[str] = "primal"
    arrays: ClassVar[tuple[str, ...]] = ("X", "W", "moments")
    inner_needs_logits: ClassVar[bool] = False

    @property
    def has_kernels(self) -> bool:
        """Return whether the features are as they are: kernels know no others."""
        return self.moments is None

    @property
    def for_kernels(self) -> tuple[Any, ...]:
        """Return X and its scale."""
        return self.X, self.scale

    def origin(self) -> Array:
        """Return the initial W: the coordinates are the weights."""
        return self.W

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return W (scale X) + b."""
        return self.project(coordinates) + b

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return self.combine(D / D.shape[-1])

    def loss_and_gradient(
        self, x: Vector, labels: Array, counts: Array | None = None
    ) -> tuple[Array, Array, Array, Array]:
        """Return J, dW, db and the mean curvature (k, 1, 1) at weights and intercepts, from labels `(m,)`.

        Labels are 0 and 1 for one unit, else the indices of the units. One reading of X where a kernel does all of it.
        """
        xp, kernels, (_, units, n) = array_namespace(x.W), self.kernels, x.W.shape
        if fuses(kernels, units, n, itemsize_of(x.W)):
            W = x.W if self.moments is None else x.W / self.moments[1]
            b = x.b if self.moments is None else x.b - W @ self.moments[0].T
            if (found := kernels["loss_and_gradient"](W, b, self.X, labels, self.scale, counts, EVERY)) is not None:
                J, dW, db, c = found
                dW = dW if self.moments is None else (dW - db * self.moments[0]) / self.moments[1]
                return J, dW, db, xp.maximum(c, xp.full_like(c, preconditioner.LEAST))
        first = 1 if units == 1 else 0
        Y = xp.astype(labels == xp.arange(first, first + units, device=device(labels))[:, None], x.W.dtype)
        Z = self.logits(x.W, x.b)
        J, D = kernels.get("losses_and_residuals", core.losses_and_residuals)(Z, Y[None, ...], counts)
        some = Z[..., ::EVERY]
        A = core.sigmoid(some) if units == 1 else core.softmax(some)
        c = preconditioner.mean_curvature(A, None if counts is None else counts[..., ::EVERY])
        return J, self.gradient(D), core.intercept_gradient(D), c

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

    def spectrum(self, units: int, centred: bool) -> tuple[Array, Array] | None:
        """Return eigenvectors and eigenvalues of the covariance, where they save more than they take."""
        n, m = self.X.shape
        if not preconditioner.pays(n, m, units):
            return None
        return preconditioner.eigen(self.covariance(preconditioner.every(n, m), centred))

    def newton(self, A: Array, W: Array, gradient: Vector, l2: Array, counts: Array | None, intercept: bool) -> Vector:
        """Return the direction of Newton's method, whose matrix is made of a block H_uv for each pair of units.

        With x̃ = [scale x; 1], H_uv = x̃ diag(w a_u (δ_uv − a_v)) x̃ᵀ / m + δ_uv l2 I; the intercept has no l2.
        """
        xp, g = array_namespace(A), gradient
        k, units, n = g.W.shape
        size = n + intercept
        blocks: dict[tuple[int, int], Array] = {}
        for u in range(units):
            for v in range(u, units):
                S = A[:, u, :] * ((1 if u == v else 0) - A[:, v, :])
                S = S if counts is None else S * counts[:, 0, :]
                blocks[u, v] = blocks[v, u] = self.hessian(S, intercept)
        H = xp.concat([xp.concat([blocks[u, v] for v in range(units)], axis=2) for u in range(units)], axis=1)
        penalized = xp.astype(xp.arange(units * size, device=device(H)) % size < n, H.dtype)
        H = H + xp.eye(units * size, dtype=H.dtype, device=device(H)) * (l2 * penalized)
        if units > 1:
            # A shift of all units alike is seen by l2 alone, and for the intercepts by nothing. The gradient has no
            # such part, so that what H is there changes nothing but that it can be inverted.
            mean = xp.mean(xp.reshape(core.diagonal(H), (k, units, size)), axis=1, keepdims=True)
            same = xp.eye(size, dtype=H.dtype, device=device(H)) * mean
            H = H + xp.tile(same, (1, units, units))
        right = xp.concat([g.W, g.b], axis=2) if intercept else g.W
        solved = xp.reshape(self._solve(H, xp.reshape(right, (k, units * size, 1))), (k, units, size))
        W, b = -solved[..., :n], -solved[..., n:] if intercept else 0 * g.b
        return Vector(W, b, self.logits(W, b))

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

    def _solve(self, H: Array, right: Array) -> Array:
        """Return H⁻¹ right for symmetric H (k, d, d), brought to a diagonal of ones first, and a little more."""
        xp = array_namespace(H)
        diagonal = core.diagonal(H)
        scale = 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))
        ridge = core.rounding(H.dtype) * xp.eye(H.shape[-1], dtype=H.dtype, device=device(H))
        down = xp.matrix_transpose(scale)
        solve = self.kernels.get("solve_positive", core.solve_positive)
        solved: Array = down * solve(H * scale * down + ridge, right * down)
        return solved

    def conjugate_gradients(self, *arguments: Any) -> None:
        """Return None: there is no kernel for all of it."""

    def rows(self, models: Sequence[int]) -> PrimalForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models))

    def batch(self, examples: Array) -> PrimalForm:
        """Return the form of some of the examples, which are copied."""
        return replace(self, X=core.rows(self.X.T, examples).T)

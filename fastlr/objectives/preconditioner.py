"""A change of variables in which the objective is rounder.

The intercept is taken where the mean of the logits is zero: b = b' − W μ with μ the mean of the samples, so that what
all samples share does not couple W to b. Where the features' covariance was worked out, Σ = V Λ Vᵀ, and c is
the mean curvature of the loss, ∇²f is close to  V (c Λ + l2) Vᵀ  for W and to c for b'; that is divided out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastlr import core
from fastlr.backends.record import NO_KERNELS, Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.protocol import Vector

LEAST = 1e-6  # curvature
PASSES = 150  # over the data, that knowing the covariance is thought to save
EIGEN = 10  # n³ operations that its eigenvectors take
ENOUGH = 8  # samples for each feature, from which the covariance is known well enough, but for rare features
ULPS = 4  # of the largest eigenvalue, to which the others are known
CHEAP = 8  # products with the second derivatives, for the price of which more samples are looked at


class Preconditioner(NamedTuple):
    """The mean of the samples `(1 or k, 1, d)`, as counted, and the spectrum of the features; each may be unknown."""

    mean: Vector | None = None
    spectrum: tuple[Array, Array] | None = None  # eigenvectors (n, n) and eigenvalues (n,)

    def __call__(
        self, c: Array, l2: Array, r: Vector, dot: Callable[[Array, Vector], Array], kernels: Kernels = NO_KERNELS
    ) -> Vector:
        """Return M r, M close to the inverse of ∇²f where the mean curvature is c `(k, 1, 1)`; without logits."""
        W, b = r.W, r.b
        if self.mean is not None:
            W = W - b * self.mean.W
        if self.spectrum is not None:
            V, eigenvalues = self.spectrum
            multiply = kernels.get("multiply", core.multiply)
            W = multiply(multiply(W, V) / curvatures(eigenvalues, c, l2), V.T)
            b = b / c
        if self.mean is not None:
            b = b - dot(W, self.mean)
        if b.shape[1] > 1:
            # The loss does not see a shift of all intercepts alike: what rounding brings of it would only grow.
            b = b - array_namespace(b).mean(b, axis=1, keepdims=True)
        return Vector(W, b)

    def of_one(self, model: int, c: Array, l2: Array) -> tuple[Array | None, tuple[Array, Array] | None]:
        """Return the mean (n,) for one of the models, and the eigenvectors with the curvatures (n,) along them."""
        mean = None if self.mean is None else self.mean.W[model % self.mean.W.shape[0], 0, :]
        turned = None if self.spectrum is None else (self.spectrum[0], curvatures(self.spectrum[1], c, l2)[0, :])
        return mean, turned


def eigen(
    square: Array, mean: Array, standardized: tuple[Array, Array] | None, centred: bool
) -> tuple[Array, Array]:  # fmt: skip
    """Return the eigenvectors and eigenvalues of the features' covariance.

    An eigenvalue that rounding hides is given as −r, where r is about as large as the rounding. The covariance is made
    of the mean of x xᵀ (n, n) and that of x (1, n). Where it is not centred, it is the second moments. Mean and
    deviation, where there are any, standardize the features.
    """
    xp = array_namespace(square)
    given, deviation = standardized or (xp.zeros_like(mean), xp.ones_like(mean))
    about = mean if centred else given
    covariance = (square - mean.T @ about - about.T @ mean + about.T @ about) / (deviation.T @ deviation)
    eigenvalues, V = xp.linalg.eigh(covariance)
    largest = xp.max(eigenvalues)
    largest = xp.where(largest > 0, largest, xp.ones_like(largest))
    # A covariance has no negative eigenvalue: one that was found says how much the subtraction of the mean rounds.
    rounding = xp.maximum(ULPS * xp.finfo(V.dtype).eps * largest, -2 * xp.min(eigenvalues))
    return V, xp.where(eigenvalues > rounding, eigenvalues, -rounding)


def curvatures(eigenvalues: Array, c: Array, l2: Array) -> Array:
    """Return c λ + l2 `(k, 1, n)`, close to the second derivatives along the eigenvectors.

    Features that say the same have directions along which there is neither a gradient nor, without l2, a curvature. The
    largest stands for it there, so that what rounding brings of the gradient does not grow.
    """
    xp = array_namespace(eigenvalues)
    largest = xp.max(eigenvalues)
    without_l2 = l2 < c * xp.finfo(eigenvalues.dtype).eps * largest
    return c * xp.where(without_l2 & (eigenvalues < 0), largest, xp.abs(eigenvalues)) + l2


def every(n: int, m: int, units: int) -> int:
    """Return which of the samples are looked at for the covariance of n features: every so many."""
    return -(-m // _looked_at(n, m, units))


def spectrum_work(n: int, m: int, units: int) -> int:
    """Return how many multiply-adds the features' eigenvectors take, about."""
    return eigen_work(n, _looked_at(n, m, units))


def eigen_work(n: int, samples: int) -> int:
    """Return the same where it is said how many samples are looked at."""
    return samples * n * n + EIGEN * n**3


def pays(n: int, m: int, units: int, share: float = 1.0) -> bool:
    """Return whether the spectrum of n features saves more than it takes, for the units of all models.

    `share` is how many of the passes that it mostly saves it saves here.
    """
    return spectrum_work(n, m, units) < share * PASSES * 2 * units * n * m


def _looked_at(n: int, m: int, units: int) -> int:
    """Return how many samples are looked at."""
    return min(m, max(ENOUGH * n, CHEAP * 2 * units * m // n))


def mean_curvature(S: Array) -> Array:
    """Return c `(k, 1, 1)`, the mean of the loss's second derivatives A (1 − A), as counted, `S (k, units, m)`.

    One for all units: what shifts all of them alike, a softmax does not see, and it must stay so.
    """
    xp = array_namespace(S)
    c = xp.mean(S, axis=(1, 2), keepdims=True)
    return xp.maximum(c, xp.full_like(c, LEAST))

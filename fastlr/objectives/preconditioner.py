"""A change of variables in which the objective is rounder.

The intercept is taken where the mean of the logits is zero: b = b' − W μ with μ the mean of the samples, so that what
all samples share does not couple W to b. Where the features' covariance was worked out, Σ = V Λ Vᵀ, and C = U d Uᵀ
is the mean over the samples of the second derivatives of the loss by the logits, diag(a) − a aᵀ, ∇²f is close to
C ⊗ Σ + l2  for W and to C for b', as if a sample's probabilities did not depend on its features. That is divided out:

    W ← U ((Uᵀ W V) / (d Λ + l2)) Vᵀ,    b' ← U ((Uᵀ b') / d)

Source: the approximation of J. Martens and R. Grosse, Optimizing neural networks with Kronecker-factored approximate
curvature (2015), for one layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends.record import NO_KERNELS, Kernels
from fastlr.core import Array
from fastlr.namespace import array_namespace, widest
from fastlr.objectives.protocol import Vector, without_shift

LEAST, SMALL = 1e-6, 1e-3  # curvature along an axis, and its share of the mean: less is taken for as much
EVERY, FEW = 8, 2**16  # samples of which one is looked at for C in a block of them, and logits up to which all are
GOLDEN = 2654435769  # 2³² times the golden ratio less 1: fractions of its multiples lie evenly, and follow no period
CLASSES = 128  # up to which C is worked out; for more, the mean of its eigenvalues stands for all
PASSES = 150  # over the data, that knowing the covariance is thought to save
EIGEN = 10  # n³ operations that its eigenvectors take
ENOUGH = 8  # samples for each feature, from which the covariance is known well enough, but for rare features
ALIKE = 1e-3  # difference of a weight from 1 that makes none in the covariance
ULPS = 4  # of the largest eigenvalue, to which the others are known
CHEAP = 8  # products with the second derivatives, for the price of which more samples are looked at

Axes = tuple[Array | None, Array]  # U and d; see `axes_of`


class Preconditioner(NamedTuple):
    """The mean of the samples `(1 or k, 1, d)`, as counted, and the spectrum of the features; each may be unknown."""

    mean: Vector | None = None
    spectrum: tuple[Array, Array] | None = None  # eigenvectors (n, n) and eigenvalues (n,)

    def __call__(
        self,
        axes: Axes | None,
        l2: Array,
        r: Vector,
        dot: Callable[[Array, Vector], Array],
        kernels: Kernels = NO_KERNELS,
    ) -> Vector:
        """Return M r, M close to the inverse of ∇²f, without logits."""
        W, b = r.W, r.b
        if self.mean is not None:
            W = W - b * self.mean.W
        if self.spectrum is not None and axes is not None:
            (V, eigenvalues), (U, d) = self.spectrum, axes
            multiply = kernels.get("multiply", core.multiply)
            W = multiply(W, V)
            if U is None:
                W, b = W / curvatures(eigenvalues, d, l2), b / d
            else:
                down = array_namespace(U).matrix_transpose(U)
                W, b = U @ ((down @ W) / curvatures(eigenvalues, d, l2)), U @ ((down @ b) / d)
            W = multiply(W, V.T)
        if self.mean is not None:
            b = b - dot(W, self.mean)
        return Vector(W, without_shift(b))

    def of_one(self, model: int, axes: Axes | None, l2: Array) -> tuple[Array | None, tuple[Array, ...] | None]:
        """Return what kernels are told for one of the models: the mean (n,), and V, U, d and the curvatures.

        U is of no units where it is not known; d (units,) and the curvatures `(units, n)` then have one row.
        """
        mean = None if self.mean is None else self.mean.W[model % self.mean.W.shape[0], 0, :]
        if self.spectrum is None or axes is None:
            return mean, None
        V, eigenvalues = self.spectrum
        xp, U, d = array_namespace(V), axes[0], axes[1][model, :, :]
        U = xp.zeros((0, 0), dtype=V.dtype, device=device(V)) if U is None else U[model, :, :]
        return mean, (V, U, d[:, 0], curvatures(eigenvalues, d, l2[model, :, :]))


def eigen(
    square: Array, mean: Array, weight: Array, standardized: tuple[Array, Array] | None, centred: bool
) -> tuple[Array, Array] | None:  # fmt: skip
    """Return the eigenvectors and eigenvalues of the features' covariance; None where no sample counts.

    The covariance is made of the means of w x xᵀ (n, n), of w x (1, n), and of the weights w (1, 1). Where it is not
    centred, it is the second moments. Mean and deviation, where there are any, standardize the features.

    An eigenvalue that rounding hides is given as −r, where r is about as large as the rounding. The second moments of a
    feature are rounded in proportion to their size. So r depends on which features an eigenvector is made of. The
    eigenvectors are worked out in float64: float32 would mix features of 10⁻³ with those of 10³.
    """
    xp, dtype = array_namespace(square), square.dtype
    if not bool(xp.any(weight > 0)):
        return None
    square, mean = square / weight, mean / weight
    given, deviation = standardized or (xp.zeros_like(mean), xp.ones_like(mean))
    about = mean if centred else given
    covariance = (square - mean.T @ about - about.T @ mean + about.T @ about) / (deviation.T @ deviation)
    sizes = core.diagonal(square)[0, :] / deviation[0, :] ** 2
    double = widest(square)
    eigenvalues, V = xp.linalg.eigh(xp.astype(covariance, double))
    largest = xp.max(eigenvalues)
    largest = xp.where(largest > 0, largest, xp.ones_like(largest))
    eps, least = xp.finfo(dtype).eps, largest * (xp.finfo(double).eps / xp.finfo(dtype).eps)
    sizes = xp.maximum(xp.astype(sizes, double) @ (V * V), least)  # the second moments that each eigenvector is made of
    # A covariance has no negative eigenvalue: one that was found says how much the subtraction of the mean rounds.
    found = xp.max(-2 * eigenvalues / sizes)
    rounding = xp.maximum(found, xp.full_like(found, ULPS * eps)) * sizes
    return xp.astype(V, dtype), xp.astype(xp.where(eigenvalues > rounding, eigenvalues, -rounding), dtype)


def curvatures(eigenvalues: Array, d: Array, l2: Array) -> Array:
    """Return d λ + l2 for d `(…, units or 1, 1)`, close to the second derivatives along the eigenvectors.

    Features that say the same have directions along which there is neither a gradient nor, without l2, a curvature. The
    largest stands for it there, so that what rounding brings of the gradient does not grow.
    """
    xp = array_namespace(eigenvalues)
    largest = xp.max(xp.abs(eigenvalues))
    without_l2 = l2 < d * xp.finfo(eigenvalues.dtype).eps * largest
    return d * xp.where(without_l2 & (eigenvalues < 0), largest, xp.abs(eigenvalues)) + l2


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


def every_for_classes(logits: int) -> int:
    """Return of how many samples one is looked at for C, in a block of so many logits."""
    return EVERY if logits > FEW else 1


def some_of(m: int, every: int) -> NDArray[np.int64]:
    """Return the indices of samples that stand for all m: of each `every` one, at a place that follows no period.

    So that samples or weights that repeat, such as those of folds i % 2, do not leave out all of them.
    """
    number = np.arange(-(-m // every))
    indices = number * every + ((number * GOLDEN & 0xFFFFFFFF) * every >> 32)
    return indices[indices < m]


def take(array: Array, samples: NDArray[np.int64], axis: int = -1) -> Array:
    """Return some of the samples, which are along an axis."""
    xp = array_namespace(array)
    return xp.take(array, xp.asarray(samples, device=device(array)), axis=axis)


def counted_for(counts: Array | None, looked_at: NDArray[np.int64]) -> Array | float:
    """Return how many times as much all samples count as those that were looked at, `(k, 1, 1)`; 1 if these do not."""
    if counts is None or len(looked_at) == counts.shape[-1]:
        return 1.0
    xp = array_namespace(counts)
    here, there = xp.mean(take(counts, looked_at), axis=-1, keepdims=True), xp.mean(counts, axis=-1, keepdims=True)
    return xp.where(here > 0, there / xp.where(here > 0, here, xp.ones_like(here)), xp.ones_like(here))


def weight_of(counts: Array | None, n: int) -> Array | None:
    """Return how much samples count in the covariance `(m,)`, for `counts (k, 1, m)` of models; None is all alike."""
    if counts is None:
        return None
    weight = mean_of(counts)
    return weight if weighs(weight, n) else None


def mean_of(counts: Array) -> Array:
    """Return the mean over the models of how much samples count, `(m,)`."""
    mean: Array = array_namespace(counts).mean(counts, axis=0)[0, :]
    return mean


def weighs(weight: Array, n: int) -> bool:
    """Return whether weights `(m,)` of mean 1 make a covariance of n features: they differ, and enough samples count.

    Where few count, the covariance of all samples is the better guess. Source of how many: L. Kish, Survey Sampling
    (1965).
    """
    xp, m = array_namespace(weight), weight.shape[0]
    differ = bool(xp.any(xp.abs(weight - 1) > ALIKE))
    return differ and m >= ENOUGH * n * float(xp.mean(weight * weight))


def size_of_curvature(units: int) -> int:
    """Return the number of rows of C: the units, or 1 where one number stands for all."""
    return units if units <= CLASSES else 1


def class_curvature(A: Array, counts: Array | None) -> Array:
    """Return the mean of diag(a) − a aᵀ, as counted, `(k, units, units)` for probabilities `A (k, units, m)`.

    For one unit, and for more than `CLASSES`, it is the mean of a (1 − a), `(k, 1, 1)`.
    """
    xp, (_, units, m) = array_namespace(A), A.shape
    counted = A if counts is None else A * counts
    S = xp.mean(counted * (1 - A), axis=2, keepdims=True)
    if size_of_curvature(units) == 1:
        return xp.mean(S, axis=1, keepdims=True)
    same = xp.eye(units, dtype=A.dtype, device=device(A))
    return same * S - (1 - same) * (counted @ xp.matrix_transpose(A) / m)


def axes_of(C: Array) -> Axes:
    """Return the eigenvectors U `(k, units, units)` and eigenvalues d `(k, units, 1)` of C, these not too small.

    U is None where C is one number for all units. The direction in which all units shift alike, which a softmax does
    not see, is given the mean curvature. Where no sample that was looked at counts, C is 0; then the curvature is
    taken to be that at equal probabilities.
    """
    xp, units = array_namespace(C), C.shape[-1]
    C = xp.where(xp.isfinite(C), C, xp.zeros_like(C))  # no LAPACK takes NaN: a fit that diverged is ended elsewhere
    mean = xp.sum(core.diagonal(C), axis=-1, keepdims=True) / units
    U, d = (None, C) if units == 1 else _eigenvectors(C + mean / units)
    least = xp.maximum(SMALL * mean, xp.full_like(mean, LEAST))
    return U, xp.where(mean > 0, xp.maximum(d, least), xp.full_like(d, 1 / units if units > 1 else 1 / 4))


def _eigenvectors(C: Array) -> tuple[Array, Array]:
    d, U = array_namespace(C).linalg.eigh(C)
    return U, d[..., None]

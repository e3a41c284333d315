"""The primal form: the weights themselves. A step reads X (n, m), twice where there is no kernel for it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from array_api_compat import device

from fastlr import core
from fastlr.backends.record import Kernels
from fastlr.core import Array
from fastlr.machine import blas_before_kernels
from fastlr.namespace import array_namespace, itemsize_of
from fastlr.objectives import gram_factor, preconditioner
from fastlr.objectives.form import Data
from fastlr.objectives.preconditioner import Axes, Preconditioner
from fastlr.objectives.protocol import Compiled, Evaluation, Passed, Vector

VECTOR = 8  # numbers of a vector of the CPU
SMALL = 2**23  # multiply-adds of the second derivatives, up to which one compiled step is faster than a BLAS
CACHE = 2**20  # bytes of samples that stay in it, which models may read one after another
MOST = 2**20  # steps of one call, whose costs are kept
SAVED = 0.2  # of the passes over the data that knowing the covariance saves elsewhere
FUSED = 2**19  # bytes of one model's weights that stay in the cache of a CPU's core
LITTLE, LITTLE_WORK = 2**21, 2**24  # numbers of the samples, and times outputs, for all steps of L-BFGS in one thread


def in_one_call(k: int, units: int, n: int, m: int) -> bool:
    """Return whether all steps of L-BFGS are one compiled call, in one thread: of one model, on little data."""
    return k == 1 and n * m <= LITTLE and units * n * m <= LITTLE_WORK


def steps_in_one_call(kernels: Kernels, k: int, units: int, n: int, m: int) -> tuple[str, ...]:
    """Return the solvers all of whose steps are one compiled call."""
    small = k == 1 and "newton_steps" in kernels and m * (units * (n + 1)) ** 2 <= SMALL
    little = "many_fits" in kernels and in_one_call(k, units, n, m)
    return ("newton",) * small + ("lbfgs",) * little


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
        return self.combine(D, 1 / D.shape[-1])

    def dot(self, u: Array, v: Vector) -> Array:
        """Return the inner products of the coordinates: they are the weights."""
        return array_namespace(u).sum(u * v.W, axis=-1, keepdims=True)

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates

    def feature_moments(self, every: int, weight: Array | None) -> tuple[Array, Array, Array]:
        """Return the means of scaled w x xᵀ (n, n), of w x (1, n) and of w (1, 1), of one in `every` samples.

        The weights are `(m,)`, or None where all are alike.
        """
        X, xp = self.X, array_namespace(self.W)
        if every > 1:
            looked_at = preconditioner.some_of(X.shape[1], every)
            by_feature = isinstance(X, np.ndarray) and X.flags.c_contiguous  # NumPy copies all to take rows of these
            X = preconditioner.take(X, looked_at) if by_feature else preconditioner.take(X.T, looked_at, axis=0).T
            weight = None if weight is None else preconditioner.take(weight, looked_at)
        ones = xp.ones((1, X.shape[1]), dtype=self.W.dtype, device=device(self.W))
        each = ones if weight is None else weight[None, :]
        mean = core.combine(each, X, self.scale / X.shape[1])
        square = core.second_moments(X, self.W.dtype, weight) * self.scale**2
        return square, mean, xp.mean(each, axis=1, keepdims=True)

    def spectrum(self, units: int, centred: bool, counts: Array | None) -> tuple[Array, Array] | None:
        """Return eigenvectors and eigenvalues of the covariance, where they save more than they take."""
        n, m = self.X.shape
        share = SAVED if in_one_call(1, units, n, m) else 1.0
        if not preconditioner.pays(n, m, units, share):
            return None
        every, weight = preconditioner.every(n, m, units), preconditioner.weight_of(counts, n)
        with blas_before_kernels(preconditioner.eigen_work(n, m // every)) if self.kernels else nullcontext():
            return preconditioner.eigen(*self.feature_moments(every, weight), self.moments, centred)

    def newton(self, A: Array, W: Array, gradient: Vector, l2: Array, counts: Array | None, intercept: bool) -> Vector:
        """Return the direction of Newton's method, whose matrix is made of a block H_uv for each pair of units.

        With x̃ = [scale x; 1], H_uv = x̃ diag(w a_u (δ_uv − a_v)) x̃ᵀ / m + δ_uv l2 I; the intercept has no l2.
        """
        xp, g, place = array_namespace(A), gradient, device(A)
        k, units, n = g.W.shape
        size = n + intercept
        first, second = np.triu_indices(units)  # H_vu is H_uv
        number = np.zeros((units, units), int)
        number[first, second] = number[second, first] = np.arange(len(first))
        diagonal = xp.asarray((first == second)[:, np.newaxis], dtype=A.dtype, device=place)
        S = core.columns(A, first) * (diagonal - core.columns(A, second))
        blocks = self.hessian(S if counts is None else S * counts, intercept)
        H = xp.reshape(core.columns(blocks, number.reshape(-1)), (k, units, units, size, size))
        H = xp.reshape(xp.permute_dims(H, (0, 1, 3, 2, 4)), (k, units * size, units * size))
        penalized = xp.astype(xp.arange(units * size, device=place) % size < n, H.dtype)
        H = H + xp.eye(units * size, dtype=H.dtype, device=place) * (l2 * penalized)
        if units > 1:
            # A shift of all units alike is seen by l2 alone, and for the intercepts by nothing. The gradient has no
            # such part, so that what H is there changes nothing but that it can be inverted.
            mean = xp.mean(xp.reshape(core.diagonal(H), (k, units, size)), axis=1, keepdims=True)
            H = H + xp.tile(xp.eye(size, dtype=H.dtype, device=place) * mean, (1, units, units))
        right = xp.concat([g.W, g.b], axis=2) if intercept else g.W
        solved = xp.reshape(self._solve(H, xp.reshape(right, (k, units * size, 1))), (k, units, size))
        W, b = -solved[..., :n], -solved[..., n:] if intercept else 0 * g.b
        return Vector(W, b, self.logits(W, b))

    def newton_steps(
        self, at: Evaluation, Y: Array, l2: Array, counts: Array | None, intercept: bool, rules: tuple[Any, ...],
        most: int, tol: float,
    ) -> tuple[Evaluation, Array, Passed] | None:  # fmt: skip
        """Return the point after compiled steps, whether the last was taken, and what was passed.

        None where the plain way is to be used.
        """
        kernel, (units, m), dtype = self.kernels.get("newton_steps"), Y.shape[1:], at.x.W.dtype
        n = self.X.shape[0]
        if kernel is None or not intercept or m * (units * (n + 1)) ** 2 > SMALL:
            return None
        V = np.concatenate(at.x[:2], axis=2, dtype=np.float64)
        given = [None if array is None else np.asarray(array, np.float64) for array in (Y, l2, counts)]
        V, Z, G, found, steps = kernel(self.in_vectors, *given, n, core.rounding(V.dtype), rules, V, most, tol)
        if not steps.all():
            return None
        passed, found = found[0, : steps[0] - 1, :2].tolist(), found[np.arange(len(steps)), steps - 1]
        W, b, dW, db, Z = (a.astype(dtype) for a in (V[..., :n], V[..., n:], G[..., :n], G[..., n:], Z))
        J, f, norm, kept = (found[:, i].astype(dtype).reshape(-1, 1, 1) for i in range(4))
        return Evaluation(Vector(W, b, Z), J, f, Vector(dW, db), norm), kept > 0, passed

    def lbfgs_fit(
        self, W: Array, b: Array, Y: Array, l2: Array, counts: Array | None, intercept: bool, most: int, tol: float,
        settings: tuple[Any, ...],
    ) -> Compiled | None:  # fmt: skip
        """Return where L-BFGS leads, in one compiled call for one model on little data; else None.

        From zero, weights lie in the space of the samples: where there are fewer of these than features, the fit is in
        the coordinates of their Gram matrix's factor (see `gram_factor.of`).
        """
        kernel, (k, units, n), m, dtype = self.kernels.get("many_fits"), W.shape, self.X.shape[1], W.dtype
        if kernel is None or not in_one_call(k, units, n, m) or most > MOST:
            return None
        rules, patience, pairs = settings
        rows = self.samples(slice(None), False).T
        L = None
        if gram_factor.pays(n, m, units) and not W.any():
            with blas_before_kernels(n * m * m):
                L = gram_factor.of(rows)
        F = np.ascontiguousarray(rows if L is None else L)
        spectrum = self.spectrum(units, intercept, counts) if L is None else None
        W, b, found, passed = kernel(
            F[np.newaxis], Y[:1], None if counts is None else counts[:, 0, :], l2[:, 0, 0], intercept, rules, tol, most,
            patience, pairs, (W if L is None else np.zeros((1, units, m), F.dtype), b[..., 0]), spectrum,
        )  # fmt: skip
        steps, norm, _, stalled = found[0, 0].tolist()
        W = W[:, 0]
        if L is not None:
            with blas_before_kernels(n * m * m):
                W = gram_factor.back(W, L, rows)
        passed = passed[0, 0, : int(steps) + 1].tolist()
        return Compiled(W.astype(dtype), b[0, :, :, np.newaxis], norm, int(stalled), passed)

    @functools.cached_property
    def in_vectors(self) -> Array:
        """Return few samples as that kernel reads them: float64 rows, then a one, then zeros up to whole vectors."""
        n, m = self.X.shape
        rows = np.zeros((m, -(-(n + 1) // VECTOR) * VECTOR))
        rows[:, : n + 1] = self.samples(slice(None), True).T
        return rows

    def hessian(self, S: Array, intercept: bool) -> Array:
        """Return x̃ diag(s) x̃ᵀ / m (k, q, n + 1, n + 1) of x̃ = [scale x; 1] for each s of S (k, q, m).

        Without the 1 where not asked.
        """
        (k, q, m), n, total = S.shape, self.X.shape[0], 0.0
        step = max(1, core.BLOCK // (k * q * (n + 1)))
        for start in range(0, m, step):
            which = slice(start, min(start + step, m))
            x = self.samples(which, intercept)
            total = total + (S[..., None, which] * x) @ x.T
        return total / m

    def samples(self, which: slice, intercept: bool) -> Array:
        """Return x̃ (n + 1, …) of some of the samples as floats, scaled or standardized, or without the 1."""
        xp, X = array_namespace(self.W), self.X[:, which]
        x = xp.astype(X, self.W.dtype, copy=False)
        x = x if self.scale == 1 else self.scale * x
        if self.moments is not None:
            x = (x - self.moments[0].T) / self.moments[1].T
        return xp.concat([x, xp.ones_like(x[:1, :])], axis=0) if intercept else x

    def _solve(self, H: Array, right: Array) -> Array:
        """Return H⁻¹ right for symmetric H (k, d, d), brought to a diagonal of ones first, and a little more."""
        xp = array_namespace(H)
        diagonal = core.diagonal(H)
        scale = 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, xp.ones_like(diagonal)))
        ridge = core.rounding(H.dtype) * xp.eye(H.shape[-1], dtype=H.dtype, device=device(H))
        down = xp.matrix_transpose(scale)
        return down * core.solve_positive(H * scale * down + ridge, right * down)

    def conjugate_gradients(
        self, A: Array, counts: Array | None, l2: Array, preconditioner: Preconditioner, axes: Axes | None,
        gradient: Vector, longest: int, share: float,
    ) -> Vector | None:  # fmt: skip
        """Return the direction that a kernel finds, model after model; None without it, or where a BLAS is faster."""
        kernel, (k, units, n), X = self.kernels.get("primal_conjugate_gradients"), gradient.W.shape, self.X
        if kernel is None or units * n * itemsize_of(A) > FUSED or (k > 1 and X.size * itemsize_of(X) > CACHE):
            return None
        found = []
        for q in range(k):
            made = kernel(
                X, self.scale, self.moments, A[q], None if counts is None else counts[q], float(l2[q, 0, 0]),
                *preconditioner.of_one(q, axes, l2), gradient.W[q], gradient.b[q, :, 0],
                longest, share,
            )  # fmt: skip
            if made is None:
                return None
            found.append(made)
        W, b = (np.stack(parts) for parts in zip(*found, strict=True))
        return Vector(W, b[..., np.newaxis], self.logits(W, b[..., np.newaxis]))

    def rows(self, models: Sequence[int]) -> PrimalForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models))

    def batch(self, samples: Array) -> PrimalForm:
        """Return the form of some of the samples, which are copied."""
        return replace(self, X=core.rows(self.X.T, samples).T)

"""A change of variables in which the objective is rounder.

The intercept is taken where the mean of the logits is zero: b = b' − W μ with μ the mean of the examples, so that what
all examples share does not couple W to b. Where the features' covariance was worked out, Σ = V Λ Vᵀ, and c is
the mean curvature of the loss, ∇²f is close to  V (c Λ + l2) Vᵀ  for W and to c for b'; that is divided out.
"""

from __future__ import annotations

from typing import Any

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.solvers.problem import Problem, Vector

LEAST = 1e-6  # curvature
PASSES = 50  # over the data, that knowing the covariance is thought to save
EIGEN = 10  # n³ operations that its eigenvectors take
ENOUGH = 8  # examples for each feature, from which the covariance is known well enough


def prepare(problem: Problem, models: int) -> Problem:
    """Return the problem with the mean of its examples, and with the spectrum of its features.

    The latter where it pays for so many models, of which these are the first.
    """
    form: Any = problem.form
    network = problem.network
    xp, m = array_namespace(problem.Y), problem.Y.shape[-1]
    mean = None
    if network.intercept:
        counted = xp.ones_like(problem.Y[:1, :1, :]) if problem.weights is None else problem.weights
        mean = Vector(form.gradient(counted), xp.zeros_like(counted[..., :1]))
        mean = mean._replace(Z=form.logits(mean.W, mean.b)) if form.inner_needs_logits else mean
    spectrum = None
    if form.name == "primal":
        n = form.X.shape[0]
        if pays(n, m, models * network.outputs):
            seen = min(m, ENOUGH * n)
            eigenvalues, V = xp.linalg.eigh(form.covariance(-(-m // seen), centred=network.intercept))
            largest = xp.max(eigenvalues)
            largest = xp.where(largest > 0, largest, xp.ones_like(largest))
            # Features that say the same have none, but for rounding, along which there is no gradient either.
            spectrum = V, xp.maximum(eigenvalues, core.rounding(V.dtype) * largest)
    return problem._replace(mean=mean, spectrum=spectrum)


def spectrum_work(n: int, m: int) -> int:
    """Return how many multiply-adds the features' eigenvectors take, about."""
    return min(m, ENOUGH * n) * n * n + EIGEN * n**3


def pays(n: int, m: int, units: int) -> bool:
    """Return whether the spectrum of n features saves more than it takes, for the units of all models."""
    return spectrum_work(n, m) < PASSES * 2 * units * n * m


def mean_curvature(problem: Problem, A: Array) -> Array:
    """Return c `(k, 1, 1)`, the mean of the loss's second derivatives at probabilities A.

    One for all units: what shifts all of them alike, a softmax does not see, and it must stay so.
    """
    xp, S = array_namespace(A), A * (1 - A) if problem.weights is None else A * (1 - A) * problem.weights
    return xp.maximum(xp.mean(S, axis=(1, 2), keepdims=True), xp.full_like(problem.l2, LEAST))


def precondition(problem: Problem, c: Array, r: Vector) -> Vector:
    """Return M r, M close to the inverse of ∇²f where the mean curvature is c; no logits are needed or returned."""
    W, b = r.W, r.b
    if problem.mean is not None:
        W = W - b * problem.mean.W
    if problem.spectrum is not None:
        V, eigenvalues = problem.spectrum
        W = ((W @ V) / (c * eigenvalues + problem.l2)) @ V.T
        b = b / c
    if problem.mean is not None:
        b = b - problem.form.dot(W, problem.mean)
    if problem.network.outputs > 1:
        # The loss does not see a shift of all intercepts alike: what rounding brings of it would only grow.
        b = b - array_namespace(b).mean(b, axis=1, keepdims=True)
    return Vector(W, b)

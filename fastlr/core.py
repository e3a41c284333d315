"""Logistic regression for any array library: the mathematics, in Array API calls only.

    Z = W X + b      A = σ(Z)      J = mean(max(z, 0) − y z + log(1 + e^−|z|))
    dW = (A − Y) Xᵀ / m            db = mean(A − Y)
    W ← W − learning_rate (dW + l2 W)            b ← b − learning_rate db

`X (n, m)` holds one example per column; `W (k, n)` and `b (k, 1)` hold one model per row, and the k models
share one reading of X. `Y` is `(1, m)` or `(k, m)`. A `scale` multiplies X without touching it, so that pixels
can stay 0…255: with scale 1/255, Z = (W / 255) X + b.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from array_api_compat import array_namespace

Array: TypeAlias = Any  # an array of whichever library the caller uses


def sigmoid(Z: Array) -> Array:
    """Return σ(z) = 1 / (1 + e^−z), for any shape. Written in e^−|z|, which cannot overflow."""
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return xp.where(Z >= 0, xp.ones_like(e), e) / (1 + e)


def logits(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return Z = W (scale X) + b, shape (k, m)."""
    return (W * scale) @ X + b


def cost(Z: Array, Y: Array) -> Array:
    """Return J (k, 1) from the logits Z (k, m); finite for every finite z, since log(A) is never taken."""
    xp = array_namespace(Z)
    losses = xp.maximum(Z, xp.zeros_like(Z)) - Y * Z + xp.log1p(xp.exp(-xp.abs(Z)))
    return xp.mean(losses, axis=1, keepdims=True)


def residuals(Z: Array, Y: Array) -> Array:
    """Return D = σ(Z) − Y, shape (k, m): the derivative of each example's loss by its logit."""
    return sigmoid(Z) - Y


def weight_gradient(D: Array, X: Array, scale: float = 1.0) -> Array:
    """Return dW = D (scale X)ᵀ / m, shape (k, n)."""
    return D @ X.T * (scale / X.shape[1])


def intercept_gradient(D: Array) -> Array:
    """Return db = mean(D) over the examples, shape (k, 1)."""
    xp = array_namespace(D)
    return xp.mean(D, axis=1, keepdims=True)


def descend(W: Array, dW: Array, learning_rate: Array | float, l2: Array | float = 0.0) -> Array:
    """Return W − learning_rate (dW + l2 W); learning_rate and l2 are scalars or (k, 1)."""
    return W - learning_rate * (dW + l2 * W)


def propagate(W: Array, b: Array, X: Array, Y: Array, scale: float = 1.0) -> tuple[Array, Array, Array]:
    """Return dW (k, n), db (k, 1) and J (k, 1) of one pass over the data."""
    Z = logits(W, b, X, scale)
    D = residuals(Z, Y)
    return weight_gradient(D, X, scale), intercept_gradient(D), cost(Z, Y)


def predict(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return the probabilities σ(W (scale X) + b), shape (k, m)."""
    return sigmoid(logits(W, b, X, scale))

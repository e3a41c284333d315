"""Logistic regression for any array library: the mathematics, in Array API calls only.

    Z = W X + b      A = σ(Z)      J = mean(max(z, 0) − y z + log(1 + e^−|z|))
    dW = (A − Y) Xᵀ / m            db = mean(A − Y)
    W ← W − learning_rate (dW + l2 W)            b ← b − learning_rate db

`X (n, m)` holds one sample per column; `W (k, n)` and `b (k, 1)` hold one model per row, and the k models
share one reading of X. `Y` is `(1, m)` or `(k, m)`. What works on logits alone takes `(…, units, m)` as well. A `scale`
multiplies X without touching it, so that pixels can stay 0…255: with scale 1/255, Z = (W / 255) X + b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from array_api_compat import device

from fastlr.namespace import array_namespace

Array: TypeAlias = Any  # an array of whichever library the caller uses

BLOCK = 2**22  # numbers converted to floating point at a time: at most 32 MiB
ROUNDING = 2.0**-46  # 64 units in the last place
FEATURES = 1024  # features in one exact float32 product of pixels: 1024 · 128² = 2²⁴


def sigmoid(Z: Array) -> Array:
    """Return σ(z) = 1 / (1 + e^−z), for any shape. Written in e^−|z|, which cannot overflow."""
    xp = array_namespace(Z)
    e = xp.exp(-xp.abs(Z))
    return _numerator(Z, e) / (1 + e)


def _numerator(Z: Array, e: Array) -> Array:
    """Return 1 where z ≥ 0, else e = e^−|z|, which is at most 1: NumPy's `where` takes ten times as long."""
    xp = array_namespace(Z)
    return xp.maximum(e, xp.astype(Z >= 0, e.dtype))


def logits(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return Z = W (scale X) + b, shape (k, m)."""
    return project(W, X, scale) + b


def losses(Z: Array, Y: Array) -> Array:
    """Return each sample's loss from its logit, the shape of Z; finite for every finite z: log(A) is never taken."""
    xp = array_namespace(Z)
    return xp.maximum(Z, xp.zeros_like(Z)) - Y * Z + xp.log1p(xp.exp(-xp.abs(Z)))


def cost(Z: Array, Y: Array) -> Array:
    """Return J (k, 1), the mean of the losses, from the logits Z (k, m)."""
    return array_namespace(Z).mean(losses(Z, Y), axis=-1, keepdims=True)


def softmax(Z: Array) -> Array:
    """Return e^z / Σ e^z over the units of Z (…, units, m), which cannot overflow."""
    xp = array_namespace(Z)
    e = xp.exp(Z - xp.max(Z, axis=-2, keepdims=True))
    return e / xp.sum(e, axis=-2, keepdims=True)


def log_softmax(Z: Array) -> Array:
    """Return log softmax(Z) over the units of Z (…, units, m), finite for every finite Z."""
    xp = array_namespace(Z)
    Z = Z - xp.max(Z, axis=-2, keepdims=True)
    return Z - xp.log(xp.sum(xp.exp(Z), axis=-2, keepdims=True))


def softmax_losses(Z: Array, Y: Array) -> Array:
    """Return log Σ e^z − z_y of each sample, (…, 1, m), from logits Z (…, units, m) and one-hot Y of that shape."""
    xp = array_namespace(Z)
    top = xp.max(Z, axis=-2, keepdims=True)
    excess = top - xp.sum(Y * Z, axis=-2, keepdims=True)
    return xp.log(xp.sum(xp.exp(Z - top), axis=-2, keepdims=True)) + excess


def losses_and_residuals(Z: Array, Y: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Return J (…, 1, 1) and D, the shape of Z (…, units, m): one unit is a sigmoid, more are a softmax.

    `weights (…, 1, m)` multiply each sample's loss before the mean J is taken, and its D.
    """
    xp = array_namespace(Z)
    if Z.shape[-2] == 1:  # as `losses` and `sigmoid`, which take the same exponential
        zero, e = xp.zeros_like(Z), xp.exp(-xp.abs(Z))
        J = xp.maximum(Z, zero) - Y * Z + xp.log1p(e)
        D = _numerator(Z, e) / (1 + e) - Y
    else:
        J, D = softmax_losses(Z, Y), softmax(Z) - Y
    if weights is not None:
        J, D = J * weights, D * weights
    return xp.mean(J, axis=-1, keepdims=True), D


def curvature_at(A: Array, V: Array, weights: Array | None = None) -> Array:
    """Return the derivative of D along V at probabilities A, each (…, units, m).

    That is A (1 − A) V for one unit, a sigmoid, and A (V − Σ A V) for more, a softmax. `weights (…, 1, m)` multiply
    what each sample gives.
    """
    xp = array_namespace(A)
    V = A * (1 - A) * V if A.shape[-2] == 1 else A * (V - xp.sum(A * V, axis=-2, keepdims=True))
    return V if weights is None else V * weights


def curvature_along(Z: Array, V: Array, weights: Array | None = None) -> Array:
    """Return `curvature_at` the probabilities of the logits Z (…, units, m)."""
    return curvature_at(sigmoid(Z) if Z.shape[-2] == 1 else softmax(Z), V, weights)


def relu(Z: Array) -> Array:
    """Return max(z, 0), for any shape."""
    xp = array_namespace(Z)
    return xp.maximum(Z, xp.zeros_like(Z))


def residuals(Z: Array, Y: Array) -> Array:
    """Return D = σ(Z) − Y, shape (k, m): the derivative of each sample's loss by its logit."""
    return sigmoid(Z) - Y


def weight_gradient(D: Array, X: Array, scale: float = 1.0) -> Array:
    """Return dW = D (scale X)ᵀ / m, shape (k, n)."""
    return combine(D, X, scale / X.shape[1])


def intercept_gradient(D: Array) -> Array:
    """Return db = mean(D) over the samples, shape (k, 1)."""
    xp = array_namespace(D)
    return xp.mean(D, axis=-1, keepdims=True)


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


def rows(array: Array, chosen: Sequence[int] | Array) -> Array:
    """Return some of the rows of an array, given by their numbers or by an array of them: some of the k models."""
    xp = array_namespace(array)
    if isinstance(chosen, Sequence):
        chosen = xp.asarray(list(chosen), device=device(array))
    return xp.take(array, chosen, axis=0)


def columns(array: Array, chosen: Sequence[int] | Array) -> Array:
    """Return some of what an array `(k, units, …)` has along its second axis, given by their numbers on the host."""
    xp = array_namespace(array)
    return xp.take(array, xp.asarray(chosen, device=device(array)), axis=1)


def gram_matrix(X: Array, dtype: Any) -> Array:
    """Return XᵀX (m, m) in `dtype`; for uint8 X it is exact before it is rounded to `dtype`.

    For pixels v = x − 128 lies in −128…127, so each product of two is at most 2¹⁴ and a sum of 1024 of them at
    most 2²⁴: float32 holds it exactly, in whatever order it is added up. The blocks are added up in float64, and
    xᵀx′ = vᵀv′ + 128 (Σv + Σv′) + 128² n.
    """
    xp = array_namespace(X)
    if X.dtype != xp.uint8:
        return sum(tile.T @ tile for _, tile in _tiles(X, dtype, axis=0, step=BLOCK // X.shape[1]))
    K: Array = 0.0
    sums: Array = 0.0
    for _, tile in _tiles(X, xp.float32, axis=0, step=FEATURES):
        V = tile - 128.0
        K = K + xp.astype(V.T @ V, xp.float64)
        sums = sums + xp.astype(xp.sum(V, axis=0, keepdims=True), xp.float64)
    return xp.astype(K + 128 * (sums + sums.T) + 128.0 * 128.0 * X.shape[0], dtype, copy=False)


def moments(X: Array, dtype: Any, scale: float = 1.0) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each feature of scale X, (1, n); 1 for one that does not vary.

    Added up tile by tile in float64, the squares around the mean.
    """
    xp = array_namespace(X)
    tiles = partial(_tiles, X, xp.float64, axis=0, step=BLOCK // X.shape[1])
    mean = xp.concat([xp.mean(tile, axis=1) for _, tile in tiles()])
    deviation = xp.concat([xp.std(tile, axis=1) for _, tile in tiles()])
    return in_moments(mean, deviation, dtype, scale)


def in_moments(mean: Array, deviation: Array, dtype: Any, scale: float) -> tuple[Array, Array]:
    """Return mean and deviation (n,), in float64, as those of scaled features, (1, n); 1 for one that does not vary."""
    xp = array_namespace(mean)
    varies = deviation > ROUNDING * xp.abs(mean)  # the mean of equal numbers need not be that number to the last bit
    deviation = xp.where(varies, scale * deviation, xp.ones_like(deviation))
    return tuple(xp.astype(xp.reshape(values, (1, -1)), dtype) for values in (scale * mean, deviation))


def standardized_gram_matrix(X: Array, mean: Array, deviation: Array, scale: float = 1.0) -> Array:
    """Return the Gram matrix (m, m) of (scale X − mean) / deviation, whose dtype is that of the mean (1, n)."""
    K: Array = 0.0
    for features, tile in _tiles(X, mean.dtype, axis=0, step=BLOCK // X.shape[1]):
        V = (scale * tile - mean[:, features].T) / deviation[:, features].T
        K = K + V.T @ V
    return K


def second_moments(X: Array, dtype: Any, weight: Array | None = None) -> Array:
    """Return X diag(w) Xᵀ / m (n, n), added up tile by tile, for weights w (m,) of the samples, or 1."""
    total: Array = 0.0
    for part, tile in _tiles(X, dtype, axis=1, step=BLOCK // X.shape[0]):
        total = total + (tile if weight is None else tile * weight[part]) @ tile.T
    return total / X.shape[1]


def solve_positive(H: Array, right: Array) -> Array:
    """Return H⁻¹ right for positive definite H (…, d, d) and right (…, d, r)."""
    return array_namespace(H).linalg.solve(H, right)


def diagonal(H: Array) -> Array:
    """Return the diagonal of H (…, d, d) as (…, 1, d)."""
    return array_namespace(H).linalg.diagonal(H)[..., None, :]


def rounding(dtype: Any) -> float:
    """Return 64 units in the last place of a floating-point dtype."""
    size = getattr(dtype, "itemsize", None)  # a dtype's text takes long to make
    return ROUNDING if (str(dtype).endswith("64") if size is None else size == 8) else ROUNDING * 2.0**29


def gram_product(C: Array, K: Array) -> Array:
    """Return C K, shape (k, m)."""
    return C @ K


def gram_hessian(K: Array, h: Array, l2: Array) -> Array:
    """Return h K h + l2 I, shape (k, m, m), for K (m, m), h (k, 1, m) as diagonal matrices, and l2 (k, 1, 1)."""
    xp = array_namespace(h)
    return K * (xp.matrix_transpose(h) * h) + l2 * xp.eye(h.shape[-1], dtype=h.dtype, device=device(h))


def gram_solve(K: Array, h: Array, l2: Array, right: Array) -> Array:
    """Return (h K h + l2 I)⁻¹ right, for right (k, m, r)."""
    return solve_positive(gram_hessian(K, h, l2), right)


def combine(C: Array, X: Array, scale: float = 1.0) -> Array:
    """Return C (scale X)ᵀ, shape (k, n): the sum of the samples, each times its coefficient in C (k, m)."""
    W = 0.0
    for columns, tile in _tiles(X, C.dtype, axis=1, step=BLOCK // X.shape[0]):
        W = W + C[:, columns] @ tile.T
    return W * scale


def project(W: Array, X: Array, scale: float = 1.0) -> Array:
    """Return W (scale X), shape (k, m), for X of any real dtype."""
    xp = array_namespace(W)
    products = [(W * scale) @ tile for _, tile in _tiles(X, W.dtype, axis=1, step=BLOCK // X.shape[0])]
    return products[0] if len(products) == 1 else xp.concat(products, axis=1)


def multiply(W: Array, V: Array) -> Array:
    """Return W V, shape (k, units, n), for square V."""
    return W @ V


def _tiles(X: Array, dtype: Any, axis: int, step: int) -> Iterator[tuple[slice, Array]]:
    """Give X whole where it has this dtype, else cut along an axis and converted, one tile at a time."""
    xp = array_namespace(X)
    length = X.shape[axis]
    step = length if X.dtype == dtype else max(1, step)
    for start in range(0, length, step):
        part = slice(start, min(start + step, length))
        yield part, xp.astype(X[part, :] if axis == 0 else X[:, part], dtype, copy=False)

"""Logistic regression, and small networks, as a tutorial writes them: plain NumPy, float64, one step at a time.

This is the reference that every faster path is tested against. It is slow on purpose.

Shapes: `X (n, m)` holds one sample per column, `Y (1, m)` labels 0 or 1, `w (n, 1)` weights, `b` a scalar.

Source of the formulas: the cross-entropy of a Bernoulli model with probability σ(wᵀx + b),
for example C. Bishop, Pattern Recognition and Machine Learning, §4.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Gradients(TypedDict):
    """Derivatives of the cost: `dw (n, 1)` and the scalar `db`."""

    dw: Array
    db: float


class Parameters(TypedDict):
    """Weights `w (n, 1)` and the scalar intercept `b`."""

    w: Array
    b: float


def sigmoid(z: ArrayLike) -> Array:
    """Return σ(z) = 1 / (1 + e^−z), for a scalar or an array of any shape."""
    # e^−z overflows to infinity for z < −709, and 1 / (1 + ∞) = 0 is the right limit.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(z, dtype=np.float64))))


def init_params(n: int) -> tuple[Array, float]:
    """Return zero weights `w (n, 1)` and a zero intercept `b`."""
    return np.zeros((n, 1)), 0.0


initialize_with_zeros = init_params  # as another of the tutorials calls it


def propagate(w: Array, b: float, X: Array, Y: Array) -> tuple[Gradients, float]:
    """Return the gradients and the cost of one pass over the data.

    With Z = wᵀX + b and A = σ(Z):  dw = X (A − Y)ᵀ / m,  db = mean(A − Y),  J = mean(log(1 + e^((1 − 2Y) Z))).

    For labels 0 and 1, J is −mean(Y log A + (1 − Y) log(1 − A)), but stays finite where A rounds to 0 or 1.
    """
    m = X.shape[1]
    Y = np.asarray(Y, dtype=np.float64)  # in unsigned numbers 1 − 2Y would wrap around
    Z = w.T @ X + b
    A = sigmoid(Z)
    cost = float(np.mean(np.logaddexp(0, (1 - 2 * Y) * Z)))
    return {"dw": X @ (A - Y).T / m, "db": float(np.mean(A - Y))}, cost


def optimize(
    w: Array,
    b: float,
    X: Array,
    Y: Array,
    num_iterations: int,
    learning_rate: float,
    print_cost: bool = False,
    record_every: int = 100,
) -> tuple[Parameters, Gradients, list[float]]:
    """Run gradient descent: w ← w − learning_rate · dw, b ← b − learning_rate · db.

    Returns the parameters, the gradients of the last step, and the costs before the updates
    0, record_every, 2 · record_every, …
    """
    grads: Gradients = {"dw": np.zeros_like(w), "db": 0.0}
    costs = []
    for i in range(num_iterations):
        grads, cost = propagate(w, b, X, Y)
        w = w - learning_rate * grads["dw"]
        b = b - learning_rate * grads["db"]
        if i % record_every == 0:
            costs.append(cost)
            if print_cost:
                print(f"Cost after iteration {i}: {cost:f}")
    return {"w": w, "b": b}, grads, costs


def predict(w: Array, b: float, X: Array) -> Array:
    """Return `(1, m)`: 1.0 where the probability σ(wᵀx + b) is above 0.5, else 0.0."""
    return (sigmoid(w.T @ X + b) > 0.5).astype(np.float64)


def predict_image(w: Array, b: float, image: ArrayLike) -> int:
    """Return the class, 0 or 1, of one picture whose pixels run from 0 to 255, as uint8 of any shape with n numbers.

    The pixels are scaled by 1/255, as the training data of the tutorials is.
    """
    x = np.asarray(image, dtype=np.float64).reshape(-1, 1) / 255
    return int(predict(w, b, x)[0, 0])


def model(
    X_train: Array,
    Y_train: Array,
    X_test: Array,
    Y_test: Array,
    num_iterations: int = 2000,
    learning_rate: float = 0.005,
    print_cost: bool = False,
) -> dict[str, Any]:
    """Train from zero and evaluate; return costs, parameters, predictions and accuracies in percent."""
    w, b = init_params(X_train.shape[0])
    params, _, costs = optimize(w, b, X_train, Y_train, num_iterations, learning_rate, print_cost)
    predicted_train = predict(params["w"], params["b"], X_train)
    predicted_test = predict(params["w"], params["b"], X_test)
    return {
        "costs": costs,
        "w": params["w"],
        "b": params["b"],
        "Y_prediction_train": predicted_train,
        "Y_prediction_test": predicted_test,
        "train_accuracy": float(100 - np.mean(np.abs(predicted_train - Y_train)) * 100),
        "test_accuracy": float(100 - np.mean(np.abs(predicted_test - Y_test)) * 100),
        "learning_rate": learning_rate,
        "num_iterations": num_iterations,
    }


def initialise_parameters(layers: Sequence[int], seed: int = 0) -> dict[str, Array]:
    """Return `W1 (n₁, n₀)`, `b1 (n₁, 1)`, … for layers of n₀ (the inputs), n₁, … units: W is N(0, 2 / inputs), b is 0.

    Drawn layer by layer from NumPy's default_rng(seed). Source: K. He and others, Delving Deep into Rectifiers, 2015.
    """
    rng = np.random.default_rng(seed)
    parameters = {}
    for i, (inputs, units) in enumerate(pairwise(layers), start=1):
        parameters[f"W{i}"] = rng.normal(0.0, np.sqrt(2 / inputs), (units, inputs))
        parameters[f"b{i}"] = np.zeros((units, 1))
    return parameters


def forward_prop(X: Array, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Return `A0 = X` and, of each layer, `Z1`, … and `A1`, …: Z = W A + b of the layer below, A = max(Z, 0).

    The last layer's A is σ(Z) where it has one unit, else softmax(Z).
    """
    last = len(parameters) // 2
    forward = {"A0": np.asarray(X, dtype=np.float64)}
    for i in range(1, last + 1):
        Z = parameters[f"W{i}"] @ forward[f"A{i - 1}"] + parameters[f"b{i}"]
        forward[f"Z{i}"] = Z
        forward[f"A{i}"] = np.maximum(Z, 0)
    e = np.exp(Z - Z.max(axis=0))
    forward[f"A{last}"] = sigmoid(Z) if len(Z) == 1 else e / e.sum(axis=0)
    return forward


def compute_cost(forward: Mapping[str, Array], Y: Array) -> float:
    """Return J from what `forward_prop` returned: mean(log(1 + e^((1 − 2Y) Z))) for one unit, Y being (1, m).

    For more, with one-hot Y `(units, m)`: mean(log Σ e^Z − Z_y). Both are −mean(log of the probability of the label).
    """
    Z, Y = forward[f"Z{len(forward) // 2}"], np.asarray(Y, dtype=np.float64)
    if len(Z) == 1:
        return float(np.mean(np.logaddexp(0, (1 - 2 * Y) * Z)))
    return float(np.mean(np.logaddexp.reduce(Z, axis=0) - np.sum(Y * Z, axis=0)))


def back_prop(forward: Mapping[str, Array], parameters: Mapping[str, Array], Y: Array) -> dict[str, Array]:
    """Return the gradients `dW1`, `db1`, … of the cost; the derivative of max(Z, 0) is 0 where Z < 0, else 1."""
    last = len(parameters) // 2
    m = forward["A0"].shape[1]
    dZ = forward[f"A{last}"] - np.asarray(Y, dtype=np.float64)
    grads = {}
    for i in range(last, 0, -1):
        grads[f"dW{i}"] = dZ @ forward[f"A{i - 1}"].T / m
        grads[f"db{i}"] = dZ.mean(axis=1, keepdims=True)
        if i > 1:
            dZ = parameters[f"W{i}"].T @ dZ
            dZ[forward[f"Z{i - 1}"] < 0] = 0
    return grads


def accuracy(A: Array, Y: Array) -> float:
    """Return the percentage of right predictions from the last layer's A: above 0.5, or the largest of many."""
    if len(A) == 1:
        return float(100 - np.mean((A > 0.5) != np.asarray(Y)) * 100)
    return float(100 - np.mean(A.argmax(axis=0) != np.asarray(Y).argmax(axis=0)) * 100)


def train_network(
    X: Array,
    Y: Array,
    parameters: Mapping[str, Array],
    num_iterations: int,
    learning_rate: float,
    record_every: int = 100,
) -> tuple[dict[str, Array], list[float]]:
    """Run gradient descent on a network; return its parameters and the costs before the updates 0, record_every, …"""
    now, costs = dict(parameters), []
    for i in range(num_iterations):
        forward = forward_prop(X, now)
        if i % record_every == 0:
            costs.append(compute_cost(forward, Y))
        grads = back_prop(forward, now, Y)
        now = {name: value - learning_rate * grads[f"d{name}"] for name, value in now.items()}
    return now, costs

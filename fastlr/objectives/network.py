"""Networks of ReLU layers that end in one sigmoid unit or in a softmax; logistic regression has no ReLU layer.

    A₁ = max(Z₁, 0)      Zₗ = Wₗ Aₗ₋₁ + bₗ      Aₗ = max(Zₗ, 0)      A_L = σ(Z_L), or softmax(Z_L)
    D_L = A_L − Y        dWₗ = Dₗ Aₗ₋₁ᵀ / m     dbₗ = mean(Dₗ)       Dₗ₋₁ = Wₗᵀ Dₗ where Zₗ₋₁ ≥ 0, else 0

Z₁ comes from a form, and D₁ goes back to it: nothing here sees the data. k networks of one shape stand side by
side, `Z (k, units, m)`. Source: I. Goodfellow and others, Deep Learning, §6.5; the derivative of max(z, 0) at 0 is
taken as 1. Initial weights are those of K. He and others, Delving Deep into Rectifiers, 2015: N(0, 2 / inputs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace


class Layer(NamedTuple):
    """Weights `W (…, units, inputs)` and intercepts `b (…, units, 1)`."""

    W: Array
    b: Array


Deeper = tuple[Layer, ...]  # the layers above the first


@dataclass(frozen=True)
class Network:
    """The units of each layer: `hidden` ones, and 1 output for two classes or one for each of more.

    With `multi_label` each output is a sigmoid of its own: a sample has any number of labels.
    Only a solver that converges, for which there are no hidden layers, can leave the intercepts at zero.
    """

    hidden: tuple[int, ...] = ()
    outputs: int = 1
    intercept: bool = True
    multi_label: bool = False

    @property
    def units(self) -> tuple[int, ...]:
        """Return the units of every layer."""
        return (*self.hidden, self.outputs)

    @property
    def is_logistic_regression(self) -> bool:
        """Return whether it is one sigmoid unit, for which there are kernels."""
        return self.units == (1,)

    @property
    def has_sigmoids_alone(self) -> bool:
        """Return whether it is one layer of sigmoids."""
        return not self.hidden and (self.outputs == 1 or self.multi_label)

    def draw(self, n: int, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Return `W (units, inputs)` and `b (units, 1)` of every layer, in float64, for n inputs.

        Where there are hidden layers W is N(0, 2 / inputs), drawn layer by layer from the seed, else zero: the cost
        is convex then.
        """
        rng, layers, inputs = np.random.default_rng(seed), [], n
        for units in self.units:
            deviation = math.sqrt(2 / inputs)
            W = rng.normal(0.0, deviation, (units, inputs)) if self.hidden else np.zeros((units, inputs))
            layers.append((W, np.zeros((units, 1))))
            inputs = units
        return layers

    def logits(self, Z: Array, deeper: Deeper) -> list[Array]:
        """Return the logits of every layer, `(k, units, m)`, from those of the first."""
        logits = [Z]
        for layer in deeper:
            logits.append(layer.W @ core.relu(logits[-1]) + layer.b)
        return logits

    def probabilities(self, Z: Array, deeper: Deeper) -> Array:
        """Return A_L `(k, outputs, m)`: of the second of two classes, or of each class."""
        last = self.logits(Z, deeper)[-1]
        return core.sigmoid(last) if self.outputs == 1 or self.multi_label else core.softmax(last)

    def cost(self, Z: Array, deeper: Deeper, Y: Array, weights: Array | None = None) -> Array:
        """Return J `(k, 1, 1)` for labels `Y (1 or k, outputs, m)`, one-hot where there are more than two classes.

        `weights (k, 1, m)` multiply the losses before their mean is taken.
        """
        last = self.logits(Z, deeper)[-1]
        losses = core.losses(last, Y) if self.outputs == 1 else core.softmax_losses(last, Y)
        weighted = losses if weights is None else losses * weights
        return array_namespace(Z).mean(weighted, axis=-1, keepdims=True)

    def backward(self, Z: Array, deeper: Deeper, Y: Array, weights: Array | None = None) -> tuple[Array, Deeper]:
        """Return D₁ `(k, units, m)`, and dW and db of the deeper layers."""
        logits = self.logits(Z, deeper)
        D = core.residuals(logits[-1], Y) if self.outputs == 1 else core.softmax(logits[-1]) - Y
        D = D if weights is None else D * weights
        xp, gradients = array_namespace(Z), []
        for layer, below in zip(reversed(deeper), reversed(logits[:-1]), strict=True):
            dW = D @ xp.matrix_transpose(core.relu(below)) / D.shape[-1]
            gradients.append(Layer(dW, core.intercept_gradient(D)))
            back = xp.matrix_transpose(layer.W) @ D
            D = xp.where(below >= 0, back, xp.zeros_like(back))
        return D, tuple(reversed(gradients))

    def dead_layers(self, Z: Array, deeper: Deeper) -> set[int]:
        """Return the hidden layers of one network, numbered from 1, whose units are off for every sample."""
        hidden = self.logits(Z, deeper)[:-1]
        return {i for i, logits in enumerate(hidden, start=1) if not array_namespace(logits).any(logits > 0)}


def outputs_for(classes: int) -> int:
    """Return the outputs for so many classes: two have one, of the second class; more have one each."""
    return 1 if classes == 2 else classes


def one_hot(labels: NDArray[np.int64], outputs: int) -> NDArray[Any]:
    """Return labels as `(outputs, m)`: themselves for one output, else 1.0 in the row of each one's class."""
    if outputs == 1:
        return np.asarray(labels[np.newaxis], dtype=np.float64)
    return np.asarray(labels == np.arange(outputs)[:, np.newaxis], dtype=np.float64)


def targets(labels: NDArray[Any], outputs: int, column_of: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Return Y `(1 or k, outputs, m)` for labels `(m,)`, or for a table `(m, L)` of which each model has a column."""
    if column_of is None:
        return one_hot(labels, outputs)[np.newaxis]
    return np.asarray(labels.T[column_of][:, np.newaxis, :], dtype=np.float64)


def classes_of(probabilities: NDArray[Any]) -> NDArray[np.intp]:
    """Return the class of each sample from A_L `(…, outputs, m)`: 1 above 0.5, or the most probable."""
    single = probabilities.shape[-2] == 1
    chosen = probabilities[..., 0, :] > 0.5 if single else probabilities.argmax(axis=-2)
    return np.asarray(chosen, dtype=np.intp)


def unstandardized(first: Layer, mean: Array, deviation: Array) -> Layer:
    """Return the first layer for inputs as they are, from that for (x − mean) / deviation, both `(1, n)`."""
    W = first.W / deviation
    return Layer(W, first.b - W @ mean.T)

"""How a parameter p moves along its gradient g: one row for each rule, with what it remembers of the steps before.

    gd        p ← p − r g
    momentum  v ← β v + g                       p ← p − r v
    nesterov  v ← β v + g                       p ← p − r (g + β v)
    adam      u ← β₁ u + (1 − β₁) g             v ← β₂ v + (1 − β₂) g²
              p ← p − r (u / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)

r is the learning rate; t counts from 1; β = β₁ = 0.9, β₂ = 0.999, ε = 1e−8. What is linear in g keeps the weights
among the combinations of the samples and so has a Gram form; Adam, which scales each coordinate by itself, has none.
Sources: B. Polyak, 1964; Y. Nesterov, 1983, as I. Sutskever and others wrote it, 2013; D. Kingma and J. Ba, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastlr.core import Array
from fastlr.errors import InputError, shown
from fastlr.namespace import array_namespace

BETA, BETA2, EPSILON = 0.9, 0.999, 1e-8

Memory = tuple[Array, ...]  # what is kept of a parameter, each of its shape
Rule = Callable[[Array, Array, Memory, Array, Array], tuple[Array, Memory]]


def descend(p: Array, g: Array, memory: Memory, rate: Array, t: Array) -> tuple[Array, Memory]:
    """Return the parameter after a step of gradient descent."""
    return p - rate * g, memory


def momentum(p: Array, g: Array, memory: Memory, rate: Array, t: Array) -> tuple[Array, Memory]:
    """Return the parameter after a step along the sum of the gradients so far, older ones ever smaller."""
    v = BETA * memory[0] + g
    return p - rate * v, (v,)


def nesterov(p: Array, g: Array, memory: Memory, rate: Array, t: Array) -> tuple[Array, Memory]:
    """Return the parameter after a step of momentum that looks one step ahead."""
    v = BETA * memory[0] + g
    return p - rate * (g + BETA * v), (v,)


def adam(p: Array, g: Array, memory: Memory, rate: Array, t: Array) -> tuple[Array, Memory]:
    """Return the parameter after a step in which each coordinate has its own scale; `t` is the number of the step."""
    xp = array_namespace(p)
    u = BETA * memory[0] + (1 - BETA) * g
    v = BETA2 * memory[1] + (1 - BETA2) * g * g
    return p - rate * (u / (1 - BETA**t)) / (xp.sqrt(v / (1 - BETA2**t)) + EPSILON), (u, v)


@dataclass(frozen=True)
class Optimizer:
    """One row of the table."""

    name: str
    rule: Rule
    remembers: int  # arrays of a parameter's shape
    has_gram_form: bool = True

    @property
    def is_plain(self) -> bool:
        """Return whether its steps are those of gradient descent, for which there are kernels."""
        return self.rule is descend


OPTIMIZERS = {
    row.name: row
    for row in (
        Optimizer("gd", descend, 0),
        Optimizer("momentum", momentum, 1),
        Optimizer("nesterov", nesterov, 1),
        Optimizer("adam", adam, 2, has_gram_form=False),
    )
}


def choose_optimizer(name: str) -> Optimizer:
    """Return the row of that name."""
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise InputError(f"optimizer: {shown(name)} is not known; choose {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]

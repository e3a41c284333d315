"""What is added up over blocks of the samples, or over parts of them on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastlr import core
from fastlr.core import Array
from fastlr.objectives.preconditioner import mean_of
from fastlr.objectives.protocol import Vector
from fastlr.objectives.resident import Resident


def _product(part: Resident, x: Vector, p: Vector) -> tuple[Array, ...]:
    V = part.curvature_along(part.form.logits(x.W, x.b), part.form.logits(p.W, p.b))
    return part.form.gradient(V), core.intercept_gradient(V)


def _features(part: Any, every: int, weighted: bool) -> tuple[Array, ...]:
    moments: tuple[Array, ...] = part.form.feature_moments(every, mean_of(part.counts) if weighted else None)
    return moments


SUMS: dict[str, Callable[..., tuple[Array, ...]]] = {  # what a block's objective makes, without l2
    "counted": lambda part: (part.form.gradient(part.counted()),),
    "features": _features,
    "product": _product,
    "cost": lambda part, state: (part.cost(part.arrive(state)),),
    "gradients": lambda part, state: tuple(part.gradients(part.arrive(state))),
}


def weighted_sums(blocks: Iterable[tuple[int, tuple[Array, ...]]], m: int) -> tuple[Array, ...]:
    """Return the sums of arrays of each block, each times the share of its samples among all m."""
    total: tuple[Array, ...] = ()
    for samples, arrays in blocks:
        here = [samples / m * array for array in arrays]
        total = tuple(a + b for a, b in zip(total, here, strict=True)) if total else tuple(here)
    return total

"""The mean and the deviation of each feature, of samples that are read a block at a time."""

from __future__ import annotations

from typing import Any

from fastlr import core
from fastlr.backends.record import Backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks


def moments_of(backend: Backend, blocks: Blocks, scale: float) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each feature of scaled samples, as `core.moments` does."""
    mean = first_moment(backend, blocks)
    return in_working_dtype(backend, mean, second_moment(backend, blocks, mean), scale)


def first_moment(backend: Backend, blocks: Blocks) -> Array:
    """Return the mean of each feature `(n,)`, in float64."""
    xp, total = backend.xp, len(blocks.labels)
    mean: Any = 0.0
    for which, rows in blocks:
        X = xp.astype(backend.asarray(rows), xp.float64)
        mean = mean + xp.mean(X, axis=0) * (len(blocks.labels[which]) / total)
    return mean


def second_moment(backend: Backend, blocks: Blocks, mean: Array) -> Array:
    """Return the mean square of each feature's distance from a mean `(n,)`, in float64."""
    xp, total = backend.xp, len(blocks.labels)
    square: Any = 0.0
    for which, rows in blocks:
        X = xp.astype(backend.asarray(rows), xp.float64) - mean
        square = square + xp.mean(X * X, axis=0) * (len(blocks.labels[which]) / total)
    return square


def in_working_dtype(backend: Backend, mean: Array, square: Array, scale: float) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of scaled samples from the moments of those that are not."""
    return core.in_moments(mean, backend.xp.sqrt(square), backend.float_dtype, scale)

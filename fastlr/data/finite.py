"""Whether samples are real, finite numbers: all of them are looked at, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastlr.core import Array
from fastlr.errors import InputError
from fastlr.namespace import array_namespace, is_lazy, library_of

PIECE = 2**20  # numbers of the samples that are looked at together


def is_real(samples: Array) -> bool:
    """Return whether the numbers are real, whole, or true and false."""
    return bool(array_namespace(samples).isdtype(samples.dtype, ("bool", "integral", "real floating")))


def check_finite(source: str, samples: Array) -> None:
    """Raise InputError that names the first number of samples `(m, n)` that is NaN or infinite."""
    if not array_namespace(samples).isdtype(samples.dtype, "real floating"):
        return
    before = 0
    for count, found in over_parts(samples, _first_strange):
        if found is not None:
            row, column, value = found
            raise InputError(
                f"{source}: sample {before + row} holds {value} at feature {column}; finite numbers are needed"
            )
        before += count


def over_parts(samples: Array, function: Callable[..., Any]) -> list[Any]:
    """Call a function with the samples, or, on a cluster, with each part on its worker; return the results."""
    return samples.over_parts(function) if is_lazy(samples) else [function(samples)]


def _first_strange(samples: Array) -> tuple[int, tuple[int, int, float] | None]:
    """Return how many samples there are, and row, feature and value of the first number that is not finite."""
    xp = array_namespace(samples)
    for start, some in in_pieces(samples):
        with np.errstate(over="ignore", invalid="ignore"):
            total = xp.sum(some, dtype=xp.float64 if xp is np else None)
        # The sum is finite only if every number is; only a sum that is not makes the mask worth its memory.
        if not xp.isfinite(total) and (strange := xp.nonzero(~xp.isfinite(some)))[0].shape[0]:
            row, column = int(strange[0][0]), int(strange[1][0])
            return samples.shape[0], (start + row, column, float(some[row, column]))
    return samples.shape[0], None


def in_pieces(samples: Array) -> Iterator[tuple[int, Array]]:
    """Give NumPy's samples `(m, n)` some at a time, each with its number, so that what is on a disk is read once."""
    m, n = samples.shape
    step = max(1, PIECE // max(1, n)) if library_of(samples) == "numpy" else max(1, m)
    for start in range(0, m, step):
        yield start, samples[start : start + step, ...]

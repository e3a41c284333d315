"""Whether the numbers in the samples, and their squares where those are needed, are in the range of a dtype."""

from __future__ import annotations

import math

import numpy as np

from fastlr.core import Array
from fastlr.data.finite import in_pieces, over_parts
from fastlr.errors import InputError
from fastlr.namespace import array_namespace, dtype_name

SMALL = ("bool", "uint8", "int8", "uint16", "int16", "float16", "bfloat16")  # no matter what is in them
LARGE = 1e60  # times which a float32 has a square that float64 holds
SMALLEST = 1e-150  # whose square is still a number in float64


def check_range(name: str, rows: Array, dtype: str, scale: float, *, squares: bool = False) -> None:
    """Raise InputError where scaled samples `rows (m, n)` overflow the dtype, or sums of their squares do."""
    if dtype_name(rows) in SMALL or (dtype_name(rows) == "float32" and dtype == "float64" and scale < LARGE):
        return
    with np.errstate(all="ignore"):
        peak = max(1.0, scale) * max(over_parts(rows, _peak))  # products come before the scale
        most = float(np.finfo(dtype).max)
        if peak > most:
            raise InputError(f"{name}: reach {peak:.1e}, more than {dtype} holds; divide them first, or take float64")
        if squares and peak > math.sqrt(most / math.prod(rows.shape)):
            raise InputError(
                f"{name}: reach {peak:.1e}, whose squares add up to more than {dtype} holds; divide them first"
            )


def _peak(rows: Array) -> float:
    """Return the largest magnitude of all numbers."""
    xp = array_namespace(rows)
    return max(max(float(xp.max(some)), -float(xp.min(some))) for _, some in in_pieces(rows))


def _ends(rows: Array) -> tuple[Array, Array]:
    """Return the largest and the smallest number of each feature."""
    xp = array_namespace(rows)
    each = [(xp.max(some, axis=0), xp.min(some, axis=0)) for _, some in in_pieces(rows)]
    return xp.max(xp.stack([most for most, _ in each]), axis=0), xp.min(xp.stack([least for _, least in each]), axis=0)


def check_spread(name: str, rows: Array) -> None:
    """Raise InputError where a feature of `rows (m, n)` varies so little, or so much, that its variance is lost."""
    if dtype_name(rows) in SMALL:
        return
    xp = array_namespace(rows)
    with np.errstate(all="ignore"):
        each = over_parts(rows, _ends)
        ends = [xp.max(xp.stack([most for most, _ in each]), axis=0), xp.min(xp.stack([x for _, x in each]), axis=0)]
        if not xp.isdtype(rows.dtype, "real floating"):
            ends = [xp.astype(end, xp.float64) for end in ends]
        spread = ends[0] / 2 - ends[1] / 2
        lost = ((spread > 0) & (spread < SMALLEST)) | (spread > 1 / SMALLEST)
        if bool(xp.any(lost)):
            feature = int(xp.argmax(xp.astype(lost, xp.int32)))
            raise InputError(
                f"{name}: feature {feature} varies by {2 * float(spread[feature]):.1e}, whose square float64 does not "
                "hold, and cannot be standardized; multiply or divide it first"
            )

"""An exponential that vectorises, and the sigmoid made of it.

Numba calls the C library's `exp` one number at a time. This one is plain arithmetic, so LLVM turns a loop over it
into vector instructions.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.extending import intrinsic, overload

from fastlr.kernels.cpu.compiling import inlined_exactly

# Adding 1.5 · 2⁵² to a number below 2⁵¹ rounds it to a whole number, which is then in the low bits of the sum.
ROUND = 6755399441055744.0
LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first with zeros at its end, so that n · LN2_HIGH is exact (Cody and Waite's reduction).
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
BITS_OF_2_52 = 0x4330000000000000
LEAST = -708.0  # e^−708 is close to the smallest normal number


@intrinsic
def _bits_of(typingctx: Any, value: Any) -> Any:
    """Return the 64 bits of a float64 as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def _float_of(typingctx: Any, bits: Any) -> Any:
    """Return the float64 with these 64 bits."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


# LLVM inlines these two. Numba must not: they would take on the caller's leave to reorder sums, and a compiler that
# may do that turns (x + ROUND) − ROUND into x.
@inlined_exactly
def exp_of_negative(x: float) -> float:
    """Return e^x for x ≤ 0, to about one unit in the last place; below −708 the value there; NaN for NaN.

    e^x = 2ⁿ e^r with n = round(x / ln 2) and |r| ≤ ln 2 / 2, where thirteen terms of e^r's series are enough.
    """
    x = LEAST if x < LEAST else x
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = 1.0 / 6227020800.0
    series = series * r + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * _float_of((_bits_of(shifted) + 1023) << 52)  # the exponent's bits are n + 1023


@inlined_exactly
def sigmoid(z: float) -> float:
    """Return σ(z), as `core.sigmoid` does."""
    e = exp_of_negative(-abs(z))
    sigma: float = (1.0 if z >= 0 else e) / (1.0 + e)
    return sigma


def assign(target: Any, source: Any) -> None:
    """Do target[:] = source for arrays of the same shape; only in compiled code.

    Numba's own assignment also compiles an error message for other shapes, which takes five seconds.
    """
    raise NotImplementedError


@overload(assign, jit_options={"forceinline": True})
def _assign(target, source):  # type: ignore[no-untyped-def]
    if target.ndim == 1:

        def numbers(target, source):  # type: ignore[no-untyped-def]
            for i in range(target.shape[0]):
                target[i] = source[i]

        return numbers

    def rows(target, source):  # type: ignore[no-untyped-def]
        for i in range(target.shape[0]):
            assign(target[i], source[i])

    return rows


def number(x: Any, like: Any) -> Any:
    """Return x in the dtype of `like`: in compiled code alone."""
    raise NotImplementedError


@overload(number, jit_options={"forceinline": True})
def _number(x, like):  # type: ignore[no-untyped-def]
    if x == types.uint8 and like == types.float64:
        # A byte in the low bits of 2⁵² is 2⁵² + x: two plain instructions, where x86's own conversion is slow.
        return lambda x, like: _float_of(int64(x) | BITS_OF_2_52) - 4503599627370496.0  # type: ignore[operator]
    dtype = like.dtype if hasattr(like, "dtype") else like
    return lambda x, like: dtype(x)

"""Sums of pixels times real numbers, in whole numbers of 16 bits.

A pixel has 8 bits, so what its product with a float64 costs is above all its conversion. Here the real numbers are
converted instead: v = unit · (digit₀ + 2¹⁶ digit₁ + 2³² digit₂), digits of 16 bits with a sign, and 16 pixels are
multiplied by a digit each at a time (`fastlr.kernels.cpu.words`). The sums are exact; what is lost is what v has below
its unit, 2⁻⁴⁶ of the largest number that shares the unit. Two digits serve float32.

`digits (2 or 3, n)`, int16, holds the lowest digit first; `like` is a number of the working dtype, whose type says how
many there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, int16, int32, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlr.kernels.cpu.compiling import inlined
from fastlr.kernels.cpu.words import (
    BYTES,
    LANES,
    NO_SUMS,
    SUMS,
    WORDS,
    columns,
    data,
    load,
    multiply,
    named,
    place,
    splat,
)

BASE = 65536.0
# A sum of two products is below 2 · 255 · 2¹⁵ < 2²⁴, so 32 bits hold 127 of them: so many features of `dots`, in
# lanes of two, and so many rows of `add_block`, in pairs.
FEATURES, BLOCK = 1024, 248
LEAST = 1e-200  # no unit is made of a smaller number

_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
LINE = 64  # bytes that come from memory together


@inlined
def peak_of(numbers: Any) -> float:
    """Return the largest absolute value; NaN where one is not finite."""
    peak = trouble = 0.0
    for j in range(numbers.shape[0]):
        peak = max(peak, abs(numbers[j]))
        trouble += numbers[j] * 0.0  # NaN for NaN and infinity
    return peak + trouble


@inlined
def unit_of(peak: float, count: int) -> float:
    """Return the unit in which numbers up to `peak` have that many digits; NaN for NaN."""
    return (LEAST if peak < LEAST else peak) / (BASE**count / 4)


@inlined
def split(numbers: Any, unit: float, digits: Any) -> None:
    """Set the digits of the numbers (n,), each −2¹⁵ … 2¹⁵ − 1."""
    for j in range(numbers.shape[0]):
        number = np.rint(numbers[j] / unit)
        rest = np.floor((number + BASE / 2) / BASE)
        digits[0, j] = int16(int32(number - rest * BASE))
        if digits.shape[0] == 3:
            number, rest = rest, np.floor((rest + BASE / 2) / BASE)
            digits[1, j] = int16(int32(number - rest * BASE))
            digits[2, j] = int16(int32(rest))
        else:
            digits[1, j] = int16(int32(rest))


@inlined
def dots(rows: Any, i: int, last: int, digits: Any, like: Any) -> Any:
    """Return the products, in units, of rows i and i + 1 with these numbers; past the last row, that one again."""
    other = min(i + 1, last)
    z0 = z1 = 0.0
    n = rows.shape[1]
    whole = n // LANES * LANES
    for start in range(0, whole, FEATURES):
        part: Any = _dots_in_vectors(rows, i, other, digits, start, min(whole, start + FEATURES), like)
        z0, z1 = z0 + part[0], z1 + part[1]
    for j in range(whole, n):
        v = 0.0
        for level in range(digits.shape[0] - 1, -1, -1):
            v = v * BASE + digits[level, j]
        z0, z1 = z0 + rows[i, j] * v, z1 + rows[other, j] * v
    return z0, z1


@inlined
def add_block(rows: Any, first: int, last: int, d: Any, digits: Any, pairs: Any, sums: Any, like: Any, g: Any) -> None:
    """Add rows first … last − 1, each times its number in d, to g. Beyond them d must be zero.

    The rest is scratch for work: digits as many as d, those of two rows beside each other as int32 in
    `pairs (rows / 2, 2 or 3)`, and `sums (2 or 3, n)`, int32.
    """
    count, n = sums.shape
    unit = unit_of(peak_of(d), count)
    split(d, unit, digits)
    for p in range(d.shape[0] // 2):
        for level in range(count):
            pairs[p, level] = int32(digits[level, 2 * p + 1]) << 16 | int32(digits[level, 2 * p]) & 0xFFFF
    sums[:] = 0
    whole = n // LANES * LANES
    for i in range(first, last, 4):
        i1, i2, i3 = min(i + 1, last - 1), min(i + 2, last - 1), min(i + 3, last - 1)
        fetch(rows, (3 * last - 2 * first + i) * n // 2, (3 * last - 2 * first + i + 4) * n // 2)
        _add_in_vectors(rows, i, i1, i2, i3, pairs, (i - first) // 2, sums, like)
        for j in range(whole, n):
            for level in range(count):
                for r in range(min(4, last - i)):
                    sums[level, j] += int32(rows[i + r, j]) * digits[level, i - first + r]
    for j in range(n):
        v = float64(0)
        for level in range(count - 1, -1, -1):
            v = v * BASE + sums[level, j]
        g[j] += unit * v


@inlined
def fetch(rows: Any, start: int, stop: int) -> None:
    """Ask for bytes start … stop of the rows, those that there are, to be in the second cache soon."""
    for offset in range(start, min(stop, rows.size), LINE):
        _fetch(rows, offset)


@intrinsic
def _fetch(typingctx: Any, rows: Any, offset: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, offset = arguments
        pointer = builder.gep(data(context, builder, signature.args[0], rows), [offset])
        prefetch = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        )
        builder.call(prefetch, [pointer, _I32(0), _I32(2), _I32(1)])  # to read, into the second cache, data
        return context.get_dummy_value()

    return types.void(rows, offset), codegen


@intrinsic
def _dots_in_vectors(typingctx: Any, rows: Any, i0: Any, i1: Any, digits: Any, start: Any, stop: Any, like: Any) -> Any:
    """Return the products in units from column `start` to `stop`, a multiple of 16 columns."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, *indices, digits, start, stop, _ = arguments
        pixels, bases = _rows(context, builder, signature.args[0], rows, indices)
        words, levels = _levels(context, builder, signature.args[3], digits, like)
        lanes = ir.Constant(_I64, LANES)
        totals = [[cgutils.alloca_once_value(builder, NO_SUMS) for _ in levels] for _ in bases]
        with cgutils.for_range(builder, builder.udiv(builder.sub(stop, start), lanes)) as loop:
            j = builder.add(start, builder.mul(loop.index, lanes))
            x = [builder.zext(load(builder, pixels, builder.add(base, j), BYTES), WORDS) for base in bases]
            for level, offset in enumerate(levels):
                w = load(builder, words, builder.add(offset, j), WORDS)
                for r in range(len(bases)):
                    total = builder.add(builder.load(totals[r][level]), multiply(builder, x[r], w))
                    builder.store(total, totals[r][level])
        wide, base = ir.VectorType(_I64, 8), ir.Constant(_F64, BASE)
        add_up = named(builder, "llvm.vector.reduce.add.v8i64", _I64, [wide])
        results = []
        for row in totals:
            result = ir.Constant(_F64, 0.0)
            for total in reversed(row):
                sum_ = builder.call(add_up, [builder.sext(builder.load(total), wide)])
                result = builder.fadd(builder.fmul(result, base), builder.sitofp(sum_, _F64))
            results.append(result)
        return context.make_tuple(builder, signature.return_type, results)

    result = types.UniTuple(types.float64, 2)
    return result(rows, i0, i1, digits, start, stop, like), codegen


@intrinsic
def _add_in_vectors(
    typingctx: Any, rows: Any, i0: Any, i1: Any, i2: Any, i3: Any, pairs: Any, first: Any, sums: Any, like: Any
) -> Any:
    """Add four rows times their digits, two pairs from pair `first` on, to sums; whole vectors of columns only."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, *indices, pairs, first, sums, _ = arguments
        pixels, bases = _rows(context, builder, signature.args[0], rows, indices)
        out, levels = _levels(context, builder, signature.args[7], sums, like)
        factors = data(context, builder, signature.args[5], pairs)
        first = builder.mul(first, ir.Constant(_I64, len(levels)))
        splats = []
        for i in range(len(indices) // 2 * len(levels)):
            at = builder.add(first, ir.Constant(_I64, i))
            splats.append(splat(builder, load(builder, factors, at, _I32)))
        n = columns(context, builder, signature.args[0], rows)
        lanes = ir.Constant(_I64, LANES)
        with cgutils.for_range(builder, builder.udiv(n, lanes)) as loop:
            j = builder.mul(loop.index, lanes)
            x = [load(builder, pixels, builder.add(base, j), BYTES) for base in bases]
            for half in (0, 8):
                at = builder.add(j, ir.Constant(_I64, half))
                places = [place(builder, out, builder.add(offset, at), SUMS) for offset in levels]
                totals = [builder.load(where, align=4) for where in places]
                # x_2p[j], x_2p+1[j], x_2p[j + 1], …
                mask = ir.Constant(
                    ir.VectorType(_I32, 16), [i for lane in range(half, half + 8) for i in (lane, 16 + lane)]
                )
                for p in range(len(x) // 2):
                    both = builder.zext(builder.shuffle_vector(x[2 * p], x[2 * p + 1], mask), WORDS)
                    for level in range(len(levels)):
                        product = multiply(builder, both, splats[p * len(levels) + level])
                        totals[level] = builder.add(totals[level], product)
                for where, total in zip(places, totals, strict=True):
                    builder.store(total, where, align=4)
        return context.get_dummy_value()

    return types.void(rows, i0, i1, i2, i3, pairs, first, sums, like), codegen


def _rows(context: Any, builder: Any, kind: Any, rows: Any, indices: list[Any]) -> tuple[Any, list[Any]]:
    """Return the pointer to the rows, and the offset of each."""
    n = columns(context, builder, kind, rows)
    return data(context, builder, kind, rows), [builder.mul(i, n) for i in indices]


def _levels(context: Any, builder: Any, kind: Any, array: Any, like: Any) -> tuple[Any, list[Any]]:
    """Return the pointer to an array with a row for each digit, and the offset of each."""
    n = columns(context, builder, kind, array)
    count = 3 if like == types.float64 else 2
    offsets = [builder.mul(n, ir.Constant(_I64, level)) for level in range(count)]
    return data(context, builder, kind, array), offsets

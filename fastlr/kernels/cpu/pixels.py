"""Products of packed pixels with each other, 64 at a time, for the Gram matrix.

Packed rows are in panels of 16: `packed (panels, pairs, 16, 2)`, int16, holds pixels 2f and 2f + 1 of row r of panel p
at [p, f, r], so that one vector holds a pair of pixels of eight rows, and the products need no sums across lanes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import int32, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlr.kernels.cpu.compiling import inlined
from fastlr.kernels.cpu.words import AVX2, NO_SUMS, SUMS, WORDS, data, load, multiply, place, splat

PANEL = 16  # rows
BAND = 4  # rows of one panel that meet all of another in one call


@intrinsic
def _products_in_vectors(typingctx: Any, packed: Any, x: Any, y: Any, pairs: Any, sums: Any) -> Any:
    """Write Σ over the pairs: sums[r, c] of row r of the band at offset x with row c of the panel at offset y."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        packed, x, y, pairs, sums = arguments
        words, out = data(context, builder, signature.args[0], packed), data(context, builder, signature.args[4], sums)
        number = pairs.type
        totals = [cgutils.alloca_once_value(builder, NO_SUMS) for _ in range(2 * BAND)]
        with cgutils.for_range(builder, pairs) as loop:
            start = builder.mul(loop.index, ir.Constant(number, 2 * PANEL))
            left, right = (builder.gep(words, [builder.add(offset, start)]) for offset in (x, y))
            halves = [load(builder, right, ir.Constant(number, half), WORDS) for half in (0, PANEL)]
            for r in range(BAND):
                pair = splat(builder, load(builder, left, ir.Constant(number, 2 * r), ir.IntType(32)))
                for half in range(2):
                    total = totals[2 * r + half]
                    builder.store(builder.add(builder.load(total), multiply(builder, pair, halves[half])), total)
        for i, total in enumerate(totals):
            builder.store(builder.load(total), place(builder, out, ir.Constant(number, 8 * i), SUMS), align=4)
        return context.get_dummy_value()

    return types.void(packed, x, y, pairs, sums), codegen


@inlined
def products(packed: Any, pairs: int, x: int, r: int, y: int, sums: Any) -> None:
    """sums (4, 16), int32 ← products of rows r … r + 3 of panel x with those of panel y, over the first pairs."""
    if AVX2:
        panel = packed.shape[1] * 2 * PANEL
        _products_in_vectors(packed, x * panel + 2 * r, y * panel, pairs, sums)
    else:
        sums[:] = 0
        for f in range(pairs):
            for i in range(BAND):
                a, b = int32(packed[x, f, r + i, 0]), int32(packed[x, f, r + i, 1])
                for j in range(PANEL):
                    c, d = int32(packed[y, f, j, 0]), int32(packed[y, f, j, 1])
                    sums[i, j] = int32(sums[i, j] + int32(a * c) + int32(b * d))


@inlined
def pack(rows: Any, start: int, stop: int, panel: int, packed: Any) -> None:
    """Fill one panel with features start … stop of its rows of uint8, and zeros where there are no more."""
    m = rows.shape[0]
    whole, pairs = (stop - start) // 2, (stop - start + 1) // 2
    for r in range(PANEL):
        i = panel * PANEL + r
        if i < m:
            row = rows[i, start:stop]
            for f in range(whole):
                packed[panel, f, r, 0] = row[2 * f]
                packed[panel, f, r, 1] = row[2 * f + 1]
            if whole < pairs:
                packed[panel, whole, r, 0] = row[2 * whole]
                packed[panel, whole, r, 1] = 0
        else:
            for f in range(pairs):
                packed[panel, f, r, 0] = 0
                packed[panel, f, r, 1] = 0

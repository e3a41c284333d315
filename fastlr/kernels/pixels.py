"""Products of packed pixels in whole numbers, 64 at a time.

x86's vpmaddwd multiplies 16 numbers of 16 bits and adds them in pairs to 8 of 32 bits: twice the products that an
instruction on float32 makes, and exact. LLVM does not find it from a loop, so it is named here; the plain loop serves
other processors.

Packed rows are in panels of 16: `packed (panels, pairs, 16, 2)`, int16, holds pixels 2f and 2f + 1 of row r of panel p
at [p, f, r], so that one vector holds a pair of pixels of eight rows, and the products need no sums across lanes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import int32, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

PANEL = 16  # rows
BAND = 4  # rows of one panel that meet all of another in one call
AVX2 = binding.get_host_cpu_features().get("avx2", False)

_PAIRS = ir.VectorType(ir.IntType(16), 16)
_SUMS = ir.VectorType(ir.IntType(32), 8)


@intrinsic
def _products_in_vectors(typingctx: Any, packed: Any, x: Any, y: Any, pairs: Any, sums: Any) -> Any:
    """Write Σ over the pairs: sums[r, c] of row r of the band at offset x with row c of the panel at offset y."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        packed, x, y, pairs, sums = arguments
        data = context.make_array(signature.args[0])(context, builder, packed).data
        out = context.make_array(signature.args[4])(context, builder, sums).data
        madd_type = ir.FunctionType(_SUMS, [_PAIRS, _PAIRS])
        madd = cgutils.get_or_insert_function(builder.module, madd_type, "llvm.x86.avx2.pmadd.wd")
        totals = [cgutils.alloca_once_value(builder, ir.Constant(_SUMS, [0] * 8)) for _ in range(2 * BAND)]
        stride = ir.Constant(pairs.type, 2 * PANEL)
        with cgutils.for_range(builder, pairs) as loop:
            place = builder.mul(loop.index, stride)
            left, right = (builder.gep(data, [builder.add(offset, place)]) for offset in (x, y))
            halves = []
            for half in range(2):
                at = builder.gep(right, [ir.Constant(pairs.type, half * PANEL)])
                halves.append(builder.load(builder.bitcast(at, _PAIRS.as_pointer()), align=2))
            for r in range(BAND):
                at = builder.gep(left, [ir.Constant(pairs.type, 2 * r)])
                pair = builder.load(builder.bitcast(at, ir.IntType(32).as_pointer()), align=2)
                pair = builder.bitcast(_splat(builder, pair), _PAIRS)
                for half in range(2):
                    total = totals[2 * r + half]
                    builder.store(builder.add(builder.load(total), builder.call(madd, [pair, halves[half]])), total)
        for i, total in enumerate(totals):
            at = builder.gep(out, [ir.Constant(pairs.type, 8 * i)])
            builder.store(builder.load(total), builder.bitcast(at, _SUMS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(packed, x, y, pairs, sums), codegen


def _splat(builder: Any, number: Any) -> Any:
    """Return a vector of eight times this number."""
    undefined = ir.Constant(_SUMS, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_SUMS, [0] * 8))


@njit(nogil=True)
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


@njit(nogil=True)
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

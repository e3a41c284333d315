"""Sums of products of pixels in whole numbers, sixteen at a time.

x86's vpmaddwd multiplies 16 numbers of 16 bits and adds them in pairs to 8 of 32 bits: twice the products that an
instruction on float32 makes, and exact. LLVM does not find it from a loop over bytes, so it is named here; the plain
loop serves other processors.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import int32, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
AVX2 = binding.get_host_cpu_features().get("avx2", False)

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_WORDS = ir.VectorType(ir.IntType(16), LANES)
_SUMS = ir.VectorType(ir.IntType(32), LANES // 2)


@intrinsic
def _products_in_vectors(typingctx: Any, x0: Any, x1: Any, x2: Any, x3: Any, y0: Any, y1: Any, stop: Any) -> Any:
    """Return the sums of x_r[f] · y_c[f] over f < stop, a multiple of 16: r = 0 … 3 with y0, then with y1."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *rows, stop = arguments
        pointers = [
            context.make_array(row_type)(context, builder, row).data
            for row_type, row in zip(signature.args, rows, strict=False)
        ]
        madd = _external(builder, "llvm.x86.avx2.pmadd.wd", _SUMS, [_WORDS, _WORDS])
        reduce = _external(builder, "llvm.vector.reduce.add.v8i32", ir.IntType(32), [_SUMS])
        sums = [cgutils.alloca_once_value(builder, ir.Constant(_SUMS, [0] * (LANES // 2))) for _ in range(8)]
        lanes = ir.Constant(stop.type, LANES)
        with cgutils.for_range(builder, builder.udiv(stop, lanes)) as loop:
            start = builder.mul(loop.index, lanes)
            words = []
            for pointer in pointers:
                place = builder.bitcast(builder.gep(pointer, [start]), _BYTES.as_pointer())
                words.append(builder.zext(builder.load(place, align=1), _WORDS))
            for total, (y, x) in zip(sums, [(y, x) for y in words[4:] for x in words[:4]], strict=True):
                builder.store(builder.add(builder.load(total), builder.call(madd, [x, y])), total)
        results = [builder.call(reduce, [builder.load(total)]) for total in sums]
        return context.make_tuple(builder, signature.return_type, results)

    return types.UniTuple(types.int32, 8)(x0, x1, x2, x3, y0, y1, stop), codegen


def _external(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


@njit(nogil=True)
def products(x0: Any, x1: Any, x2: Any, x3: Any, y0: Any, y1: Any) -> Any:
    """Return the products of four rows with y0, then with y1.

    The rows are contiguous uint8, all of one length; the sums are int32 and must fit: up to 33,025 pixels do.
    """
    done = 0
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = int32(0)
    if AVX2:
        done = x0.shape[0] // LANES * LANES
        s0, s1, s2, s3, t0, t1, t2, t3 = _products_in_vectors(x0, x1, x2, x3, y0, y1, done)
    for f in range(done, x0.shape[0]):
        u0, u1, u2, u3 = int32(x0[f]), int32(x1[f]), int32(x2[f]), int32(x3[f])
        v0, v1 = int32(y0[f]), int32(y1[f])
        s0 = int32(s0 + int32(u0 * v0))
        s1 = int32(s1 + int32(u1 * v0))
        s2 = int32(s2 + int32(u2 * v0))
        s3 = int32(s3 + int32(u3 * v0))
        t0 = int32(t0 + int32(u0 * v1))
        t1 = int32(t1 + int32(u1 * v1))
        t2 = int32(t2 + int32(u2 * v1))
        t3 = int32(t3 + int32(u3 * v1))
    return s0, s1, s2, s3, t0, t1, t2, t3

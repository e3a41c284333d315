"""Kernels for CUDA devices that predict: one for rows of any type, one that reads rows of pixels 16 bytes at a time.

Both read the data once a model. In the second, each warp works on a few rows at a time, so that a weight that is read
from the cache serves them all, and all its arithmetic is in the working dtype.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float64, types, uint32, uint64

from fastlr.kernels.cuda.steps import LANES, SIMULATED, WARPS, sigmoid, warp_sum

WIDTH = 16  # pixels that a lane reads at a time
QUADS = WIDTH // 4  # the words of 32 bits that they come in
CHUNK = WIDTH * LANES  # pixels that a warp reads at a time, of each row
ROWS = 4  # rows of a warp at a time


@cuda.jit
def predict(rows: Any, W: Any, b: Any, scale: float, A: Any) -> None:
    """A (k, m) ← σ(scale · W rowsᵀ + b) for rows (m, n), read as they are, once a model. Twin: `core.predict`."""
    scratch = cuda.shared.array((WARPS, LANES), float64)
    lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
    (k, m), n = A.shape, rows.shape[1]
    for base in range(cuda.blockIdx.x * WARPS, m, cuda.gridDim.x * WARPS):
        i = base + warp
        for q in range(k):
            dot = 0.0
            if i < m:
                for j in range(lane, n, LANES):
                    dot += rows[i, j] * W[q, j]
            dot = warp_sum(dot, scratch)
            if lane == 0 and i < m:
                A[q, i] = sigmoid(scale * dot + b[q])


if SIMULATED:

    def sixteen(rows: Any, i: int, j: int) -> tuple[Any, ...]:
        """Return the 16 bytes of row i from column j on, as four words."""
        return tuple(uint32(sum(int(rows[i, j + w + p]) << (8 * p) for p in range(4))) for w in range(0, WIDTH, 4))

    def pixel(word: Any, p: int, kind: Any) -> Any:
        """Return byte p of a word as a floating-point number."""
        return kind((int(word) >> (8 * p)) & 255)

else:
    from llvmlite import ir
    from numba.core import cgutils
    from numba.cuda.extending import intrinsic

    BYTE, WORD = ir.IntType(8), ir.IntType(32)
    WORDS = ir.VectorType(WORD, QUADS)
    GLOBAL = 1  # the address space of a device's memory

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def sixteen(typing: Any, rows: Any, i: Any, j: Any) -> Any:
        """Return the 16 bytes of row i from column j on, as four words; their address is a multiple of 16."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            i, j = arguments[1:]
            offset = builder.add(builder.mul(i, builder.extract_value(array.strides, 0)), j)
            start = builder.addrspacecast(array.data, ir.PointerType(BYTE, GLOBAL))
            place = builder.bitcast(builder.gep(start, [offset]), ir.PointerType(WORDS, GLOBAL))
            words = builder.load(place, align=WIDTH)
            parts = [builder.extract_element(words, ir.Constant(WORD, w)) for w in range(QUADS)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.uint32, QUADS)(rows, types.intp, types.intp), generate

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def pixel(typing: Any, word: Any, p: Any, kind: Any) -> Any:
        """Return byte p of a word as a floating-point number.

        A byte in the last bits of 2²³ (float64: 2⁵²) makes the number 2²³ + byte, and the difference is exact: moving a
        byte and subtracting have many times the throughput of a conversion.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            double = signature.return_type == types.float64
            word, p, _ = arguments
            permute = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(WORD, [WORD, WORD, WORD]), "llvm.nvvm.prmt"
            )
            # The result's bytes, the first last: byte p of `word`, then bytes of the second argument, numbered 4 to 7.
            order = builder.or_(builder.trunc(p, WORD), ir.Constant(WORD, 0x7540))
            high = ir.Constant(WORD, 0 if double else 0x4B000000)
            bits = builder.call(permute, [word, high, order])
            if double:
                long = ir.IntType(64)
                bits = builder.or_(builder.zext(bits, long), ir.Constant(long, 0x43300000_00000000))
            kind = context.get_value_type(signature.return_type)
            return builder.fsub(builder.bitcast(bits, kind), ir.Constant(kind, 2.0**52 if double else 2.0**23))

        return kind.dtype(types.uint32, types.intp, kind), generate


def _predict_pixels(kind: Any) -> Any:
    zero, one = kind(0), kind(1)

    @cuda.jit
    def predict_pixels(rows: Any, weights: Any, b: Any, scale: float, A: Any) -> None:
        """A (k, m) ← σ(scale · W rowsᵀ + b) for uint8 rows (m, n), n a multiple of WIDTH. Twin: `core.predict`.

        `weights (k, chunks, CHUNK)` holds W in the order in which a warp reads it: first the first weight of each lane.
        """
        scratch = cuda.shared.array((WARPS, LANES), float64)
        words = cuda.local.array((ROWS, QUADS), uint32)
        sums = cuda.local.array(ROWS, kind)
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        (k, m), n = A.shape, rows.shape[1]
        for base in range(cuda.blockIdx.x * WARPS * ROWS, m, cuda.gridDim.x * WARPS * ROWS):
            first = base + warp * ROWS
            for q in range(k):
                for r in range(ROWS):
                    sums[r] = zero
                for chunk in range(weights.shape[1]):
                    j = chunk * CHUNK + lane * WIDTH
                    if j < n:
                        for r in range(ROWS):
                            i = first + r if first + r < m else m - 1  # read once more, and not used
                            words[r, 0], words[r, 1], words[r, 2], words[r, 3] = sixteen(rows, i, j)
                        for p in range(WIDTH):
                            w = weights[q, chunk, uint64(p * LANES + lane)]
                            for r in range(ROWS):
                                sums[r] += w * pixel(words[r, p // 4], p % 4, kind)
                for r in range(ROWS):
                    z = scale * warp_sum(sums[r], scratch) + b[q]
                    if lane == 0 and first + r < m:
                        e = math.exp(-abs(z))
                        A[q, first + r] = (one if z >= zero else e) / (one + e)

    return predict_pixels


PREDICT_PIXELS = {np.dtype(kind): _predict_pixels(kind) for kind in (np.float32, np.float64)}

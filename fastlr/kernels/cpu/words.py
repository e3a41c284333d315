"""Vectors of whole numbers of 16 bits, and the one instruction that all products of pixels here are made with.

x86's vpmaddwd multiplies 16 numbers of 16 bits and adds the products in pairs to 8 of 32 bits: twice the products that
an instruction on float32 makes, and exact. LLVM does not find it from a loop, so it is named.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import config
from numba.core import cgutils


def _has_avx2() -> bool:
    """Return whether Numba compiles for a processor with AVX2, which is this one unless its settings name another."""
    named: Any = config
    if named.CPU_FEATURES is not None:
        return "+avx2" in named.CPU_FEATURES.split(",")
    return named.CPU_NAME != "generic" and bool(binding.get_host_cpu_features().get("avx2", False))


AVX2 = _has_avx2()
LANES = 16  # numbers of 16 bits in a vector
BYTES = ir.VectorType(ir.IntType(8), LANES)
WORDS = ir.VectorType(ir.IntType(16), LANES)
SUMS = ir.VectorType(ir.IntType(32), LANES // 2)
NO_SUMS = ir.Constant(SUMS, [0] * (LANES // 2))


def named(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Return an LLVM function by its name."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def multiply(builder: Any, x: Any, y: Any) -> Any:
    """Return the products of two vectors of words, added in pairs."""
    return builder.call(named(builder, "llvm.x86.avx2.pmadd.wd", SUMS, [WORDS, WORDS]), [x, y])


def splat(builder: Any, pair: Any) -> Any:
    """Return a vector of words that holds eight times this pair of them, given as 32 bits."""
    undefined = ir.Constant(SUMS, ir.Undefined)
    first = builder.insert_element(undefined, pair, ir.Constant(ir.IntType(32), 0))
    same = builder.shuffle_vector(first, undefined, ir.Constant(SUMS, [0] * (LANES // 2)))
    return builder.bitcast(same, WORDS)


def load(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """Return the vector, or the number, of that type which begins at that element; it need not be aligned."""
    return builder.load(place(builder, pointer, offset, vector), align=1)


def place(builder: Any, pointer: Any, offset: Any, vector: Any) -> Any:
    """Return the pointer to it."""
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the pointer to an array's numbers."""
    return context.make_array(kind)(context, builder, array).data


def columns(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the length of an array's second axis."""
    return builder.extract_value(context.make_array(kind)(context, builder, array).shape, 1)

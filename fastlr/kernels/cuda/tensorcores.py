"""The Gram matrix of pixels on a CUDA device's tensor cores, which multiply whole numbers of 8 bits: exact, for CuPy.

cuBLAS adds up products of int8 in int32. For pixels v = x − 128 lies in −128…127, each product of two is at most 2¹⁴,
and a sum of up to 131,071 of them stays below 2³¹.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr import core
from fastlr.core import Array

MULTIPLE = 16  # cuBLAS asks for sizes and leading dimensions in multiples of 4 and is at its best with 16
FEATURES = (2**31 - 1) // 2**14 // MULTIPLE * MULTIPLE  # in one exact product
CUDA_R_8I, CUDA_R_32I = 3, 10  # of CUDA's cudaDataType; CuPy does not name the second
NOT_SUPPORTED = 15  # of cublasStatus_t


def gram_matrix(X: Array, dtype: Any) -> Array:
    """Return XᵀX (m, m) in `dtype`; for uint8 X it is exact before it is rounded to `dtype`. Twin: `core.gram_matrix`.

    xᵀx′ = vᵀv′ + 128 (Σv + Σv′) + 128² n, as there.
    """
    rows = X.T
    if rows.dtype != np.uint8 or not rows.flags.c_contiguous:
        return core.gram_matrix(X, dtype)
    import cupy
    from cupy.cuda import cublas

    m, n = rows.shape
    K, sums = cupy.zeros((m, m), dtype=np.float64), cupy.zeros(m, dtype=np.int64)
    for start in range(0, n, FEATURES):
        V = _padded(rows[:, start : start + FEATURES])
        try:
            K += _products(V)[:m, :m]
        except cublas.CUBLASError as error:
            if error.status != NOT_SUPPORTED:
                raise
            return core.gram_matrix(X, dtype)
        sums += V[:m, :].sum(axis=1, dtype=np.int64)
    # Whole numbers far below 2⁵³: float64 holds each of them exactly.
    shares = 128.0 * sums + 128.0 * 64.0 * n
    K += shares[:, None]
    K += shares[None, :]
    return K.astype(dtype, copy=False)


def _padded(rows: Array) -> Array:
    """Return x − 128 as int8, with rows and columns of zeros up to a multiple of MULTIPLE."""
    import cupy

    m, n = rows.shape
    V = cupy.zeros((_up(m), _up(n)), dtype=np.uint8)
    cupy.bitwise_xor(rows, np.uint8(128), out=V[:m, :n])  # the highest bit turned over is 128 less, read as int8
    return V.view(np.int8)


def _products(V: Array) -> Array:
    """Return the products of all rows of V (m, n), int8, with each other: (m, m), int32.

    To cuBLAS, which counts down columns, the memory of V is V' (n, m) with one sample per column: the product is
    V'ᵀ V', the one order in which it has tensor cores for int8.
    """
    import cupy
    from cupy.cuda import cublas, device

    m, n = V.shape
    K = cupy.empty((m, m), dtype=np.int32)
    one, zero = np.ones(1, np.int32), np.zeros(1, np.int32)  # read before the call returns
    cublas.gemmEx(
        device.get_cublas_handle(), cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, m, m, n,
        one.ctypes.data, V.data.ptr, CUDA_R_8I, n, V.data.ptr, CUDA_R_8I, n,
        zero.ctypes.data, K.data.ptr, CUDA_R_32I, m, cublas.CUBLAS_COMPUTE_32I, cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
    return K


def _up(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE

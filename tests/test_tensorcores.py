"""The Gram matrix by cuBLAS's product of int8, on a stand-in for CuPy that reads memory as cuBLAS is documented to."""

import ctypes
import sys
from types import ModuleType

import numpy as np
import pytest

from fastlr import core
from fastlr.kernels.cuda import tensorcores

N, T = 0, 1  # cublasOperation_t
CUDA_R_8I, CUDA_R_32I = 3, 10  # cudaDataType
CUBLAS_COMPUTE_32I = 72
HANDLE = 7


class Array(np.ndarray):
    """NumPy's array with the address where CuPy has it."""

    @property
    def data(self):
        pointer = ModuleType("MemoryPointer")
        pointer.ptr = self.ctypes.data
        return pointer


class CUBLASError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class Memory:
    """The arrays that were made, and what reads and writes them at bare addresses; nothing is read beyond an array."""

    def __init__(self):
        self.arrays = []
        self.calls = 0

    def array(self, made):
        self.arrays.append(made)
        return made.view(Array)

    def zeros(self, shape, dtype):
        return self.array(np.zeros(shape, dtype))

    def empty(self, shape, dtype):
        return self.array(np.full(shape, 77, dtype))

    def matrix(self, address, kind, rows, columns, leading):
        """Return the column-major matrix that begins at an address."""
        assert leading >= max(1, rows), "the leading dimension is less than the rows"
        assert leading % 4 == 0
        assert address % 4 == 0
        size = (leading * (columns - 1) + rows) * kind(0).nbytes
        held = [(made.ctypes.data, made.nbytes) for made in self.arrays]
        assert any(start <= address and address + size <= start + length for start, length in held), "out of bounds"
        memory = np.frombuffer((ctypes.c_byte * size).from_address(address), dtype=kind)
        step = kind(0).nbytes
        return np.lib.stride_tricks.as_strided(memory, (rows, columns), (step, leading * step))

    def gemm_ex(self, handle, transa, transb, m, n, k, alpha, A, a_type, lda, B, b_type, ldb, beta, C, c_type, ldc,
                compute, algorithm):  # fmt: skip
        """C (m, n) ← alpha op(A) (m, k) op(B) (k, n) + beta C."""
        self.calls += 1
        assert handle == HANDLE
        assert (a_type, b_type, c_type, compute) == (CUDA_R_8I, CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I)
        assert algorithm == -1
        assert m % 4 == 0
        assert k % 4 == 0
        assert (transa, transb) == (T, N), "the order that has tensor cores for int8"
        alpha, beta = (ctypes.c_int32.from_address(place).value for place in (alpha, beta))
        assert alpha in (0, 1)
        assert beta in (0, 1)
        left = self.matrix(A, np.int8, k, m, lda).T if transa else self.matrix(A, np.int8, m, k, lda)
        right = self.matrix(B, np.int8, n, k, ldb).T if transb else self.matrix(B, np.int8, k, n, ldb)
        result = self.matrix(C, np.int32, m, n, ldc)
        products = left.astype(np.int64) @ right.astype(np.int64)
        assert np.abs(products).max() < 2**31, "int32 overflows"
        result[:] = alpha * products + beta * result


@pytest.fixture
def memory(monkeypatch):
    memory = Memory()
    cupy, cuda, cublas, device = (ModuleType(name) for name in ("cupy", "cupy.cuda", "cublas", "device"))
    cupy.cuda, cuda.cublas, cuda.device = cuda, cublas, device
    cupy.zeros, cupy.empty, cupy.bitwise_xor = memory.zeros, memory.empty, np.bitwise_xor
    cublas.gemmEx, cublas.CUBLASError = memory.gemm_ex, CUBLASError
    cublas.CUBLAS_OP_N, cublas.CUBLAS_OP_T = N, T
    cublas.CUBLAS_COMPUTE_32I, cublas.CUBLAS_GEMM_DEFAULT = CUBLAS_COMPUTE_32I, -1
    device.get_cublas_handle = lambda: HANDLE
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    return memory


def pixels(m, n):
    rng = np.random.default_rng(m * n)
    rows = rng.integers(0, 256, (m, n), dtype=np.uint8)
    rows[0] = 0  # the largest product is that of −128 with itself
    return rows.view(Array)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 7), (16, 32), (18, 48), (16, 50), (33, 130), (64, 3)])
def test_it_is_the_plain_gram_matrix_bit_for_bit(memory, m, n, dtype):
    X = pixels(m, n).T
    before = X.copy()
    K = tensorcores.gram_matrix(X, np.dtype(dtype))
    expected = core.gram_matrix(np.asarray(X), np.dtype(dtype))
    assert memory.calls == 1
    assert K.dtype == dtype
    np.testing.assert_array_equal(K, expected)
    assert (before == X).all()


@pytest.mark.parametrize(("limit", "n", "calls"), [(16, 16, 1), (16, 17, 2), (32, 100, 4)])
def test_many_features_are_added_up_in_slices(memory, monkeypatch, limit, n, calls):
    monkeypatch.setattr(tensorcores, "FEATURES", limit)
    X = pixels(6, n).T
    K = tensorcores.gram_matrix(X, np.dtype("float64"))
    assert memory.calls == calls
    np.testing.assert_array_equal(K, core.gram_matrix(np.asarray(X), np.dtype("float64")))


def test_a_slice_is_as_large_as_is_exact(memory):
    assert tensorcores.FEATURES * 2**14 < 2**31 <= (tensorcores.FEATURES + 16) * 2**14
    X = np.zeros((2, tensorcores.FEATURES + 8), np.uint8).view(Array).T
    K = tensorcores.gram_matrix(X, np.dtype("float64"))
    assert memory.calls == 2
    assert (K == 0).all()


@pytest.mark.parametrize("kind", ["float32", "across"])
def test_what_is_not_rows_of_pixels_goes_the_plain_way(memory, kind):
    X = pixels(5, 7).T.astype(np.float32) if kind == "float32" else np.ascontiguousarray(pixels(5, 7).T)
    expected = core.gram_matrix(np.asarray(X), np.dtype("float64"))
    np.testing.assert_array_equal(tensorcores.gram_matrix(X, np.dtype("float64")), expected)
    assert memory.calls == 0


def test_a_device_without_such_a_product_goes_the_plain_way(memory):
    def fail(*_):
        raise CUBLASError(status)

    sys.modules["cupy"].cuda.cublas.gemmEx = fail
    X, status = pixels(5, 7).T, 15
    expected = core.gram_matrix(np.asarray(X), np.dtype("float64"))
    np.testing.assert_array_equal(tensorcores.gram_matrix(X, np.dtype("float64")), expected)
    status = 7  # an argument that is wrong is not to be hidden
    with pytest.raises(CUBLASError):
        tensorcores.gram_matrix(X, np.dtype("float64"))


def test_the_backend_has_it_with_numba_and_without(monkeypatch):
    from fastlr.backends import cupy
    from fastlr.kernels.cuda import launch

    monkeypatch.setattr(launch, "available", lambda: False)
    assert dict(cupy._kernels()) == {"gram_matrix": tensorcores.gram_matrix}
    monkeypatch.setattr(launch, "available", lambda: True)
    kernels = cupy._kernels()
    assert sorted(kernels) == sorted(cupy.FUSED)
    assert kernels["gram_matrix"] is tensorcores.gram_matrix

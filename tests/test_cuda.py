"""The CUDA kernels in Numba's simulator, one block, each against its plain twin; and that they compile for a GPU."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

SIMULATED = """
import numpy as np
from fastlr import core
from fastlr.backends import choose_backend
from fastlr.objectives.gram import GramForm
from fastlr.objectives.primal import PrimalForm
from fastlr.kernels.cuda import launch
from fastlr.solvers import choose_descent
descent = choose_descent()
from fastlr.objectives.resident import Resident

assert launch.SIMULATED
launch.MODELS = 2  # three models take two launches
gram_steps, shared = launch.kernels.gram_steps, []

class Spy:
    def __getitem__(self, configuration):
        shared.append(configuration[3])
        return gram_steps[configuration]

launch.kernels.gram_steps = Spy()
def compare(what, got, expected):
    assert got.dtype == expected.dtype, what
    error = np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-3)
    assert error < (1e-12 if got.dtype == "float64" else 1e-4), f"{what}: off by {error:.1e}"

def check(m, n, k, steps, dtype):
    backend = choose_backend("numpy", dtype=dtype)
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (m, n), dtype=np.uint8)
    W, b = backend.floats(rng.normal(size=(k, n)) * 0.1), backend.floats(rng.normal(size=(k, 1)))
    Y = backend.floats(rng.integers(0, 2, (k, 1, m)))
    rates, l2 = backend.floats(rng.uniform(0.01, 0.1, (k, 1, 1))), backend.floats(rng.uniform(0, 0.2, (k, 1, 1)))
    got = launch.predict(W, b, data.T, 1 / 255)
    assert got.dtype == dtype
    compare("predict", got, core.predict(W, b, data.T, 1 / 255))
    for form in (GramForm, PrimalForm):
        spaces = [form.of(data.T, W[:, None], 1 / 255, kernels) for kernels in ({}, launch.KERNELS)]
        plain, fused = (Resident(space, Y, rates, l2) for space in spaces)
        start = descent.start(plain, b[:, None])
        before = [array.copy() for array in start[:3]]
        expected = descent.advance(backend, plain, start, steps)
        got = fused.steps(start, steps) or expected
        for name, one, other in zip(("W", "b", "Z"), got, expected):
            assert one.dtype == dtype
            compare(f"{form.name} {name}", one, other)
        assert all((old == same).all() for old, same in zip(before, start))

for launch.KEPT in (2**15, 0):  # K is kept in shared memory, or read
    small, wide, smallest = (5, 7, 1, 2), (3, 40, 3, 2), (1, 1, 1, 1)
    for dtype, shape in (("float64", small), ("float64", wide), ("float32", wide), ("float32", smallest)):
        shared.clear()
        check(*shape, dtype)
        assert len(shared) == -(-shape[2] // 2) and all(bool(size) == bool(launch.KEPT) for size in shared), shared
print("alike")
"""


WIDE = """
import numpy as np
from fastlr import core
from fastlr.kernels.cuda import predict as cuda_predict
from fastlr.kernels.cuda import launch
used = []

def spy(kernel, name):
    class Spy:
        def __getitem__(self, configuration):
            used.append(name)
            return kernel[configuration]
    return Spy()

cuda_predict.predict = spy(cuda_predict.predict, "bytes")
for dtype, kernel in list(cuda_predict.PREDICT_PIXELS.items()):
    cuda_predict.PREDICT_PIXELS[dtype] = spy(kernel, "wide")
rng = np.random.default_rng(0)
for dtype in ("float64", "float32"):
    for m, n, k in ((11, 16, 1), (1, 512, 3), (2, 528, 1), (2, 1040, 2)):
        W = (rng.normal(size=(k, n)) / np.sqrt(n)).astype(dtype)
        b = rng.normal(size=(k, 1)).astype(dtype)
        memory = rng.integers(0, 256, m * n + 32, dtype=np.uint8)
        start = -memory.ctypes.data % 16
        for shift, expected in ((0, "wide"), (1, "bytes")):
            rows = memory[start + shift : start + shift + m * n].reshape(m, n)
            got, twin = launch.predict(W, b, rows.T, 1 / 255), core.predict(W, b, rows.T, 1 / 255)
            assert used.pop() == expected and not used, (n, shift)
            assert got.dtype == dtype and got.shape == (k, m)
            error = np.abs(got / twin - 1).max()
            assert error < (1e-12 if dtype == "float64" else 1e-5), f"{dtype} {m} x {n}, {k}, {expected}: {error:.1e}"
        assert not launch.reads_wide(rows[:, 1:].copy()) and not launch.reads_wide(rows.astype("float32"))
print("alike")
"""


def simulate(code):
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.stdout == "alike\n", done.stderr


def test_kernels_follow_their_twins_in_the_simulator():
    simulate(SIMULATED)


def test_pixels_are_read_sixteen_at_a_time_where_they_can_be():
    simulate(WIDE)


def test_kernels_compile_for_a_gpu(monkeypatch):
    """To PTX, where NVIDIA's compiler library is installed; no device is needed."""
    cuda = pytest.importorskip("numba.cuda", reason="numba.cuda cannot be imported")
    from numba import float32, float64, int32, int64, uint8
    from numba.cuda.cudadrv.error import NvvmSupportError

    try:
        cuda.cudadrv.nvvm.NVVM()
    except NvvmSupportError as error:
        pytest.skip(f"NVIDIA's compiler library is not here: {str(error).splitlines()[0]}")

    class Device:
        compute_capability = (9, 0)

    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: Device)
    from fastlr.kernels.cuda import predict as cuda_predict
    from fastlr.kernels.cuda import steps as kernels

    one, two, three = float64[::1], float64[:, ::1], float64[:, :, ::1]
    for rows in (uint8[:, ::1], float32[:, ::1], two):
        cuda.compile_ptx(cuda_predict.predict.py_func, (rows, two, one, float64, two), cc=(9, 0))
        arguments = (int64, rows, float64, two, one, one, two, one, two, one)
        ptx, _ = cuda.compile_ptx(kernels.primal_steps.py_func, arguments, cc=(9, 0))
        assert "ld.local" not in ptx, "a warp keeps its row in registers"
    for K in (int32[:, ::1], float32[:, ::1], two):
        arguments = (int64, K, float64, two, two, one, one, three, one, one, two, three)
        ptx, _ = cuda.compile_ptx(kernels.gram_steps.py_func, arguments, cc=(9, 0))
        assert re.search(rf"ld\.shared\.{'u32' if K.dtype == int32 else 'f' + str(K.dtype.bitwidth)}", ptx)
    for kind in (float32, float64):
        arguments = (uint8[:, ::1], kind[:, :, ::1], kind[::1], kind, kind[:, ::1])
        kernel = cuda_predict.PREDICT_PIXELS[np.dtype(str(kind))].py_func
        ptx, _ = cuda.compile_ptx(kernel, arguments, cc=(9, 0))
        assert len(re.findall(r"ld\.global\.v4\.u32", ptx)) == cuda_predict.ROWS
        assert "ld.global.u8" not in ptx
        assert "ld.local" not in ptx
        assert "st.local" not in ptx
        assert (".f64" in ptx) == (kind == float64)

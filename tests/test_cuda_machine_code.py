"""The CUDA kernels compiled to machine code, as a GPU would get it: their registers, spills and shared memory.

NVIDIA's compiler runs without a GPU: Numba makes PTX, `ptxas` machine code of it, and `nvlink` adds the barrier of the
grid from the device runtime. `pip install '.[cuda-check]'` has all three.
"""

import importlib.metadata
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
REGISTERS = 65_536  # of a multiprocessor, in each of these architectures
SHARED = 48 * 1024  # bytes that a block has without asking for more
# Bytes that are known to spill: these kernels take all 255 registers of a thread. Elsewhere there are none.
SPILLS = {("sm_80", "primal_steps"): 600, ("sm_80", "gram_steps"): 200, ("sm_90", "gram_steps"): 8}


def toolkit() -> Path:
    """Return the folder with NVIDIA's `bin` and `lib`; skip where it is not installed."""
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install '.[cuda-check]'")
    try:
        files = importlib.metadata.files("nvidia-cuda-nvcc") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvcc, which brings ptxas, is not installed: pip install '.[cuda-check]'")
    (ptxas,) = (file for file in files if file.name == "ptxas")
    return Path(ptxas.locate()).parents[1]


def kernels():
    """Return (name, dtype of the rows or of K, working dtype, kernel, argument types) of every kernel."""
    from numba import float32, float64, int32, int64, uint8

    from fastlr.kernels.cuda import predict as cuda_predict
    from fastlr.kernels.cuda import steps as cuda

    found = []
    for kind in (float32, float64):
        one, two, three = kind[::1], kind[:, ::1], kind[:, :, ::1]
        for rows in (uint8, float32, float64):
            if rows in (uint8, kind):
                given = (rows[:, ::1], two, one, float64, two)
                found.append(("predict", rows, kind, cuda_predict.predict, given))
                given = (int64, rows[:, ::1], float64, two, one, one, two, one, two, one)
                found.append(("primal_steps", rows, kind, cuda.primal_steps, given))
        given = (int64, two, float64, two, two, one, one, three, one, one, two, three)
        found.append(("gram_steps", kind, kind, cuda.gram_steps, given))
        wide = cuda_predict.PREDICT_PIXELS[np.dtype(str(kind))]
        found.append(("predict_pixels", uint8, kind, wide, (uint8[:, ::1], three, one, kind, two)))
    two = float64[:, ::1]
    one, three = float64[::1], float64[:, :, ::1]
    given = (int64, int32[:, ::1], float64, two, two, one, one, three, one, one, two, three)
    return [*found, ("gram_steps", int32, float64, cuda.gram_steps, given)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_become_machine_code_that_fits_a_block(architecture, tmp_path, monkeypatch, capsys):
    root = toolkit()
    from numba import cuda

    version = divmod(int(architecture[3:]), 10)
    device = type("Device", (), {"compute_capability": version})
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)
    from fastlr.kernels.cuda.steps import LANES, WARPS

    source, code, linked = (tmp_path / name for name in ("kernel.ptx", "kernel.cubin", "linked.cubin"))
    lines = [f"{architecture:8} {'kernel':16} {'reads':8} {'works in':8} registers  spills  shared"]
    for name, rows, kind, kernel, arguments in kernels():
        ptx, _ = cuda.compile_ptx(kernel.py_func, arguments, cc=version)
        source.write_text(ptx)
        said = run(root / "bin" / "ptxas", "-v", "-c", f"-arch={architecture}", source, "-o", code)
        runtime = root / "lib" / "libcudadevrt.a"
        final = run(root / "bin" / "nvlink", "-v", f"-arch={architecture}", code, runtime, "-o", linked)
        (registers,) = map(int, re.findall(r"Used (\d+) registers", said))
        (spills,) = map(int, re.findall(r"(\d+) bytes spill stores", said))
        (shared,) = map(int, re.findall(r"fastlr.*\n.* (\d+) bytes smem", final))
        what = f"{name} of {rows} in {kind}"
        lines.append(f"{'':8} {name:16} {rows!s:8} {kind!s:8} {registers:9}  {spills:6}  {shared:6}")
        assert registers * LANES * WARPS <= REGISTERS, f"{what}: a block does not fit a multiprocessor"
        assert spills <= SPILLS.get((architecture, name), 0), f"{what}: {spills} bytes spilled"
        assert shared <= SHARED - kept(name), f"{what}: {shared} bytes of shared memory"
    with capsys.disabled():
        print("", *lines, sep="\n")


def kept(name: str) -> int:
    """Return the bytes that a launch asks for beside the kernel's own."""
    from fastlr.kernels.cuda.launch import KEPT

    return KEPT if name == "gram_steps" else 0


def run(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr

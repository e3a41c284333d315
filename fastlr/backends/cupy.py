"""CuPy: NumPy's interface on a CUDA device."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastlr.backends.record import AHEAD, Backend, Costs, Kernels, UnavailableError, loop
from fastlr.core import Array
from fastlr.kernels.cuda import tensorcores

FUSED = ("predict", "gram_matrix", "gram_steps", "primal_steps")


def default_device() -> str:
    """Return CuPy's current device."""
    devices()
    import cupy

    return f"cuda:{cupy.cuda.runtime.getDevice()}"


def devices() -> tuple[str, ...]:
    """Return the CUDA devices that answer."""
    if importlib.util.find_spec("cupy") is None:
        raise UnavailableError("cupy is not installed")
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise UnavailableError(f"no CUDA device answers ({error})") from error
    if count == 0:
        raise UnavailableError("there is no CUDA device")
    return tuple(f"cuda:{i}" for i in range(count))


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    return f"cuda:{array.device.id}"


def to_host(array: Array) -> Any:
    """Return an array as NumPy's."""
    return array.get()


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return CuPy's record for this device and working dtype."""
    import array_api_compat.cupy as xp
    import cupy

    place = cupy.cuda.Device(int(device.partition(":")[2]))

    def asarray(array: Any) -> Array:
        with place:
            return cupy.asarray(array)

    return Backend(
        name="cupy",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=xp,
        asarray=asarray,
        to_host=to_host,
        repeat=loop,
        synchronize=lambda state: place.synchronize(),
        scope=lambda: _scope(place.id, precision),
        ahead=AHEAD,
        costs=Costs(primal=0.5, gram=0.25, product=0.016),
        kernels=_kernels(),
        free_memory=lambda: int(place.mem_info[0]),
    )


@contextlib.contextmanager
def _scope(device: int, precision: str) -> Iterator[None]:
    """Make this the device of new work, and float32 products as precise as asked; leave all as it was.

    The setting is CuPy's own for `CUPY_TF32`, which has no public name; it counts for all threads.
    """
    import cupy
    from cupy._core import _routines_linalg as kinds
    from cupy._core import get_compute_type, set_compute_type

    with cupy.cuda.Device(device):
        before = get_compute_type(np.float32)
        set_compute_type(np.float32, kinds.COMPUTE_TYPE_FP32 if precision == "full" else kinds.COMPUTE_TYPE_TF32)
        try:
            yield
        finally:
            set_compute_type(np.float32, before)


def _kernels() -> Kernels:
    """Return cuBLAS's product of pixels, and Numba's kernels where Numba, too, reaches the device."""
    kernels: dict[str, Any] = {"gram_matrix": tensorcores.gram_matrix}
    if importlib.util.find_spec("numba") is None:
        return kernels
    from fastlr.kernels.cuda import launch

    return kernels | dict(launch.KERNELS) if launch.available() else kernels

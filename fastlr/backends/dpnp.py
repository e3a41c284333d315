"""dpnp: NumPy's interface on SYCL devices: Intel's GPUs, and CPUs by way of OpenCL."""

from __future__ import annotations

import importlib.util
from typing import Any

from fastlr.backends.record import AHEAD, Backend, Costs, UnavailableError, loop
from fastlr.core import Array
from fastlr.errors import InputError

FUSED: tuple[str, ...] = ()


def default_device() -> str:
    """Return the device that SYCL chooses by itself."""
    devices()
    import dpctl

    return str(dpctl.select_default_device().filter_string)


def devices() -> tuple[str, ...]:
    """Return the SYCL devices, by names such as "level_zero:gpu:0" and "opencl:cpu:0"."""
    if importlib.util.find_spec("dpnp") is None:
        raise UnavailableError("dpnp is not installed")
    import dpctl

    found = tuple(str(device.filter_string) for device in dpctl.get_devices())
    if not found:
        raise UnavailableError("there is no SYCL device")
    return found


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    return str(array.sycl_device.filter_string)


def to_host(array: Array) -> Any:
    """Return an array as NumPy's."""
    return array.asnumpy()


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return dpnp's record for this device and working dtype."""
    import dpctl
    import dpnp

    if dtype == "float64" and not dpctl.SyclDevice(device).has_aspect_fp64:
        raise InputError(f"dtype: {device} has no float64; set FASTLR_DTYPE=float32, or another FASTLR_DEVICE")
    return Backend(
        name="dpnp",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=dpnp,
        asarray=lambda array: dpnp.asarray(array, device=device),
        to_host=to_host,
        repeat=loop,
        synchronize=_synchronize,
        ahead=1 if ":cpu:" in device else AHEAD,
        costs=Costs(primal=0.5, gram=0.25, product=0.016),
    )


def _synchronize(state: Any) -> None:
    """Wait for the queue of these arrays, in tuples or alone."""
    for part in state if isinstance(state, tuple) else ():
        _synchronize(part)
    if hasattr(state, "sycl_queue"):
        state.sycl_queue.wait()

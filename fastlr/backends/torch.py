"""PyTorch: the CPU, CUDA devices, and Apple's GPUs in float32. Steps on CUDA are captured once and replayed."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from fastlr.backends.record import Backend, UnavailableError, loop
from fastlr.core import Array
from fastlr.errors import InputError
from fastlr.forms import Costs

FUSED: tuple[str, ...] = ()


def devices() -> tuple[str, ...]:
    """Return the devices that PyTorch runs on, those first that are not the CPU."""
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError("torch is not installed")
    import torch

    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return (*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    place = array.device
    return place.type if place.type in ("cpu", "mps") else f"{place.type}:{place.index or 0}"


def open_backend(device: str, dtype: str) -> Backend:
    """Return PyTorch's record for this device and working dtype."""
    if device == "mps" and dtype == "float64":
        raise InputError("dtype: torch has no float64 on mps; set FASTLR_DTYPE=float32, or FASTLR_DEVICE=cpu")
    import array_api_compat.torch as xp
    import numpy as np
    import torch

    place = torch.device(device)

    def asarray(array: Any) -> Array:
        if isinstance(array, torch.Tensor):
            return array.to(place)
        # PyTorch shares memory only with arrays that may be written to.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(place)

    def synchronize(_: Any) -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        elif place.type == "mps":
            torch.mps.synchronize()

    return Backend(
        name="torch",
        device=device,
        dtype=dtype,
        xp=xp,
        asarray=asarray,
        to_host=lambda array: array.cpu().numpy(),
        repeat=loop,
        synchronize=synchronize,
        scope=full_precision,
        costs=Costs(primal=0.7, gram=0.36, product=0.022),
    )


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Keep float32 products in float32, whatever the program around us allows, and leave its setting as it was."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_float32_matmul_precision(before)

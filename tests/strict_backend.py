"""A backend from outside the package: array_api_strict, on devices whose arrays do not mix and do not become NumPy's.

It stands in for a GPU: an array that is created without a device lands on CPU_DEVICE and cannot meet those of device1.
"""

from typing import Any

import numpy as np

from fastlr.backends import Backend, Entry
from fastlr.backends.record import Costs, loop

ENTRY = Entry("strict", "array_api_strict", "pip install array-api-strict", location="strict_backend")
FUSED = ()


def default_device() -> str:
    return "device1"


def devices() -> tuple[str, ...]:
    return ("device1", "device2", "CPU_DEVICE")


def device_of(array: Any) -> str:
    return array.device._device


def to_host(array: Any) -> np.ndarray:
    import array_api_strict as xp

    # A copy: what is changed on the host must not change the array.
    return np.array(array.to_device(xp.Device("CPU_DEVICE")))


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    import array_api_strict as xp

    place = xp.Device(device)

    def asarray(array: Any) -> Any:
        return array.to_device(place) if isinstance(array, xp._array_object.Array) else xp.asarray(array, device=place)

    return Backend(
        name="strict",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=xp,
        asarray=asarray,
        to_host=to_host,
        repeat=loop,
        synchronize=lambda state: None,
        ahead=4,
        # NumPy's warnings, which a device would not give: training finds what is not finite in the costs.
        scope=lambda: np.errstate(over="ignore", invalid="ignore"),
        costs=Costs(primal=0.5, gram=0.25, product=0.016),
    )

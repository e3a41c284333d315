"""NumPy on the CPU: the plain path, a Python loop over the core's steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.backends.record import Backend, Costs, S, Step, loop
from fastlr.core import Array

FUSED: tuple[str, ...] = ()


def default_device() -> str:
    """Return the one device that NumPy runs on."""
    return "cpu"


def devices() -> tuple[str, ...]:
    """Return the devices that NumPy runs on."""
    return ("cpu",)


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    return "cpu"


def to_host(array: Array) -> Any:
    """Return an array as it is."""
    return np.asarray(array)


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return the record of NumPy with this working dtype."""
    return Backend(
        name="numpy",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=np,
        asarray=np.asarray,
        to_host=to_host,
        repeat=repeat,
        synchronize=lambda state: None,
        costs=Costs(primal=0.5, gram=0.25, product=0.016),
    )


def repeat(step: Step[S], state: S, steps: int) -> S:
    """Apply `step` that many times."""
    # Overflow is not an accident here: training looks for it in the cost and says so in its own words.
    with np.errstate(over="ignore", invalid="ignore"):
        return loop(step, state, steps)

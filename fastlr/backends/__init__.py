"""The registry of array libraries, and the environment variables that choose among them.

A new library is one file in this folder and one row in `REGISTRY`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fastlr.backends.record import Backend
from fastlr.errors import InputError

__all__ = ["DTYPES", "REGISTRY", "Backend", "Entry", "choose_backend", "survey"]

DTYPES = ("float64", "float32")
AUTO = "auto"


@dataclass(frozen=True)
class Entry:
    """One row of the registry: a library, what installs it, and what it can do here."""

    name: str
    library: str  # whose arrays it takes and returns
    install: str  # the command that brings it

    def module(self) -> ModuleType:
        """Import and return the backend's file."""
        return importlib.import_module(f"fastlr.backends.{self.name}")


# The first of a library is the default for its arrays, and the first of all where there are none.
REGISTRY = {
    entry.name: entry
    for entry in (
        Entry("numba", "numpy", "pip install numba"),
        Entry("numpy", "numpy", "pip install numpy"),
    )
}


def choose_backend(
    backend: str | None = None, device: str | None = None, dtype: str | None = None, like: Any = None
) -> Backend:
    """Return the backend to run on.

    An argument beats its environment variable (`FASTLR_BACKEND`, `FASTLR_DEVICE`, `FASTLR_DTYPE`), which beats
    the default: the library of the array `like`, else the first of the registry; its first device; float64.
    """
    name, name_from = _setting(backend, "backend", AUTO)
    if name == AUTO:
        name = _library_of(like) or next(iter(REGISTRY))
    if name not in REGISTRY:
        known = ", ".join((AUTO, *REGISTRY))
        raise InputError(f"{name_from}: {name!r} is not a backend of this version; choose {known}")
    module = REGISTRY[name].module()

    devices = module.devices()
    device_name, device_from = _setting(device, "device", devices[0])
    if device_name not in devices:
        raise InputError(f"{device_from}: {name} has no device {device_name!r} here; choose {', '.join(devices)}")
    dtype_name, dtype_from = _setting(dtype, "dtype", DTYPES[0])
    if dtype_name not in DTYPES:
        raise InputError(f"{dtype_from}: {dtype_name!r} is not a working dtype; choose {' or '.join(DTYPES)}")
    chosen: Backend = module.open_backend(device_name, dtype_name)
    return chosen


def survey() -> list[dict[str, Any]]:
    """Return a row for each backend: its version, whether it runs, on which devices, and if not, why not."""
    rows = []
    for entry in REGISTRY.values():
        row: dict[str, Any] = {
            "name": entry.name,
            "version": None,
            "runs": False,
            "devices": [],
            "why_not": None,
        }
        try:
            row["version"] = importlib.metadata.version(entry.name)
            row["devices"] = list(entry.module().devices())
            row["runs"] = True
        except (ImportError, InputError) as error:
            row["why_not"] = f"{error}; try {entry.install}"
        rows.append(row | {"dtypes": list(DTYPES)})
    return rows


def _setting(argument: str | None, name: str, default: str) -> tuple[str, str]:
    """Return a setting's value and where it came from, for the error text."""
    variable = f"FASTLR_{name.upper()}"
    if argument is not None:
        return argument, name
    if value := os.environ.get(variable):
        return value, variable
    return default, name


def _library_of(array: Any) -> str | None:
    """Return the default backend for the library that made this array, None for no array."""
    if array is None:
        return None
    library = type(array).__module__.partition(".")[0]
    for entry in REGISTRY.values():
        if entry.library == library:
            return entry.name
    raise InputError(
        f"data: arrays of {library} are not read by any backend here ({', '.join(REGISTRY)}); "
        "convert them with numpy.asarray"
    )

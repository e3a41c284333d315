"""The registry of array libraries, and the environment variables that choose among them.

A new library is one file in this folder and one row in `REGISTRY`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fastlr.backends.record import Backend, UnavailableError
from fastlr.errors import InputError
from fastlr.forms import FORMS
from fastlr.namespace import library_of

__all__ = ["DTYPES", "PRECISIONS", "REGISTRY", "Backend", "Entry", "choose_backend", "survey"]

DTYPES = ("float64", "float32")
PRECISIONS = ("full", "tf32")
AUTO = "auto"


@dataclass(frozen=True)
class Entry:
    """One row of the registry: a backend, whose arrays it takes and returns, and what would make it run."""

    name: str
    library: str
    help: str

    def module(self) -> ModuleType:
        """Import and return the backend's file."""
        return importlib.import_module(f"fastlr.backends.{self.name}")


# The first of a library is the default for its arrays, and the first of all where there are none and no GPU.
REGISTRY = {
    entry.name: entry
    for entry in (
        Entry("numba", "numpy", "pip install numba"),
        Entry("numpy", "numpy", "pip install numpy"),
        Entry("cupy", "cupy", "pip install 'fastlr[cuda13]' (or cuda12) on a machine with an NVIDIA GPU"),
        Entry("torch", "torch", "pip install 'fastlr[torch]'"),
        Entry("jax", "jax", "pip install 'fastlr[jax]'"),
    )
}


def choose_backend(
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    like: Any = None,
    precision: str = PRECISIONS[0],
) -> Backend:
    """Return the backend to run on.

    An argument beats its environment variable (`FASTLR_BACKEND`, `FASTLR_DEVICE`, `FASTLR_DTYPE`), which beats
    the default: the library and the device of the array `like`; where there is none, CuPy if a GPU answers, else the
    first of the registry on its first device; float64. `precision` "tf32" lets an NVIDIA GPU round the factors of
    float32 products to 10 bits; "full" forbids it, whatever the library's own default.
    """
    name, name_from = _setting(backend, "backend", AUTO)
    library = "numpy" if like is None else library_of(like)
    if name == AUTO:
        name = _default() if like is None else _backend_of(library)
    if name not in REGISTRY:
        known = ", ".join((AUTO, *REGISTRY))
        raise InputError(f"{name_from}: {name!r} is not a backend of this version; choose {known}")
    entry = REGISTRY[name]
    if library not in ("numpy", entry.library):
        raise InputError(f"data: arrays of {library}, but {name_from} asks for {name}; convert them, or leave it out")
    module = entry.module()
    try:
        devices = module.devices()
    except UnavailableError as error:
        raise InputError(f"{name_from}: {name} does not run here: {error}; try {entry.help}") from error
    native = like is not None and library == entry.library
    device_name, device_from = _setting(device, "device", module.device_of(like) if native else devices[0])
    if device_name not in devices:
        raise InputError(f"{device_from}: {name} has no device {device_name!r} here; choose {', '.join(devices)}")
    dtype_name, dtype_from = _setting(dtype, "dtype", DTYPES[0])
    if dtype_name not in DTYPES:
        raise InputError(f"{dtype_from}: {dtype_name!r} is not a working dtype; choose {' or '.join(DTYPES)}")
    _check_precision(precision, name, device_name, dtype_name)
    chosen: Backend = module.open_backend(device_name, dtype_name, precision)
    return chosen


def survey() -> list[dict[str, Any]]:
    """Return a row for each backend: its version, whether it runs, on which devices, with what, and if not, why not."""
    rows = []
    for entry in REGISTRY.values():
        module = entry.module()
        row: dict[str, Any] = {
            "name": entry.name,
            "version": _version(entry.name),
            "runs": False,
            "devices": [],
            "why_not": None,
            "dtypes": list(DTYPES),
            "forms": list(FORMS),
            "fused": list(module.FUSED),
        }
        try:
            row |= {"devices": list(module.devices()), "runs": True}
        except (ImportError, UnavailableError) as error:
            row["why_not"] = f"{error}; try {entry.help}"
        rows.append(row)
    return rows


def _check_precision(precision: str, name: str, device: str, dtype: str) -> None:
    if precision not in PRECISIONS:
        raise InputError(f"precision: {precision!r} is not known; choose {' or '.join(PRECISIONS)}")
    if precision == "tf32" and not (dtype == "float32" and device.startswith("cuda")):
        raise InputError(
            f"precision: tf32 is for float32 on an NVIDIA GPU, but {name} works in {dtype} on {device}; leave it out"
        )


def _backend_of(library: str) -> str:
    """Return the default backend for a library's arrays."""
    for entry in REGISTRY.values():
        if entry.library == library:
            return entry.name
    raise InputError(
        f"data: arrays of {library} are not read by any backend here ({', '.join(REGISTRY)}); "
        "convert them with numpy.asarray"
    )


def _default() -> str:
    """Return CuPy where it is installed and a GPU answers, else the first of the registry."""
    if importlib.util.find_spec("cupy") is not None:
        try:
            if REGISTRY["cupy"].module().devices():
                return "cupy"
        except (ImportError, UnavailableError):
            pass
    return next(iter(REGISTRY))


def _version(name: str) -> str | None:
    """Return the version that is installed; CuPy's distributions have names of their own."""
    for distribution in (name, f"{name}-cuda12x", f"{name}-cuda13x"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def _setting(argument: str | None, name: str, default: str) -> tuple[str, str]:
    """Return a setting's value and where it came from, for the error text."""
    variable = f"FASTLR_{name.upper()}"
    if argument is not None:
        return argument, name
    if value := os.environ.get(variable):
        return value, variable
    return default, name

"""The registry of array libraries, and the environment variables that choose among them.

A library is one file and one row: a module with the functions of `Library`, and an `Entry` for it. Those of this
package are in `BUILT_IN`; `register` adds one from anywhere else.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from typing import Any, Protocol

from fastlr.backends.costs import with_measured
from fastlr.backends.record import AHEAD, Backend, Costs, UnavailableError, loop
from fastlr.core import Array
from fastlr.errors import InputError, shown
from fastlr.namespace import TO_HOST, library_of

__all__ = [
    "AHEAD",
    "BUILT_IN",
    "DTYPES",
    "PRECISIONS",
    "REGISTRY",
    "Backend",
    "Costs",
    "Entry",
    "Library",
    "UnavailableError",
    "choose_backend",
    "loop",
    "native_libraries",
    "register",
    "survey",
]

DTYPES = ("float64", "float32")
PRECISIONS = ("full", "tf32")
AUTO = "auto"


class Library(Protocol):
    """What a backend's module offers. Its functions import the library; importing the module does not.

    `open_backend` of a library whose namespace is `xp`, with a device given by its name, and without kernels, is

        return Backend(
            name="mine", device=device, dtype=dtype, precision=precision, xp=xp,
            asarray=lambda array: xp.asarray(array, device=device), to_host=to_host,
            repeat=loop, synchronize=lambda state: None, costs=Costs(primal=0.5, gram=0.25, product=0.016),
        )

    with `Backend`, `Costs` and `loop` of this module. On a GPU `ahead=AHEAD`, and `synchronize` waits for it.
    """

    FUSED: tuple[str, ...]  # the names of its kernels

    def default_device(self) -> str:
        """Return the device that the library itself would use; raise UnavailableError where it does not run."""

    def devices(self) -> tuple[str, ...]:
        """Return every device that answers; raise UnavailableError where none does."""

    def device_of(self, array: Array) -> str:
        """Return the device that holds this array."""

    def to_host(self, array: Array) -> Any:
        """Return an array of the library as NumPy's."""

    def open_backend(self, device: str, dtype: str, precision: str) -> Backend:
        """Return the library's record for this device and working dtype."""


@dataclass(frozen=True)
class Entry:
    """One row of the registry: a backend, whose arrays it takes and returns, and what would make it run.

    `library` is the top-level package of its arrays' type. `location` is the dotted name of the module to import, by
    default the one of the backend's name in `fastlr.backends`.
    """

    name: str
    library: str
    help: str
    location: str = ""

    def module(self) -> Library:
        """Import and return the backend's file."""
        module: Any = importlib.import_module(self.location or f"fastlr.backends.{self.name}")
        return module  # type: ignore[no-any-return]


# The first of a library is the default for its arrays, and the first of all where data come from files or NumPy.
BUILT_IN = (
    Entry("numba", "numpy", "pip install numba"),
    Entry("numpy", "numpy", "pip install numpy"),
    Entry("cupy", "cupy", "pip install '.[cuda13]' (or cuda12) on a machine with an NVIDIA GPU"),
    Entry("torch", "torch", "pip install '.[torch]'"),
    Entry("jax", "jax", "pip install '.[jax]'"),
    Entry("dpnp", "dpnp", "pip install '.[dpnp]' and the driver of an Intel GPU, or Intel's OpenCL runtime"),
)
REGISTRY: dict[str, Entry] = {}


def register(entry: Entry) -> None:
    """Add a backend to the registry, or put another in the place of one of the same name."""
    REGISTRY[entry.name] = entry
    if entry.library != "numpy":
        TO_HOST[entry.library] = lambda array: entry.module().to_host(array)


for _entry in BUILT_IN:
    register(_entry)


def native_libraries() -> set[str]:
    """Return the libraries whose arrays are worked on where they are; NumPy's are on the host anyway."""
    return {entry.library for entry in REGISTRY.values()} - {"numpy"}


def choose_backend(
    backend: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    like: Any = None,
    precision: str = PRECISIONS[0],
) -> Backend:
    """Return the backend to run on.

    An argument beats its environment variable (`FASTLR_BACKEND`, `FASTLR_DEVICE`, `FASTLR_DTYPE`), which beats
    the default: the library and the device of the array `like`; where there is none, the first of the registry; for a
    backend that was named, the device that its library uses by itself; float64. So no data go to another device unless
    the backend or the device was named. `precision` "tf32" lets an NVIDIA GPU round the factors of float32 products to
    10 bits; "full" forbids it, whatever the library's own default.
    """
    name, name_from = _setting(backend, "backend", AUTO)
    library = "numpy" if like is None else library_of(like)
    if name == AUTO:
        name = _backend_of(library)
    if not isinstance(name, str) or name not in REGISTRY:
        known = ", ".join((AUTO, *REGISTRY))
        raise InputError(f"{name_from}: {shown(name)} is not a backend of this version; choose {known}")
    entry = REGISTRY[name]
    if library not in ("numpy", entry.library):
        raise InputError(f"data: arrays of {library}, but {name_from} asks for {name}; convert them, or leave it out")
    module = entry.module()
    native = like is not None and library == entry.library
    try:
        default = module.device_of(like) if native else module.default_device()
        asked, device_from = _setting(device, "device", default)
        # Only a device that was named is looked for: asking PyTorch for its GPUs would set up CUDA.
        device_name = default if asked == default else _find_device(asked, module.devices())
        if device_name is None:
            known = ", ".join(module.devices())
            raise InputError(f"{device_from}: {name} has no device {asked!r} here; choose {known}")
    except UnavailableError as error:
        raise InputError(f"{name_from}: {name} does not run here: {error}; try {entry.help}") from error
    asked, dtype_from = _setting(dtype, "dtype", DTYPES[0])
    # Those of the libraries are taken by their names, as numpy.float32 and torch.float32.
    dtype_name = asked if isinstance(asked, str) else str(getattr(asked, "__name__", asked)).rpartition(".")[2]
    if dtype_name not in DTYPES:
        raise InputError(f"{dtype_from}: {shown(asked)} is not a working dtype; choose {' or '.join(DTYPES)}")
    _check_precision(precision, name, device_name, dtype_name)
    return with_measured(module.open_backend(device_name, dtype_name, precision))


def survey() -> list[dict[str, Any]]:
    """Return a row for each backend: its version, whether it runs, on which devices, with what, and if not, why not."""
    rows = []
    for entry in REGISTRY.values():
        row: dict[str, Any] = {
            "name": entry.name,
            "version": _version(entry),
            "runs": False,
            "devices": [],
            "why_not": None,
            "dtypes": list(DTYPES),
            "fused": [],
        }
        try:
            module = entry.module()
            row["fused"] = list(module.FUSED)
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


def _find_device(asked: str, devices: tuple[str, ...]) -> str | None:
    """Return the first device of that name; "cuda" stands for "cuda:0", "opencl:cpu" for "opencl:cpu:0"."""
    return next((device for device in devices if f"{device}:".startswith(f"{asked}:")), None)


def _version(entry: Entry) -> str | None:
    """Return the version that is installed; CuPy's distributions have names of their own."""
    for distribution in (entry.name, entry.library, f"{entry.name}-cuda12x", f"{entry.name}-cuda13x"):
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

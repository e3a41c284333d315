"""Arrays of PyTorch and JAX in the CPU's memory: NumPy sees them as they are, and so do the kernels in Numba.

A fit on such arrays runs on the default backend, and its results are arrays of the same library. A backend or a device
that is named, in a call or in the environment, is used instead.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
from array_api_compat import device

from fastlr.core import Array
from fastlr.namespace import array_namespace, dtype_name, library_of

LIBRARIES = ("torch", "jax")
DTYPES = ("float64", "float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool")  # dtypes that NumPy has


def is_shared(array: Any, backend: str | None = None, device: str | None = None) -> bool:
    """Return whether an array is worked on as NumPy's: it is on the CPU, and no backend or device was named."""
    if library_of(array) not in LIBRARIES or backend not in (None, "auto") or device is not None:
        return False
    if os.environ.get("FASTLR_BACKEND", "auto") != "auto" or os.environ.get("FASTLR_DEVICE"):
        return False
    if importlib.util.find_spec("numba") is None or dtype_name(array) not in DTYPES:
        return False
    if library_of(array) == "torch":
        return bool(array.device.type == "cpu" and not array.is_sparse)
    return all(place.platform == "cpu" for place in array.devices())


def numpy_view(array: Array) -> Array:
    """Return a shared array as NumPy's, not copied."""
    return np.asarray(array.detach() if library_of(array) == "torch" else array)


def to_library_of(array: Any, like: Array) -> Array:
    """Return NumPy's array as one of the library of `like`, on its device."""
    contiguous = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
    if library_of(like) == "jax":  # which has no float64 unless it is allowed
        import jax

        with jax.enable_x64(True):
            return array_namespace(like).asarray(contiguous, device=device(like))
    return array_namespace(like).asarray(contiguous, device=device(like))

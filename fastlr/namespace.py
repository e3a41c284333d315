"""Which library an array is of, and its way to NumPy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import array_api_compat
import numpy as np

# A library's arrays to NumPy's, copied to the host where need be; `backends.register` adds a row for each library.
TO_HOST: dict[str, Callable[[Any], Any]] = {}


def array_namespace(array: Any) -> Any:
    """Return the Array API namespace of an array's library.

    NumPy has been one itself since 2.1; array-api-compat's copy of it would import all that NumPy has, 70 ms of it.
    """
    if isinstance(array, np.ndarray | np.generic) or is_lazy(array):
        return np
    return array_api_compat.array_namespace(array)


def is_lazy(samples: Any) -> bool:
    """Return whether samples stay where they are, in files or on workers: `fastlr.data.rows.Rows`."""
    return bool(getattr(type(samples), "is_lazy", False))


def library_of(array: Any) -> str:
    """Return the library that made this array; "numpy" too for lists and other plain values."""
    library = type(array).__module__.partition(".")[0]
    return {"jaxlib": "jax", "builtins": "numpy", "fastlr": "numpy"}.get(library, library)


def as_rows(samples: Any) -> Any:
    """Return samples `(m, …)` as `(m, n)`."""
    if is_lazy(samples):
        return samples.as_rows()
    return array_namespace(samples).reshape(samples, (samples.shape[0], math.prod(samples.shape[1:])))


def same_values(one: Any, other: Any) -> bool:
    """Return whether two values are the same, NaN to itself, with arrays of any library among them or inside them."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same_values(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same_values, one, other))
    if hasattr(one, "dtype") and hasattr(one, "shape"):
        if dtype_name(one) != dtype_name(other):
            return False
        one, other = to_host(one), to_host(other)
        return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    return bool(one == other) or (one != one and other != other)


def compared(value: Any) -> tuple[Any, ...]:
    """Return the fields of a dataclass by which two of its kind are compared."""
    return tuple(getattr(value, field.name) for field in fields(value) if field.compare)


def dtype_name(array: Any) -> str:
    """Return "uint8", "float32", …, in every library."""
    return str(array.dtype).rpartition(".")[2]


def itemsize_of(array: Any) -> int:
    """Return the bytes of one of its numbers, in every library."""
    bits = re.search(r"\d+$", dtype_name(array))
    return 1 if bits is None else int(bits[0]) // 8


def widest(array: Any) -> Any:
    """Return float64 of an array's library, or float32 where the array's device has no float64."""
    xp = array_namespace(array)
    info = getattr(xp, "__array_namespace_info__", None)
    if xp is np or info is None:
        return xp.float64
    floats = info().dtypes(device=array_api_compat.device(array), kind="real floating")
    return floats.get("float64", xp.float32)


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """Return an array of any library that has a backend, or what NumPy makes an array of, as NumPy's."""
    return np.asarray(TO_HOST.get(library_of(array), np.asarray)(array))

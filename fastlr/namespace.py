"""Which library an array is of, and its way to NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

# A library's arrays to NumPy's, copied to the host where need be; `backends.register` adds a row for each library.
TO_HOST: dict[str, Callable[[Any], Any]] = {}


def array_namespace(array: Any) -> Any:
    """Return the Array API namespace of an array's library.

    NumPy has been one itself since 2.1; array-api-compat's copy of it would import all that NumPy has, 70 ms of it.
    """
    return np if isinstance(array, (np.ndarray, np.generic)) else array_api_compat.array_namespace(array)


def library_of(array: Any) -> str:
    """Return the library that made this array; "numpy" too for lists and other plain values."""
    library = type(array).__module__.partition(".")[0]
    return {"jaxlib": "jax", "builtins": "numpy"}.get(library, library)


def as_rows(examples: Any) -> Any:
    """Return examples `(m, …)` as `(m, n)`."""
    return array_namespace(examples).reshape(examples, (examples.shape[0], math.prod(examples.shape[1:])))


def dtype_name(array: Any) -> str:
    """Return "uint8", "float32", …, in every library."""
    return str(array.dtype).rpartition(".")[2]


def to_host(array: Any) -> np.ndarray[Any, Any]:
    """Return an array of any library that has a backend, or what NumPy makes an array of, as NumPy's."""
    return np.asarray(TO_HOST.get(library_of(array), np.asarray)(array))

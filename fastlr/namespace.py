"""Which library an array is of."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np


def array_namespace(array: Any) -> Any:
    """Return the Array API namespace of an array's library.

    NumPy has been one itself since 2.1; array-api-compat's copy of it would import all that NumPy has, 70 ms of it.
    """
    return np if isinstance(array, (np.ndarray, np.generic)) else array_api_compat.array_namespace(array)

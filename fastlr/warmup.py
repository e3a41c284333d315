"""Compiling the kernels before somebody waits for them."""

from __future__ import annotations

import numpy as np

from fastlr.backends import DTYPES
from fastlr.backends.numba import INT32_FEATURES, READS
from fastlr.forms import FORMS
from fastlr.training import train


def warm_up() -> None:
    """Train on the smallest examples of every dtype, in every form and working dtype; the compiled kernels are kept."""
    labels = [0, 1]
    for dtype in DTYPES:
        for form in FORMS:
            for read in READS:
                train(np.eye(2, 3, dtype=read), labels, iterations=1, backend="numba", form=form, dtype=dtype)
        # So many pixels that the Gram matrix is kept in float64.
        wide = np.eye(2, INT32_FEATURES + 1, dtype=np.uint8)
        train(wide, labels, iterations=1, backend="numba", form="gram", dtype=dtype)

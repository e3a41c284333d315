"""Compiling the kernels before somebody waits for them."""

from __future__ import annotations

import numpy as np

from fastlr.backends import DTYPES
from fastlr.forms import FORMS
from fastlr.kernels.arrays import INT32_FEATURES, READS, gram_matrix, gram_product
from fastlr.training import train


def warm_up() -> None:
    """Train on the smallest examples of every dtype, in every form and working dtype; the compiled kernels are kept."""
    for dtype in DTYPES:
        # The last has so many pixels that the Gram matrix is kept in float64.
        for X in (*(np.eye(2, 3, dtype=read) for read in READS), np.eye(2, INT32_FEATURES + 1, dtype=np.uint8)):
            for form in FORMS:
                for layers in ((), (2,)):
                    train(X, [0, 1], layers=layers, iterations=1, backend="numba", form=form, dtype=dtype)
            train(X, [0, 1], l2=1.0, solver="newton", form="gram", iterations=9, backend="numba", dtype=dtype)
            gram_product(np.zeros((1, 2), dtype), gram_matrix(X.T, dtype))  # for advice on the learning rate

"""Compiling the kernels before somebody waits for them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastlr.backends import DTYPES
from fastlr.errors import ConvergenceWarning
from fastlr.kernels.cpu.arrays import LOGITS, READS, sigmoid_losses
from fastlr.kernels.cpu.matrix import INT32_FEATURES, gram_matrix, gram_product
from fastlr.objectives import FORMS
from fastlr.training.api import sweep, train
from fastlr.training.many import fit_many


def warm_up() -> None:
    """Train on the smallest samples of every dtype, in every form and working dtype; the compiled kernels are kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a step or two compiles all
        for dtype in DTYPES:
            settings: dict[str, Any] = {"backend": "numba", "dtype": dtype}
            # The last has so many pixels that the Gram matrix is kept in float64.
            for X in (*(np.eye(3, 4, dtype=read) for read in READS), np.eye(3, INT32_FEATURES + 1, dtype=np.uint8)):
                for form in FORMS:
                    for layers in ((), (2,)):
                        train(X, [0, 1, 0], layers=layers, form=form, iterations=1, **settings)
                    for solver in ("newton", "newton-cg") if form == "gram" else ("newton-cg",):
                        sweep(X, [0, 1, 0], l2=[1e-3], solver=solver, form=form, iterations=2, tol=1e-300, **settings)
                gram_product(np.zeros((1, 3), dtype), gram_matrix(X.T, dtype))  # for advice on the learning rate
                # Three classes; one model alone would be fitted in one call, by another kernel.
                several: dict[str, Any] = {"solver": "lbfgs", "form": "primal", "l2": [1.0, 2.0], "tol": 9.0}
                sweep(np.eye(3, 4, dtype=X.dtype), [0, 1, 2], **several, **settings)
            Z = np.zeros((1, 1, LOGITS), dtype)
            sigmoid_losses(Z, Z, None)
            fit_many(np.eye(2, dtype=dtype)[np.newaxis], [0, 1], backend="numba")
            train(np.eye(3, 4), [0, 1, 0], solver="newton", form="primal", l2=1.0, **settings)

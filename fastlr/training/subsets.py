"""Which samples each of many problems has, from what a caller gives to fit_many()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.data.given import training_set
from fastlr.data.labelled import from_arrays
from fastlr.errors import InputError, shown
from fastlr.namespace import array_namespace, to_host
from fastlr.training.small_problems import Problem


def problems_of_batch(X: Any, y: Any) -> tuple[Dataset, list[Problem]]:
    """Return the samples of all problems `(problems · m, n)` as one data set, and which of them each has."""
    p, m, n = X.shape
    labels = np.asarray(to_host(y) if hasattr(y, "shape") else y)
    if labels.shape not in ((m,), (p, m)):
        raise InputError(f"y: it has shape {labels.shape}; ({m},) or ({p}, {m}) is needed for X {tuple(X.shape)}")
    data = from_arrays("X", array_namespace(X).reshape(X, (p * m, n)), np.broadcast_to(labels, (p, m)).reshape(-1))
    codes = data.labels.reshape(p, m)
    for number, of in enumerate(codes):
        _check_classes(f"X: problem {number}", of, data.classes)
    return data, [Problem(np.arange(number * m, (number + 1) * m), None) for number in range(p)]


def problems_of_subsets(X: Any, y: Any, subsets: Any) -> tuple[Dataset, list[Problem]]:
    """Return the samples, and which of them each subset has."""
    data = training_set(X, y)
    if data.is_table:
        raise InputError("y: it is a table of labels; fit_many takes one label for each sample")
    m, problems = len(data), []
    given = to_host(subsets) if hasattr(subsets, "shape") else subsets
    matrix = isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] == m
    if matrix and given.dtype.kind in "iu":
        raise InputError(
            f"subsets: whole numbers of shape {given.shape} may be weights, or indices; give weights as floats, masks "
            "as True and False, or indices as a list of arrays"
        )
    if not hasattr(given, "__iter__"):
        raise InputError(f"subsets: {shown(given)}; a list of subsets is needed, such as arrays of indices")
    if getattr(given, "ndim", 2) == 1 and given.dtype.kind != "O":
        raise InputError(f"subsets: it has shape {given.shape}; a list of subsets is needed, such as [{'subset'}]")
    for number, subset in enumerate(given):
        name = f"subsets: subset {number}"
        one = np.asarray(to_host(subset) if hasattr(subset, "shape") else subset)
        weights = None
        if one.ndim == 1 and not one.size:
            raise InputError(f"{name} is empty; it needs samples of all classes")
        if one.shape == (m,) and one.dtype.kind == "f":
            if not (np.isfinite(one).all() and (one >= 0).all()):
                raise InputError(
                    f"{name} has weights below 0 or that are no numbers; finite ones of at least 0 are needed"
                )
            rows = np.flatnonzero(one)
            weights = one[rows] if len(rows) and (one[rows] != one[rows[0]]).any() else None
        elif one.ndim != 1 or one.dtype.kind not in "iub" or (one.dtype.kind == "b" and len(one) != m):
            raise InputError(
                f"{name} is {one.dtype} of shape {one.shape}; indices, or a mask or weights of shape ({m},), are needed"
            )
        else:
            rows = np.flatnonzero(one) if one.dtype.kind == "b" else one.astype(np.intp)
        if len(rows) == 0:
            raise InputError(f"{name} counts no samples; each subset needs some of each class")
        if rows.min() < -m or rows.max() >= m:
            wrong = rows.max() if rows.max() >= m else rows.min()
            raise InputError(f"{name} names sample {wrong}; there are {m}, from 0 to {m - 1}")
        _check_classes(name, data.labels[rows], data.classes)
        problems.append(Problem(rows, weights))
    if not problems:
        raise InputError("subsets: there are none; give one or more")
    return data, problems


def _check_classes(name: str, labels: NDArray[Any], classes: Sequence[Any]) -> None:
    missing = np.setdiff1d(np.arange(len(classes)), labels)
    if len(missing):
        raise InputError(f"{name} has no sample of class {shown(classes[missing[0]])}; each needs all the classes")

"""Checks of what comes beside the samples: labels, names of classes, weights, seeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError, shown
from fastlr.namespace import to_host

Name = Any  # a class name: text from files, whatever the labels held from arrays
MOST_CLASSES, MOST_NAME = 100_000, 1000  # class names that a file may hold, and characters of one


def check_labels(source: str, given: Any, classes: int) -> NDArray[Any]:
    """Return indices `(m,)` into so many classes, or a table `(m, classes)` of zeros and ones, on the host."""
    labels: NDArray[Any] = to_host(given)
    if labels.dtype.kind not in "biu" or labels.shape[1:] not in ((), (classes,)):
        raise InputError(
            f"{source}: labels are {labels.dtype} of shape {labels.shape}; indices (m,) into the classes are needed, "
            f"or a table (m, {classes}) of zeros and ones"
        )
    if labels.ndim == 1 and len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(
            f"{source}: labels run from {labels.min()} to {labels.max()}, but there are names for 0 to {classes - 1}"
        )
    return labels


def check_weights(name: str, given: Any, m: int) -> NDArray[np.float64]:
    """Return how much each of m samples counts, or say what is wrong with it."""
    try:
        weights = np.asarray(to_host(given) if hasattr(given, "shape") else given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: a number for each sample is needed") from None
    if weights.shape != (m,):
        raise InputError(f"{name}: it has shape {weights.shape}; one number for each of the {m} samples is needed")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(f"{name}: sample {row} has {weights[row]}; finite numbers of at least 0 are needed")
    if m and not weights.any():
        raise InputError(f"{name}: all are 0; some samples must count")
    return weights


def class_names(source: Any, names: Any) -> list[Any]:
    """Return the names of classes, an array or a list from a file or of all labels, or say what is wrong with them."""
    if isinstance(names, np.ndarray):
        if names.ndim == 1 and len(names) > MOST_CLASSES:
            names = range(len(names))  # no list of them is made
        else:
            names = names.tolist() if names.ndim == 1 else f"array of shape {names.shape}" if names.ndim else names
    if isinstance(names, list | range) and len(names) > MOST_CLASSES:
        raise InputError(f"{source}: has more than {MOST_CLASSES:,} classes; they are damaged, or not names of classes")
    if not isinstance(names, list):
        raise InputError(f"{source}: the names of its classes are {str(names)[:100]!r}; a list of them is needed")
    for name in names:
        if isinstance(name, str | bytes) and len(name) > MOST_NAME:
            raise InputError(f"{source}: a class has a name of {len(name):,} characters; at most {MOST_NAME} are read")
    return names


def plain_names(source: str, names: Any) -> tuple[Name, ...]:
    """Return class names as text, whole numbers or finite numbers, which a model file can hold."""
    listed = isinstance(names, Iterable) and not isinstance(names, str | bytes | np.ndarray)
    plain = []
    for name in class_names(source, list(names) if listed else names):
        one = name.item() if isinstance(name, np.generic) else name
        one = one.decode("utf-8", "surrogateescape") if isinstance(one, bytes) else one
        if not isinstance(one, str | bool | int) and not (isinstance(one, float) and np.isfinite(one)):
            raise InputError(f"{source}: {name!r} is no name of a class; text or a number is needed")
        plain.append(one)
    return tuple(plain)


def check_mask(name: str, values: Any) -> None:
    """Raise InputError for values some of which are masked: what to make of them is not known here."""
    if isinstance(values, list | tuple):
        masks = [np.ma.getmaskarray(value) for value in values if isinstance(value, np.ma.MaskedArray)]
        if any(mask.any() for mask in masks):
            raise InputError(f"{name}: some values are masked; leave such rows out, or put numbers in their place")
    if isinstance(values, np.ma.MaskedArray) and (masked := np.ma.getmaskarray(values)).any():
        row = int(np.argwhere(masked)[0][0])
        raise InputError(
            f"{name}: {int(masked.sum())} values are masked, the first in row {row}; leave such rows out, "
            "or put numbers in their place with .filled()"
        )


def list_names(names: Any, most: int = 12, total: int | None = None) -> str:
    """Return names for an error text: "bird, cat, dog"; `total` where there are more of them than these."""
    texts = [str(name)[:100] for name in names]
    count = len(texts) if total is None else total
    more = f" and {count - most} more" if count > most else ""
    return ", ".join(texts[:most]) + more


def check_seed(seed: Any) -> int:
    """Return a seed that all of NumPy's generators take; raise InputError for any other."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InputError(f"seed: {shown(seed)}; a whole number from 0 to {2**32 - 1} is needed")
    return int(seed)

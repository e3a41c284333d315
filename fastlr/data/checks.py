"""Checks of the parts of a dataset: samples, labels, names of classes, weights, files, seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.finite import check_finite, is_real
from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError, counted, shown
from fastlr.namespace import as_rows, dtype_name, is_lazy, to_host

Name = Any  # a class name: text from files, whatever the labels held from arrays
RESAMPLING = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's filters
MOST_CLASSES, MOST_NAME = 100_000, 1000  # class names that a file may hold, and characters of one


def check_samples(source: str, samples: Any) -> int:
    """Return how many samples there are; raise InputError unless they are an array with real and finite values."""
    if not hasattr(samples, "shape") or not hasattr(samples, "dtype"):
        kind = type(samples).__name__
        raise InputError(f"{source}: its samples are a {kind}; an array is needed, such as numpy.asarray(samples)")
    check_mask(f"{source}: samples", samples)
    if not is_real(samples):
        kind = dtype_name(samples)
        raise InputError(f"{source}: samples are {kind}; uint8 pixels or real numbers are needed")
    shape = tuple(samples.shape)
    if len(shape) not in (2, 3, 4) or 0 in shape[1:]:
        raise InputError(
            f"{source}: samples have shape {shape}; (m, height, width, channels) or (m, features) is needed"
        )
    if not is_lazy(samples):  # what stays in files or on workers is checked when it is used
        check_finite(source, as_rows(samples))
    return int(shape[0])


def check_labels(source: str, given: Any, known: Any, classes: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return indices `(m,)` into so many classes, or a table `(m, classes)` of zeros and ones, on the host.

    The second is which labels of a table are known, None if all are.
    """
    if not hasattr(given, "shape") or not hasattr(given, "dtype"):
        kind = type(given).__name__
        raise InputError(f"{source}: its labels are a {kind}; an array is needed, such as numpy.asarray(labels)")
    check_mask(f"{source}: labels", given)
    labels: NDArray[Any] = to_host(given)
    if labels.dtype.kind not in "biu" or labels.shape[:1] == () or labels.shape[1:] not in ((), (classes,)):
        raise InputError(
            f"{source}: labels are {labels.dtype} of shape {labels.shape}; indices (m,) into the classes are needed, "
            f"such as labels.astype(int).reshape(-1), or a table (m, {classes}) of zeros and ones"
        )
    if labels.ndim == 2:
        known = None if known is None else _known(source, known, labels.shape)
        if not _are_bits(labels):
            labels = labels if known is None else np.where(known, labels, 0)
            LabelTable.of(f"{source}: labels", labels)  # says which is wrong
        return labels.astype(np.int8, copy=False), known
    if known is not None:
        raise InputError(f"{source}: known goes with a table of labels; leave it out")
    labels = labels.astype(np.int64) if labels.dtype.kind == "b" else labels
    if not classes:
        raise InputError(f"{source}: has no names of classes; give one for each")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(
            f"{source}: labels run from {labels.min()} to {labels.max()}, but there are names for 0 to {classes - 1}"
        )
    return labels, None


def _known(source: str, given: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which labels of a table of that shape are known, given as truth values, or zeros and ones."""
    check_mask(f"{source}: known", given)
    known = to_host(given) if hasattr(given, "dtype") else None
    if known is None or known.shape != shape or known.dtype.kind not in "biu" or not _are_bits(known):
        what = shown(given) if known is None else f"{known.dtype} of shape {known.shape}"
        raise InputError(f"{source}: known: {what}; True or False for each label is needed, {shape}")
    return known.astype(bool, copy=False)


def _are_bits(values: NDArray[Any]) -> bool:
    """Return whether all values are 0 or 1."""
    return values.dtype.kind == "b" or not values.size or bool(0 <= values.min() <= values.max() <= 1)


def check_files(source: str, files: Any, m: int) -> tuple[str, ...]:
    """Return the files of so many samples, which may be left out."""
    found = tuple(files) if isinstance(files, Iterable) and not isinstance(files, str) else (files,)
    if isinstance(files, str) or not all(isinstance(file, str) for file in found):
        raise InputError(f"{source}: files: {shown(files)}; a tuple of the names of files is needed")
    if found and len(found) != m:
        raise InputError(f"{source}: {counted(len(found), 'name')} of files for {counted(m, 'sample')}; each needs one")
    return found


def check_weights(name: str, given: Any, m: int) -> NDArray[np.float64]:
    """Return how much each of m samples counts, or say what is wrong with it."""
    check_mask(name, given)
    if getattr(getattr(given, "dtype", None), "kind", "") == "c":
        raise InputError(f"{name}: a complex number is no weight; a number for each sample is needed")
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
        raise InputError(f"{source}: has more than {MOST_CLASSES:,} classes; that is more than can be names of classes")
    if not isinstance(names, list):
        raise InputError(f"{source}: the names of its classes are {str(names)[:100]!r}; a list of them is needed")
    for name in names:
        if isinstance(name, str | bytes) and len(name) > MOST_NAME:
            raise InputError(f"{source}: a class has a name of {len(name):,} characters; at most {MOST_NAME} are read")
    return names


def plain_names(source: str, names: Any) -> tuple[Name, ...]:
    """Return class names as text, whole numbers or finite numbers, which a model file can hold: no two alike."""
    listed = isinstance(names, Sequence) and not isinstance(names, str | bytes)
    plain = []
    for name in class_names(source, list(names) if listed else names):
        one = name.item() if isinstance(name, np.generic) else name
        one = one.decode("utf-8", "surrogateescape") if isinstance(one, bytes) else one
        if not isinstance(one, str | bool | int) and not (isinstance(one, float) and math.isfinite(one)):
            raise InputError(f"{source}: {shown(name)} is no name of a class; text or a number is needed")
        plain.append(one)
    if len(set(map(str, plain))) < len(plain):
        raise InputError(f"{source}: two classes have the same name; it has {list_names(plain)}")
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

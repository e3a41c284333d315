"""Datasets of arrays of samples and labels, as files and callers bring them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.checks import Name, check_mask, plain_names
from fastlr.data.dataset import Array, Dataset
from fastlr.data.finite import is_real
from fastlr.data.label_table import LabelTable, plain_number
from fastlr.errors import InputError, shown
from fastlr.namespace import as_rows, dtype_name, is_lazy, library_of, to_host

LOG = logging.getLogger("fastlr")
MANY, FEW = 100, 10  # classes, and samples of each on average: of more classes with fewer samples something is said


def from_arrays(
    source: str,
    samples: Any,
    labels: Any,
    names: Sequence[Name] | None = None,
    resample: str | None = None,
    missing_label: Any = None,
) -> Dataset:
    """Return a Dataset from an array of samples and one of labels, as files and callers bring them.

    Grey pictures `(m, h, w)` get a channel axis; pictures that are not uint8 are features. Without `names`
    the classes are the sorted distinct labels. Labels `(m, L)` of zeros and ones are a table, in which those that are
    `missing_label`, -1 or NaN, are not known.
    """
    if library_of(labels) not in ("numpy", library_of(samples)):
        raise InputError(
            f"{source}: samples of {library_of(samples)}, but labels of {library_of(labels)}; bring both to one library"
        )
    for what, values in (("samples", samples), ("labels", labels)):
        check_mask(f"{source}: {what}", values)
    if isinstance(labels, list | tuple):
        check_listed(source, labels)
    # Samples stay in their library, on their device; of the labels the host makes the classes.
    try:
        as_it_is = library_of(samples) != "numpy" or is_lazy(samples)
        samples, labels = samples if as_it_is else np.asarray(samples), to_host(labels)
    except ValueError:
        raise InputError(
            f"{source}: the rows of the samples or labels have different lengths; all must be alike"
        ) from None
    if not hasattr(samples, "dtype"):
        raise InputError(
            f"{source}: a {type(samples).__name__} of {library_of(samples)}; convert it with numpy.asarray"
        )
    labels = as_table_or_vector(labels, samples.shape[:1])
    if labels.ndim == 2 and labels.shape[:1] == samples.shape[:1]:
        return _with_table(source, samples, LabelTable.of(f"{source}: labels", labels, missing_label), names)
    if labels.ndim == 1:
        refuse_missing(source, missing_label)
    if labels.ndim != 1:
        raise InputError(f"{source}: labels have shape {labels.shape}; one number or name for each sample is needed")
    if samples.ndim in (2, 3, 4) and samples.shape[0] == 0:
        raise InputError(f"{source}: holds no samples; each class needs one")
    if samples.ndim not in (2, 3, 4) or 0 in samples.shape:
        raise InputError(
            f"{source}: samples have shape {tuple(samples.shape)}; "
            "(m, height, width, channels) or (m, features) is needed"
        )
    if dtype_name(samples) != "uint8":
        samples = _features(source, samples)
    elif samples.ndim == 3:
        samples = samples[..., np.newaxis]
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{source}: labels hold NaN or infinity; each must be a class")
    if labels.dtype.kind == "f" and _are_measured(labels):
        raise InputError(
            f"{source}: labels hold {len(np.unique(labels)):,} different numbers with fractions for {len(labels):,} "
            "samples, as measurements do; classes are needed, such as labels > 0.5"
        )
    if labels.dtype.kind == "u" and labels.size and labels.max() > np.iinfo(np.int64).max:
        raise InputError(
            f"{source}: labels reach {labels.max()}; whole numbers of at most 2^63 - 1 are needed, or text"
        )
    if labels.dtype.kind == "O" and names is None and _are_text(labels):
        # An array of text would take, for each label, as much as the longest of them.
        distinct = sorted(set(labels.tolist()))
        index = {name: i for i, name in enumerate(distinct)}
        codes = np.fromiter((index[label] for label in labels), np.int64, len(labels))
        return Dataset(samples, codes, plain_names(source, distinct), source, resample)
    if names is not None:
        indices = labels.astype(np.int64) if labels.dtype.kind in "biuf" else None
        if indices is None or not (indices == labels).all():
            kind = "text" if labels.dtype.kind in "OSU" else labels.dtype
            raise InputError(f"{source}: labels are {kind}, but the class names need whole numbers")
        return Dataset(samples, indices, plain_names(source, names), source, resample)
    if labels.dtype.kind not in "biufSU":
        raise InputError(f"{source}: labels are {labels.dtype}; numbers or text are needed")
    classes, indices = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "iuf" and len(classes) > max(MANY, len(labels) / FEW) and _have_gaps(classes):
        LOG.warning(
            "%s: %s different numbers are taken for classes, %.1f samples each on average; if they are measurements, "
            "give classes, such as labels > %g", source, f"{len(classes):,}", len(labels) / len(classes),
            classes[len(classes) // 2 - 1],
        )  # fmt: skip
    return Dataset(samples, indices.astype(np.int64), plain_names(source, classes), source, resample)


def as_table_or_vector(labels: NDArray[Any], count: tuple[int, ...]) -> NDArray[Any]:
    """Return labels `(1, m)`, as the tutorials keep them, or `(m, 1)` as `(m,)`; `count` is the shape `(m,)`.

    A row of several labels for one sample is a table.
    """
    if labels.ndim == 2 and 1 in labels.shape and (count != (1,) or labels.size == 1):
        return labels.reshape(-1)
    return labels


def _with_table(source: str, samples: Any, table: LabelTable, names: Sequence[Name] | None = None) -> Dataset:
    """Return a Dataset with a table of labels, whose columns have these names, else their numbers."""
    plain = from_arrays(source, samples, np.zeros(len(table), np.int64))
    columns = table.codes.shape[1]
    classes = tuple(range(columns)) if names is None else plain_names(source, names)
    if len(classes) != columns:
        raise InputError(f"{source}: {len(classes)} names for {columns} columns of labels; each column needs one")
    return replace(plain, labels=table.codes, known=table.known, classes=classes, class_of={})


def refuse_missing(source: str, missing_label: Any) -> None:
    """Raise InputError if a label of a table may be missing, but there is one label for each sample."""
    if missing_label is not None:
        raise InputError(
            f"missing_label: {plain_number(missing_label)}, but {source} has one label for each sample, no table; "
            "remove the samples whose label is not known, and leave missing_label out"
        )


def check_listed(source: str, labels: Sequence[Any]) -> None:
    """Raise InputError for a list of labels of which NumPy would make others: of two kinds, or too large."""
    kinds = {"text" if isinstance(x, str) else "bytes" if isinstance(x, bytes) else "numbers" for x in labels}
    if len(kinds) > 1:
        raise InputError(f"{source}: labels are {' and '.join(sorted(kinds, reverse=True))}; give one kind")
    for label in labels:
        if isinstance(label, int) and not -(2**63) <= label < 2**63:
            raise InputError(f"{source}: labels hold {shown(label)}; whole numbers of at most 2^63 - 1 are needed")
        if isinstance(label, str | bytes) and label[-1:] in ("\0", b"\0"):
            raise InputError(f"{source}: a label ends with a zero character, which NumPy drops; leave it out")


def _are_measured(labels: NDArray[Any]) -> bool:
    """Return whether they look like measurements: numbers with fractions, most of which occur once."""
    return len(labels) > 4 and 2 * len(np.unique(labels)) > len(labels) and bool((labels != np.floor(labels)).any())


def _have_gaps(classes: NDArray[Any]) -> bool:
    """Return whether these sorted numbers are not all those from the first to the last, as class numbers mostly are."""
    return float(classes[-1]) - float(classes[0]) >= len(classes)


def _are_text(labels: NDArray[Any]) -> bool:
    """Return whether all of them are text, or all of them bytes."""
    return any(all(isinstance(label, kind) for label in labels) for kind in (str, bytes))


def _features(source: str, samples: Array) -> Array:
    """Return `(m, n)` real, finite features, or say where they are not.

    Features that stay in files or on workers are checked later, when they are used: to read all of them takes long.
    """
    if not is_real(samples):
        raise InputError(f"{source}: samples are {dtype_name(samples)}; uint8 pixels or real numbers are needed")
    if samples.ndim == 4 and dtype_name(samples).startswith(("int", "uint")):
        LOG.warning(
            "%s: pictures of %s are taken for features, and not multiplied by 1/255; give uint8",
            source, dtype_name(samples),
        )  # fmt: skip
    return as_rows(samples)

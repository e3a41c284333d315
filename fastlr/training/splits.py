"""Cross-validation by weights: what a split does not train on counts nothing for its model.

No data are copied: a model for each split stands beside the others and shares their reading of the data, and its logits
of the samples that it was not trained on are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError, counted, shown
from fastlr.namespace import to_host
from fastlr.training.checks import whole


@dataclass(frozen=True, eq=False)
class Splits:
    """How often each split trains on a sample, `counts (splits, m)`, and the indices of those it is tested on."""

    counts: NDArray[np.float64]
    tests: tuple[NDArray[np.intp], ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.tests)


def assign(labels: NDArray[np.int64], folds: Any, seed: int) -> NDArray[np.int64]:
    """Return the fold of each sample, (m,): each class is shuffled by RandomState(seed) and dealt out in turn."""
    count = whole("folds", folds, 2)
    classes, sizes = np.unique(labels, return_counts=True)
    if count > sizes.min():
        smallest = counted(int(sizes.min()), "sample")
        there = f"the smallest class has {smallest}" if len(sizes) > 1 else f"the data have {smallest}"
        what_to_do = "take at most as many folds" if sizes.min() > 1 else "leave it out, or choose on a validation set"
        raise InputError(f"folds: {count}, but {there}; {what_to_do}")
    order = np.random.RandomState(seed).permutation(len(labels))
    fold = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in classes:
        members = order[labels[order] == label]
        fold[members] = (start + np.arange(len(members))) % count
        start += len(members)  # so that the folds are of one size, whatever the classes' sizes
    return fold


def make_splits(labels: NDArray[Any], folds: Any, groups: Any, seed: int) -> Splits | None:
    """Return the splits of samples with labels `(m,)`, or a table of them; None where `folds` is None.

    `folds` is a number of folds, which have the classes in equal shares; an array of each sample's fold, -1 for one
    that is never tested; an object with scikit-learn's `split(X, y, groups)`; or pairs of arrays of indices, to train
    and to test on. `groups (m,)` go to the splitter, and no group may be on both sides of a split.
    """
    m = len(labels)
    if folds is None:
        if groups is not None:
            raise InputError("groups: there are no folds that could keep them together; give folds")
        return None
    groups = None if groups is None else _one_each("groups", groups, m)
    if hasattr(folds, "__next__"):
        folds = list(folds)
    if isinstance(folds, tuple) and len(folds) == 2 and all(getattr(part, "ndim", 0) == 1 for part in folds):
        folds = [folds]  # what to train and to test on
    if hasattr(folds, "split") and not isinstance(folds, str | bytes):
        pairs = _ask(folds, labels, groups)
    elif isinstance(folds, list | tuple) and folds and all(isinstance(pair, list | tuple) for pair in folds):
        pairs = list(folds)
    elif not isinstance(folds, list | tuple) and np.ndim(folds) == 0:
        if groups is not None:
            raise InputError(
                f"folds: {shown(folds)} deals out single samples, whatever their groups; give a splitter such as "
                "scikit-learn's GroupKFold, or an array of each sample's fold"
            )
        order = labels if labels.ndim == 1 else np.zeros(m, np.int64)
        return _of_folds(assign(order, folds, seed))
    else:
        fold = _one_each("folds", folds, m)
        if fold.dtype.kind not in "iu" or fold.min() < -1:
            raise InputError("folds: an array of them holds whole numbers from 0, or -1 for what is never tested")
        made = _of_folds(np.unique(fold, return_inverse=True)[1] - int(fold.min() < 0))
        return _checked(made, labels, groups)
    counts, tests = np.zeros((len(pairs), m)), []
    for row, pair in zip(counts, pairs, strict=True):
        if len(pair) != 2:
            raise InputError(f"folds: one of them has {len(pair)} arrays; two are needed, to train and to test on")
        train, test = (indices_of("folds", part, m) for part in pair)
        row += np.bincount(train, minlength=m)
        tests.append(test)
    return _checked(Splits(counts, tuple(tests)), labels, groups)


def _ask(splitter: Any, labels: NDArray[Any], groups: NDArray[Any] | None) -> list[Any]:
    try:
        return list(splitter.split(np.zeros((len(labels), 1)), labels, groups))
    except (ValueError, TypeError) as error:
        raise InputError(f"folds: {type(splitter).__name__}: {error}") from error


def _one_each(name: str, values: Any, m: int) -> NDArray[Any]:
    """Return values as an array `(m,)`, or say that it is of another shape."""
    try:
        array: NDArray[Any] = np.asarray(to_host(values) if hasattr(values, "shape") else values)
    except ValueError:
        raise InputError(
            f"{name}: a {type(values).__name__} of {len(values)} parts; give a number, an array with a number for each "
            "of the samples, or a pair (samples, labels) as a tuple"
        ) from None
    if array.shape != (m,):
        raise InputError(f"{name}: they have shape {array.shape}; one for each of the {m} samples is needed")
    return array


def indices_of(name: str, part: Any, m: int) -> NDArray[np.intp]:
    """Return the indices of some of m samples, which are given by these or by a mask."""
    array = np.asarray(to_host(part) if hasattr(part, "shape") else part)
    try:
        chosen: NDArray[np.intp] = np.arange(m)[array if array.size else array.astype(np.intp)]
    except IndexError:
        if array.dtype.kind not in "iub":
            raise InputError(f"{name}: they are {array.dtype}; indices are whole numbers, or a mask") from None
        raise InputError(f"{name}: an index is out of range; indices are below {m}") from None
    return chosen.reshape(-1)


def _of_folds(fold: NDArray[np.int64]) -> Splits:
    """Return the splits that leave each fold out once."""
    each = range(int(fold.max()) + 1)
    counts = np.stack([fold != left_out for left_out in each]).astype(np.float64)
    return Splits(counts, tuple(np.flatnonzero(fold == left_out) for left_out in each))


def _checked(splits: Splits, labels: NDArray[Any], groups: NDArray[Any] | None) -> Splits:
    """Return the splits, or say which of them cannot be used."""
    if not len(splits):
        raise InputError("folds: there are none; at least one is needed")
    for number, (counts, test) in enumerate(zip(splits.counts, splits.tests, strict=True)):
        if not counts.any() or not len(test):
            raise InputError(f"folds: fold {number} has no samples to train on, or none to test on; it needs both")
        if labels.ndim == 1 and len(np.unique(labels[counts > 0])) < 2:
            raise InputError(f"folds: fold {number} leaves one class alone to train on; it needs two")
        if groups is not None and len(both := np.intersect1d(groups[counts > 0], groups[test])):
            raise InputError(
                f"folds: group {shown(both[0].item())} is on both sides of fold {number}; give folds that keep groups "
                "together, such as scikit-learn's GroupKFold"
            )
    return splits

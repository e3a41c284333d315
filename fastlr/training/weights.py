"""How much each sample counts: weights of samples, of classes, and of splits, as weightings with a mean of 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr.data.checks import check_weights, list_names
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.training.splits import Splits

BALANCED = "balanced"


class Weightings(NamedTuple):
    """The models of one candidate: of each split, the first of them on all samples, one for each column of labels."""

    values: NDArray[np.float64] | None  # (c, m), each with a mean of 1; None is one that counts all samples alike
    of: NDArray[np.int64]  # (copies,): which of them each model has
    column_of: NDArray[np.int64] | None  # (copies,): the column of its labels, where they are a table

    def tiled(self, times: int) -> Weightings:
        """Return those of several candidates."""
        column_of = None if self.column_of is None else np.tile(self.column_of, times)
        return Weightings(self.values, np.tile(self.of, times), column_of)


ONE_MODEL = Weightings(None, np.zeros(1, np.int64), None)


def weightings_of(
    data: Dataset, sample_weight: Any, class_weight: Mapping[str, float] | str | None, splits: Splits | None
) -> Weightings:
    """Return the weightings of the samples, and which of them each model of a candidate has.

    `sample_weight (m,)` says how much a sample counts, else the data's own weights do; `class_weight` how much each
    class, by its name: "balanced" counts them so that all classes have the same sum, in what each split trains on.
    Raises InputError for weights that cannot be used.
    """
    given = data.weights if sample_weight is None else check_weights("sample_weight", sample_weight, len(data))
    columns = data.labels.shape[1] if data.is_table else 1
    models = 1 + (0 if splits is None else len(splits))
    column_of = np.tile(np.arange(columns), models) if data.is_table else None
    if given is None and class_weight is None and data.known is None and splits is None:
        return Weightings(None, np.zeros(columns, np.int64), column_of)
    counts = np.ones(len(data)) if given is None else given
    parts = [counts, *(() if splits is None else counts * splits.counts)]
    of_parts = [_with_classes(data, part, class_weight) for part in parts]
    values, each = np.concatenate(of_parts), len(of_parts[0])
    with np.errstate(over="ignore", divide="ignore"):
        totals = values.sum(axis=1, keepdims=True)
        factors = len(data) / totals
    if not totals.all():
        number = int(totals.argmin())
        split, column = divmod(number, each)
        where = f"what fold {split - 1} trains on has" if split else "the samples have"
        if each > 1:
            raise InputError(
                f"{data.source}: {where} no known label of weight above 0 in column {column}; leave the column out"
            )
        raise InputError(f"weights: {where} none above 0; some samples must count")
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise InputError("weights: they are too large or too small for float64; scale them to about 1")
    values *= factors
    of = np.arange(models * columns) if each == columns else np.repeat(np.arange(models), columns)
    return Weightings(values, of, column_of)


def _with_classes(data: Dataset, counts: NDArray[np.float64], class_weight: Any) -> NDArray[np.float64]:
    """Return `counts (m,)` times the class weights, `(1, m)`; for each column of a table of labels, `(L, m)`."""
    if not data.is_table:
        if class_weight is None:
            return counts[np.newaxis]
        of_classes = _class_weights(class_weight, data.classes, data.labels, counts)
        return np.asarray(counts * of_classes[data.labels])[np.newaxis]
    if class_weight is None and data.known is None:
        return counts[np.newaxis]
    known = np.ones_like(data.labels, dtype=bool) if data.known is None else data.known
    rows = []
    for labels, there in zip(data.labels.T, known.T, strict=True):
        counted = counts * there
        weights = None if class_weight is None else _class_weights(class_weight, (0, 1), labels, counted)
        rows.append(counted if weights is None else counted * weights[labels])
    return np.stack(rows)


def balanced(labels: NDArray[Any], counts: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Return by what to multiply the samples of each class, `(classes,)`, so that all classes count the same."""
    sums = np.bincount(labels, counts, minlength=classes)
    return np.asarray(np.divide(sums.sum(), classes * sums, out=np.zeros(classes), where=sums > 0))


def _class_weights(
    class_weight: Mapping[str, float] | str, classes: tuple[Any, ...], labels: NDArray[Any], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much a sample of each class counts, `(classes,)`."""
    if class_weight == BALANCED:
        return balanced(labels, counts, len(classes))
    assert not isinstance(class_weight, str)
    names = [str(name) for name in classes]
    if unknown := [name for name in class_weight if name not in names]:
        raise InputError(f"class_weight: there is no class {unknown[0]!r}; there are {list_names(classes)}")
    return np.array([class_weight.get(name, 1.0) for name in names])

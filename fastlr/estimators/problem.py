"""What labels and weights ask for: one model, or one for each column of a table of labels."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

from fastlr.data.checks import check_mask
from fastlr.data.label_table import LabelTable
from fastlr.errors import shown
from fastlr.estimators.inputs import labels_on_host
from fastlr.estimators.parameters import callers_level
from fastlr.objectives.network import outputs_for
from fastlr.training.weights import balanced


class Problem(NamedTuple):
    """The models that are to be fitted to labels, `copies` of them: one, or one for each column of a table."""

    classes: NDArray[Any]  # of the labels; of a table the numbers of its columns
    codes: NDArray[Any]  # (m,) from 0 to classes − 1, or (m, L) of 0 and 1
    outputs: int  # of each model
    weights: NDArray[np.float64]  # (1 or copies, m): how much each sample counts
    column_of: NDArray[np.int64] | None = None  # (copies,)
    multi_label: bool = False  # whether each sample has any number of labels

    @property
    def is_table(self) -> bool:
        """Return whether there is a model for each column of a table."""
        return self.column_of is not None

    @property
    def totals(self) -> NDArray[np.float64]:
        """Return how much all samples count for each model, `(copies,)`."""
        totals = self.weights.sum(axis=1)
        return totals if self.column_of is None else np.broadcast_to(totals, (len(self.column_of),))

    @property
    def weightings(self) -> NDArray[np.float64] | None:
        """Return the weights with a mean of 1, None where all samples count alike."""
        alike = (self.weights == self.weights[:, :1]).all()
        return None if alike else self.weights / self.weights.mean(axis=1, keepdims=True)

    @property
    def weighting_of(self) -> NDArray[np.int64]:
        """Return which of the weightings each model has, `(copies,)`."""
        copies = 1 if self.column_of is None else len(self.column_of)
        return np.arange(copies) % len(self.weights)


def problem_of(
    y: NDArray[Any], class_weight: Any, sample_weight: Any, missing_label: Any = None, one_vs_rest: bool = False
) -> Problem:
    """Return what labels `(m,)` or a table `(m, L)` ask for, with both kinds of weights.

    Where a label is `missing_label` its sample does not count for its column. With `one_vs_rest` more than two classes
    have a model each, which tells its class from all others: the table has a column for each class.
    """
    if y.ndim == 1:
        if missing_label is not None:
            raise ValueError(
                f"missing_label: {shown(missing_label)}, but y is no table of labels; leave such samples out"
            )
        classes, codes = class_codes(y)
        if one_vs_rest and len(classes) > 2:
            return _one_vs_rest(y, classes, codes, class_weight, sample_weight)
        weights = sample_weights(class_weight, sample_weight, classes, y, codes)
        return Problem(classes, codes, outputs_for(len(classes)), weights[np.newaxis])
    table = LabelTable.of("y", y, missing_label)
    if alike := table.constant_columns():
        warnings.warn(
            f"y: {len(alike)} of its {table.codes.shape[1]} columns hold one value alone, the first is column "
            f"{alike[0]}; the probabilities that are predicted for it will be close to that value",
            UserWarning,
            stacklevel=callers_level(),
        )
    columns = np.arange(table.codes.shape[1])
    both = np.array([0, 1])
    if class_weight is None and table.known is None:
        weights = sample_weights(None, sample_weight, both, y[:, 0], table.codes[:, 0])[np.newaxis]
        return Problem(columns, table.codes, 1, weights, columns, True)
    given = sample_weights(None, sample_weight, both, y[:, 0], table.codes[:, 0])
    each = np.tile(given, (len(columns), 1)) if table.known is None else given * table.known.T
    if not each.any(axis=1).all():
        raise ValueError(
            f"y: no label of column {np.argmin(each.any(axis=1))} is known and counts; leave the column out"
        )
    return Problem(columns, table.codes, 1, _of_each_column(class_weight, each, table.codes), columns, True)


def _one_vs_rest(
    y: NDArray[Any], classes: NDArray[Any], codes: NDArray[np.int64], class_weight: Any, sample_weight: Any
) -> Problem:
    """Return a model for each class. Balanced weights are those of its two sides, others those of the classes."""
    table = (codes[:, np.newaxis] == np.arange(len(classes))).astype(np.int8)
    columns = np.arange(len(classes))
    if isinstance(class_weight, str):
        given = sample_weights(None, sample_weight, classes, y, codes)
        weights = _of_each_column(class_weight, np.tile(given, (len(classes), 1)), table)
    else:
        weights = sample_weights(class_weight, sample_weight, classes, y, codes)[np.newaxis]
    return Problem(classes, table, 1, weights, columns)


def _of_each_column(
    class_weight: Any, weights: NDArray[np.float64], table: NDArray[np.int8]
) -> NDArray[np.float64]:  # fmt: skip
    """Return how much each sample counts for each column of a table, `(L, m)`, from such weights and of classes."""
    both = np.array([0, 1])
    return np.stack(
        [sample_weights(class_weight, row, both, column, column) for row, column in zip(weights, table.T, strict=True)]
    )


def class_codes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes, sorted, and the number of each label's among them."""
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
            f"{classes[0]!r}"
        )
    return classes, codes


def sample_weights(
    class_weight: Any, sample_weight: Any, classes: NDArray[Any], y: NDArray[Any], codes: NDArray[Any]
) -> NDArray[np.float64]:
    """Return how much each sample counts, `(m,)`, from both kinds of weights."""
    check_mask("sample_weight", sample_weight)
    if sample_weight is None:
        weights = np.ones(len(codes))
    else:
        given = labels_on_host(sample_weight)
        weights = _check_sample_weight(given, codes, dtype=np.float64, ensure_non_negative=True, copy=True)
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    if class_weight is None:
        return np.asarray(weights)
    if isinstance(class_weight, dict) and not class_weight.keys() <= set(classes.tolist()):
        raise ValueError(f"class_weight: it has the keys {list(class_weight)}, but the classes are {classes.tolist()}")
    if isinstance(class_weight, str) and class_weight == "balanced":
        # scikit-learn's own function does not count weights before its version 1.7.
        each = balanced(codes, weights, len(classes))
    else:
        each = compute_class_weight(class_weight, classes=classes, y=y)
    if not (np.isfinite(each).all() and (each >= 0).all() and (each > 0).any()):
        raise ValueError(
            f"class_weight: {class_weight!r}; finite numbers of at least 0 are needed, one of them above it"
        )
    with np.errstate(over="ignore"):
        weights = np.asarray(weights * each[codes], dtype=np.float64)
        if not np.isfinite(weights.sum()):
            raise ValueError("class_weight: the weights add up to more than float64 holds; divide them first")
    return weights

"""How often predictions are right: the confusion matrix, and the accuracies in percent that follow from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Results(NamedTuple):
    """How often each class, a row of the matrix, was taken for each, a column."""

    matrix: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Results:
        """Return the results of predictions `(m,)` for labels `(m,)`, both from 0 to classes − 1."""
        matrix = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(matrix, (labels, predicted), 1)
        return cls(matrix)

    @property
    def accuracy(self) -> float:
        """Return 100 − 100 · (share of samples that were taken for another class), as the tutorials compute it."""
        wrong = self.matrix.sum() - self.matrix.trace()
        return float(100 - wrong / self.matrix.sum() * 100)

    @property
    def class_accuracy(self) -> list[float | None]:
        """Return the same for the samples of each class; None where there are none."""
        counts = self.matrix.sum(axis=1)
        return [
            float(100 - (count - right) / count * 100) if count else None
            for count, right in zip(counts, self.matrix.diagonal(), strict=True)
        ]


def percent_correct(predicted: Any, labels: Any, known: Any = None) -> float:
    """Return 100 − 100 · (share of labels where the two differ), as the tutorials compute it.

    Of a table of labels it is the mean over the columns, in which those alone count that are `known`.
    """
    wrong = np.asarray(predicted) != np.asarray(labels)
    if known is None:
        return float(100 - np.mean(wrong) * 100)
    counts = known.sum(axis=0)
    each = (wrong & known).sum(axis=0)[counts > 0] / counts[counts > 0]
    return float(100 - np.mean(each) * 100) if len(each) else float("nan")

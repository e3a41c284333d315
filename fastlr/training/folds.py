"""Cross-validation by weights: the examples of a fold count nothing for the model that is tested on them.

No data are copied: a model for each fold stands beside the others and shares their reading of the data, and its logits
of the examples that it was not trained on are at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError
from fastlr.training.checks import whole


def assign(labels: NDArray[np.int64], folds: Any, seed: int) -> NDArray[np.int64]:
    """Return the fold of each example, (m,): each class is shuffled by RandomState(seed) and dealt out in turn."""
    count = whole("folds", folds, 2)
    classes, sizes = np.unique(labels, return_counts=True)
    if count > sizes.min():
        raise InputError(
            f"folds: {count}, but the smallest class has {sizes.min()} examples; take at most as many folds"
        )
    order = np.random.RandomState(seed).permutation(len(labels))
    fold = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in classes:
        members = order[labels[order] == label]
        fold[members] = (start + np.arange(len(members))) % count
        start += len(members)  # so that the folds are of one size, whatever the classes' sizes
    return fold


def fold_weights(fold: NDArray[np.int64], copies: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the weightings `(1 + folds, m)`, of all examples and without each fold, and which of them each model has.

    There are `copies` models on all, then for each its folds' models. Each weighting has a mean of 1: the mean of the
    weighted losses is then the mean loss of the examples that were not left out.
    """
    folds = int(fold.max()) + 1
    each = np.stack([fold != left_out for left_out in range(-1, folds)]).astype(np.float64)
    each *= len(fold) / each.sum(axis=1, keepdims=True)
    return each, np.concatenate([np.zeros(copies, np.int64), np.tile(np.arange(1, folds + 1), copies)])

"""How good predictions are, by the names that scikit-learn has for it.

Each score takes labels `(m,)`, the indices of classes, with probabilities `(m, classes)`; or a table of labels `(m, L)`
of zeros and ones with the probabilities of the ones, `(m, L)`, where it is the mean over the columns, as scikit-learn's
`average="macro"`. Of more than two classes the areas and the average precision are those of each class against all
others, their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError, shown
from fastlr.model.evaluation import percent_correct

Score = Callable[[NDArray[Any], NDArray[Any]], float]

LEAST = 1e-15  # a probability whose logarithm is taken
TOP = 5


@dataclass(frozen=True)
class Scoring:
    """What predictions are judged by: names, each with its function of labels and probabilities."""

    names: tuple[str, ...]
    functions: tuple[Score, ...]

    def __call__(self, labels: NDArray[Any] | LabelTable, probabilities: NDArray[Any]) -> dict[str, float]:
        """Return each score. Labels that are not known are left out, column by column."""
        found = (score_of(function, labels, probabilities) for function in self.functions)
        return dict(zip(self.names, found, strict=True))

    def of_each_column(self, labels: Any, probabilities: NDArray[Any]) -> dict[str, list[float]]:
        """Return each score of every column of a table of labels; NaN for one that is not defined."""
        if not isinstance(labels, LabelTable):
            raise InputError("scores_by_label: the model has one label for each sample; take scores")
        each = [self(column, probabilities[:, i : i + 1]) for i, column in enumerate(labels.columns())]
        return {name: [scores[name] for scores in each] for name in self.names}

    def best(self, means: NDArray[Any]) -> int:
        """Return the number of the best of some values' first scores `(values,)`; a NaN is worse than any other."""
        if np.isnan(means).all():
            raise InputError(
                f"scoring: {self.names[0]} has no value, for any l2; the score that chooses needs samples of "
                "two classes"
            )
        signed = -means if self.names[0] in LOWER else means
        return int(np.argmax(np.where(np.isnan(signed), -np.inf, signed)))


def accuracy(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the share of samples whose most probable class is their label; of a table, of labels that are right."""
    return float(np.mean(_predicted(labels, probabilities) == labels))


def balanced_accuracy(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the mean over the classes that there are of the share of their samples that are right."""
    if labels.ndim == 2:
        return _mean_of_columns(_balanced, labels, _predicted(labels, probabilities))
    return _balanced(labels, _predicted(labels, probabilities))


def top_5(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the share of samples whose label is among the five most probable classes."""
    _one_label_each("top_5", labels)
    own = np.take_along_axis(probabilities, labels[:, np.newaxis], axis=1)
    # Of classes that are as probable as the label those of a higher number come first, as in scikit-learn.
    later = np.arange(probabilities.shape[1]) > labels[:, np.newaxis]
    before = (probabilities > own) | ((probabilities == own) & later)
    return float(np.mean(before.sum(axis=1) < TOP))


def log_loss(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the mean of −log of the probability that the label has."""
    if labels.ndim == 2:
        own = np.where(labels == 1, probabilities, 1 - probabilities)
    else:
        own = np.take_along_axis(probabilities, labels[:, np.newaxis], axis=1)
    return float(-np.mean(np.log(np.clip(own.astype(np.float64), LEAST, None))))


def f1(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return 2 TP / (2 TP + FP + FN) of each class, their mean; of two classes that of the second."""
    chosen = _predicted(labels, probabilities)
    if labels.ndim == 2:
        return _mean_of_columns(_f1, labels == 1, chosen == 1)
    present = [1] if probabilities.shape[1] == 2 else np.union1d(labels, chosen)
    return float(np.mean([_f1(labels == one, chosen == one) for one in present]))


def roc_auc(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return how often a sample of the class has a higher probability than one of another, ties being halves.

    That is the area under the curve of true against false positives: J. Hanley and B. McNeil, The meaning and use of
    the area under a receiver operating characteristic (ROC) curve, 1982.
    """
    return _mean_of_classes(_area, labels, probabilities)


def average_precision(labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return Σ (Rᵢ − Rᵢ₋₁) Pᵢ over the thresholds, from the highest: precision P and recall R, not interpolated."""
    return _mean_of_classes(_precision, labels, probabilities)


SCORES: dict[str, Score] = {
    one.__name__: one for one in (accuracy, balanced_accuracy, top_5, roc_auc, average_precision, f1, log_loss)
}
LOWER = ("log_loss",)  # of these the lowest is the best
OF_TABLES = ("average_precision", "f1", "roc_auc")  # what tables of labels are mostly judged by, beside accuracy


class LabelResults(NamedTuple):
    """How well each label of a table is predicted: the share that is right and the scores, by label and their means."""

    accuracy: float  # in percent
    means: dict[str, float]
    each: dict[str, list[float]]

    @classmethod
    def of(cls, table: Any, probabilities: NDArray[Any]) -> LabelResults:
        """Return the results of probabilities `(m, L)` for a `LabelTable` of as many labels."""
        judge = check_scoring(["accuracy", *OF_TABLES])
        right = percent_correct(_predicted(table.codes, probabilities), table.codes, table.known)
        return cls(right, judge(table, probabilities), judge.of_each_column(table, probabilities))


def plain(value: Any) -> Any:
    """Return scores as JSON has them: null for one that is not defined."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if math.isnan(value) else value


def score_of(function: Score, labels: NDArray[Any] | LabelTable, probabilities: NDArray[Any]) -> float:
    """Return a score. With unknown labels it is the mean of the columns' scores, each on its known labels."""
    if not isinstance(labels, LabelTable):
        return _number(function, function(labels, probabilities))
    if labels.known is None:
        return _number(function, function(labels.codes, probabilities))
    each = [
        _number(function, function(labels.codes[known, i : i + 1], probabilities[known, i : i + 1]))
        for i, known in enumerate(labels.known.T)
        if known.any()
    ]
    return float(np.nanmean(each)) if each else float("nan")


def check_scoring(scoring: Any) -> Scoring:
    """Return what predictions are judged by: a name, a function of labels and probabilities, or a list of these."""
    several = list(scoring) if isinstance(scoring, list | tuple) else [scoring]
    if not several:
        raise InputError("scoring: it is empty; a name is needed, such as 'accuracy'")
    names, functions = [], []
    for one in several:
        if hasattr(one, "_score_func"):
            raise InputError(
                "scoring: scikit-learn's scorers take an estimator; give a name, or a function of the labels and the "
                "probabilities"
            )
        if callable(one):
            names.append(getattr(one, "__name__", "score"))
            functions.append(one)
        elif isinstance(one, str) and one in SCORES:
            names.append(one)
            functions.append(SCORES[one])
        else:
            raise InputError(
                f"scoring: {shown(one)} is not known; choose {', '.join(SCORES)}, or give a function of the labels "
                "and the probabilities"
            )
    if len(set(names)) < len(names):
        raise InputError(f"scoring: {names} has a name twice; give each once")
    return Scoring(tuple(names), tuple(functions))


def _number(function: Score, value: Any) -> float:
    if isinstance(value, str) or value is None or np.ndim(value):
        name = getattr(function, "__name__", "score")
        raise InputError(f"scoring: {name} returned {shown(value)}; a number is needed")
    return float(value)


def interval(
    score: Score,
    labels: NDArray[Any] | LabelTable,
    probabilities: NDArray[Any],
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of a score: percentiles of its values on as many samples, drawn with replacement.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, §13.3. `draws` are made from `seed`.
    If all samples are right, or none, all draws are alike. Then the interval of the accuracy is the exact one of C.
    Clopper and E. Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, 1934.
    """
    rng, m = np.random.default_rng(seed), len(labels)
    if score is accuracy and not isinstance(labels, LabelTable):  # a mean, whose draws are a multinomial's
        right = int(np.sum(_predicted(labels, probabilities) == labels))
        if right in (0, m):
            least = ((1 - level) / 2) ** (1 / m)
            return (least, 1.0) if right else (0.0, 1 - least)
        found = rng.binomial(m, right / m, draws) / m
    else:
        found = np.empty(draws)
        for i in range(draws):
            which = rng.integers(0, m, m)
            found[i] = score_of(score, labels[which], probabilities[which])
    outside = 100 * (1 - level) / 2
    if np.isnan(found).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(found, [outside, 100 - outside])
    return float(low), float(high)


def _predicted(labels: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim == 2:
        return (probabilities > 0.5).astype(labels.dtype)
    return probabilities.argmax(axis=1) if probabilities.shape[1] != 2 else (probabilities[:, 1] > 0.5).astype(int)


def _one_label_each(name: str, labels: NDArray[Any]) -> None:
    if labels.ndim == 2:
        raise InputError(
            f"scoring: {name!r} is for one label each, these are a table; choose another, such as {OF_TABLES[0]!r}"
        )


def _mean_of_classes(function: Score, labels: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the mean of a function of each class's labels and probabilities; of two classes that of the second."""
    if labels.ndim == 2:
        return _mean_of_columns(function, labels == 1, probabilities)
    if probabilities.shape[1] == 2:
        return function(labels == 1, probabilities[:, 1])
    each = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    return _mean_of_columns(function, each, probabilities)


def _mean_of_columns(function: Score, labels: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the mean over the columns for which there is a value; NaN where there is none."""
    each = np.array([function(labels[:, i], values[:, i]) for i in range(labels.shape[1])])
    there = each[~np.isnan(each)]
    return float(there.mean()) if len(there) else float("nan")


def _balanced(labels: NDArray[Any], chosen: NDArray[Any]) -> float:
    return float(np.mean([np.mean(chosen[labels == one] == one) for one in np.unique(labels)]))


def _f1(is_one: NDArray[Any], chosen: NDArray[Any]) -> float:
    twice = 2 * np.sum(is_one & chosen)
    others = np.sum(is_one != chosen)
    return float(twice / (twice + others)) if twice + others else 0.0


def _area(is_one: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the area from the ranks of the ones; NaN where there are none, or no others."""
    ones = int(is_one.sum())
    others = len(is_one) - ones
    if ones == 0 or others == 0:
        return float("nan")
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]  # of those that are alike the mean of their ranks
    return float((ranks[is_one].sum() - ones * (ones + 1) / 2) / (ones * others))


def _precision(is_one: NDArray[Any], values: NDArray[Any]) -> float:
    """Return the average precision; NaN where there are no ones."""
    total = int(is_one.sum())
    if total == 0:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    found, sorted_values = np.cumsum(is_one[order]), values[order]
    last = np.append(sorted_values[1:] != sorted_values[:-1], True)  # of those that are alike
    found = found[last]
    precision = found / (np.flatnonzero(last) + 1)
    recalled = np.diff(np.concatenate([[0], found])) / total
    return float(np.sum(recalled * precision))

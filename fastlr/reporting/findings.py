"""What a model makes of labelled samples: its mistakes, and how far its probabilities can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.model.evaluation import Results
from fastlr.model.model import Model
from fastlr.model.scores import LabelResults
from fastlr.namespace import to_host

BINS = 10
CONFIDENCE = 1.96  # standard deviations that hold 95 % of a normal distribution


class Mistake(NamedTuple):
    """A sample, by its number from 0, that was taken for another class, and the probability of that class."""

    sample: int
    true: int
    predicted: int
    probability: float


class Bin(NamedTuple):
    """The samples whose probability lies from `low` to `high`: how many, their mean one, how many came true."""

    low: float
    high: float
    size: int
    mean: float
    share: float

    @property
    def interval(self) -> tuple[float, float]:
        """Return where the share would lie with 95 % confidence, after E. B. Wilson, 1927."""
        z2, n = CONFIDENCE**2, self.size
        centre = (self.share + z2 / (2 * n)) / (1 + z2 / n)
        reach = CONFIDENCE / (1 + z2 / n) * math.sqrt(self.share * (1 - self.share) / n + z2 / (4 * n * n))
        return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Findings:
    """Samples with their labels, as indices of the model's classes, and the probabilities `(m, classes)`."""

    data: Dataset
    split: str  # "test", "training", or "" where it is not known
    proba: NDArray[np.floating]

    @property
    def samples(self) -> str:
        """Return what they are called: "test samples"."""
        return f"{self.split} samples".strip()

    @property
    def predicted(self) -> NDArray[np.intp]:
        """Return the most probable class of each."""
        return np.asarray(self.proba.argmax(axis=1), dtype=np.intp)

    @property
    def results(self) -> Results:
        """Return how often each class was taken for which."""
        return Results.of(self.data.labels, self.predicted, self.proba.shape[1])

    def mistakes(self, most: int) -> list[Mistake]:
        """Return the most confident mistakes, the worst first; of equals the earlier one first."""
        predicted = self.predicted
        wrong = np.flatnonzero(predicted != self.data.labels)
        confidence = self.proba[wrong, predicted[wrong]]
        first = wrong[np.argsort(-confidence, kind="stable")[:most]]
        return [
            Mistake(int(i), int(self.data.labels[i]), int(predicted[i]), float(self.proba[i, predicted[i]]))
            for i in first
        ]

    def calibration(self) -> list[Bin]:
        """Return the bins of equal width that hold samples.

        The probability is that of the second of two classes, or of the class that was chosen among more.
        """
        if self.proba.shape[1] == 2:
            probability, came_true = self.proba[:, 1], self.data.labels == 1
        else:
            probability, came_true = self.proba.max(axis=1), self.predicted == self.data.labels
        which = np.clip(np.floor(np.nan_to_num(probability) * BINS).astype(np.intp), 0, BINS - 1)
        bins = []
        for i in range(BINS):
            if (here := which == i).any():
                mean, share = float(probability[here].mean()), float(came_true[here].mean())
                bins.append(Bin(i / BINS, (i + 1) / BINS, int(here.sum()), mean, share))
        return bins


def find(model: Model, data: Dataset, split: str) -> Findings:
    """Return what the model makes of the data; classes are matched by name."""
    aligned = data.aligned(model.classes, model.class_of or {})
    return Findings(aligned, split, to_host(model.predict_proba(data)))


@dataclass(frozen=True)
class LabelFindings:
    """Samples with a table of labels, and how well the model predicts each of them."""

    data: Dataset
    split: str  # "test", "training", or "" where it is not known
    results: LabelResults


def find_labels(model: Model, data: Dataset, split: str) -> LabelFindings:
    """Return how well the model predicts the labels; they are matched by name."""
    return LabelFindings(data.aligned(model.classes, model.class_of or {}), split, model.label_results(data))


def calibration_error(bins: list[Bin]) -> float:
    """Return the mean distance of probability and share over all samples (the expected calibration error)."""
    return sum(b.size * abs(b.mean - b.share) for b in bins) / max(1, sum(b.size for b in bins))


def spread_over_classes(data: Dataset, most: int) -> list[int]:
    """Return indices of samples: the first of each class, then the second of each, until there are enough."""
    by_class = [
        np.flatnonzero(data.labels[:, label] if data.is_table else data.labels == label)[:most]
        for label in range(len(data.classes))
    ]
    turns = [int(rows[turn]) for turn in range(most) for rows in by_class if turn < len(rows)]
    return list(dict.fromkeys(turns))[:most]  # a sample with several labels comes once

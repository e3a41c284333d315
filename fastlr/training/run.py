"""Run: a finished training; and which of several is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastlr.data.dataset import Dataset
from fastlr.model.model import Model
from fastlr.namespace import compared, same_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: the model, its cost curve, its accuracies in percent, and what it ran on."""

    model: Model
    costs: list[float]
    recorded_at: list[int]
    train_accuracy: float
    test_accuracy: float | None
    seconds: float = field(compare=False)
    form: str
    backend: str
    device: str
    dtype: str
    precision: str
    n_train: int
    n_test: int
    n_features: int
    layers: tuple[int, ...] = ()  # the units of the hidden layers
    seed: int = 0
    solver: str = "gd"
    logits: str = "kept"  # or "recomputed" in each pass, where they and the data do not fit into the memory
    converged: bool | None = None  # whether the gradient came down to `tol`; None where the solver does not look
    fold_accuracies: tuple[float, ...] = ()  # of cross-validation, each on the samples that its fold left out
    fold_scores: dict[str, tuple[float, ...]] = field(default_factory=dict)  # the same by the scores asked for
    test_costs: list[float] | None = None  # on the test set, beside `costs`, where they were asked for
    warning: str | None = None  # what went wrong and what to try, where a run diverged
    notes: tuple[str, ...] = ()  # what else is worth knowing, a line each
    train_set: Dataset | None = field(default=None, repr=False, compare=False)
    test_set: Dataset | None = field(default=None, repr=False, compare=False)

    def __eq__(self, other: object) -> bool:
        """Return whether the other came to the same: all but the time that it took, and the data."""
        return isinstance(other, Run) and same_values(compared(self), compared(other))

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain values, for JSON: all but the model and the data."""
        left_out = ("model", "train_set", "test_set")
        fields = {name: value for name, value in vars(self).items() if name not in left_out}
        return fields | {"classes": list(self.model.classes)}

    def plot(self) -> Figure:
        """Return the learning curve as a Matplotlib figure."""
        from fastlr.reporting.notebook import plot

        return plot(self)

    def _repr_html_(self) -> str:
        """Return the accuracies and the learning curve, for a notebook."""
        from fastlr.reporting.notebook import show

        return show(self)

    @property
    def score(self) -> tuple[float, float]:
        """Return what it is chosen by: the mean accuracy of its folds, or on the test set; then its last cost.

        A run that diverged is worse than any other.
        """
        if self.warning is not None or not self.costs:
            return float("-inf"), float("-inf")
        accuracies = self.fold_accuracies or (() if self.test_accuracy is None else (self.test_accuracy,))
        return sum(accuracies) / max(1, len(accuracies)), -self.costs[-1]


def best_of(runs: Sequence[Run]) -> Run:
    """Return the run of the highest score, of several the first."""
    return max(runs, key=lambda run: run.score)

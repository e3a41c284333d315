"""Run: a finished training; and which of several is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.model.model import Model
from fastlr.namespace import compared, same_values
from fastlr.training.converge import MORE, RoundingNote

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: the model, its cost curve, its accuracies in percent, and what it ran on.

    Attributes
    ----------
    model : Model
        The trained classifier.
    costs, recorded_at : list of float, list of int
        The cost at each recording, without the l2 term, and the iterations of the recordings.
    train_accuracy, test_accuracy : float
        In percent; `test_accuracy` is None without a test set. For a table of labels the mean over its columns.
    fold_accuracies, fold_scores : tuple of float, dict
        Of each fold of a cross-validation, on the samples that it left out.
    folds_converged : tuple of bool
        Whether the models of each fold came to their minimum; empty for gradient descent.
    test_costs : list of float or None
        The cost on the test set at each recording, if it was asked for.
    converged : bool or None
        Whether the gradient came down to `tol`; None for gradient descent.
    warning : str or None
        What went wrong, and what to try, in a run that diverged.
    notes : tuple of str
        What else is worth knowing.
    seconds, compile_seconds : float
        Time of the training and of the accuracies, and how much of it went into compiling kernels, or loading
        compiled ones.
    steps_per_second, bytes_per_second : float or None
        Steps of gradient descent in a second, and the bytes of training data that these steps go through, once each, in
        the dtype in which the data were given. Recording the costs is included, compiling is not. Of a resumed run only
        the steps after it was resumed count. Each step advances all models of a sweep. Both are None for other solvers;
        `bytes_per_second` is None for the Gram form too, whose steps do not read the data.
    form, solver, backend, device, dtype, precision, logits : str
        What was used; `logits` are "kept" in memory or "recomputed" in each pass.
    n_train, n_test, n_features : int
        Samples and features.
    layers, seed : tuple of int, int
        Units of the hidden layers, and the seed of their initial weights.
    train_set, test_set : Dataset or None
        The data.
    """

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
    layers: tuple[int, ...] = ()
    seed: int = 0
    solver: str = "gd"
    logits: str = "kept"
    converged: bool | None = None
    fold_accuracies: tuple[float, ...] = ()
    fold_scores: dict[str, tuple[float, ...]] = field(default_factory=dict)
    folds_converged: tuple[bool, ...] = ()
    test_costs: list[float] | None = None
    compile_seconds: float = field(default=0.0, compare=False)
    steps_per_second: float | None = field(default=None, compare=False)
    bytes_per_second: float | None = field(default=None, compare=False)
    warning: str | None = None
    notes: tuple[str, ...] = ()
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
    def score(self) -> tuple[float, float, float]:
        """Return what ranks runs: accuracy on the folds or the test set, then the last cost, then training accuracy.

        A run that diverged is worse than any other. The training accuracy decides between runs that recorded the
        initial cost alone.
        """
        if self.warning is not None or not self.costs:
            return float("-inf"), float("-inf"), float("-inf")
        accuracies = self.fold_accuracies or (() if self.test_accuracy is None else (self.test_accuracy,))
        return sum(accuracies) / max(1, len(accuracies)), -self.costs[-1], self.train_accuracy


def chosen_by(runs: Sequence[Run]) -> str | None:
    """Return what the best is chosen by: accuracies on "folds" or the "test set" if all runs have them, else "cost".

    Runs that diverged are left out; None where all did.
    """
    sound = [run for run in runs if run.warning is None]
    if not sound:
        return None
    if all(run.fold_accuracies for run in sound):
        return "folds"
    return "test set" if all(run.test_accuracy is not None and not run.fold_accuracies for run in sound) else "cost"


def best_of(runs: Sequence[Run]) -> Run:
    """Return the run of the highest score, of several the first."""
    by_cost = chosen_by(runs) == "cost"
    return max(runs, key=lambda run: run.score[1:] if by_cost else run.score)


def edge_of(l2: NDArray[Any], scores: NDArray[Any], chosen: int) -> str | None:
    """Return which end of several values the chosen one is at; None if at neither, or if another scores the same."""
    value = float(l2[chosen])
    if len(np.unique(l2)) == 1 or value == 0 or (scores[l2 != value] == scores[chosen]).any():
        return None
    return {float(l2.max()): "largest", float(l2.min()): "smallest"}.get(value)


def at_edge(edge: str) -> str:
    """Return what to say of a chosen l2 at that end of the values."""
    return f"the chosen l2 is the {edge} value tried; try {edge.removesuffix('st')}r ones"


def unfinished(runs: Sequence[Run], rounded: bool = False) -> str | None:
    """Return what to say of the models of several runs that are not at their minimum, None where all are.

    Those that rounding alone keeps from it are among them if `rounded`.
    """
    own = [run for run in runs if run.converged is False and (rounded or not isinstance(run.notes[-1], RoundingNote))]
    if own:
        return f"{len(own)} of {len(runs)} models: {own[0].notes[-1]}"
    folds = sum(not all(run.folds_converged) for run in runs)
    return f"{folds} of {len(runs)} models: not converged on some of the folds; {MORE}" if folds else None

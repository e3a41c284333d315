"""path(): the models of many l2 in one reading of the data, and which of them cross-validation chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError
from fastlr.model import Model
from fastlr.run import Run, best_of
from fastlr.solvers import GD
from fastlr.training import sweep

L2 = (1e-6, 1e2, 96)  # first, last and number of the values where none are given, each the same times more


@dataclass(frozen=True)
class RegularizationPath:
    """A run for each l2, all on all examples."""

    runs: list[Run]

    @property
    def l2(self) -> NDArray[np.float64]:
        """Return the values of l2, (values,)."""
        return np.array([(run.model.settings or {})["l2"] for run in self.runs])

    @property
    def fold_accuracies(self) -> NDArray[np.float64]:
        """Return the accuracy in percent on each fold of the model that was fitted without it, (values, folds)."""
        return np.array([run.fold_accuracies for run in self.runs])

    @property
    def best(self) -> Run:
        """Return the run of the best mean accuracy on the folds, or on the test set; of several the lowest cost's."""
        return best_of(self.runs)

    @property
    def model(self) -> Model:
        """Return the best run's model."""
        return self.best.model


def path(
    data: Any,
    labels: Any = None,
    *,
    l2: Sequence[float] | None = None,
    folds: int | None = 5,
    solver: str = "auto",
    iterations: int = 200,
    **settings: Any,
) -> RegularizationPath:
    """Fit a linear model for each l2 to its minimum, and cross-validate it on so many folds.

    `l2` are 96 values from 1e-6 to 1e2 unless given, each of which is fitted from the minimum of the larger one. All
    other settings are those of `fastlr.sweep`: `test`, `tol`, `standardize`, `seed`, `form`, `backend`, and so on.
    Raises InputError for what cannot be used.
    """
    if solver == GD:
        raise InputError(f"solver: {GD!r} does not go to the minimum; take 'auto', or fastlr.sweep")
    values = np.geomspace(*L2).tolist() if l2 is None else l2
    return RegularizationPath(
        sweep(data, labels, l2=values, folds=folds, solver=solver, iterations=iterations, **settings)
    )

"""path(): a linear model for each l2, the choice among them, and the model that is left in the end."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.data.given import both_sets, matching_set, training_set
from fastlr.data.reading import as_dataset
from fastlr.errors import ConvergenceWarning, InputError, shown
from fastlr.model.model import Model
from fastlr.model.scores import Scoring, check_scoring, interval
from fastlr.namespace import compared, same_values, to_host
from fastlr.solvers import AUTO, GD
from fastlr.training.api import train_all
from fastlr.training.checks import several, whole
from fastlr.training.definition import spread
from fastlr.training.follow import Callback
from fastlr.training.given import Given
from fastlr.training.placing import cluster_for, in_memory, placed
from fastlr.training.run import Run, best_of, edge_of, unfinished
from fastlr.training.settings import Candidate, PathSettings, Target, candidates

L2 = (1e-6, 1e2, 96)  # first, last and number of the values of a path where none are given, each the same times more
TRAIN, BOTH = "train", "train+validation"
PERCENT = 100


@dataclass(frozen=True, eq=False)
class RegularizationPath:
    """A run for each l2, all on the training samples; their scores; and the final model.

    Attributes
    ----------
    runs : list of Run
        One for each l2.
    scoring : Scoring
        What they were judged by.
    scores : dict of arrays (values, folds)
        By the names of the scores; empty without folds or validation set.
    chosen : int
        The number of the value that was taken.
    final : Run or None
        The run of the final model; None if none was asked for.
    validation : Dataset or None
        The validation set.
    """

    runs: list[Run]
    scoring: Scoring
    scores: dict[str, NDArray[np.float64]]
    chosen: int
    final: Run | None
    validation: Dataset | None = None

    def __eq__(self, other: object) -> bool:
        """Return whether the other came to the same."""
        return isinstance(other, RegularizationPath) and same_values(compared(self), compared(other))

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
        """Return the run of the best mean score on the folds, the validation set or, without these, the test set."""
        return self.runs[self.chosen]

    @property
    def best_l2(self) -> float:
        """Return the l2 of that run."""
        return float(self.l2[self.chosen])

    @property
    def at_edge(self) -> str | None:
        """Return which end of the values the chosen l2 is at; None if at neither, or if another has the same score."""
        return edge_of(self.l2, mean_scores(self.scores[self.scoring.names[0]]), self.chosen) if self.scores else None

    @property
    def model(self) -> Model:
        """Return the final model."""
        return self._final.model

    @property
    def _final(self) -> Run:
        if self.final is None:
            raise InputError("refit: it was False, so that no model is left; take 'train' or 'train+validation'")
        return self.final

    @property
    def test_scores(self) -> dict[str, float]:
        """Return the scores of the model that is left on the test set, by their names."""
        data, probabilities = self._tested
        return self.scoring(data.targets, probabilities)

    def test_intervals(self, draws: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Return a 95 % interval of each of these scores by the bootstrap, of so many draws from a seed."""
        data, probabilities = self._tested
        draws = whole("draws", draws, 1)
        each = zip(self.scoring.names, self.scoring.functions, strict=True)
        return {name: interval(function, data.targets, probabilities, draws, seed) for name, function in each}

    @property
    def _tested(self) -> tuple[Dataset, NDArray[Any]]:
        final = self._final
        if final.test_set is None:
            raise InputError("test: there was none; give fastlr.path a test set")
        return final.test_set, to_host(final.model.predict_proba(final.test_set))

    def __repr__(self) -> str:
        """Return a summary in one line."""
        return (
            f"RegularizationPath({len(self.runs)} values of l2, {self.best_l2:.3g} chosen, scores {list(self.scores)})"
        )

    def table(self) -> list[dict[str, float]]:
        """Return a row for each l2 and fold: `l2`, `fold`, and each score by its name."""
        return [
            {"l2": float(value), "fold": fold} | {name: float(score[i, fold]) for name, score in self.scores.items()}
            for i, value in enumerate(self.l2)
            for fold in range(next(iter(self.scores.values())).shape[1] if self.scores else 0)
        ]

    def to_pandas(self) -> Any:
        """Return that table as a pandas DataFrame."""
        try:
            import pandas as pd
        except ImportError as error:
            raise InputError("to_pandas: it needs pandas; try pip install pandas, or take table()") from error
        return pd.DataFrame(self.table(), columns=["l2", "fold", *self.scores])


@spread
def path(
    data: Any,
    labels: Any = None,
    *,
    l2: Sequence[float] | None = None,
    folds: Any = 5,
    groups: Any = None,
    scoring: Any = "accuracy",
    refit: str | bool = TRAIN,
    test: Any = None,
    sample_weight: Any = None,
    missing_label: float | None = None,
    settings: PathSettings,
    target: Target,
    test_costs: bool = False,
    callback: Callback | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> RegularizationPath:
    """Fit a linear model for each l2 to its minimum, and choose one by samples that it was not fitted to.

    Each fit starts from the minimum of the next larger l2.

    Parameters
    ----------
    data, labels, sample_weight, missing_label, test_costs, callback, checkpoint
        As in `fastlr.sweep`.
    l2 : sequence of float, optional
        By default 96 values from 1e-6 to 1e2.
    folds : int, array (m,), splitter, list of pairs, Dataset or pair (samples, labels), default 5
        How l2 is chosen: by cross-validation, as in `fastlr.sweep`, or on a validation set. With None, by the accuracy
        on the test set, or, without one, by the lowest cost.
    groups : array (m,), optional
        Given to the splitter.
    scoring : str, function or list of these, default "accuracy"
        "accuracy", "balanced_accuracy", "top_5", "roc_auc", "average_precision", "f1", "log_loss", or a function of
        the class numbers `(m,)`, in the order of `model.classes`, and the probabilities `(m, classes)`; a better
        model has a higher value. The first of a list chooses l2, by its mean over the folds that have one; of equal
        values the first, as in scikit-learn's `GridSearchCV`. Scores do not count weights.
    refit : {"train", "train+validation", False}, default "train"
        The final model: that of the chosen l2; the same fitted once more to training and validation set; none.
    test : Dataset or pair (samples, labels), optional
        Data on which the final model is tested.

    Returns
    -------
    RegularizationPath
        The runs, the scores `(values, folds)`, the chosen value and the final model.

    Raises
    ------
    InputError
        For input that cannot be used, in one line.

    Warns
    -----
    ConvergenceWarning
        Some models, those of the folds among them, did not come down to `tol` within `iterations`.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> path = fastlr.path(X, X[:, 0] > 0, l2=[1e-3, 1e-1, 10.0], folds=3)
    >>> path.scores["accuracy"].shape
    (3, 3)
    >>> path.best_l2 in (1e-3, 1e-1, 10.0)
    True
    """
    if not settings.converges:
        if reason := settings.needs_descent:
            raise InputError(
                f"path: goes to the minimum, which is not for {reason}; leave it out, or take fastlr.sweep"
            )
        raise InputError(f"solver: {GD!r} does not go to the minimum; take {AUTO!r}, or fastlr.sweep")
    judge = check_scoring(scoring)
    separate = isinstance(folds, Dataset) or _is_pair(folds)
    if refit not in (TRAIN, BOTH, False):
        raise InputError(f"refit: {shown(refit)}; {TRAIN!r}, {BOTH!r} or False is needed")
    if refit == BOTH and not separate:
        raise InputError(f"refit: {BOTH!r} needs a validation set; give one as folds, or take {TRAIN!r}")
    if refit == BOTH and sample_weight is not None:
        raise InputError(f"refit: {BOTH!r}, but sample_weight has none for the validation set; take {TRAIN!r}")
    values = np.geomspace(*L2).tolist() if l2 is None else several("l2", l2)
    models = candidates([Candidate().learning_rate], values, [settings.seed])
    with cluster_for(data, target) as cluster:
        target = replace(target, cluster=cluster)  # type: ignore[arg-type]  # one that is open
        data, labels = placed(data, cluster), in_memory(labels)
        own = Given(as_dataset(data), labels, test=(test, folds if separate else None)).as_numpy_views(target)
        (data, labels), (test, validating) = own[:2], own.test
        train_data = training_set(data, labels, missing_label)
        validation = matching_set("validation", validating, train_data, missing_label)
        test_data = matching_set("test", as_dataset(test, "test"), train_data, missing_label)
        if refit == BOTH and (train_data.weights is None) != (validation is None or validation.weights is None):
            has, lacks = ("validation", "training") if train_data.weights is None else ("training", "validation")
            raise InputError(
                f"refit: {BOTH!r}, but the {has} data have sample weights and the {lacks} data have none; "
                f"take {TRAIN!r}, or give both"
            )
        by_accuracy = judge.names == ("accuracy",) and not callable(scoring)
        given = Given(
            train_data, None, sample_weight, missing_label, test_data, None if separate else folds, groups,
            None if by_accuracy else judge, own.home,
        )  # fmt: skip
        runs = train_all(given, target, settings, models, checkpoint, test_costs=test_costs, callback=callback)
        if note := unfinished(runs):
            warnings.warn(note, ConvergenceWarning, stacklevel=3)
        scores = _scores_of(runs, judge, validation, by_accuracy)
        best = judge.best(mean_scores(scores[judge.names[0]])) if scores else runs.index(best_of(runs))
        final = None if refit is False else runs[best]
        if refit == BOTH:
            assert validation is not None
            again = given._replace(data=both_sets(train_data, validation), folds=None)
            (final,) = train_all(again, target, settings, [models[best]], None)
        return RegularizationPath(runs, judge, scores, best, final, validation)


def mean_scores(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the scores `(values, folds)` over the folds that have one, `(values,)`; NaN where none has."""
    there = ~np.isnan(scores)
    counts = there.sum(axis=1)
    sums: NDArray[np.float64] = np.where(there, scores, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _is_pair(folds: Any) -> bool:
    """Return whether it is a pair of samples and labels: samples have two axes or more, indices one."""
    if not isinstance(folds, tuple) or len(folds) != 2:
        return False
    first = folds[0]
    rows = isinstance(first, list) and bool(first) and all(isinstance(row, list | tuple) for row in first)
    return rows or getattr(first, "ndim", 0) >= 2


def _scores_of(
    runs: Sequence[Run], judge: Scoring, validation: Dataset | None, by_accuracy: bool
) -> dict[str, NDArray[np.float64]]:
    """Return, by their names, the scores of each value on each fold, or on the validation set, `(values, folds)`."""
    if validation is not None:
        each = [judge(validation.targets, to_host(run.model.predict_proba(validation))) for run in runs]
        return {name: np.array([[one[name]] for one in each]) for name in judge.names}
    if not runs[0].fold_accuracies:
        return {}
    if by_accuracy:
        return {"accuracy": np.array([run.fold_accuracies for run in runs]) / PERCENT}
    return {name: np.array([run.fold_scores[name] for run in runs]) for name in judge.names}

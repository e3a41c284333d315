"""LogisticRegressionCV: every C on every fold in one pass over the data, and the best of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.estimators.inputs import Home, backend_for, check_training, class_codes, example_weights
from fastlr.estimators.logistic_regression import (
    LinearClassifier,
    LogisticRegression,
    positive,
    scale_for,
    score_by,
    settings_of,
    warn,
)
from fastlr.namespace import library_of
from fastlr.objectives.network import outputs_for
from fastlr.solvers import AUTO
from fastlr.training.checks import whole
from fastlr.training.warm_start import fit_each


class LogisticRegressionCV(LinearClassifier):
    """Logistic regression whose C is chosen by cross-validation.

    `Cs` holds the values of C, or is how many of them, from 1e-4 to 1e4. `cv` is scikit-learn's: a number of folds
    (stratified; 5 by default), a splitter, or pairs of indices. `scoring` is a scorer or its name; accuracy where there
    is none. With `refit` the coefficients are those of the best C on all examples, else the mean of each fold's best.
    All else is as in `LogisticRegression`.

    All fits share one reading of the data: a fold is a weighting in which what it leaves out counts nothing, and each C
    starts from the minimum of the one before.

    Fitted attributes: those of `LogisticRegression` but `loss_curve_`; `Cs_ (values,)`, `C_`, and, as scikit-learn has
    them without its legacy attributes, `scores_` and `n_iter_ (folds, 1, values)` and `coefs_paths_ (folds, 1, values,
    1 or classes, n + 1)`, whose last column is the intercept's. With `use_legacy_attributes` they have the shapes that
    scikit-learn had before 1.9. `verbose` prints the cost of each value of C at each iteration.
    """

    def __init__(  # noqa: D107
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = (0.0,),
        fit_intercept: bool = True,
        cv: Any = None,
        dual: bool = False,
        penalty: str = "l2",
        scoring: Any = None,
        solver: str = AUTO,
        tol: float = 1e-4,
        max_iter: int = 100,
        class_weight: dict[Any, float] | str | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        refit: bool = True,
        intercept_scaling: float = 1.0,
        random_state: Any = None,
        use_legacy_attributes: bool = False,
        backend: str | None = None,
        device: str | None = None,
        form: str = AUTO,
        scale: float | str = AUTO,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes
        self.backend = backend
        self.device = device
        self.form = form
        self.scale = scale

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to examples `X (m, n)` and labels `y (m,)`; `sample_weight (m,)` says how much each example counts.

        The weights count in the scores too.
        """
        settings, Cs = settings_of(self, l1_ratios=self.l1_ratios), self._values()
        if not isinstance(self.use_legacy_attributes, bool | np.bool_):
            raise ValueError(f"use_legacy_attributes: {self.use_legacy_attributes!r}; True or False is needed")
        home = Home.of(X)
        X, y = check_training(self, X, y)
        classes, codes = class_codes(y)
        weights = example_weights(self.class_weight, sample_weight, classes, y, codes)
        given = None if sample_weight is None else example_weights(None, sample_weight, classes, y, codes)
        split = check_cv(self.cv, y, classifier=True).split(np.zeros((len(y), 1)), y)
        splits = [tuple(np.arange(len(y))[part] for part in parts) for parts in split]  # numbers, also of a mask
        counted = np.tile(weights, (1 + len(splits), 1))  # the first are all examples
        for row, (train, _) in zip(counted[1:], splits, strict=True):
            row *= np.bincount(train, minlength=len(y))  # an index that is named twice counts twice
        totals = counted.sum(axis=1)
        if not totals.all():
            raise ValueError(f"cv: the examples without fold {totals.argmin() - 1} have no weight; take fewer folds")
        backend, scale = backend_for(self, X), scale_for(self, X)
        judge = _Judge(self.scoring, backend, X, y, classes, splits, given)
        outputs = outputs_for(len(classes))
        scores = np.empty((len(splits), len(Cs)))
        iterations = np.empty((len(splits), len(Cs)), dtype=np.int32)
        found: dict[int, Array] = {}
        with backend.scope():
            fits = fit_each(
                backend, X, codes, outputs, 1 / (Cs[:, np.newaxis] * totals), settings,
                weightings=counted / counted.mean(axis=1, keepdims=True), scale=scale, intercept=self.fit_intercept,
                watch=partial(_show, Cs) if self.verbose else None,
            )  # fmt: skip
            for fit in fits:
                warn(fit)
                joined = backend.xp.concat([scale * fit.W, fit.b], axis=2)
                for place, number in enumerate(fit.numbers):
                    mine = slice(place * len(counted), (place + 1) * len(counted))
                    found[number] = joined[mine, ...]
                    for fold, path in enumerate(fit.paths[mine][1:]):
                        scores[fold, number] = judge(fold, fit.predicted[mine][1 + fold], found[number][1 + fold, ...])
                        iterations[fold, number] = path.recorded_at[-1]
            best = int(scores.mean(axis=0).argmax())
            chosen = [found[number][1 + fold, ...] for fold, number in enumerate(scores.argmax(axis=1))]
            both = found[best][0, ...] if self.refit else sum(chosen[1:], chosen[0]) / len(chosen)
            paths = backend.xp.stack([found[number][1:, ...] for number in range(len(Cs))], axis=1)
            self.coef_, self.intercept_ = home.give(both[:, :-1]), home.give(both[:, -1])
            self.coefs_paths_: Any = home.give(paths[:, None, ...])
        self.classes_, self.Cs_ = classes, Cs
        self.C_: Any = float(Cs[best] if self.refit else Cs[scores.argmax(axis=1)].mean())
        self.l1_ratio_: Any = 0.0
        self.l1_ratios_ = np.zeros(1)
        self.scores_: Any = scores[:, np.newaxis, :]
        self.n_iter_ = iterations[:, np.newaxis, :]
        self.solver_, self.form_, self.backend_ = fit.solver, fit.objective.name, backend.name
        if self.use_legacy_attributes:
            self._make_legacy(outputs)
        return self

    def _make_legacy(self, outputs: int) -> None:
        """Give the attributes the shapes that scikit-learn had before 1.9: one value a class, all of them alike."""
        names = self.classes_[1:] if outputs == 1 else self.classes_
        paths, scores = self.coefs_paths_, self.scores_[:, 0, :]
        self.coefs_paths_ = {name: paths[:, 0, :, i, :] for i, name in enumerate(names.tolist())}
        self.scores_ = dict.fromkeys(names.tolist(), scores)
        self.n_iter_ = self.n_iter_[:, 0, :][np.newaxis]
        self.C_, self.l1_ratio_ = np.full(outputs, self.C_), np.full(outputs, self.l1_ratio_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of the predictions by the scorer, accuracy where there is none."""
        return score_by(self.scoring or "accuracy", self, X, y, sample_weight)

    def _values(self) -> NDArray[Any]:
        """Return the values of C."""
        if isinstance(self.Cs, int | np.integer) and not isinstance(self.Cs, bool):
            return np.logspace(-4, 4, whole("Cs", self.Cs, 1))
        values = np.asarray([positive("Cs", value) for value in np.ravel(self.Cs)])
        if len(values) == 0:
            raise ValueError("Cs: it is empty; at least one value of C is needed")
        return values


def _show(Cs: NDArray[Any], numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
    said = ", ".join(f"{cost:.6f} for C={Cs[number]:.4g}" for number, cost in zip(numbers, costs, strict=True))
    print(f"iteration {iteration}: cost {said}", file=sys.stderr)


@dataclass(frozen=True)
class _Judge:
    """What scores a fit on the examples that it was not fitted to."""

    scoring: Any
    backend: Backend
    X: Array
    y: NDArray[Any]
    classes: NDArray[Any]
    splits: Sequence[tuple[NDArray[Any], ...]]
    weights: NDArray[Any] | None

    def __call__(self, fold: int, predicted: NDArray[Any], parameters: Array) -> float:
        """Return the score on what a fold left out, of the classes `(m,)` and the parameters that predict them."""
        test = self.splits[fold][1]
        weights = None if self.weights is None else self.weights[test]
        if self.scoring in (None, "accuracy"):
            right = self.classes[predicted[test]] == self.y[test]
            return float(np.average(right, weights=weights))
        fitted = LogisticRegression(backend=self.backend.name, device=self.backend.device)
        fitted.n_features_in_ = self.X.shape[1]
        fitted.classes_ = self.classes
        on_host = library_of(self.X) == "numpy"  # as are those of a library that has no backend
        parameters = self.backend.to_host(parameters) if on_host else parameters
        fitted.coef_, fitted.intercept_ = parameters[:, :-1], parameters[:, -1]
        examples = self.X[test] if on_host else core.rows(self.backend.asarray(self.X), self.backend.asarray(test))
        return score_by(self.scoring, fitted, examples, self.y[test], weights)

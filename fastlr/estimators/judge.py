"""What scores a fit on the samples of a fold, and which score is the best."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import make_scorer

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.estimators.classifier import score_by
from fastlr.estimators.logistic_regression import LogisticRegression
from fastlr.namespace import library_of

TIE = 1e-14  # of a score: a smaller difference is rounding


def best_of(scores: NDArray[Any]) -> int:
    """Return the number of the best score; of those that differ by rounding, the first."""
    return int((scores >= scores.max() - TIE * abs(scores.max())).argmax())


def with_all_classes(scorer: Any, classes: NDArray[Any]) -> Any:
    """Return the scorer with all classes as its labels, where its function takes labels: a fold may lack a class."""
    function = getattr(scorer, "_score_func", None)
    takes = () if function is None else inspect.signature(function).parameters
    if "labels" not in takes:
        return scorer
    more = {"labels": classes} | ({"pos_label": classes[-1]} if len(classes) == 2 and "pos_label" in takes else {})
    return make_scorer(
        function,
        greater_is_better=scorer._sign == 1,
        response_method=scorer._response_method,
        **more | getattr(scorer, "_kwargs", {}),
    )


@dataclass(frozen=True)
class Judge:
    """What scores a fit on the samples that it was not fitted to."""

    scorer: Any  # None is accuracy
    backend: Backend
    X: Array
    y: NDArray[Any]
    classes: NDArray[Any]
    splits: Sequence[tuple[NDArray[Any], ...]]
    params: Mapping[str, Any]  # of the scorer; what there is for each sample is given for those that are scored

    def accuracy(self, fold: int, predicted: NDArray[Any]) -> float:
        """Return the accuracy of predicted classes `(m,)` on what a fold left out."""
        test = self.splits[fold][1]
        right = self.classes[predicted[test]] == self.y[test]
        return float(np.average(right, weights=self._params(test).get("sample_weight")))

    def __call__(self, fold: int, parameters: Array) -> float:
        """Return the score of parameters on what a fold left out."""
        test = self.splits[fold][1]
        fitted = LogisticRegression(backend=self.backend.name, device=self.backend.device)
        fitted.n_features_in_ = self.X.shape[1]
        fitted.classes_ = self.classes
        on_host = library_of(self.X) == "numpy"  # as are those of a library that has no backend
        parameters = self.backend.to_host(parameters) if on_host else parameters
        fitted.coef_, fitted.intercept_ = parameters[:, :-1], parameters[:, -1]
        samples = self.X[test] if on_host else core.rows(self.backend.asarray(self.X), self.backend.asarray(test))
        return score_by(self.scorer, fitted, samples, self.y[test], **self._params(test))

    def _params(self, test: NDArray[Any]) -> dict[str, Any]:
        m = len(self.y)
        return {name: np.asarray(v)[test] if np.shape(v)[:1] == (m,) else v for name, v in self.params.items()}

"""What fitted coefficients predict, on arrays of any library, and where they go."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_is_fitted

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.core import Array
from fastlr.data.label_table import LabelTable
from fastlr.estimators.inputs import Home, backend_for, check_samples, labels_on_host
from fastlr.model.handover import as_one_vs_rest, as_onnx, as_scikit_learn, as_torch
from fastlr.namespace import dtype_name, to_host
from fastlr.objectives.network import Layer
from fastlr.training.placing import is_dask

MOVED = ("coef_", "intercept_", "n_iter_", "coefs_paths_")  # fitted arrays that are of the library of X


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What fitted coefficients predict: `coef_ (1 or classes, n)` and `intercept_ (1 or classes,)` for `classes_`."""

    _answers_on_host = False
    multilabel_ = False  # whether each sample has any number of labels
    one_vs_rest_ = False  # whether each class has a model of its own

    def decision_function(self, X: Any) -> Array:
        """Return the logits: `(m,)` of the second of two classes, or `(m, classes)`, or `(m, L)` of each label."""
        return self._of_logits(X, "decision_function", lambda backend, Z: Z[0, :] if Z.shape[0] == 1 else Z.T)

    def predict(self, X: Any) -> Array:
        """Return the class of each sample, `(m,)`: names from the host's NumPy, numbers of the library of X.

        Where the labels were a table, it is one, `(m, L)` of zeros and ones.
        """
        if self.multilabel_:
            return self._of_logits(X, "predict", lambda backend, Z: backend.xp.astype(Z.T > 0, backend.xp.int64))

        def choose(backend: Backend, Z: Array) -> Array:
            xp = backend.xp
            chosen = xp.astype(Z[0, :] > 0, xp.int32) if Z.shape[0] == 1 else xp.argmax(Z, axis=0)
            return xp.take(backend.asarray(self.classes_), chosen, axis=0) if self._classes_are_numbers else chosen

        answer = self._of_logits(X, "predict", choose)
        return answer if self._classes_are_numbers else self.classes_[to_host(Home.of(answer).take(answer))]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(m, classes)`, or of each label, `(m, L)`."""

        def probabilities(backend: Backend, Z: Array) -> Array:
            xp = backend.xp
            if self.multilabel_:
                return core.sigmoid(Z).T
            if self.one_vs_rest_:  # σ(z) / Σ σ(z), where none of them may underflow
                return core.softmax(-core.losses(Z, xp.ones_like(Z))).T
            A = core.sigmoid(Z) if Z.shape[0] == 1 else core.softmax(Z)
            return (xp.concat([1 - A, A], axis=0) if Z.shape[0] == 1 else A).T

        return self._of_logits(X, "predict_proba", probabilities)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities, `(m, classes)`, finite for every finite logit."""

        def logarithms(backend: Backend, Z: Array) -> Array:
            xp = backend.xp
            if self.multilabel_:
                return -core.losses(Z, xp.ones_like(Z)).T
            if self.one_vs_rest_:
                return core.log_softmax(-core.losses(Z, xp.ones_like(Z))).T
            return core.log_softmax(xp.concat([xp.zeros_like(Z), Z], axis=0) if Z.shape[0] == 1 else Z).T

        return self._of_logits(X, "predict_log_proba", logarithms)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on samples `X (m, n)` and labels `y (m,)`, which may be on the host.

        Of a table of labels it is the share of samples all of whose labels are right, as in scikit-learn; those that
        are missing do not count.
        """
        missing = getattr(self, "missing_label", None)
        if self.multilabel_ and missing is not None:
            table = LabelTable.of("y", np.asarray(labels_on_host(y)), missing)
            answer = self.predict(X)
            right = to_host(Home.of(answer).take(answer)) == table.codes
            right = right if table.known is None else right | ~table.known
            return float(np.average(right.all(axis=1), weights=labels_on_host(sample_weight)))
        return score_by(get_scorer("accuracy"), self, X, y, sample_weight=sample_weight)

    def to(self, backend: str, device: str | None = None) -> Self:
        """Return a copy that predicts on another backend, for arrays of its library: its fitted arrays are there.

        `backend` is "numpy" for arrays on the host, or the name of any other, such as "torch"; `device` is one of its
        devices, by default the one that its library uses by itself. Raises ValueError for what is not here.
        """
        check_is_fitted(self)
        opened = choose_backend(backend, device, dtype_name(self.coef_))
        moved = copy.copy(self)
        moved.backend, moved.device = (None, None) if backend == "numpy" else (backend, device)
        with opened.scope():
            for name in MOVED:
                if hasattr(value := getattr(self, name, None), "dtype"):
                    setattr(moved, name, opened.asarray(to_host(Home.of(value).take(value))))
        return moved

    def to_torch(self) -> Any:
        """Return a `torch.nn.Sequential` that gives the logits of floats `(m, n)`, on the CPU: see `Model.to_torch`."""
        check_is_fitted(self)
        return as_torch([self._layer], 1.0)

    def to_onnx(self) -> Any:
        """Return an `onnx.ModelProto` that gives probabilities and labels of floats `(m, n)`: see `Model.to_onnx`."""
        check_is_fitted(self)
        if self.one_vs_rest_:
            raise ValueError("to_onnx: it has no form for one_vs_rest; take to_sklearn, or fit without one_vs_rest")
        return as_onnx([self._layer], 1.0, self.classes_.tolist(), self.multilabel_)

    def to_sklearn(self) -> Any:
        """Return a fitted `sklearn.linear_model.LogisticRegression`.

        For a table of labels, and with `one_vs_rest`, it is a `OneVsRestClassifier` of such.
        """
        check_is_fitted(self)
        if self.multilabel_ or self.one_vs_rest_:
            return as_one_vs_rest(self._layer, classes=None if self.multilabel_ else self.classes_)
        return as_scikit_learn([self._layer], 1.0, self.classes_)

    @property
    def _layer(self) -> Layer:
        coef, intercept = (to_host(Home.of(part).take(part)) for part in (self.coef_, self.intercept_))
        return Layer(coef, intercept[:, np.newaxis])

    @property
    def _classes_are_numbers(self) -> bool:
        return self.classes_.dtype.kind in "biuf"

    def _of_logits(self, X: Any, method: str, function: Callable[[Backend, Array], Array]) -> Array:
        """Return a function of the backend and of the logits `(outputs, m)`, where X is."""
        check_is_fitted(self)
        if is_dask(X):
            return self._of_chunks(X, method)
        home = Home.of(X, self)
        if home.library != Home.of(self.coef_).library:
            raise ValueError(
                f"Inputs passed to {type(self).__name__}.{method}() must use the same namespace and the same device as "
                f"those passed to fit(): they are of {home.library}, the fit was of {Home.of(self.coef_).library}; "
                f"to({home.library!r}) returns a copy for them"
            )
        X = check_samples(self, X)
        # Samples in float64 may be beyond what float32 holds.
        wide = dtype_name(X) == "float64" and type(X) is np.ndarray
        backend = backend_for(self, X, "float64" if wide else dtype_name(self.coef_))
        with backend.scope():
            W, b = (backend.asarray(home.take(part)) for part in (self.coef_, self.intercept_))
            project = backend.kernels.get("project", core.project)
            answer = function(backend, project(W, backend.asarray(X).T) + b[:, None])
            return to_host(answer) if self._answers_on_host else home.give(answer)

    def _of_chunks(self, X: Any, method: str) -> Any:
        """Return a method's answer for an array of Dask, as one, of which nothing is computed yet."""
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(f"X: an array of Dask of shape {X.shape}; (m, {self.n_features_in_}) is needed")
        answer = getattr(self, method)(np.zeros((1, X.shape[1]), X.dtype))
        chunks = (X.chunks[0], *((columns,) for columns in answer.shape[1:]))
        drop = [1] if answer.ndim == 1 else None
        of_block = functools.partial(_of_block, self, method, answer[:0])
        whole = X.rechunk({1: -1}).map_blocks(
            of_block, dtype=answer.dtype, chunks=chunks, drop_axis=drop, meta=answer[:0]
        )
        return np.asarray(whole.compute()) if self._answers_on_host else whole


def _of_block(classifier: LinearClassifier, method: str, empty: NDArray[Any], block: Any) -> Any:
    """Return a method's answer for a block, which may have no rows."""
    return getattr(classifier, method)(block) if len(block) else empty


def score_by(scorer: Any, estimator: LinearClassifier, X: Any, y: Any, **params: Any) -> float:
    """Return the score by one of scikit-learn's scorers, which is given NumPy's arrays."""
    on_host = copy.copy(estimator)
    on_host._answers_on_host = True
    given = {name: labels_on_host(value) for name, value in params.items() if value is not None}
    return float(scorer(on_host, X, labels_on_host(y), **given))

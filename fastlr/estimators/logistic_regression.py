"""The scikit-learn face: an estimator with scikit-learn's names, on arrays of any library.

The objective is scikit-learn's: the sum of the weighted losses times C, plus ‖W‖² / 2, without the intercept. As a
mean it is J + l2/2 ‖W‖² with l2 = 1 / (C Σ w).
"""

from __future__ import annotations

import copy
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_is_fitted

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.core import Array
from fastlr.errors import shown
from fastlr.estimators.callbacks import CallbackSupportMixin, follow, with_callbacks
from fastlr.estimators.inputs import (
    Home,
    backend_for,
    check_examples,
    check_training,
    class_codes,
    example_weights,
    labels_on_host,
)
from fastlr.model.handover import as_scikit_learn, as_torch
from fastlr.namespace import dtype_name, to_host
from fastlr.objectives.network import Layer, outputs_for
from fastlr.solvers import AUTO, GD, SOLVERS
from fastlr.training.checks import real, scale_or_auto, whole
from fastlr.training.converge import RoundingNote
from fastlr.training.settings import Settings, scale_of
from fastlr.training.warm_start import Fit, fit_each

# scikit-learn's names for solvers that are here, and for others, whose minimum is the same.
ALIASES = {"newton-cholesky": "newton", "liblinear": AUTO, "sag": AUTO, "saga": AUTO}


MOVED = ("coef_", "intercept_", "n_iter_", "coefs_paths_")  # fitted arrays that are of the library of X


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What fitted coefficients predict: `coef_ (1 or classes, n)` and `intercept_ (1 or classes,)` for `classes_`."""

    _answers_on_host = False

    def decision_function(self, X: Any) -> Array:
        """Return the logits: `(m,)` of the second of two classes, or `(m, classes)`."""
        return self._of_logits(X, "decision_function", lambda backend, Z: Z[0, :] if Z.shape[0] == 1 else Z.T)

    def predict(self, X: Any) -> Array:
        """Return the class of each example, `(m,)`: names from the host's NumPy, numbers of the library of X."""

        def choose(backend: Backend, Z: Array) -> Array:
            xp = backend.xp
            chosen = xp.astype(Z[0, :] > 0, xp.int32) if Z.shape[0] == 1 else xp.argmax(Z, axis=0)
            return xp.take(backend.asarray(self.classes_), chosen, axis=0) if self._classes_are_numbers else chosen

        answer = self._of_logits(X, "predict", choose)
        return answer if self._classes_are_numbers else self.classes_[to_host(Home.of(answer).take(answer))]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(m, classes)`."""

        def probabilities(backend: Backend, Z: Array) -> Array:
            A = core.sigmoid(Z) if Z.shape[0] == 1 else core.softmax(Z)
            return (backend.xp.concat([1 - A, A], axis=0) if Z.shape[0] == 1 else A).T

        return self._of_logits(X, "predict_proba", probabilities)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities, `(m, classes)`, finite for every finite logit."""

        def logarithms(backend: Backend, Z: Array) -> Array:
            xp = backend.xp
            return core.log_softmax(xp.concat([xp.zeros_like(Z), Z], axis=0) if Z.shape[0] == 1 else Z).T

        return self._of_logits(X, "predict_log_proba", logarithms)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on examples `X (m, n)` and labels `y (m,)`, which may be on the host."""
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

    def to_sklearn(self) -> Any:
        """Return a fitted `sklearn.linear_model.LogisticRegression`."""
        check_is_fitted(self)
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
        home = Home.of(X)
        if home.library != Home.of(self.coef_).library:
            raise ValueError(
                f"Inputs passed to {type(self).__name__}.{method}() must use the same namespace and the same device as "
                f"those passed to fit(): they are of {home.library}, the fit was of {Home.of(self.coef_).library}; "
                f"to({home.library!r}) returns a copy for them"
            )
        X = check_examples(self, X)
        # Examples in float64 may be beyond what float32 holds.
        wide = dtype_name(X) == "float64" and type(X) is np.ndarray
        backend = backend_for(self, X, "float64" if wide else dtype_name(self.coef_))
        with backend.scope():
            W, b = (backend.asarray(home.take(part)) for part in (self.coef_, self.intercept_))
            project = backend.kernels.get("project", core.project)
            answer = function(backend, project(W, backend.asarray(X).T) + b[:, None])
            return to_host(answer) if self._answers_on_host else home.give(answer)


class LogisticRegression(CallbackSupportMixin, LinearClassifier):  # type: ignore[misc]
    """Logistic regression, a softmax for more than two classes, with an l2 penalty, fitted to its minimum.

    Parameters have scikit-learn's names and meanings: `C` the inverse of the penalty's strength, infinity for none;
    `tol` of the norm of the gradient of the mean objective; `max_iter` iterations of the solver; `fit_intercept`;
    `class_weight` a dict or "balanced"; `warm_start`, to start from the last fit. `solver` is "auto" (the least
    work), "newton", "newton-cg" or "lbfgs"; scikit-learn's other names stand for one of them. `verbose` prints each
    iteration's cost. `random_state` and `n_jobs` change nothing: nothing is drawn, and the backend has its own threads;
    nor does `intercept_scaling`, since the intercept has no penalty. `penalty`, `l1_ratio` and `dual` are refused
    unless they say what is done anyway. `set_callbacks`, of scikit-learn from 1.9, follows every solver.

    `backend`, `device`, `form` and `scale` are those of `fastlr.train`: uint8 is multiplied by 1/255 unless a scale
    says otherwise. `coef_` are those of X as it is; the penalty is on those of the scaled X. The fit is in float32
    where X is float32 or float16, else in float64; X is not copied, but for whole numbers other than uint8. CuPy's,
    PyTorch's and JAX's arrays are fitted where they are, and all that is returned for them is of their library.

    Fitted attributes: `coef_ (1 or classes, n)`, `intercept_ (1 or classes,)`, `classes_`, `n_iter_ (1,)`,
    `n_features_in_`, `feature_names_in_`; `loss_curve_`, the objective before each iteration and at the end;
    `solver_`, `form_` and `backend_`, which were taken.
    """

    def __init__(  # noqa: D107
        self,
        penalty: str | None = "l2",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: dict[Any, float] | str | None = None,
        random_state: Any = None,
        solver: str = AUTO,
        max_iter: int = 100,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
        backend: str | None = None,
        device: str | None = None,
        form: str = AUTO,
        scale: float | str = AUTO,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.backend = backend
        self.device = device
        self.form = form
        self.scale = scale

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to examples `X (m, n)` and labels `y (m,)`; `sample_weight (m,)` says how much each example counts."""
        settings = settings_of(self, l1_ratio=self.l1_ratio)
        C = positive("C", self.C) if self.penalty is not None else math.inf
        home = Home.of(X)
        X, y = check_training(self, X, y)
        classes, codes = class_codes(y)
        weights = example_weights(self.class_weight, sample_weight, classes, y, codes)
        outputs = outputs_for(len(classes))
        check_liblinear(self, C, outputs)
        scale = scale_for(self, X)
        initial = self._last_fit(outputs, X.shape[1], scale) if self.warm_start else None
        backend = backend_for(self, X)

        def found(W: Array, b: Array) -> dict[str, Any]:
            return {"coef_": home.give(scale * W[0, ...]), "intercept_": home.give(b[0, :, 0]), "classes_": classes}

        following = follow(self, X, y, found)
        with backend.scope():
            (fit,) = fit_each(
                backend, X, codes, outputs, np.array([[1 / (C * weights.sum())]]), settings,
                weightings=None if (weights == weights[0]).all() else (weights / weights.mean())[np.newaxis],
                scale=scale, intercept=self.fit_intercept, initial=initial, watch=_show if self.verbose else None,
                measure=None if following is None else following.measure,
            )  # fmt: skip
            path = fit.paths[0]
            self.__dict__.update(found(fit.W, fit.b))
            self.n_iter_ = home.give(backend.asarray(np.array([path.recorded_at[-1]], dtype=np.int32)))
        self.loss_curve_ = path.objectives
        self.solver_, self.form_, self.backend_ = fit.solver, fit.objective.name, backend.name
        if following:
            following.end()
        warn(fit, self.verbose)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's description of the estimator: it takes arrays of other libraries as they are."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _last_fit(self, outputs: int, n: int, scale: float) -> Layer | None:
        """Return the weights of the fit before, on the host, where there was one."""
        if not hasattr(self, "coef_"):
            return None
        W, b = to_host(self.coef_), to_host(self.intercept_) * bool(self.fit_intercept)
        if W.shape != (outputs, n):
            raise ValueError(
                f"warm_start: the last fit has coefficients of shape {W.shape}, these data need {(outputs, n)}; "
                "fit a new estimator, or leave warm_start out"
            )
        return Layer(W / scale, b[:, np.newaxis])


def score_by(scorer: Any, estimator: LinearClassifier, X: Any, y: Any, **params: Any) -> float:
    """Return the score by one of scikit-learn's scorers, which is given NumPy's arrays."""
    on_host = copy.copy(estimator)
    on_host._answers_on_host = True
    given = {name: labels_on_host(value) for name, value in params.items() if value is not None}
    return float(scorer(on_host, X, labels_on_host(y), **given))


def settings_of(estimator: Any, **ratio: Any) -> Settings:
    """Return an estimator's parameters as settings; raise for what is not done here, by name."""
    ((l1_name, l1_value),) = ratio.items()
    name = estimator.solver
    if estimator.penalty not in ("l2", None, "deprecated"):
        raise ValueError(f"penalty: {estimator.penalty!r} is not supported; only the l2 penalty, or None, is")
    l1_value = given(l1_value)
    if l1_value is not None and np.any(np.asarray(l1_value) != 0):
        raise ValueError(
            f"Solver {name} supports only 'l2' or None penalties, got {l1_name}={l1_value!r}; no solver here does more"
        )
    if estimator.dual is not False and name != "liblinear":  # whose dual problem has the same minimum
        raise ValueError(
            f"Solver {name} supports only dual=False, got dual={estimator.dual!r}; form='gram' is as fast where there "
            "are few examples"
        )
    positive("intercept_scaling", estimator.intercept_scaling)
    if estimator.penalty is None and estimator.C != 1.0:
        warnings.warn("Setting penalty=None will ignore the C and l1_ratio parameters", stacklevel=callers_level())
    solver = ALIASES.get(name, name)
    if solver == GD:
        raise ValueError(f"solver: {solver!r} does not go to the minimum; take {AUTO!r}, or use fastlr.train")
    if estimator.verbose and solver != name:
        print(f"solver {name!r}: {solver!r} finds the same minimum here", file=sys.stderr)
    if name not in (AUTO, *SOLVERS, *ALIASES):
        raise ValueError(f"solver: {shown(name)} is not known; choose {', '.join((AUTO, *SOLVERS, *ALIASES))}")
    # A tol of 0, which scikit-learn takes, is what no gradient reaches.
    iterations, tol = whole("max_iter", estimator.max_iter, 0), real("tol", estimator.tol, least=0.0)
    return Settings(iterations, solver=solver, form=estimator.form, tol=max(tol, sys.float_info.min))


def given(value: Any) -> Any:
    """Return a parameter's value; None for "warn", by which scikit-learn 1.9 marks what was not given."""
    return None if isinstance(value, str) and value == "warn" else value


def check_liblinear(estimator: Any, C: float, outputs: int) -> None:
    """Refuse what scikit-learn refuses for this solver: programs rely on it."""
    if estimator.solver != "liblinear":
        return
    if math.inf == C:
        raise ValueError("penalty=None is not supported for the liblinear solver")
    if outputs > 1:
        raise ValueError(
            f"The 'liblinear' solver does not support multiclass classification. Take {AUTO!r}, or wrap the estimator "
            "in OneVsRestClassifier"
        )


def scale_for(estimator: Any, X: Array) -> float:
    """Return what multiplies the examples; warn where it is another than it was in versions before this setting."""
    scale = scale_or_auto("scale", estimator.scale)
    if scale == AUTO and dtype_name(X) == "uint8":
        warnings.warn(
            "X is uint8, which is pixels: it is multiplied by 1/255, as in fastlr.train. Earlier versions did not. "
            "To end this warning, give scale=1 for features as they are, or scale=1/255 for pixels",
            FutureWarning,
            stacklevel=callers_level(),
        )
    return scale_of(scale, X)


def positive(name: str, value: Any) -> float:
    """Return a number above 0, infinity among them."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0:
        raise ValueError(f"{name}: {shown(value)}; a positive number is needed")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def warn(fit: Fit, verbose: int) -> None:
    """Say of each model what did not go well: of rounding, which scikit-learn does not warn of, where verbose."""
    for said in dict.fromkeys(note for notes in fit.notes for note in notes):
        if not isinstance(said, RoundingNote):
            warnings.warn(said, ConvergenceWarning, stacklevel=callers_level())
        elif verbose:
            print(said, file=sys.stderr)


def callers_level() -> int:
    """Return the stacklevel, for a warning, of the first caller who is neither here nor in scikit-learn."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in ("fastlr", "sklearn"):
        frame, level = frame.f_back, level + 1
    return level


def _show(numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
    print(f"iteration {iteration}: cost {costs[0]:.6f}", file=sys.stderr)

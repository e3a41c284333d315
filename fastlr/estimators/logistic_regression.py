"""The scikit-learn face: an estimator with scikit-learn's names, on arrays of any library.

The objective is scikit-learn's: the sum of the weighted losses times C, plus ‖W‖² / 2, without the intercept. As a
mean it is J + l2/2 ‖W‖² with l2 = 1 / (C Σ w).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from fastlr.core import Array
from fastlr.estimators.callbacks import CallbackSupportMixin, follow, with_callbacks
from fastlr.estimators.classifier import LinearClassifier
from fastlr.estimators.inputs import Home, backend_for, check_training
from fastlr.estimators.parameters import check_liblinear, positive, scale_for, settings_of, warn
from fastlr.estimators.problem import Problem, problem_of
from fastlr.namespace import to_host
from fastlr.objectives.network import Layer
from fastlr.solvers import AUTO
from fastlr.training.converge import Convergence
from fastlr.training.placing import cluster_for, in_memory, is_dask, placed
from fastlr.training.settings import Target
from fastlr.training.warm_start import fit_each


class LogisticRegression(CallbackSupportMixin, LinearClassifier):  # type: ignore[misc]
    """Logistic regression, a softmax for more than two classes, with an l2 penalty, fitted to its minimum.

    The parameters have scikit-learn's names and meanings. What is minimised is C Σ loss + ‖W‖²/2, the intercept free.

    Parameters
    ----------
    penalty : {"l2", None}, default "l2"
        None is no penalty. l1 and the elastic net are refused.
    C : float, default 1.0
        Inverse of the penalty's strength; infinity for none. l2 of `fastlr.train` is 1 / (C m).
    l1_ratio, dual
        Accepted for compatibility; a value that would change the fit is refused.
    tol : float, default 1e-4
        Euclidean norm of the gradient of the mean objective at which the fit ends. Where rounding ends it before, a
        norm of up to 1e-3 counts as converged.
    fit_intercept : bool, default True
        Whether there is an intercept. It has no penalty, so `intercept_scaling` changes nothing.
    class_weight : dict or "balanced", optional
        How much a sample of each class counts.
    solver : str, default "auto"
        "auto" (the least work), "newton", "newton-cg" or "lbfgs"; scikit-learn's
        "newton-cholesky" stands for "newton", "liblinear", "sag" and "saga" for "auto".
    max_iter : int, default 100
        The most iterations of the solver.
    verbose : int, default 0
        Print each iteration's cost.
    warm_start : bool, default False
        Start from the last fit.
    random_state, n_jobs
        Change nothing: nothing is drawn, and the backend has its own threads.
    backend, device, form, scale
        As in `fastlr.train`. `uint8` is multiplied by 1/255 unless a scale says otherwise. `coef_` apply to X as
        it is; the penalty is on the coefficients of the scaled X.
    missing_label : -1 or NaN, optional
        What stands for labels of a table that are not known. They do not count.
    one_vs_rest : bool, default False
        Fit, for each of more than two classes, a model against all others. The probabilities are divided
        by their sum, as in `OneVsRestClassifier`.

    Attributes
    ----------
    coef_ : array (1 or classes, n)
    intercept_ : array (1 or classes,)
    classes_ : array
        The classes, sorted.
    n_iter_ : array (1,)
    loss_curve_ : list of float
        The objective before each iteration and at the end.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    solver_, form_, backend_ : str
        What was taken.

    Notes
    -----
    The fit is in float32 for float32 or float16, else in float64. X is not copied, but for whole numbers other than
    `uint8`. Arrays of CuPy, PyTorch and JAX are fitted where they are, those on the CPU by the Numba kernels, without a
    copy, unless `backend` names another; results are of their library. Arrays of Dask are fitted on their cluster.

    Labels `(m, L)` of zeros and ones fit L models, as `OneVsRestClassifier` does: `coef_ (L, n)`, `predict` gives a
    table of zeros and ones, `predict_proba (m, L)` the probability of each one, `n_iter_ (L,)`. Callbacks
    (`set_callbacks`, scikit-learn 1.9) follow every solver, but not such tables.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> clf = fastlr.LogisticRegression(C=10.0).fit(X, ["low", "low", "high", "high"])
    >>> clf.predict([[0.2], [2.9]]).tolist()
    ['low', 'high']
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
        missing_label: float | None = None,
        one_vs_rest: bool = False,
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
        self.missing_label = missing_label
        self.one_vs_rest = one_vs_rest

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to samples `X (m, n)` and labels `y (m,)`; `sample_weight (m,)` says how much each sample counts.

        Labels may be a table `(m, L)` of zeros and ones: L models are fitted, which share every reading of X.
        """
        if is_dask(X):
            with cluster_for(X, Target()) as cluster:
                return self._fit(placed(X, cluster), in_memory(y), in_memory(sample_weight))
        return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        settings = settings_of(self, l1_ratio=self.l1_ratio)
        C = positive("C", self.C) if self.penalty is not None else math.inf
        home = Home.of(X, self)
        X, y = check_training(self, X, y)
        problem = problem_of(y, self.class_weight, sample_weight, self.missing_label, self.one_vs_rest)
        check_liblinear(self, C, problem.outputs)
        scale = scale_for(self, X)
        initial = self._last_fit(problem, X.shape[1], scale) if self.warm_start else None
        backend = backend_for(self, X)

        def found(W: Array, b: Array) -> dict[str, Any]:
            W, b = (W[:, 0, :], b[:, 0, 0]) if problem.is_table else (W[0, ...], b[0, :, 0])
            return {"coef_": home.give(scale * W), "intercept_": home.give(b), "classes_": problem.classes}

        # Of a table each model ends when it is done: there is no iterate of all of them to tell of.
        following = None if problem.is_table else follow(self, X, y, found)
        with backend.scope():
            (fit,) = fit_each(
                backend, X, problem.codes, problem.outputs, 1 / (C * problem.totals)[np.newaxis], settings,
                weightings=problem.weightings, weighting_of=problem.weighting_of, column_of=problem.column_of,
                scale=scale, intercept=self.fit_intercept, initial=initial, watch=_show if self.verbose else None,
                measure=None if following is None else following.measure,
            )  # fmt: skip
            self.__dict__.update(found(fit.W, fit.b))
            iterations = np.array([path.recorded_at[-1] for path in fit.paths], dtype=np.int32)
            self.n_iter_ = home.give(backend.asarray(iterations))
        self.multilabel_, self.one_vs_rest_ = problem.multi_label, problem.is_table and not problem.multi_label
        self.loss_curve_ = fit.paths[0].objectives if len(fit.paths) == 1 else mean_curve(fit.paths)
        self.solver_, self.form_, self.backend_ = fit.solver, fit.objective.name, backend.name
        if following:
            following.end()
        warn(fit, self.verbose)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's description of the estimator: it takes arrays of other libraries as they are."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.classifier_tags.multi_label = True
        return tags

    def _last_fit(self, problem: Problem, n: int, scale: float) -> Layer | None:
        """Return the weights of the fit before, on the host, where there was one."""
        if not hasattr(self, "coef_"):
            return None
        W, b = to_host(self.coef_), to_host(self.intercept_) * bool(self.fit_intercept)
        needed = (len(problem.classes) if problem.is_table else problem.outputs, n)
        if W.shape != needed:
            raise ValueError(
                f"warm_start: the last fit has coefficients of shape {W.shape}, these data need {needed}; "
                "fit a new estimator, or leave warm_start out"
            )
        W, b = W / scale, b[:, np.newaxis]
        return Layer(W[:, np.newaxis], b[:, np.newaxis]) if problem.is_table else Layer(W, b)


def mean_curve(paths: Sequence[Convergence]) -> list[float]:
    """Return the mean objective of several models at each iteration; one that is done stays where it ended."""
    longest = max(len(path.objectives) for path in paths)
    kept = [path.objectives + path.objectives[-1:] * (longest - len(path.objectives)) for path in paths]
    curve: list[float] = np.mean(kept, axis=0).tolist()
    return curve


def _show(numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
    print(f"iteration {iteration}: cost {costs[0]:.6f}", file=sys.stderr)

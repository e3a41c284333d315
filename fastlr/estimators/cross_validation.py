"""LogisticRegressionCV: every C on every fold in one pass over the data, and the best of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import UNUSED, MetadataRouter, MethodMapping, _raise_for_params, process_routing

from fastlr.core import Array
from fastlr.estimators.classifier import LinearClassifier, score_by
from fastlr.estimators.inputs import Home, backend_for, check_training, is_table
from fastlr.estimators.judge import Judge, best_of, with_all_classes
from fastlr.estimators.parameters import check_liblinear, given, positive, scale_for, settings_of, warn
from fastlr.estimators.problem import class_codes, sample_weights
from fastlr.objectives.network import outputs_for
from fastlr.solvers import AUTO
from fastlr.training.checks import whole
from fastlr.training.placing import is_dask
from fastlr.training.splits import indices_of
from fastlr.training.warm_start import fit_each


class LogisticRegressionCV(LinearClassifier):
    """Logistic regression whose C is chosen by cross-validation.

    All fits read the data together: what a fold leaves out has weight 0 in it, and each C
    starts from the minimum of the one before.

    Parameters
    ----------
    Cs : int or sequence of float, default 10
        The values of C, or how many of them, from 1e-4 to 1e4.
    cv : int, splitter or list of pairs, optional
        As in scikit-learn: a number of folds (stratified; 5 by default), a splitter, or pairs of indices.
    scoring : str or function, optional
        A scorer or its name; by default accuracy.
    refit : bool, default True
        Whether the coefficients are those of the best C on all samples, else the mean of each fold's best.
    use_legacy_attributes : bool, default False
        Give the attributes the shapes that scikit-learn has with it: a dict of classes, and a last axis for
        `l1_ratios`.
    verbose : int, default 0
        Print the cost of each value of C at each iteration.
    l1_ratios, fit_intercept, dual, penalty, solver, tol, max_iter, class_weight, n_jobs, random_state, scale, …
        As in `LogisticRegression`.

    Attributes
    ----------
    Cs_ : array (values,)
    C_ : float
        The value that was chosen.
    scores_, n_iter_ : array (folds, 1, values)
    coefs_paths_ : array (folds, 1, values, 1 or classes, n + 1)
        The last column is the intercept's, if there is one.
    coef_, intercept_, classes_, n_features_in_, feature_names_in_, solver_, form_, backend_
        As in `LogisticRegression`.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> clf = fastlr.LogisticRegressionCV(Cs=3, cv=3).fit(X, X[:, 0] > 0)
    >>> clf.scores_.shape
    (3, 1, 3)
    """

    # `score` takes weights for the scorer, which may not want them.
    __metadata_request__score: ClassVar[dict[str, Any]] = {"sample_weight": UNUSED}

    def __init__(  # noqa: D107
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = None,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit to samples `X (m, n)` and labels `y (m,)`; `sample_weight (m,)` says how much each sample counts.

        The weights count in the scores too. Further parameters, such as `groups (m,)`, go to the splitter and the
        scorer that asked for them, where scikit-learn's metadata routing is enabled; then the weights reach the scores
        by it alone.
        """
        if is_dask(X):
            raise ValueError("X: LogisticRegressionCV takes no array of Dask; fastlr.path does, or give it X.compute()")
        _raise_for_params(params, self, "fit")
        settings, Cs = settings_of(self, l1_ratios=self.l1_ratios), self._values()
        if not isinstance(self.use_legacy_attributes, bool | np.bool_) and self.use_legacy_attributes != "warn":
            raise ValueError(f"use_legacy_attributes: {self.use_legacy_attributes!r}; True or False is needed")
        home = Home.of(X, self)
        X, y = check_training(self, X, y)
        if is_table(y):
            raise ValueError("y: it is a table of labels; fastlr.path chooses one l2 for all of its columns")
        classes, codes = class_codes(y)
        weights = sample_weights(self.class_weight, sample_weight, classes, y, codes)
        scored = None if sample_weight is None else sample_weights(None, sample_weight, classes, y, codes)
        to_splitter, to_scorer = self._routed("fit", scored, params)
        split = check_cv(self.cv, y, classifier=True).split(np.zeros((len(y), 1)), y, **to_splitter)
        splits = [tuple(indices_of("cv", part, len(y)) for part in parts) for parts in split]
        if not splits:
            raise ValueError("cv: it has no folds; at least one pair of training and test samples is needed")
        if empty := [fold for fold, parts in enumerate(splits) if min(map(len, parts)) == 0]:
            raise ValueError(f"cv: fold {empty[0]} has no training or no test samples; it needs both")
        counted = np.tile(weights, (1 + len(splits), 1))  # the first are all samples
        for row, (train, _) in zip(counted[1:], splits, strict=True):
            row *= np.bincount(train, minlength=len(y))  # an index that is named twice counts twice
        totals = counted.sum(axis=1)
        if not totals.all():
            raise ValueError(f"cv: the samples without fold {totals.argmin() - 1} have no weight; take fewer folds")
        judging = to_scorer.get("sample_weight")
        if judging is not None and (none := [i for i, (_, test) in enumerate(splits) if not judging[test].any()]):
            raise ValueError(f"cv: fold {none[0]} is tested on samples of weight 0 alone; leave the fold out")
        backend, scale = backend_for(self, X), scale_for(self, X)
        scorer = None if given(self.scoring) in (None, "accuracy") else with_all_classes(self._get_scorer(), classes)
        judge = Judge(scorer, backend, X, y, classes, splits, to_scorer)
        outputs = outputs_for(len(classes))
        check_liblinear(self, Cs.max(), outputs)
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
                warn(fit, self.verbose)
                joined = backend.xp.concat([scale * fit.W, fit.b], axis=2)
                for place, number in enumerate(fit.numbers):
                    mine = slice(place * len(counted), (place + 1) * len(counted))
                    found[number] = joined[mine, ...]
                    for fold, path in enumerate(fit.paths[mine][1:]):
                        iterations[fold, number] = path.recorded_at[-1]
                        if scorer is None:
                            scores[fold, number] = judge.accuracy(fold, fit.predicted[mine][1 + fold])
            if scorer is not None:  # in scikit-learn's order
                for fold, number in np.ndindex(scores.shape):
                    scores[fold, number] = judge(fold, found[number][1 + fold, ...])
            best, of_folds = best_of(scores.mean(axis=0)), [best_of(row) for row in scores]
            chosen = [found[number][1 + fold, ...] for fold, number in enumerate(of_folds)]
            both = found[best][0, ...] if self.refit else sum(chosen[1:], chosen[0]) / len(chosen)
            paths = backend.xp.stack([found[number][1:, ...] for number in range(len(Cs))], axis=1)
            paths = paths if self.fit_intercept else paths[..., :-1]
            self.coef_, self.intercept_ = home.give(both[:, :-1]), home.give(both[:, -1])
            self.coefs_paths_: Any = home.give(paths[:, None, ...])
        self.classes_, self.Cs_ = classes, Cs
        self.C_: Any = float(Cs[best] if self.refit else Cs[of_folds].mean())
        self.l1_ratio_: Any = 0.0
        self.l1_ratios_ = np.zeros(1)
        self.scores_: Any = scores[:, np.newaxis, :]
        self.n_iter_ = iterations[:, np.newaxis, :]
        self.solver_, self.form_, self.backend_ = fit.solver, fit.objective.name, backend.name
        if self.use_legacy_attributes:  # "warn", scikit-learn's default before 1.10, is True there too
            self._make_legacy(outputs)
        return self

    def _make_legacy(self, outputs: int) -> None:
        """Give the attributes their shapes of old: one value a class, all of them alike."""
        names, paths = self.classes_[1:] if outputs == 1 else self.classes_, self.coefs_paths_
        # Where l1_ratios are given, they have a place.
        places = (slice(None), 0, slice(None)) + (() if given(self.l1_ratios) is None else (None,))
        self.coefs_paths_ = {
            name: paths[:, 0, :, i, :][places[:1] + places[2:]] for i, name in enumerate(names.tolist())
        }
        self.scores_ = dict.fromkeys(names.tolist(), self.scores_[places])
        self.n_iter_ = self.n_iter_[places][np.newaxis]
        self.C_, self.l1_ratio_ = np.full(outputs, self.C_), np.full(outputs, self.l1_ratio_)

    def score(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> float:
        """Return the score of the predictions by the scorer, accuracy where there is none."""
        _raise_for_params(params, self, "score")
        return score_by(self._get_scorer(), self, X, y, **self._routed("score", sample_weight, params)[1])

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which parameters of `fit` and `score` go to the splitter and the scorer (scikit-learn's routing)."""
        in_fit, in_both = MethodMapping().add(caller="fit", callee="split"), MethodMapping()
        in_both.add(caller="score", callee="score").add(caller="fit", callee="score")
        router = MetadataRouter(owner=self).add_self_request(self).add(splitter=self.cv, method_mapping=in_fit)
        return router.add(scorer=self._get_scorer(), method_mapping=in_both)

    def _routed(
        self, method: str, sample_weight: Any, params: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what of a method's parameters goes to the splitter, and what to the scorer."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        if not get_config()["enable_metadata_routing"]:
            return {}, weights
        routed = process_routing(self, method, **weights, **params)
        return (routed.splitter.split if method == "fit" else {}), routed.scorer.score

    def _get_scorer(self) -> Any:
        return get_scorer(given(self.scoring) or "accuracy")

    def _values(self) -> NDArray[Any]:
        """Return the values of C."""
        if isinstance(self.Cs, int | np.integer) and not isinstance(self.Cs, bool):
            return np.logspace(-4, 4, whole("Cs", self.Cs, 1))
        if np.ndim(self.Cs) > 1:
            raise ValueError(f"Cs: they have shape {np.shape(self.Cs)}; a list of values is needed")
        values = np.asarray([positive("Cs", value) for value in np.ravel(self.Cs)])
        if len(values) == 0:
            raise ValueError("Cs: it is empty; at least one value of C is needed")
        return values


def _show(Cs: NDArray[Any], numbers: Sequence[int], iteration: int, costs: list[float]) -> None:
    said = ", ".join(f"{cost:.6f} for C={Cs[number]:.4g}" for number, cost in zip(numbers, costs, strict=True))
    print(f"iteration {iteration}: cost {said}", file=sys.stderr)

"""fit_many(): many small linear models at once: few-shot subsets of one data set, or the layers of a network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.backends.shared import is_shared, numpy_view, to_library_of
from fastlr.core import Array
from fastlr.data.finite import check_finite
from fastlr.data.labelled import from_arrays
from fastlr.errors import ConvergenceWarning, InputError
from fastlr.model.scores import check_scoring
from fastlr.namespace import array_namespace, dtype_name, library_of, to_host
from fastlr.objectives.network import outputs_for
from fastlr.training.checks import finite_l2, positive, scale_or_auto, several, truth, whole
from fastlr.training.definition import spread
from fastlr.training.ranges import check_range
from fastlr.training.settings import TOLERANCE, Target, scale_of
from fastlr.training.small_problems import Asked, fit_all
from fastlr.training.subsets import problems_of_batch, problems_of_subsets


@dataclass(frozen=True, eq=False)
class ManyFits:
    """The minima of many problems, each for every value of l2.

    Attributes
    ----------
    coef : array (problems, values, outputs, n)
        Weights.
    intercept : array (problems, values, outputs)
    classes : tuple
        Names of the classes.
    l2 : array (values,)
    iterations : array (problems, values)
    norms : array (problems, values)
        Norms of the last gradients.
    converged : array (problems, values)
        Whether the norm of each gradient is at most `tol`.
    scale : float
        Multiplies the input.
    batched : bool
        Whether each problem has samples of its own.
    """

    coef: Array
    intercept: Array
    classes: tuple[Any, ...]
    l2: NDArray[np.float64]
    iterations: NDArray[np.int64]
    norms: NDArray[np.float64]
    converged: NDArray[np.bool_]
    scale: float
    backend: Backend
    batched: bool

    def __repr__(self) -> str:
        """Return a summary in one line."""
        problems, values, _, n = self.coef.shape
        done = f"{int(self.converged.sum())} of {self.converged.size} converged"
        return f"ManyFits({problems} problems of {n} features, {values} values of l2, {done})"

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, `(problems, values, m, classes)`.

        The samples are `(m, n)`, or, where each problem had its own, `(problems, m, n)`.
        """
        with self.backend.scope():
            proba = self.backend.xp.matrix_transpose(self._probabilities(self._rows(X)))
            if proba.shape[-1] == 1:
                proba = self.backend.xp.concat([1 - proba, proba], axis=-1)
            return self._at_home(proba, X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each sample, `(problems, values, m)`, on the host."""
        with self.backend.scope():
            A = self._probabilities(self._rows(X))
            chosen = A[..., 0, :] > 0.5 if A.shape[-2] == 1 else self.backend.xp.argmax(A, axis=-2)
            predicted: NDArray[Any] = np.asarray(self.classes)[self.backend.to_host(chosen).astype(np.intp)]
            return predicted

    def scores(self, X: Any, y: Any, scoring: Any = "accuracy") -> dict[str, NDArray[np.float64]]:
        """Return scores on labelled samples, by their names, `(problems, values)`; `scoring` is `fastlr.path`'s.

        The labels are `(m,)`, or, where each problem had its own samples, also `(problems, m)`.
        """
        judge, m = check_scoring(scoring), np.shape(X)[1 if self.batched else 0]
        y = np.asarray(to_host(y) if hasattr(y, "shape") else y)
        y = y[:, 0] if y.shape == (m, 1) else y
        if y.shape != (m,) and not (self.batched and y.shape == (self.coef.shape[0], m)):
            raise InputError(f"y: it has shape {y.shape}; a label for each of the {m} samples is needed")
        if judge.names == ("accuracy",) and not callable(scoring):
            self._codes(y.reshape(-1))  # raises for a label that is not a class
            return {"accuracy": np.mean(self.predict(X) == (y[:, np.newaxis] if y.ndim == 2 else y), axis=-1)}
        found = self.backend.to_host(self.predict_proba(X)) if library_of(X) != "numpy" else self.predict_proba(X)
        of_all = [self._codes(y if y.ndim == 1 else y[i]) for i in range(len(found))]
        each = [[judge(codes, proba) for proba in row] for codes, row in zip(of_all, found, strict=True)]
        return {name: np.array([[one[name] for one in row] for row in each]) for name in judge.names}

    def _codes(self, y: NDArray[Any]) -> NDArray[np.int64]:
        data = from_arrays("y", np.zeros((len(y), 1)), y)
        return data.aligned(self.classes, {}).labels

    def _rows(self, X: Any) -> Array:
        rows = X if hasattr(X, "shape") else np.asarray(X)
        rows = numpy_view(rows) if self.backend.xp is np and library_of(rows) != "numpy" else rows
        n, axes = self.coef.shape[-1], 3 if self.batched else 2
        rows = rows if rows.ndim <= axes else array_namespace(rows).reshape(rows, (rows.shape[0], -1))
        if rows.ndim != axes or rows.shape[-1] != n or (self.batched and rows.shape[0] != self.coef.shape[0]):
            wanted = f"({self.coef.shape[0]}, m, {n})" if self.batched else f"(m, {n})"
            raise InputError(f"X: it has shape {tuple(rows.shape)}; {wanted} is needed")
        check_finite("X", array_namespace(rows).reshape(rows, (-1, n)))
        return rows

    def _probabilities(self, rows: Array) -> Array:
        """Return the probabilities of the units, `(problems, values, outputs, m)`."""
        xp, shape = self.backend.xp, self.coef.shape
        # In float32 where the samples are: what is predicted needs no more.
        dtype = xp.float32 if dtype_name(rows) in ("float32", "float16", "bfloat16") else xp.float64
        alike = library_of(self.coef) in ("numpy", library_of(rows))
        W, b = (part if alike else to_host(part) for part in (self.coef, self.intercept))
        W, b, X = (xp.astype(self.backend.asarray(part), dtype) for part in (W, b, rows))
        X = xp.matrix_transpose(X)
        if self.batched:
            Z = xp.reshape(self.scale * W, (shape[0], -1, shape[-1])) @ X
        else:
            Z = xp.reshape(self.scale * W, (-1, shape[-1])) @ X
        Z = xp.reshape(Z, (*shape[:3], -1)) + b[..., None]
        return core.sigmoid(Z) if shape[2] == 1 else core.softmax(Z)

    def _at_home(self, array: Array, X: Any) -> Array:
        if library_of(X) != "numpy" and library_of(array) == "numpy":
            return to_library_of(array, X)
        return self.backend.to_host(array) if library_of(X) == "numpy" else array


@spread
def fit_many(
    X: Any,
    y: Any,
    *,
    subsets: Any = None,
    l2: Sequence[float] = (1e-3,),
    scale: float | str = "auto",
    intercept: bool = True,
    iterations: int = 1000,
    tol: float = TOLERANCE,
    target: Target,
) -> ManyFits:
    """Fit many linear models to their minima: one for each subset or each problem of a batch, and each l2.

    The objective of a model is the mean loss of its samples plus l2/2 ‖W‖².

    Parameters
    ----------
    X : array
        With `subsets` one data set: features `(m, n)` or images. Without, a batch `(problems, m, n)`, such as the
        outputs of a network's layers.
    y : array
        Labels `(m,)`; for a batch also `(problems, m)`. All problems have the same classes.
    subsets : list of arrays, or array (subsets, m), optional
        Each an array of indices or a mask; or weights of the samples. Each has all the classes.
    l2 : sequence of float, default (1e-3,)
        Penalties.
    scale, intercept
        As in `fastlr.train` and `fastlr.LogisticRegression`.
    iterations : int, default 1000
        The most iterations of a model.
    tol : float, default 1e-4
        Norm of the gradient at which a model is done.

    Returns
    -------
    ManyFits
        Coefficients, intercepts, and whether each converged. Without `dtype`, float32 and float16 arrays are fitted in
        float32; other arrays, and subsets of a NumPy array, in float64.

    Raises
    ------
    InputError
        For input that cannot be used, in one line.

    Warns
    -----
    ConvergenceWarning
        Some models did not come down to `tol` within `iterations`.

    Examples
    --------
    >>> import numpy as np, fastlr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> fits = fastlr.fit_many(X, y, subsets=[np.arange(20), np.arange(20, 40)], l2=[0.01, 1.0])
    >>> fits.coef.shape  # (problems, values, outputs, n)
    (2, 2, 1, 3)
    >>> fits.scores(X, y)["accuracy"].shape
    (2, 2)
    """
    values = [finite_l2("l2", value) for value in several("l2", l2)]
    if not values:
        raise InputError("l2: it is empty; one value or more is needed")
    asked = Asked(
        np.array(values), truth("intercept", intercept), whole("iterations", iterations, 1), positive("tol", tol)
    )
    batched = subsets is None
    if batched and (not hasattr(X, "ndim") or X.ndim != 3):
        raise InputError(
            "subsets: there are none, and X is no batch (problems, m, n); give subsets, such as arrays of indices"
        )
    half = dtype_name(X) in ("float32", "float16", "bfloat16") if hasattr(X, "dtype") else False
    shared, home = is_shared(X, target.backend, target.device), X
    if shared:
        X, y = numpy_view(X), to_host(y)
    on_host = not hasattr(X, "dtype") or library_of(X) == "numpy"
    dtype = target.dtype or ("float32" if half and (batched or not on_host) else "float64")
    backend = choose_backend(
        target.backend, target.device, dtype, like=None if on_host else X, precision=target.precision
    )
    with backend.scope():
        data, problems = problems_of_batch(X, y) if batched else problems_of_subsets(X, y, subsets)
        factor = scale_of(scale_or_auto("scale", scale), data.images)
        check_range("X", data.rows, backend.dtype, factor, squares=True)
        fitted = fit_all(backend, data, problems, outputs_for(len(data.classes)), factor, asked)
        kept = backend.to_host if on_host else lambda array: array
        if shared:
            kept = lambda array: to_library_of(array, home)  # noqa: E731
        if (left := int((fitted.found[..., 1] > asked.tol).sum())) and (fitted.found[..., 0] >= asked.iterations).any():
            warnings.warn(
                f"{left} of {fitted.found[..., 0].size} fits did not converge in {asked.iterations} iterations; give "
                "more, or a larger tol or l2",
                ConvergenceWarning,
                stacklevel=3,
            )
        return ManyFits(
            kept(fitted.W), kept(fitted.b), data.classes, asked.l2, fitted.found[..., 0].astype(np.int64),
            fitted.found[..., 1], fitted.found[..., 1] <= asked.tol, factor, backend, batched,
        )  # fmt: skip

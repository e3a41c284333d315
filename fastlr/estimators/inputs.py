"""What callers of the estimators bring: arrays of any library, checked, and the way back to where they live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from fastlr.backends import Backend, choose_backend, native_libraries
from fastlr.backends.shared import is_shared, numpy_view, to_library_of
from fastlr.core import Array
from fastlr.data.checks import check_mask
from fastlr.data.finite import check_finite, is_real
from fastlr.data.placed import Placed
from fastlr.namespace import array_namespace, dtype_name, library_of, to_host

PLAIN = frozenset(map(np.dtype, ("float64", "float32", "uint8")))
READ = [np.float64, np.float32, np.float16, np.uint8]  # dtypes of X that are not converted; others become the first


@dataclass(frozen=True)
class Home:
    """Where a caller's array is: its library, and the way to the host and back for one that has no backend."""

    library: str
    array: Any
    shared: bool = False  # whether it is worked on as NumPy's

    @classmethod
    def of(cls, array: Any, estimator: Any = None) -> Self:
        """Return the home of an array; whatever NumPy makes an array of is at home there."""
        library = library_of(array)
        known = library in native_libraries() or hasattr(array, "__array_namespace__")
        shared = estimator is not None and is_shared(array, estimator.backend, estimator.device)
        return cls(library if known else "numpy", array, shared)

    @property
    def _is_foreign(self) -> bool:
        return self.library not in {"numpy", *native_libraries()}

    def take(self, array: Array) -> Array:
        """Return an array for a backend: itself, or NumPy's copy where there is none for the library."""
        if self.shared and library_of(array) == self.library:
            return numpy_view(array)
        if not self._is_foreign:
            return array
        info = array_namespace(array).__array_namespace_info__()
        return np.asarray(np.from_dlpack(array.to_device(info.default_device())))

    def give(self, array: Array) -> Array:
        """Return a backend's array as one of the library, on the device."""
        if self.library == "numpy":
            return to_host(array)
        if self.shared:
            return to_library_of(to_host(array), self.array)
        return array_namespace(self.array).asarray(array, device=self.array.device) if self._is_foreign else array


def backend_for(estimator: Any, X: Array, dtype: str | None = None) -> Backend:
    """Return the backend for the samples; it works in float32 where they are float32 or float16, else in float64."""
    if dtype is None:
        dtype = "float32" if dtype_name(X) in ("float32", "float16", "bfloat16") else "float64"
    like = X if library_of(X) in native_libraries() else None
    return choose_backend(estimator.backend, estimator.device, dtype, like=like)


def check_training(estimator: Any, X: Any, y: Any) -> tuple[Array, NDArray[Any]]:
    """Return the samples `(m, n)`, not copied, and the labels on the host, checked.

    What is NumPy's, or can be made so, is checked by scikit-learn, whose messages users know.
    """
    if isinstance(X, Placed):
        return _checked_parts(estimator, X, y)
    if _is_plain(estimator, X) and _are_plain_labels(y) and len(X) == len(y):
        estimator.n_features_in_ = X.shape[1]
        return X, y
    for name, values in (("X", X), ("y", y)):
        check_mask(name, values)
    X, y = Home.of(X, estimator).take(X), labels_on_host(y)
    if is_table(y):
        X = check_samples(estimator, X, reset=True)
        return X, _checked_table(X, y)
    if library_of(X) in native_libraries():
        _check_native(estimator, X)
        estimator.n_features_in_ = X.shape[1]
        y = column_or_1d(y, warn=True)
        if len(y) != X.shape[0]:
            raise ValueError(f"y: {len(y)} labels for {X.shape[0]} samples; each sample needs one")
    else:
        X, y = validate_data(estimator, X, y, dtype=READ, ensure_all_finite=not _is_half(X))
        if _is_half(X):  # scikit-learn's way would take half as much memory again
            check_finite("X", X)
    check_classification_targets(y)
    return X, y


def _checked_parts(estimator: Any, X: Placed, y: Any) -> tuple[Placed, NDArray[Any]]:
    """Return samples on the workers of a cluster, checked there, and their labels."""
    if X.ndim != 2:
        raise ValueError(f"X: an array of Dask of shape {X.shape}; (m, n) is needed")
    check_finite("X", X)
    estimator.n_features_in_ = X.shape[1]
    if is_table(y):
        return X, _checked_table(X, y)
    y = column_or_1d(y, warn=True)
    if len(y) != X.shape[0]:
        raise ValueError(f"y: {len(y)} labels for {X.shape[0]} samples; each sample needs one")
    check_classification_targets(y)
    return X, y


def is_table(y: Any) -> bool:
    """Return whether labels are a table, a column for each label, of which a sample has any number."""
    if hasattr(y, "toarray"):
        raise ValueError("y: it is sparse; y.toarray() is a table of labels that can be used")
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return len(shape) == 2 and shape[1] > 1


def _checked_table(X: Array, y: Any) -> NDArray[Any]:
    """Return a table of labels as an array, a row for each sample."""
    table: NDArray[Any] = np.asarray(y)
    if len(table) != X.shape[0]:
        raise ValueError(f"y: {len(table)} rows of labels for {X.shape[0]} samples; each sample needs one")
    return table


def check_samples(estimator: Any, X: Any, reset: bool = False) -> Array:
    """Return samples to predict for, `(m, n)`, checked as in training; with `reset` those of a training."""
    if _is_plain(estimator, X) and (reset or X.shape[1] == estimator.n_features_in_):
        if reset:
            estimator.n_features_in_ = X.shape[1]
        return X
    check_mask("X", X)
    X = Home.of(X, estimator).take(X)
    if library_of(X) not in native_libraries():
        X = validate_data(estimator, X, dtype=READ, reset=reset, ensure_all_finite=not _is_half(X))
        if _is_half(X):  # scikit-learn's way would take half as much memory again
            check_finite("X", X)
        return X
    _check_native(estimator, X)
    if reset:
        estimator.n_features_in_ = X.shape[1]
    n = estimator.n_features_in_
    if X.shape[1] != n:
        name = type(estimator).__name__
        raise ValueError(f"X has {X.shape[1]} features, but {name} is expecting {n} features as input")
    return X


def _is_plain(estimator: Any, X: Any) -> bool:
    """Return whether samples are such that every check would pass: of few samples the checks are most of the time."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0 or X.dtype not in PLAIN:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return not hasattr(estimator, "feature_names_in_") and bool(np.isfinite(X.sum()))


def _are_plain_labels(y: Any) -> bool:
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "biuU"


def _is_half(X: Any) -> bool:
    return getattr(X, "dtype", None) == np.float16


def labels_on_host(y: Any) -> Any:
    """Return labels, or weights, on the host where they are arrays; scikit-learn checks what they are."""
    home = Home.of(y)
    return y if home.library == "numpy" else to_host(home.take(y))


def _check_native(estimator: Any, X: Array) -> None:
    """Check a library's own samples as scikit-learn checks NumPy's."""
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X: it has shape {tuple(X.shape)}; (m, n) with at least one sample and one feature is needed")
    if not is_real(X):
        raise ValueError(f"X: it is {dtype_name(X)}; real numbers are needed")
    with backend_for(estimator, X).scope():
        check_finite("X", X)

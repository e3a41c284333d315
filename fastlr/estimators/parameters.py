"""What the estimators' parameters say, checked in scikit-learn's words, and what is said of a fit."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastlr.core import Array
from fastlr.errors import shown
from fastlr.namespace import dtype_name
from fastlr.solvers import AUTO, GD, SOLVERS
from fastlr.training.checks import MOST_L2, real, scale_or_auto, whole
from fastlr.training.converge import RoundingNote
from fastlr.training.settings import Settings, scale_of
from fastlr.training.warm_start import Fit

# scikit-learn's names for solvers that are here, and for others, whose minimum is the same.
ALIASES = {"newton-cholesky": "newton", "liblinear": AUTO, "sag": AUTO, "saga": AUTO}


def settings_of(estimator: Any, **ratio: Any) -> Settings:
    """Return an estimator's parameters as settings; raise for what is not done here, by name."""
    ((l1_name, l1_value),) = ratio.items()
    name = estimator.solver
    if estimator.penalty not in ("l2", None, "deprecated"):
        raise ValueError(f"penalty: {estimator.penalty!r} is not supported; only the l2 penalty, or None, is")
    l1_value = given(l1_value)
    if l1_value is not None and np.any(np.asarray(l1_value) != 0):
        raise ValueError(
            f"Solver {name} supports only 'l2' or None penalties, got {l1_name}={l1_value!r}; fastlr has no l1 penalty"
        )
    if estimator.dual is not False and name != "liblinear":  # whose dual problem has the same minimum
        raise ValueError(
            f"Solver {name} supports only dual=False, got dual={estimator.dual!r}; form='gram' is as fast where there "
            "are few samples"
        )
    positive("intercept_scaling", estimator.intercept_scaling)
    for word in ("fit_intercept", "warm_start", "one_vs_rest"):
        if not isinstance(value := getattr(estimator, word, False), bool | np.bool_):
            raise ValueError(f"{word}: {shown(value)}; True or False is needed")
    whole("verbose", int(verbose) if isinstance(verbose := estimator.verbose, bool) else verbose, 0)
    if estimator.penalty is None and not hasattr(estimator, "C"):
        raise ValueError("penalty: with None there is no C to choose; leave it out, or use LogisticRegression")
    if estimator.penalty is None and estimator.C != 1.0:
        warnings.warn("Setting penalty=None will ignore the C and l1_ratio parameters", stacklevel=callers_level())
    solver = ALIASES.get(name, name)
    if solver == GD:
        raise ValueError(f"solver: {solver!r} does not go to the minimum; take {AUTO!r}, or use fastlr.train")
    if estimator.verbose and solver != name:
        print(f"solver {name!r}: {solver!r} finds the same minimum here", file=sys.stderr)
    if name not in (AUTO, *SOLVERS, *ALIASES):
        raise ValueError(f"solver: {shown(name)} is not known; choose {', '.join((AUTO, *SOLVERS, *ALIASES))}")
    # scikit-learn accepts a tol of 0, which no gradient reaches.
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
            "The 'liblinear' solver does not support multiclass classification. Take "
            f"{AUTO!r}, and one_vs_rest=True for a model for each class"
        )


def scale_for(estimator: Any, X: Array) -> float:
    """Return what multiplies the samples; warn where it is another than it was in versions before this setting."""
    scale = scale_or_auto("scale", estimator.scale)
    if scale == AUTO and dtype_name(X) == "uint8":
        warnings.warn(
            "X is uint8, which is pixels: it is multiplied by 1/255, as in fastlr.train. Earlier versions did not. "
            "To end this warning, give scale=None for features as they are, or scale='pixels'",
            FutureWarning,
            stacklevel=callers_level(),
        )
    return scale_of(scale, X)


def positive(name: str, value: Any) -> float:
    """Return a number above 0, infinity among them."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0:
        raise ValueError(f"{name}: {shown(value)}; a positive number is needed")
    if value < 1 / MOST_L2:
        raise ValueError(f"{name}: {shown(value)}; a number of at least {1 / MOST_L2:g} is needed")
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

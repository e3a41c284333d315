"""fastlr: logistic regression on images and embeddings, on any array library.

The public names are loaded when they are first used, so that `import fastlr` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastlr import core, textbook
    from fastlr.data import Dataset, open_dataset
    from fastlr.errors import ConvergenceWarning, DivergenceWarning, InputError
    from fastlr.estimators.cross_validation import LogisticRegressionCV
    from fastlr.estimators.logistic_regression import LogisticRegression
    from fastlr.model.file import load
    from fastlr.model.model import Model
    from fastlr.reporting import report
    from fastlr.training.api import sweep, train
    from fastlr.training.many import ManyFits, fit_many
    from fastlr.training.run import Run
    from fastlr.training.selection import RegularizationPath, path

__version__ = "0.2.0"

__all__ = [
    "ConvergenceWarning",
    "Dataset",
    "DivergenceWarning",
    "InputError",
    "LogisticRegression",
    "LogisticRegressionCV",
    "ManyFits",
    "Model",
    "RegularizationPath",
    "Run",
    "__version__",
    "core",
    "fit_many",
    "load",
    "open_dataset",
    "path",
    "report",
    "sweep",
    "textbook",
    "train",
]

_HOME = {
    "ConvergenceWarning": "fastlr.errors",
    "Dataset": "fastlr.data",
    "DivergenceWarning": "fastlr.errors",
    "InputError": "fastlr.errors",
    "LogisticRegression": "fastlr.estimators.logistic_regression",
    "LogisticRegressionCV": "fastlr.estimators.cross_validation",
    "ManyFits": "fastlr.training.many",
    "Model": "fastlr.model.model",
    "RegularizationPath": "fastlr.training.selection",
    "Run": "fastlr.training.run",
    "fit_many": "fastlr.training.many",
    "load": "fastlr.model.file",
    "open_dataset": "fastlr.data",
    "path": "fastlr.training.selection",
    "report": "fastlr.reporting",
    "sweep": "fastlr.training.api",
    "train": "fastlr.training.api",
}


def __getattr__(name: str) -> Any:
    if name in ("core", "textbook"):
        return importlib.import_module(f"fastlr.{name}")
    if name in _HOME:
        try:
            return getattr(importlib.import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "sklearn":
                raise
            raise ImportError(f"fastlr.{name} needs scikit-learn; try pip install '.[sklearn]'") from error
    raise AttributeError(f"module 'fastlr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

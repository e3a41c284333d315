"""scikit-learn's callbacks, which it has from version 1.9: they follow a fit iteration by iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.streamed import DataObjective
from fastlr.training.follow import Measure

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: this version of scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


class Following:
    """Tells an estimator's callbacks where its fit is: a task for each iteration, within that of the fit."""

    def __init__(self, estimator: Any, X: Any, y: Any, found: Callable[[Array, Array], dict[str, Any]]) -> None:
        """`found(W, b)` returns the fitted attributes for weights and intercepts."""
        self.estimator, self.given, self.found = estimator, {"X": X, "y": y}, found
        self.task: Any = None
        self.fit = estimator._init_callback_context(max_subtasks=estimator.max_iter + 1)
        self.fit.call_on_fit_task_begin(estimator=estimator, **self.given)

    def measure(self, objective: DataObjective) -> Measure:
        """Return what is called at each iterate, after one iteration and before the next."""

        def arrived(objective: Any, x: Any) -> Array:
            more = self.given | {"reconstruction_attributes": self.found(objective.weights(x.W), x.b)}
            if self.task is not None:
                self.task.call_on_fit_task_end(estimator=self.estimator, **more)
            self.task = self.fit.subcontext(task_name=f"{self.estimator.solver}-iter")
            self.task.call_on_fit_task_begin(estimator=self.estimator, **more)
            return array_namespace(x.b).zeros_like(x.b[:, :1, :])

        return arrived

    def end(self) -> None:
        """End the tasks: that of the iteration that is not made, and that of the fit."""
        if self.task is not None:
            self.task.call_on_fit_task_end(estimator=self.estimator)
        self.fit.call_on_fit_task_end(estimator=self.estimator, **self.given, reconstruction_attributes={})


def follow(estimator: Any, X: Any, y: Any, found: Callable[[Array, Array], dict[str, Any]]) -> Following | None:
    """Return what tells an estimator's callbacks where its fit is; None where it has none."""
    return Following(estimator, X, y, found) if getattr(estimator, "_skl_callbacks", None) else None

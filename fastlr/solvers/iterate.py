"""Where a solver that converges is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastlr.core import Array
from fastlr.objectives.protocol import Evaluation, Objective, rows_of

PATIENCE = 5  # steps in a row that lead nowhere, after which rounding is all that is left


class Iterate(NamedTuple):
    """A point with what is known of the objective there, and what the solver remembers."""

    at: Evaluation
    stalled: Array  # how many steps in a row brought neither a lower objective nor the lowest norm so far, (k, 1, 1)
    lowest: Array  # that norm, (k, 1, 1)
    mark: Array  # the objective at the last step that was progress; small falls after it add up
    memory: tuple[Any, ...] = ()

    def rows(self, models: Sequence[int]) -> Iterate:
        """Return the iterate of some of the models."""
        chosen: Iterate = rows_of(self, models)
        return chosen


def start(objective: Objective, b: Array, W: Array | None = None) -> Iterate:
    """Return the iterate at coordinates W, else at the initial weights, and the intercepts `b (k, units, 1)`."""
    at = objective.evaluate(objective.origin(b, W))
    return Iterate(at, 0 * at.norm, at.norm, at.objective)

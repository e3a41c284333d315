"""The objective of resident data on a line, where a trial of the line search needs no pass over the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.protocol import Evaluation, Vector, plus

if TYPE_CHECKING:
    from fastlr.objectives.resident import Resident


class ResidentLine:
    """The objective on a line, from the logits on it: φ(t) = J(Z + t Z_d) + l2/2 (‖W‖² + 2 t ⟨W, d⟩ + t² ‖d‖²)."""

    def __init__(self, objective: Resident, start: Evaluation, d: Vector) -> None:
        """Work out the inner products."""
        self.of, self.start, self.d = objective, start, d
        xp = array_namespace(start.cost)
        self.slope = objective.inner(start.gradient, d)
        self.Wd = total(objective.form.dot(start.x.W, d))
        dd = total(objective.form.dot(d.W, d))
        self.dd = xp.maximum(dd, xp.zeros_like(dd))  # which rounding can make negative in the Gram form
        self.penalty = start.objective - start.cost
        self.last: tuple[Array, ...] = ()

    def at(self, t: Array) -> tuple[Array, Array]:
        """Return f and its slope at t."""
        xp, l2, d = array_namespace(t), self.of.l2, self.d
        J, D = self.of.value(self.start.x.Z + t * d.Z)
        self.last = (t, J, D)
        slope = xp.mean(xp.sum(D * d.Z, axis=1, keepdims=True), axis=-1, keepdims=True)
        f = J + self.penalty + l2 * (t * self.Wd + t * t / 2 * self.dd)
        return f, slope + l2 * (self.Wd + t * self.dd)

    def arrive(self, f: Array) -> Evaluation:
        """Return the evaluation at the last t, where the objective is f."""
        t, J, D = self.last
        return self.of.evaluated(plus(self.start.x, t, self.d), D, J, f)


def total(dots: Array) -> Array:
    """Return the sums `(k, 1, 1)` of inner products `(k, units, 1)` over the units."""
    return array_namespace(dots).sum(dots, axis=1, keepdims=True)

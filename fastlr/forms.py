"""How the data enters the first layer.

A form is a vector space of coordinates for the first layer's weights. It knows how to turn coordinates into
logits and residuals into a gradient, so a solver written over a form never sees X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from fastlr import core
from fastlr.core import Array
from fastlr.errors import InputError


class Form(Protocol):
    """What training asks of a form; coordinates are `(k, d)`, where d depends on the form."""

    name: ClassVar[str]

    def start(self, W: Array) -> Array:
        """Return the coordinates of the weights `W (k, n)`."""

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return Z (k, m) for these coordinates and the intercepts `b (k, 1)`."""

    def gradient(self, D: Array) -> Array:
        """Return the coordinates of dW for the residuals `D (k, m)`."""

    def weights(self, coordinates: Array) -> Array:
        """Return W (k, n), the inverse of `start`."""


@dataclass(frozen=True)
class PrimalForm:
    """The weights themselves: a step reads X (n, m) twice, about 2·n·m numbers."""

    X: Array
    scale: float = 1.0
    name: ClassVar[str] = "primal"

    def start(self, W: Array) -> Array:
        """Return W: the coordinates are the weights."""
        return W

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return W (scale X) + b."""
        return core.logits(coordinates, b, self.X, self.scale)

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return core.weight_gradient(D, self.X, self.scale)

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates


FORMS = {form.name: form for form in (PrimalForm,)}


def choose_form(form: str) -> str:
    """Return the name of the form to train in; `form` is a name or "auto"."""
    if form == "auto":
        return PrimalForm.name
    if form not in FORMS:
        raise InputError(f"form: {form!r} is not known; choose {', '.join(('auto', *FORMS))}")
    return form

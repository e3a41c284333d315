"""What every solver is given, what it asks of a form, and what it must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from fastlr import core
from fastlr.core import Array


class Form(Protocol):
    """The part of a form that a solver uses: two linear maps between coordinates `(k, d)` and examples."""

    name: ClassVar[str]

    def origin(self) -> Array:
        """Return the coordinates of the initial weights."""

    def initial_logits(self) -> Array:
        """Return Z (k, m) for the initial weights, without intercepts."""

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return Z (k, m) for these coordinates and the intercepts `b (k, 1)`."""

    def gradient(self, D: Array) -> Array:
        """Return the coordinates of D (scale X)ᵀ / m, which is dW without its l2 part, for residuals `D (k, m)`."""

    def rows(self, models: Sequence[int]) -> Self:
        """Return the form for some of the k models, given by their indices."""


class Problem(NamedTuple):
    """k models to fit: labels `Y (1 or k, m)`, `learning_rate` and `l2` as `(k, 1)`."""

    form: Form
    Y: Array
    learning_rate: Array
    l2: Array

    def rows(self, models: Sequence[int]) -> Problem:
        """Return the problem of some of the models."""
        Y = core.rows(self.Y, models) if self.Y.shape[0] > 1 else self.Y
        return Problem(self.form.rows(models), Y, core.rows(self.learning_rate, models), core.rows(self.l2, models))


class State(NamedTuple):
    """The coordinates `W (k, d)`, the intercepts `b (k, 1)`, and the logits `Z (k, m)` of those parameters."""

    W: Array
    b: Array
    Z: Array

    def rows(self, models: Sequence[int]) -> State:
        """Return the state of some of the models."""
        return State(*(core.rows(array, models) for array in self))


S = TypeVar("S")


class Delegate(Protocol):
    """The part of a backend that a solver uses to move on by many steps at once."""

    @property
    def repeat(self) -> Callable[[Callable[[S], S], S, int], S]:
        """Return the backend's way to apply a step many times."""

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return its fused kernels; one named after a form and "_steps" does all of a solver's steps on it."""


class Solver(Protocol):
    """What a solver module offers."""

    def start(self, problem: Problem, b: Array) -> State:
        """Return the state at the form's initial weights and the intercepts `b`."""

    def advance(self, backend: Delegate, problem: Problem, state: State, steps: int) -> State:
        """Return the state `steps` steps later."""

    def suggest_learning_rate(self, problem: Problem) -> float:
        """Return a learning rate that does not diverge, or nan where none was found."""

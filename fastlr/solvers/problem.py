"""What every solver is given, what it asks of a form, and what it must offer.

k models stand side by side: the first axis of every array here is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.network import Deeper, Network
from fastlr.solvers.optimizers import OPTIMIZERS, Memory, Optimizer


class Vector(NamedTuple):
    """A point or a direction: coordinates `W (k, units, d)`, intercepts `b (k, units, 1)`, and their logits."""

    W: Array
    b: Array
    Z: Array = ()  # (k, units, m), or () where nobody asks for it


class Form(Protocol):
    """The part of a form that a solver uses: linear maps between coordinates `(k, units, d)` and examples."""

    name: ClassVar[str]
    inner_needs_logits: ClassVar[bool]  # whether `dot` takes it from the logits of v

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return the backend's replacements for functions of the core."""

    @property
    def has_kernels(self) -> bool:
        """Return whether kernels can do all of gradient descent's steps on it."""

    def origin(self) -> Array:
        """Return the coordinates of the initial weights."""

    def initial_logits(self) -> Array:
        """Return Z (k, units, m) for the initial weights, without intercepts."""

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return Z (k, units, m) for these coordinates and the intercepts `b (k, units, 1)`."""

    def gradient(self, D: Array) -> Array:
        """Return the coordinates of D (scale X)ᵀ / m, which is dW without its l2 part, for `D (k, units, m)`."""

    def dot(self, u: Array, v: Vector) -> Array:
        """Return the inner product (k, units, 1) of the weights with coordinates u and those of v, unit by unit."""

    def rows(self, models: Sequence[int]) -> Self:
        """Return the form for some of the k models, given by their indices."""

    def batch(self, examples: Array) -> Self:
        """Return the form of some of the examples, given by an array of their indices."""


class Problem(NamedTuple):
    """k models to fit: labels `Y (1 or k, outputs, m)`, `learning_rate` and `l2` as `(k, 1, 1)`.

    `weights (k, 1, m)`, of mean 1 for each model, say how much an example counts; None is all alike. `mean` and
    `spectrum` are for solvers that precondition: the mean of the examples, as counted, `(1 or k, 1, d)`, and the
    eigenvectors `(n, n)` and eigenvalues `(n,)` of the features' covariance.
    """

    form: Form
    Y: Array
    learning_rate: Array
    l2: Array
    network: Network = Network()
    optimizer: Optimizer = OPTIMIZERS["gd"]
    weights: Array | None = None
    mean: Vector | None = None
    spectrum: tuple[Array, Array] | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether it is gradient descent on examples that are as they are, for which there are kernels."""
        return self.form.has_kernels and self.optimizer.name == "gd" and self.weights is None

    @property
    def kernel(self) -> str:
        """Return the name of the kernel that does all of its steps, where there is one; "" where there can be none."""
        if not self.is_plain:
            return ""
        return f"{self.form.name}_steps" if self.network.is_logistic_regression else f"{self.form.name}_network_steps"

    def rows(self, models: Sequence[int]) -> Problem:
        """Return the problem of some of the models."""
        return self._replace(
            form=self.form.rows(models),
            Y=core.rows(self.Y, models) if self.Y.shape[0] > 1 else self.Y,
            learning_rate=core.rows(self.learning_rate, models),
            l2=core.rows(self.l2, models),
            weights=None if self.weights is None else core.rows(self.weights, models),
            mean=each(lambda array: core.rows(array, models) if array.shape[0] > 1 else array, self.mean),
        )

    def batch(self, examples: Array) -> Problem:
        """Return the problem of some of the examples, given by an array of their indices."""
        xp = array_namespace(examples)
        return self._replace(
            form=self.form.batch(examples),
            Y=xp.take(self.Y, examples, axis=-1),
            weights=None if self.weights is None else xp.take(self.weights, examples, axis=-1),
        )

    def cost(self, state: Any) -> Array:
        """Return J `(k, 1, 1)` of a state, or of whatever has logits Z and deeper layers."""
        return self.network.cost(state.Z, state.deeper, self.Y, self.weights)


class State(NamedTuple):
    """The parameters of k models, and what goes with them.

    Of the first layer the coordinates `W (k, units, d)`, the intercepts `b (k, units, 1)` and the logits
    `Z (k, units, m)` of those parameters; the deeper layers; what the optimizer remembers of each parameter, in the
    order of `parameters`; and `t (k, 1, 1)`, the number of steps done, where that counts.
    """

    W: Array
    b: Array
    Z: Array
    deeper: Deeper = ()
    memory: tuple[Memory, ...] = ()
    t: Any = ()

    @property
    def parameters(self) -> list[Array]:
        """Return W and b of every layer."""
        return [self.W, self.b, *(array for layer in self.deeper for array in layer)]

    def rows(self, models: Sequence[int]) -> State:
        """Return the state of some of the models."""
        chosen: State = each(lambda array: core.rows(array, models), self)
        return chosen


def each(function: Callable[[Array], Array], value: Any) -> Any:
    """Return a function of every array in nested tuples, in the same tuples; None stays."""
    if not isinstance(value, tuple):
        return None if value is None else function(value)
    parts = [each(function, part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


S = TypeVar("S")


class Delegate(Protocol):
    """The part of a backend that a solver uses to move on by many steps at once."""

    @property
    def repeat(self) -> Callable[[Callable[[S], S], S, int], S]:
        """Return the backend's way to apply a step many times."""

    @property
    def asarray(self) -> Callable[[Any], Array]:
        """Return the way of a host array to its device."""

    @property
    def ahead(self) -> int:
        """Return how many short steps are done before the host asks whether more are needed."""

    @property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return its fused kernels; one named after a form and "_steps" does all of a solver's steps on it."""


class Solver(Protocol):
    """What a solver module offers."""

    def start(self, problem: Problem, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the form's initial weights, the intercepts `b` and these deeper layers."""

    def advance(self, backend: Delegate, problem: Problem, state: State, steps: int) -> State:
        """Return the state `steps` steps later."""

    def suggest_learning_rate(self, problem: Problem) -> float:
        """Return a learning rate that does not diverge, or nan where none was found."""


class Converging(Protocol):
    """What a solver module offers that goes to the minimum of a convex objective."""

    def start(self, problem: Problem, b: Array, W: Array | None = None) -> Any:
        """Return the iterate at coordinates W, else at the form's initial weights, and the intercepts `b`."""

    def step(self, backend: Delegate, problem: Problem, iterate: Any) -> Any:
        """Return the next iterate."""

    def why_not(self, form: str, outputs: int) -> str | None:
        """Return why it cannot work on a form, with so many outputs; None where it can."""

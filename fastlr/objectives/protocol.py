"""What a solver minimises, as a solver sees it: an objective of k models at once, in coordinates of its own.

    f(W, b) = J + l2/2 ‖W‖²          J = mean(w · loss(z, y)),  Z = A W + b,  A W = W (scale X)
    ∇f = [A*D + l2 W, mean(D)]       D = w (σ(Z) − Y), or w (softmax(Z) − Y);  A*D = D (scale X)ᵀ / m
    ∇²f P = [A*V + l2 P, mean(V)]    V = w σ(Z) (1 − σ(Z)) Z_P, or w A (Z_P − Σ A Z_P) with A = softmax(Z)

Where the data are, what is kept of them, and which kernels read them is the objective's affair. No solver sees a
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.network import Deeper


class Vector(NamedTuple):
    """A point or a direction: coordinates `W (k, units, d)`, intercepts `b (k, units, 1)`, and their logits."""

    W: Array
    b: Array
    Z: Array = ()  # (k, units, m), or () where the objective keeps none, or nobody asked for them


def plus(u: Vector, t: Any, v: Vector) -> Vector:
    """Return u + t v, without logits where one of the two has none."""
    return Vector(
        *(() if isinstance(p, tuple) or isinstance(q, tuple) else p + t * q for p, q in zip(u, v, strict=True))
    )


def without_shift(b: Array) -> Array:
    """Return what a vector has for the intercepts, `(k, units, 1)`, without a shift of all units of a softmax alike.

    The loss does not see such a shift. What rounding brings of it would grow without limit.
    """
    return b if b.shape[1] == 1 else b - array_namespace(b).mean(b, axis=1, keepdims=True)


Passed = list[list[float]]  # cost and objective of points on the way


class Evaluation(NamedTuple):
    """What is known of the objective at a point; `(k, 1, 1)` where nothing else is said."""

    x: Vector
    cost: Array  # J
    objective: Array  # f
    gradient: Vector
    norm: Array  # of the gradient
    kept: tuple[Any, ...] = ()  # what `curved` adds: the objective's own affair


class Compiled(NamedTuple):
    """Where compiled steps led one model."""

    W: Array  # its coordinates, (1, units, d)
    b: Array  # (1, units, 1)
    norm: float  # of the gradient there
    stalled: int  # how many of the last steps led nowhere
    passed: Passed  # of every point, the first and the last among them


class Line(Protocol):
    """The objective on the line x + t d."""

    @property
    def slope(self) -> Array:
        """Return its slope (k, 1, 1) at t = 0."""

    def at(self, t: Array) -> tuple[Array, Array]:
        """Return f and its slope at t (k, 1, 1), each `(k, 1, 1)`."""

    def arrive(self, f: Array) -> Evaluation:
        """Return the evaluation at the t that was asked for last, with f for its objective."""


class Objective(Protocol):
    """An objective of k models. Points and gradients are `(W, b)` in the objective's coordinates.

    Vectors that go into a method come from one of its methods, or are sums of such (`plus`).
    """

    @property
    def l2(self) -> Array:
        """Return the penalties (k, 1, 1)."""

    @property
    def is_resident(self) -> bool:
        """Return whether all data are in the backend's memory, so that steps can be handed to `Backend.repeat`."""

    @property
    def inner_needs_logits(self) -> bool:
        """Return whether `inner` takes them from its second vector."""

    def origin(self, b: Array, W: Array | None = None) -> Vector:
        """Return the point at coordinates W, else at the initial weights, and intercepts `b`."""

    def evaluate(self, x: Vector) -> Evaluation:
        """Return cost, objective and gradient at a point."""

    def curved(self, at: Evaluation) -> Evaluation:
        """Return the evaluation with what the methods below need of the second derivatives there."""

    def product(self, at: Evaluation, p: Vector) -> Vector:
        """Return ∇²f p, for a complete p."""

    def precondition(self, at: Evaluation, r: Vector) -> Vector:
        """Return M r, where M is close to the inverse of ∇²f."""

    def newton(self, at: Evaluation) -> Vector:
        """Return the direction −(∇²f)⁻¹ ∇f."""

    def newton_steps(
        self, at: Evaluation, rules: tuple[Any, ...], most: int, tol: float
    ) -> tuple[Evaluation, Array, Passed] | None:
        """Return the point after compiled steps of Newton's method, and whether the last was taken `(k, 1, 1)`.

        There are at most `most` steps. They end where the gradient's norm is at most `tol`, or where a step brings no
        more. More than one step is for one model alone. The third result is the cost and the objective of the points
        between. None without a kernel for it. `rules` are the constants of the line search.
        """

    def lbfgs_fit(self, b: Array, W: Array | None, most: int, tol: float, settings: tuple[Any, ...]) -> Compiled | None:
        """Return where L-BFGS leads from there, in one compiled call, for one model on little data; else None.

        There are at most `most`, and they end where the gradient's norm is at most `tol`, or where so many lead
        nowhere. `settings` are the rules of the line search, that number, and how many pairs are remembered.
        """

    def conjugate_gradients(self, at: Evaluation, longest: int, share: float) -> Vector | None:
        """Return that direction from a kernel that does all of newton-cg's inner steps, None where there is none."""

    def complete(self, v: Vector) -> Vector:
        """Return a vector with what the objective keeps beside its coordinates."""

    def along(self, at: Evaluation, d: Vector) -> Line:
        """Return the objective along a direction, for the line search."""

    def inner(self, u: Vector, v: Vector) -> Array:
        """Return ⟨u, v⟩ `(k, 1, 1)` of the weights and intercepts that the coordinates stand for."""

    def rows(self, models: Sequence[int]) -> Self:
        """Return the objective of some of the k models."""


class State(NamedTuple):
    """The parameters of k models on their way down, and what goes with them.

    Of the first layer the coordinates `W (k, units, d)`, the intercepts `b (k, units, 1)` and the logits
    `Z (k, units, m)` of those parameters; the deeper layers; what the optimizer remembers of each parameter, in the
    order of `parameters`; and `t (k, 1, 1)`, the number of steps done, where that counts.
    """

    W: Array
    b: Array
    Z: Array = ()
    deeper: Deeper = ()
    memory: tuple[tuple[Array, ...], ...] = ()
    t: Any = ()

    @property
    def parameters(self) -> list[Array]:
        """Return W and b of every layer."""
        return [self.W, self.b, *(array for layer in self.deeper for array in layer)]

    def rows(self, models: Sequence[int]) -> State:
        """Return the state of some of the models."""
        chosen: State = rows_of(self, models)
        return chosen


class Descending(Protocol):
    """An objective, of linear models or of networks, on which gradient descent goes down."""

    @property
    def l2(self) -> Array:
        """Return the penalties (k, 1, 1)."""

    @property
    def m(self) -> int:
        """Return the number of samples."""

    @property
    def is_resident(self) -> bool:
        """Return whether all data are in the backend's memory, so that steps can be handed to `Backend.repeat`."""

    @property
    def learning_rate(self) -> Array:
        """Return the learning rates (k, 1, 1)."""

    def start(self, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, the intercepts `b (k, units, 1)` and these deeper layers."""

    def cost(self, state: State) -> Array:
        """Return J `(k, 1, 1)`."""

    def gradients(self, state: State) -> list[Array]:
        """Return the derivatives of J by each of the state's parameters, in their order."""

    def arrive(self, state: State) -> State:
        """Return the state with what the objective keeps of its parameters."""

    def steps(self, state: State, count: int) -> State | None:
        """Return the state after `count` plain steps by a kernel that does many at once, None where there is none."""

    def batch(self, samples: Array) -> Descending:
        """Return the objective of some of the samples, given by an array of their indices."""

    def batch_steps(self, state: State, batches: Array) -> State | None:
        """Return the state after a plain step for each row of `batches`, indices of samples; None without a kernel."""

    def stable_rate(self) -> float:
        """Return a learning rate that does not diverge, or nan where none was found."""

    def rows(self, models: Sequence[int]) -> Self:
        """Return the objective of some of the k models."""


def each(function: Callable[[Array], Array], value: Any) -> Any:
    """Return a function of every array in nested tuples, in the same tuples; None stays."""
    if not isinstance(value, tuple):
        return None if value is None else function(value)
    parts = [each(function, part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def rows_of(value: Any, models: Sequence[int]) -> Any:
    """Return the rows of some of the models of every array in nested tuples; arrays that all models share stay."""
    return each(lambda array: core.rows(array, models) if array.shape[0] > 1 else array, value)


def joined(values: Sequence[Any]) -> Any:
    """Return nested tuples of arrays, one after another, as one of all models."""
    first = values[0]
    if isinstance(first, tuple):
        parts = [joined(same) for same in zip(*values, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return first if first is None else array_namespace(first).concat(values, axis=0)


def ratio(a: Array, b: Array) -> Array:
    """Return a / b, and 0 where b is not positive."""
    xp = array_namespace(b)
    return xp.where(b > 0, a / xp.where(b > 0, b, xp.ones_like(b)), xp.zeros_like(b))

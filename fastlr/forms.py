"""How the data enters the first layer, and which way is the cheaper.

Full-batch gradient descent only ever adds multiples of the examples to the first layer's weights, and l2 only
shrinks them. So from initial weights W₀ every later W is  s W₀ + C (scale X)ᵀ  for some C (k, m) and s (k, 1),
and the whole trajectory can be followed in C and s:

    Z = s W₀ (scale X) + C K + b,  K = scale² XᵀX          dW = D (scale X)ᵀ / m + l2 W
    C ← C − learning_rate (D / m + l2 C)                     s ← s − learning_rate l2 s

A step then reads K, m² numbers, in place of X twice, 2·n·m numbers. K takes n·m² multiply-adds, once. Both
forms follow the same trajectory in exact arithmetic.

A form is a vector space of coordinates: W itself in the primal form, [C, s] in the Gram form. A solver written
over `logits` and `gradient` never sees X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

from array_api_compat import array_namespace

from fastlr import core
from fastlr.core import Array
from fastlr.errors import InputError

# Orders of magnitude for one machine with its caches cold; only their ratios decide.
BYTES_PER_SECOND = 2e10
FLOPS_PER_SECOND = 5e10
MEMORY_LIMIT = 2**32  # bytes that K may take


class Form(Protocol):
    """What training asks of a form; coordinates are `(k, d)`, where d depends on the form."""

    name: ClassVar[str]

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0) -> Self:
        """Return the form of the data `X (n, m)` with initial weights `W (k, n)`."""

    def origin(self) -> Array:
        """Return the coordinates of the initial weights."""

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return Z (k, m) for these coordinates and the intercepts `b (k, 1)`."""

    def gradient(self, D: Array) -> Array:
        """Return the coordinates of D (scale X)ᵀ / m for the residuals `D (k, m)`."""

    def weights(self, coordinates: Array) -> Array:
        """Return W (k, n)."""

    def rows(self, models: Sequence[int]) -> Self:
        """Return the form for some of the k models, given by their indices."""


@dataclass(frozen=True)
class PrimalForm:
    """The weights themselves: a step reads X (n, m) twice."""

    X: Array
    W: Array
    scale: float = 1.0
    name: ClassVar[str] = "primal"

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0) -> PrimalForm:
        """Return the form; X that is not in the dtype of W is converted, once."""
        xp = array_namespace(W)
        return cls(xp.astype(X, W.dtype, copy=False), W, scale)

    def origin(self) -> Array:
        """Return the initial W: the coordinates are the weights."""
        return self.W

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return W (scale X) + b."""
        return core.logits(coordinates, b, self.X, self.scale)

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return core.weight_gradient(D, self.X, self.scale)

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates

    def rows(self, models: Sequence[int]) -> PrimalForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models))


@dataclass(frozen=True)
class GramForm:
    """Coefficients of the examples: a step reads K = scale² XᵀX (m, m). The coordinates are [C, s], `(k, m + 1)`."""

    X: Array
    W: Array
    scale: float
    K: Array
    Z: Array  # the logits of the initial weights without intercept, (k, m)
    name: ClassVar[str] = "gram"

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0) -> GramForm:
        """Return the form; X keeps its dtype, K is in that of W and exact, before it is rounded, where X is uint8."""
        xp = array_namespace(W)
        # Training mostly starts at zero: no need to read X for that.
        Z = core.project(W, X, scale) if xp.any(W != 0) else xp.zeros((W.shape[0], X.shape[1]), dtype=W.dtype)
        return cls(X, W, scale, core.gram_matrix(X, W.dtype) * scale**2, Z)

    def origin(self) -> Array:
        """Return C = 0, s = 1."""
        xp = array_namespace(self.Z)
        return xp.concat([xp.zeros_like(self.Z), xp.ones_like(self.Z[:, :1])], axis=1)

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return s W₀ (scale X) + C K + b."""
        return coordinates[:, -1:] * self.Z + coordinates[:, :-1] @ self.K + b

    def gradient(self, D: Array) -> Array:
        """Return [D / m, 0]."""
        xp = array_namespace(D)
        return xp.concat([D / D.shape[1], xp.zeros_like(D[:, :1])], axis=1)

    def weights(self, coordinates: Array) -> Array:
        """Return s W₀ + C (scale X)ᵀ."""
        return coordinates[:, -1:] * self.W + core.combine(coordinates[:, :-1], self.X, self.scale)

    def rows(self, models: Sequence[int]) -> GramForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models), Z=core.rows(self.Z, models))


FORMS: dict[str, type[PrimalForm] | type[GramForm]] = {form.name: form for form in (PrimalForm, GramForm)}


def choose_form(form: str, n: int, m: int, k: int, steps: int, itemsize: int = 8) -> str:
    """Return the name of the form for n features, m examples, k models and so many steps; "auto" counts.

    A step costs the larger of the time to read its numbers and the time of its arithmetic:

    - primal: 2·n·m numbers read, 4·k·n·m operations;
    - Gram: m² numbers read, 2·k·m² operations, and once n·m² operations for K (half of a product, it is
      symmetric) and 2·k·n·m for the weights; K must fit into `MEMORY_LIMIT`.
    """
    if form != "auto":
        if form not in FORMS:
            raise InputError(f"form: {form!r} is not known; choose {', '.join(('auto', *FORMS))}")
        return form
    if itemsize * m * m > MEMORY_LIMIT:
        return PrimalForm.name
    primal = steps * _seconds(2 * n * m * itemsize, 4 * k * n * m)
    gram = steps * _seconds(m * m * itemsize, 2 * k * m * m) + (n * m * m + 2 * k * n * m) / FLOPS_PER_SECOND
    return GramForm.name if gram < primal else PrimalForm.name


def _seconds(read: float, operations: float) -> float:
    return max(read / BYTES_PER_SECOND, operations / FLOPS_PER_SECOND)

"""How the data enters the first layer, and which way is the cheaper.

Full-batch gradient descent only ever adds multiples of the examples to the first layer's weights, and l2 only
shrinks them. So from initial weights W₀ every later W is  s W₀ + C (scale X)ᵀ  for some C (k, m) and s (k, 1),
and the whole trajectory can be followed in C and s:

    Z = s W₀ (scale X) + scale² C K + b,  K = XᵀX            dW = D (scale X)ᵀ / m + l2 W
    C ← C − learning_rate (D / m + l2 C)                     s ← s − learning_rate l2 s

A step then reads K, m² numbers, in place of X twice, 2·n·m numbers. K takes n·m² multiply-adds, once. Both
forms follow the same trajectory in exact arithmetic.

A form is a vector space of coordinates: W itself in the primal form, [C, s] in the Gram form. A solver written
over `logits` and `gradient` never sees X.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from fastlr import core
from fastlr.core import Array
from fastlr.errors import InputError
from fastlr.namespace import array_namespace
from fastlr.solvers import problem

MEMORY_LIMIT = 2**32  # bytes that K may take

Kernels = Mapping[str, Callable[..., Any]]  # a backend's replacements for functions of the core, by their names
NO_KERNELS: Kernels = MappingProxyType({})


class Form(problem.Form, Protocol):
    """What training asks of a form, beside what its solver does."""

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0, kernels: Kernels = NO_KERNELS) -> Self:
        """Return the form of the data `X (n, m)`, of any real dtype, with initial weights `W (k, n)`."""

    def weights(self, coordinates: Array) -> Array:
        """Return W (k, n)."""


@dataclass(frozen=True)
class _Data:
    """The data, the initial weights, and the functions that multiply them."""

    X: Array  # (n, m), of any real dtype
    W: Array  # (k, n)
    scale: float
    kernels: Kernels

    def project(self, W: Array) -> Array:
        """Return W (scale X)."""
        return self.kernels.get("project", core.project)(W, self.X, self.scale)

    def initial_logits(self) -> Array:
        """Return W₀ (scale X). Training mostly starts at zero: no need to read X for that."""
        xp = array_namespace(self.W)
        if xp.any(self.W != 0):
            return self.project(self.W)
        return xp.zeros((self.W.shape[0], self.X.shape[1]), dtype=self.W.dtype)

    def combine(self, C: Array) -> Array:
        """Return C (scale X)ᵀ."""
        return self.kernels.get("combine", core.combine)(C, self.X, self.scale)


@dataclass(frozen=True)
class PrimalForm(_Data):
    """The weights themselves: a step reads X (n, m), twice where there is no kernel for it."""

    name: ClassVar[str] = "primal"

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0, kernels: Kernels = NO_KERNELS) -> PrimalForm:
        """Return the form of the data; X is read as it is, converted tile by tile where need be."""
        return cls(X, W, scale, kernels)

    def origin(self) -> Array:
        """Return the initial W: the coordinates are the weights."""
        return self.W

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return W (scale X) + b."""
        return self.project(coordinates) + b

    def gradient(self, D: Array) -> Array:
        """Return D (scale X)ᵀ / m."""
        return self.combine(D / D.shape[1])

    def weights(self, coordinates: Array) -> Array:
        """Return the coordinates: they are the weights."""
        return coordinates

    def rows(self, models: Sequence[int]) -> PrimalForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models))


@dataclass(frozen=True)
class GramForm(_Data):
    """Coefficients of the examples: a step reads K = XᵀX (m, m). The coordinates are [C, s], `(k, m + 1)`."""

    K: Any  # without the scale, and exact where X is uint8; kept as the kernels that made it like to read it
    Z: Array  # the logits of the initial weights without intercept, (k, m)
    name: ClassVar[str] = "gram"

    @classmethod
    def of(cls, X: Array, W: Array, scale: float = 1.0, kernels: Kernels = NO_KERNELS) -> GramForm:
        """Return the form of the data; this is where K is computed."""
        gram_matrix: Callable[..., Any] = kernels.get("gram_matrix", core.gram_matrix)
        K, Z = gram_matrix(X, W.dtype), _Data(X, W, scale, kernels).initial_logits()
        return cls(X, W, scale, kernels, K, Z)

    def initial_logits(self) -> Array:
        """Return Z, which is at hand."""
        return self.Z

    def origin(self) -> Array:
        """Return C = 0, s = 1."""
        xp = array_namespace(self.Z)
        return xp.concat([xp.zeros_like(self.Z), xp.ones_like(self.Z[:, :1])], axis=1)

    def logits(self, coordinates: Array, b: Array) -> Array:
        """Return s W₀ (scale X) + scale² C K + b."""
        gram_product: Callable[..., Array] = self.kernels.get("gram_product", core.gram_product)
        return coordinates[:, -1:] * self.Z + gram_product(coordinates[:, :-1] * self.scale**2, self.K) + b

    def gradient(self, D: Array) -> Array:
        """Return [D / m, 0]."""
        xp = array_namespace(D)
        return xp.concat([D / D.shape[1], xp.zeros_like(D[:, :1])], axis=1)

    def weights(self, coordinates: Array) -> Array:
        """Return s W₀ + C (scale X)ᵀ."""
        return coordinates[:, -1:] * self.W + self.combine(coordinates[:, :-1])

    def rows(self, models: Sequence[int]) -> GramForm:
        """Return the form for some of the models."""
        return replace(self, W=core.rows(self.W, models), Z=core.rows(self.Z, models))


FORMS: dict[str, type[PrimalForm] | type[GramForm]] = {form.name: form for form in (PrimalForm, GramForm)}


class Costs(NamedTuple):
    """A backend's nanoseconds for each number of a form's work, with all its threads; only their ratios decide."""

    primal: float  # of X, in one primal step
    gram: float  # of K, in one Gram step
    product: float  # of X times the number of examples, to compute K


def choose_form(form: str, n: int, m: int, k: int, steps: int, costs: Costs, itemsize: int = 8) -> str:
    """Return the name of the form for n features, m examples, k models and so many steps; "auto" counts.

    A primal step works through the n·m numbers of X for each model, a Gram step through the m² of K, and K takes
    n·m² multiply-adds once (half of them, since it is symmetric) and must fit into `MEMORY_LIMIT`.
    """
    if form != "auto":
        if form not in FORMS:
            raise InputError(f"form: {form!r} is not known; choose {', '.join(('auto', *FORMS))}")
        return form
    if itemsize * m * m > MEMORY_LIMIT:
        return PrimalForm.name
    primal = costs.primal * steps * k * n * m
    gram = costs.gram * steps * k * m * m + costs.product * n * m * m
    return GramForm.name if gram < primal else PrimalForm.name

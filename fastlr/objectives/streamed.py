"""The objective of data that are read a block at a time, of which nothing is kept but sums.

Whatever the number of samples and of models, there is one block and its logits at a time. Every evaluation is one pass
over the data, and so is every product with the second derivatives, which makes the probabilities anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastlr.backends.record import Backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks
from fastlr.machine import blas_before_kernels
from fastlr.namespace import array_namespace, dtype_name
from fastlr.objectives import preconditioner
from fastlr.objectives.network import Deeper, Network, targets
from fastlr.objectives.passes import cut, fuses, loss_and_gradient
from fastlr.objectives.preconditioner import Preconditioner
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.protocol import Evaluation, State, Vector, each, joined, plus, rows_of, without_shift
from fastlr.objectives.resident import Resident
from fastlr.objectives.sample_weight import SampleWeight
from fastlr.objectives.sums import SUMS, weighted_sums

NONE = Preconditioner()
FLOAT64, PIXEL = 8, 255  # bytes; the largest value


@dataclass(frozen=True)
class Streamed:
    """k models to fit to samples that come in blocks, first weights `W (k, units, n)`; all else as in `Resident`."""

    backend: Backend
    blocks: Blocks
    W: Array
    scale: float
    moments: tuple[Array, Array] | None
    learning_rate: Array
    l2: Array
    network: Network
    sample_weight: SampleWeight | None = None
    column_of: NDArray[np.int64] | None = None  # (k,): the column of the labels `(m, L)` that each model has
    preconditioner: Preconditioner = NONE
    is_resident: ClassVar[bool] = False
    inner_needs_logits: ClassVar[bool] = False
    name: ClassVar[str] = PrimalForm.name

    @property
    def m(self) -> int:
        """Return the number of samples."""
        return self.blocks.shape[0]

    def weights(self, W: Array) -> Array:
        """Return W: the coordinates are the weights."""
        return W

    def rows(self, models: Sequence[int]) -> Streamed:
        """Return the objective of some of the models."""
        chosen: dict[str, Any] = {name: rows_of(getattr(self, name), models) for name in ("W", "learning_rate", "l2")}
        weight, column_of = self.sample_weight, self.column_of
        if weight is not None:
            chosen["sample_weight"] = weight._replace(of=weight.of[list(models)])
        if column_of is not None:
            chosen["column_of"] = column_of[list(models)]
        mean = rows_of(self.preconditioner.mean, models)
        return replace(self, preconditioner=self.preconditioner._replace(mean=mean), **chosen)

    def prepared(self, models: int) -> Streamed:
        """Return the objective with its preconditioner, which is to pay for so many models, these the first of them."""
        if any(part is not None for part in self.preconditioner):
            return self
        m, n = self.blocks.shape
        mean = spectrum = None
        if self.network.intercept:
            (W,) = self.sums("counted")
            mean = Vector(W, self.backend.xp.zeros_like(W[..., :1]))
        units = models * self.network.outputs
        if preconditioner.pays(n, m, units):
            every = preconditioner.every(n, m, units)
            work = preconditioner.eigen_work(n, m // every)
            with blas_before_kernels(work) if self.backend.kernels else nullcontext():
                weighted = self.sample_weight is not None and preconditioner.weighs(self.sample_weight.mean, n)
                square, of_rows, weight = self.sums("features", every, weighted)
                spectrum = preconditioner.eigen(square, of_rows, weight, self.moments, self.network.intercept)
        return replace(self, preconditioner=Preconditioner(mean, spectrum))

    def on(self, blocks: Blocks) -> Streamed:
        """Return the objective on other samples."""
        return replace(self, blocks=blocks, sample_weight=None)

    @property
    def is_faster_in_float32(self) -> bool:
        """Return whether float64 may begin in float32: a kernel reads pixels, and l2 is above float32's rounding."""
        n, pixels = self.blocks.shape[1], dtype_name(self.blocks.rows) == "uint8" and self.moments is None
        largest = n * (PIXEL * self.scale) ** 2 / 4  # no covariance of pixels has a larger eigenvalue
        seen = float(self.l2.min()) > float(np.finfo(np.float32).eps) * largest
        fused = fuses(self.backend.kernels, self.network.outputs, n, FLOAT64)
        return self.backend.dtype == "float64" and pixels and seen and fused

    def in_dtype(self, dtype: str) -> Streamed:
        """Return the objective with numbers of another working dtype; the samples stay as they are."""
        backend = replace(self.backend, dtype=dtype)
        names = ("W", "moments", "learning_rate", "l2", "preconditioner")
        return replace(self, backend=backend, **{name: each(backend.floats, getattr(self, name)) for name in names})

    # A pass over the data.

    def _part(self, rows: Array, labels: NDArray[Any], which: Any) -> Resident:
        """Return the objective of some of the samples `rows (r, n)`, whose indices are given, all in memory."""
        backend, weight = self.backend, self.sample_weight
        Y = backend.floats(targets(labels, self.network.outputs, self.column_of))
        counts = None if weight is None else backend.floats(weight.counts(which))
        return Resident(self._form(rows), Y, self.learning_rate, self.l2, self.network, counts)

    def _form(self, rows: Array) -> PrimalForm:
        backend = self.backend
        X = backend.asarray(rows) if dtype_name(rows) in backend.reads else backend.floats(rows)
        return PrimalForm(X.T, self.W, self.scale, backend.kernels, self.moments)

    def _parts(self) -> Iterator[Resident]:
        """Give the objective of each block."""
        for which, rows in self.blocks:
            yield self._part(rows, self.blocks.labels[which], which)

    def sums(self, name: str, *at: Any) -> tuple[Array, ...]:
        """Return sums over the blocks, each times its share of the samples, of the arrays that `name` stands for.

        They are those of `SUMS`, or "value": cost, gradient and `class_curvature` at a point.
        """
        if name == "value":
            return weighted_sums(self._passed(*at), self.m)
        return weighted_sums(((part.m, SUMS[name](part, *at)) for part in self._parts()), self.m)

    def _passed(self, x: Vector) -> Iterator[tuple[int, tuple[Array, ...]]]:
        """Give the samples of each block, and its cost, gradient and `class_curvature` at a point."""
        backend, weight = self.backend, self.sample_weight
        blocks, size = cut(self.blocks, backend, x)
        for which, rows in blocks:
            labels = self.blocks.labels[which]
            counts = None if weight is None else backend.floats(weight.counts(which))
            given = labels if self.column_of is None else np.ascontiguousarray(labels.T[self.column_of])
            yield from loss_and_gradient(self._form(rows), x, backend.asarray(given), counts, size)

    # What converges.

    def origin(self, b: Array, W: Array | None = None) -> Vector:
        """Return the point at weights W, else at the initial ones, and intercepts `b (k, units, 1)`."""
        return Vector(self.W if W is None else W, b)

    def complete(self, v: Vector) -> Vector:
        """Return the vector: nothing is kept beside its coordinates."""
        return v

    def evaluate(self, x: Vector) -> Evaluation:
        """Return cost, objective, gradient and `class_curvature` at a point, in one pass over the data."""
        xp = self.backend.xp
        J, W, b, C = self.sums("value", x)
        b = without_shift(b)
        gradient = Vector(W + self.l2 * x.W, b if self.network.intercept else 0 * b)
        norm = xp.sqrt(self.inner(gradient, gradient))
        return Evaluation(x, J, J + self.l2 / 2 * _inner(x.W, x.W), gradient, norm, (C,))

    def curved(self, at: Evaluation) -> Evaluation:
        """Return the evaluation with the axes of its curvature; all else is made anew in each pass."""
        known = self.preconditioner.spectrum is not None
        return at._replace(kept=(preconditioner.axes_of(at.kept[0]) if known else None,))

    def product(self, at: Evaluation, p: Vector) -> Vector:
        """Return ∇²f p, in one pass over the data."""
        W, b = self.sums("product", at.x, p)
        return Vector(W + self.l2 * p.W, b if self.network.intercept else 0 * b)

    def precondition(self, at: Evaluation, r: Vector) -> Vector:
        """Return M r."""
        return self.preconditioner(at.kept[0], self.l2, r, _dot_of_weights, self.backend.kernels)

    def newton(self, at: Evaluation) -> Vector:
        """Raise: the choice of the solver leaves it out."""
        raise NotImplementedError("Newton's method needs the data in memory")

    def newton_steps(self, at: Evaluation, rules: tuple[Any, ...], most: int, tol: float) -> None:
        """Return None: there is no kernel for all of it."""

    def lbfgs_fit(self, *arguments: Any) -> None:
        """Return None: there is no kernel for all of it."""

    def conjugate_gradients(self, at: Evaluation, longest: int, share: float) -> None:
        """Return None: there is no kernel for all of it."""

    def along(self, at: Evaluation, d: Vector) -> _Line:
        """Return the objective along a direction: each trial is an evaluation, and the last one is where it ends."""
        return _Line(self, at, d)

    def inner(self, u: Vector, v: Vector) -> Array:
        """Return ⟨u, v⟩ `(k, 1, 1)`."""
        return _inner(u.W, v.W) + _inner(u.b, v.b)

    # Gradient descent, of networks too.

    def start(self, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, the intercepts `b (k, units, 1)` and these deeper layers."""
        return State(self.W, b, (), deeper)

    def arrive(self, state: State) -> State:
        """Return the state: nothing is kept of its parameters."""
        return state

    def cost(self, state: State) -> Array:
        """Return J `(k, 1, 1)` of a state."""
        (J,) = self.sums("cost", state)
        return J

    def gradients(self, state: State) -> list[Array]:
        """Return the derivatives of J by each of the state's parameters."""
        return list(self.sums("gradients", state))

    def steps(self, state: State, count: int) -> None:
        """Return None: a step is a pass over the data."""

    def batch(self, samples: Array) -> Resident:
        """Return the objective of some of the samples, given by an array of their indices."""
        which = self.backend.to_host(samples)
        return self._part(*self.blocks.take(which), which)

    def batch_steps(self, state: State, batches: Array) -> None:
        """Return None: the samples of a batch are fetched."""

    def stable_rate(self) -> float:
        """Return a learning rate that diverges on none of the blocks, or nan where none was found."""
        return float(np.min([part.stable_rate() for part in self._parts()]))

    # What is known of a model at the end.

    def predicted(self, states: Sequence[State]) -> NDArray[Any]:
        """Return the most probable class of each sample by models `(k, m)`, a state each, on the host: in one pass."""
        state = joined(states)
        return np.concatenate([part.predicted([part.arrive(state)]) for part in self._parts()], axis=1)

    def probabilities(self, states: Sequence[State], which: Sequence[NDArray[np.intp]]) -> list[NDArray[Any]]:
        """Return, for each of these models' states, the probabilities of some samples, in one pass over the data."""
        state = joined(states)
        found = [np.empty((len(some), self.network.outputs), self.backend.dtype) for some in which]
        for part, rows in self.blocks:
            block = Resident(self._form(rows), (), (), (), self.network)
            here = block.arrive(state)
            A = self.backend.to_host(self.network.probabilities(here.Z, here.deeper))
            for answer, some, of_model in zip(found, which, A, strict=True):
                inside = (some >= part.start) & (some < part.stop)
                answer[inside] = of_model[:, some[inside] - part.start].T
        return found

    def dead_layers(self, state: State) -> set[int]:
        """Return the hidden layers, from 1, of one network whose units are off for every sample."""
        if not state.deeper:
            return set()
        return set.intersection(*(part.dead_layers(part.arrive(state)) for part in self._parts()))


DataObjective = Resident | Streamed  # what data and settings make; all that solvers know of it is in `protocol`


class _Line:
    """The objective on the line x + t d."""

    def __init__(self, objective: Streamed, start: Evaluation, d: Vector) -> None:
        """Work out the slope at its start."""
        self.of, self.start, self.d = objective, start, d
        self.slope = objective.inner(start.gradient, d)
        self.last = start

    def at(self, t: Array) -> tuple[Array, Array]:
        """Return f and its slope at t: one pass over the data."""
        self.last = self.of.evaluate(plus(self.start.x, t, self.d))
        return self.last.objective, self.of.inner(self.last.gradient, self.d)

    def arrive(self, f: Array) -> Evaluation:
        """Return the evaluation at the last t, where the objective is f."""
        return self.last._replace(objective=f)


def _dot(u: Array, v: Array) -> Array:
    """Return the inner products (k, units, 1), unit by unit."""
    return array_namespace(u).sum(u * v, axis=-1, keepdims=True)


def _dot_of_weights(u: Array, v: Vector) -> Array:
    return _dot(u, v.W)


def _inner(u: Array, v: Array) -> Array:
    """Return the inner products (k, 1, 1)."""
    return array_namespace(u).sum(_dot(u, v), axis=1, keepdims=True)

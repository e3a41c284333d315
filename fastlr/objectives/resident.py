"""The objective whose data and logits are all in the backend's memory, in either form.

The logits lie on a line where the parameters do: a trial of the line search needs no pass over the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace, to_host
from fastlr.objectives.form import Form
from fastlr.objectives.line import ResidentLine, total
from fastlr.objectives.network import Deeper, Network, classes_of
from fastlr.objectives.preconditioner import Preconditioner, axes_of, class_curvature
from fastlr.objectives.protocol import Compiled, Evaluation, Passed, State, Vector, rows_of, without_shift

LOGISTIC_REGRESSION = Network()
NONE = Preconditioner()


@dataclass(frozen=True)
class Resident:
    """k models to fit: labels `Y (1 or k, outputs, m)`, `learning_rate` and `l2` as `(k, 1, 1)`.

    `counts (k, 1, m)`, of mean 1 for each model, say how much a sample counts; None is all alike.
    """

    form: Form
    Y: Array
    learning_rate: Array
    l2: Array
    network: Network = LOGISTIC_REGRESSION
    counts: Array | None = None
    preconditioner: Preconditioner = NONE
    arrays: ClassVar[tuple[str, ...]] = ("form", "Y", "learning_rate", "l2", "counts", "preconditioner")
    is_resident: ClassVar[bool] = True
    is_faster_in_float32: ClassVar[bool] = False

    @property
    def m(self) -> int:
        """Return the number of samples."""
        return int(self.Y.shape[-1])

    @property
    def name(self) -> str:
        """Return the name of its form."""
        return self.form.name

    @property
    def moments(self) -> tuple[Array, Array] | None:
        """Return the mean and the deviation that standardize the features, where they are standardized."""
        return self.form.moments

    @property
    def inner_needs_logits(self) -> bool:
        """Return whether the form takes inner products from logits."""
        return self.form.inner_needs_logits

    def weights(self, W: Array) -> Array:
        """Return the weights (k, units, n) that coordinates W stand for."""
        return self.form.weights(W)

    def prepared(self, models: int) -> Resident:
        """Return the objective with its preconditioner, which is to pay for so many models, these the first of them."""
        if any(part is not None for part in self.preconditioner):
            return self
        xp, mean, form, network = array_namespace(self.Y), None, self.form, self.network
        if network.intercept:
            counted = self.counted()
            mean = Vector(form.gradient(counted), xp.zeros_like(counted[..., :1]))
            mean = self.complete(mean) if form.inner_needs_logits else mean
        spectrum = form.spectrum(models * network.outputs, network.intercept, self.counts)
        return replace(self, preconditioner=Preconditioner(mean, spectrum))

    def counted(self) -> Array:
        """Return how much each sample counts, `(1 or k, 1, m)`."""
        return array_namespace(self.Y).ones_like(self.Y[:1, :1, :]) if self.counts is None else self.counts

    def rows(self, models: Sequence[int]) -> Resident:
        """Return the objective of some of the models."""
        some = ("Y", "learning_rate", "l2", "counts")
        chosen = {name: rows_of(getattr(self, name), models) for name in some}
        preconditioner = self.preconditioner._replace(mean=rows_of(self.preconditioner.mean, models))
        return replace(self, form=self.form.rows(models), preconditioner=preconditioner, **chosen)

    # What converges: the network has one layer.

    def origin(self, b: Array, W: Array | None = None) -> Vector:
        """Return the point at coordinates W, else at the initial weights, and intercepts `b (k, units, 1)`."""
        form = self.form
        return Vector(form.origin(), b, form.initial_logits() + b) if W is None else self.complete(Vector(W, b))

    def complete(self, v: Vector) -> Vector:
        """Return a vector with its logits."""
        return v._replace(Z=self.form.logits(v.W, v.b))

    def evaluate(self, x: Vector) -> Evaluation:
        """Return cost, objective and gradient at a point."""
        J, D = self.value(x.Z)
        return self.evaluated(x, D, J, J + self.l2 / 2 * total(self.form.dot(x.W, x)))

    def curved(self, at: Evaluation) -> Evaluation:
        """Return the evaluation with its probabilities A, the axes of their curvature, and A (1 − A) of a sigmoid."""
        A = self._probabilities(at)
        axes = None if self.preconditioner.spectrum is None else axes_of(class_curvature(A, self.counts))
        if self.network.outputs > 1:  # no product asks for it
            return at._replace(kept=(A, axes))
        S = A * (1 - A) if self.counts is None else A * (1 - A) * self.counts
        return at._replace(kept=(A, axes, S))

    def product(self, at: Evaluation, p: Vector) -> Vector:
        """Return ∇²f p, without logits."""
        V = at.kept[2] * p.Z if self.network.outputs == 1 else core.curvature_at(at.kept[0], p.Z, self.counts)
        return self._adjoint(V, p.W)

    def precondition(self, at: Evaluation, r: Vector) -> Vector:
        """Return M r, without logits."""
        return self.preconditioner(at.kept[1], self.l2, r, self.form.dot, self.form.kernels)

    def newton(self, at: Evaluation) -> Vector:
        """Return the direction of Newton's method."""
        return self.form.newton(
            self._probabilities(at), at.x.W, at.gradient, self.l2, self.counts, self.network.intercept
        )

    def newton_steps(
        self, at: Evaluation, rules: tuple[Any, ...], most: int, tol: float
    ) -> tuple[Evaluation, Array, Passed] | None:
        """Return the point after compiled steps of Newton's method, whether the last was taken, and what was passed."""
        return self.form.newton_steps(at, self.Y, self.l2, self.counts, self.network.intercept, rules, most, tol)

    def lbfgs_fit(self, b: Array, W: Array | None, most: int, tol: float, settings: tuple[Any, ...]) -> Compiled | None:
        """Return where L-BFGS leads from there, in one compiled call; None without a kernel for it."""
        start, network = self.form.origin() if W is None else W, self.network
        return self.form.lbfgs_fit(start, b, self.Y, self.l2, self.counts, network.intercept, most, tol, settings)

    def _probabilities(self, at: Evaluation) -> Array:
        return core.sigmoid(at.x.Z) if self.network.outputs == 1 else core.softmax(at.x.Z)

    def conjugate_gradients(self, at: Evaluation, longest: int, share: float) -> Vector | None:
        """Return that direction by conjugate gradients, None where no kernel does all of them."""
        found = self.form.conjugate_gradients(
            at.kept[0], self.counts, self.l2, self.preconditioner, at.kept[1], at.gradient, longest, share
        )
        return found

    def along(self, at: Evaluation, d: Vector) -> ResidentLine:
        """Return the objective along a direction."""
        return ResidentLine(self, at, d)

    def inner(self, u: Vector, v: Vector) -> Array:
        """Return ⟨u, v⟩ `(k, 1, 1)`; v has logits where the form's inner product asks for them."""
        return total(self.form.dot(u.W, v) + u.b * v.b)

    def evaluated(self, x: Vector, D: Array, J: Array, objective: Array) -> Evaluation:
        """Return the evaluation at a point whose D, J and objective are known: here the gradient is computed."""
        gradient = self._adjoint(D, x.W)
        if self.form.inner_needs_logits:
            gradient = self.complete(gradient)
        xp, square = array_namespace(D), self.inner(gradient, gradient)
        # Where the Gram form's square is all rounding it may be anything, also negative: no less is known then.
        norm = xp.sqrt(xp.maximum(square, self._rounding_of_square(gradient)))
        return Evaluation(x, J, objective, gradient, norm)

    def value(self, Z: Array) -> tuple[Array, Array]:
        """Return J `(k, 1, 1)` and D `(k, units, m)` from the logits."""
        kernel = self.form.kernels.get("sigmoid_losses") if self.network.outputs == 1 else None
        found = None if kernel is None else kernel(Z, self.Y, self.counts)
        return core.losses_and_residuals(Z, self.Y, self.counts) if found is None else found

    def _adjoint(self, V: Array, P: Array) -> Vector:
        """Return [A*V + l2 P, mean(V)], without logits."""
        b = without_shift(core.intercept_gradient(V))
        return Vector(self.form.gradient(V) + self.l2 * P, b if self.network.intercept else 0 * b)

    def _rounding_of_square(self, u: Vector) -> Array:
        """Return how large ⟨u, u⟩ may come out of rounding alone, `(k, 1, 1)`: 0 where its terms are squares."""
        xp = array_namespace(u.W)
        if not self.form.inner_needs_logits:
            return xp.zeros_like(self.l2)
        terms = xp.abs(u.W[..., :-1] * (u.Z - u.b))
        return xp.finfo(u.W.dtype).eps * xp.sum(xp.sum(terms, axis=-1, keepdims=True), axis=1, keepdims=True)

    def curvature_along(self, Z: Array, V: Array) -> Array:
        """Return the derivative of D along V `(k, units, m)` at logits Z."""
        return core.curvature_along(Z, V, self.counts)

    # Gradient descent, of networks too.

    def start(self, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, the intercepts `b (k, units, 1)` and these deeper layers."""
        return State(*self.origin(b), deeper)

    def arrive(self, state: State) -> State:
        """Return the state with its logits."""
        return state._replace(Z=self.form.logits(state.W, state.b))

    def cost(self, state: Any) -> Array:
        """Return J `(k, 1, 1)` of a state."""
        return self.network.cost(state.Z, state.deeper, self.Y, self.counts)

    def gradients(self, state: State) -> list[Array]:
        """Return the derivatives of J by each of the state's parameters."""
        D, deeper = self.network.backward(state.Z, state.deeper, self.Y, self.counts)
        return [self.form.gradient(D), core.intercept_gradient(D), *(array for layer in deeper for array in layer)]

    def steps(self, state: State, count: int) -> State | None:
        """Return the state after `count` steps by a kernel that does many at once, None where there is none."""
        kind = "steps" if self.network.is_logistic_regression else "network_steps"
        moved = self._by_kernel(f"{self.form.name}_{kind}", state, count)
        return self.arrive(moved) if moved is not None and moved.Z is None else moved

    def batch(self, samples: Array) -> Resident:
        """Return the objective of some of the samples, given by an array of their indices."""
        take = array_namespace(samples).take
        counts = None if self.counts is None else take(self.counts, samples, axis=-1)
        return replace(self, form=self.form.batch(samples), Y=take(self.Y, samples, axis=-1), counts=counts)

    def batch_steps(self, state: State, batches: Array) -> State | None:
        """Return the state after a step for each row of `batches`, with its logits as they were; None without a kernel.

        `batches (count, size)` holds indices of samples.
        """
        moved = self._by_kernel("batch_steps", state._replace(Z=()), batches)
        return None if moved is None else moved._replace(Z=state.Z, t=state.t + batches.shape[0])

    def _by_kernel(self, name: str, state: State, what: Any) -> State | None:
        """Return the state after the steps of a kernel, of the samples as they are; None where it does not do them.

        Z is None where the kernel does not keep it.
        """
        kernel = self.form.kernels.get(name)
        if kernel is None or not self.form.has_kernels:
            return None
        moved = kernel(
            *self.form.for_kernels, self.Y, self.learning_rate, self.l2, self.network.units,
            state.W, state.b, state.deeper, state.Z, what, counts=self.counts,
        )  # fmt: skip
        if moved is None:
            return None
        W, b, deeper, Z = moved
        layers = tuple(type(layer)(*arrays) for layer, arrays in zip(state.deeper, deeper, strict=True))
        return state._replace(W=W, b=b, deeper=layers, Z=Z)

    def predicted(self, states: Sequence[State]) -> NDArray[Any]:
        """Return the most probable class of each sample by models `(k, m)`, a state each, on the host."""
        dtype = np.min_scalar_type(max(2, self.network.outputs) - 1)
        probabilities = (to_host(self.network.probabilities(self._logits(state), state.deeper)) for state in states)
        return np.concatenate([classes_of(some).astype(dtype) for some in probabilities])

    def probabilities(self, states: Sequence[State], which: Sequence[NDArray[np.intp]]) -> list[NDArray[Any]]:
        """Return, for each of these models' states, the probabilities of some samples, `(samples, outputs)`."""
        return [
            to_host(self.network.probabilities(self._logits(state), state.deeper))[0][:, some].T
            for state, some in zip(states, which, strict=True)
        ]

    def dead_layers(self, state: State) -> set[int]:
        """Return the hidden layers, from 1, of one network whose units are off for every sample."""
        return self.network.dead_layers(self._logits(state), state.deeper)

    def _logits(self, state: State) -> Array:
        """Return a state's logits, which it may have left out."""
        return self.form.logits(state.W, state.b) if isinstance(state.Z, tuple) else state.Z

    def stable_rate(self, iterations: int = 20) -> float:
        """Return 1 / (λ/4 + l2), half the largest rate that is sure to be stable, or nan where λ is not finite.

        λ is the largest eigenvalue of [X; 1][X; 1]ᵀ / m, bounded by that of XXᵀ / m plus 1 and found by power
        iteration; the curvature of the cost is at most λ/4 + l2 because σ' ≤ 1/4, and for a softmax at most λ/2 + l2.
        For hidden layers nothing so simple holds: nan.
        """
        form, network = self.form, self.network
        if network.hidden:
            return math.nan
        xp = array_namespace(self.Y)
        v = xp.ones_like(self.Y[:1, :1, :])
        eigenvalue = 0.0
        for _ in range(iterations):
            v = v / xp.sqrt(xp.sum(v * v))
            v = form.logits(form.gradient(v), 0.0)
            eigenvalue = float(xp.sqrt(xp.sum(v * v)))
            if eigenvalue == 0 or not math.isfinite(eigenvalue):
                break
        curvature = (eigenvalue + 1) / (4 if network.outputs == 1 else 2) + float(xp.max(self.l2))
        return 1 / curvature if math.isfinite(curvature) else math.nan

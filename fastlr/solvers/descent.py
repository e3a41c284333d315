"""Gradient descent on the whole data set, for k models at once.

    W ← W − learning_rate (dW + l2 W)        b ← b − learning_rate db

for every layer; the step along the gradient is the optimizer's. The state carries what the objective keeps of its own
parameters, such as their logits, so the cost of a state needs no further pass over the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastlr.backends.record import Backend, loop
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.network import Deeper
from fastlr.objectives.protocol import Descending, State
from fastlr.solvers.optimizers import OPTIMIZERS, Optimizer


@dataclass(frozen=True)
class Descent:
    """Gradient descent, whose steps look at all samples."""

    optimizer: Optimizer = OPTIMIZERS["gd"]

    def start(self, objective: Descending, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, the intercepts `b (k, units, 1)` and these deeper layers."""
        xp, state, kept = array_namespace(b), objective.start(b, deeper), self.optimizer.remembers
        memory = tuple((xp.zeros_like(p),) * kept for p in state.parameters) if kept else ()
        return state._replace(memory=memory, t=xp.zeros_like(b[:, :1, :]) if kept else ())

    def advance(self, backend: Backend, objective: Descending, state: State, steps: int) -> State:
        """Return the state after `steps` updates, by the objective's own way to do many where it has one."""
        moved = objective.steps(state, steps) if self.optimizer.is_plain else None
        if moved is not None:
            return moved
        repeat = backend.repeat if objective.is_resident else loop
        return repeat(partial(step, self.optimizer, objective), state, steps)


def step(optimizer: Optimizer, objective: Descending, state: State) -> State:
    """Return the state after one update."""
    return objective.arrive(update(optimizer, objective, state))


def update(optimizer: Optimizer, objective: Descending, state: State) -> State:
    """Return the state with its parameters moved along the gradient, and the logits that it had."""
    t = () if isinstance(state.t, tuple) else state.t + 1
    moved, memory = [], []
    for i, (p, g) in enumerate(zip(state.parameters, objective.gradients(state), strict=True)):
        if i % 2 == 0:  # intercepts are not penalised
            g = g + objective.l2 * p
        p, kept = optimizer.rule(p, g, state.memory[i] if state.memory else (), objective.learning_rate, t)
        moved.append(p)
        memory.append(kept)
    deeper, after = state.deeper, range(2, len(moved), 2)
    layers = tuple(type(layer)(*moved[i : i + 2]) for layer, i in zip(deeper, after, strict=True))
    return State(moved[0], moved[1], state.Z, layers, tuple(memory) if state.memory else (), t)

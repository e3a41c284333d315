"""Stochastic gradient descent: each step is one of `descent` on a few of the samples, k models on the same ones.

An epoch goes once through all m samples, in an order of its own: NumPy's default_rng([seed, epoch]).permutation(m),
drawn on the host, so that every backend takes the same batches. Its last batch is what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from fastlr import core
from fastlr.backends.record import Backend, loop
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.objectives.network import Deeper
from fastlr.objectives.protocol import Descending, State
from fastlr.solvers.descent import Descent, update
from fastlr.solvers.optimizers import OPTIMIZERS, Optimizer


@dataclass(frozen=True)
class MiniBatches:
    """A solver whose steps look at `batch_size` samples each; a state's logits are those of all of them."""

    batch_size: int
    seed: int
    optimizer: Optimizer = OPTIMIZERS["gd"]

    def start(self, objective: Descending, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, and step 0."""
        state = Descent(self.optimizer).start(objective, b, deeper)
        return state._replace(t=array_namespace(b).zeros_like(b[:, :1, :]))

    def advance(self, backend: Backend, objective: Descending, state: State, steps: int) -> State:
        """Return the state after `steps` batches, with the logits of all samples."""
        xp, m, size = array_namespace(state.b), objective.m, self.batch_size
        whole, rest = divmod(m, size)
        each, done = whole + (rest > 0), int(state.t[0, 0, 0])
        last = done + steps
        while done < last:
            epoch, position = divmod(done, each)
            order = backend.asarray(np.random.default_rng([self.seed, epoch]).permutation(m))
            first, width = (0, size) if position < whole else (whole, rest)
            count = min(last - done, whole - position) if position < whole else 1
            batches = xp.reshape(order[: whole * size] if position < whole else order[whole * size :], (-1, width))
            some = batches[position - first : position - first + count, :]
            moved = objective.batch_steps(state, some) if self.optimizer.is_plain else None
            if moved is None:
                take = partial(turn, self.optimizer, objective, batches, first, each)
                repeat = backend.repeat if objective.is_resident else loop
                moved = repeat(take, state, count)
            state = moved
            done += count
        return objective.arrive(state)


def turn(optimizer: Optimizer, objective: Descending, batches: Array, first: int, each: int, state: State) -> State:
    """Return the state after one update on the batch whose turn it is.

    `batches (count, size)` holds indices of samples; its first row is batch `first` of the `each` batches of an epoch.
    """
    xp = array_namespace(batches)
    row = xp.astype(xp.remainder(state.t[:1, 0, 0], each), batches.dtype) - first
    return step(optimizer, objective, xp.reshape(core.rows(batches, row), (-1,)), state)


def step(optimizer: Optimizer, objective: Descending, samples: Array, state: State) -> State:
    """Return the state after one update on these samples, given by their indices; but for Z, which stays as it was."""
    some = objective.batch(samples)
    return update(optimizer, some, some.arrive(state))._replace(Z=state.Z)

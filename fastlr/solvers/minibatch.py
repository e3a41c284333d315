"""Stochastic gradient descent: each step is one of `descent` on a few of the examples, k models on the same ones.

An epoch goes once through all m examples, in an order of its own: NumPy's default_rng([seed, epoch]).permutation(m),
drawn on the host, so that every backend takes the same batches. Its last batch is what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import array_namespace
from fastlr.network import Deeper
from fastlr.solvers import descent
from fastlr.solvers.problem import Delegate, Problem, State


@dataclass(frozen=True)
class MiniBatches:
    """A solver whose steps look at `batch_size` examples each; a state's Z is that of all of them."""

    batch_size: int
    seed: int

    def start(self, problem: Problem, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the form's initial weights, and step 0."""
        return descent.start(problem, b, deeper)._replace(t=array_namespace(b).zeros_like(b[:, :1, :]))

    def advance(self, backend: Delegate, problem: Problem, state: State, steps: int) -> State:
        """Return the state after `steps` batches, with the logits of all examples."""
        xp, m, size = array_namespace(problem.Y), problem.Y.shape[-1], self.batch_size
        whole, rest = divmod(m, size)
        each, done = whole + (rest > 0), int(state.t[0, 0, 0])
        last = done + steps
        fused = backend.kernels.get("batch_steps") if problem.is_plain else None
        while done < last:
            epoch, position = divmod(done, each)
            order = backend.asarray(np.random.default_rng([self.seed, epoch]).permutation(m))
            first, width = (0, size) if position < whole else (whole, rest)
            count = min(last - done, whole - position) if position < whole else 1
            batches = xp.reshape(order[: whole * size] if position < whole else order[whole * size :], (-1, width))
            if fused is not None:
                state = fused(problem, state, batches[position - first : position - first + count, :])
            else:
                state = backend.repeat(partial(turn, problem, batches, first, each), state, count)
            done += count
        return state._replace(Z=problem.form.logits(state.W, state.b))

    suggest_learning_rate = staticmethod(descent.suggest_learning_rate)


def turn(problem: Problem, batches: Array, first: int, each: int, state: State) -> State:
    """Return the state after one update on the batch whose turn it is.

    `batches (count, size)` holds indices of examples; its first row is batch `first` of the `each` batches of an epoch.
    """
    xp = array_namespace(batches)
    row = xp.astype(xp.remainder(state.t[:1, 0, 0], each), batches.dtype) - first
    return step(problem, xp.reshape(core.rows(batches, row), (-1,)), state)


def step(problem: Problem, examples: Array, state: State) -> State:
    """Return the state after one update on these examples, given by their indices; but for Z, which stays as it was."""
    some = problem.batch(examples)
    return descent.update(some, state._replace(Z=some.form.logits(state.W, state.b)))._replace(Z=state.Z)

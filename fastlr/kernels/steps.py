"""The CPU's kernels as replacements for the solvers' steps, on NumPy arrays."""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import Any

import numpy as np

from fastlr.backends import numpy as plain
from fastlr.core import Array
from fastlr.kernels import starting
from fastlr.kernels.arrays import pad, readable
from fastlr.network import Deeper, Layer
from fastlr.solvers import descent, minibatch
from fastlr.solvers.problem import Problem, State

PART_ROWS = 64  # examples in a part of a primal step at least: its gradient is n numbers to be added up
BATCH_PARTS, BATCH_ROWS = 8, 32  # parts of a batch at most, and examples in one at least
DEEPER = 2**12  # numbers above a network's first layer, up to which the kernels take them one example after another


def gram_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a GramForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    W, Z = state.W[:, 0, :], state.Z[:, 0, :].copy()
    C, s, b = pad(W[:, :-1]), W[:, -1].copy(), state.b[:, 0, 0].copy()
    k, m = Z.shape
    count = starting.parts_for(k * m * m)
    _advance(
        "gram_steps", count, k * m * m, steps, *form.K, C.dtype.type(form.factor), form.Z[:, 0, :],
        *_settings(problem),
        C, s, b, Z, np.empty((count, *C.shape), C.dtype), np.empty((count, k), C.dtype),
    )  # fmt: skip
    return _state(np.concatenate([C[:, :m], s[:, np.newaxis]], axis=1), b, Z)


def primal_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a PrimalForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    if not readable(form.X):
        return plain.repeat(functools.partial(descent.step, problem), state, steps)
    W, b = state.W[:, 0, :].copy(), state.b[:, 0, 0].copy()
    (k, n), m = W.shape, form.X.shape[1]
    count = min(starting.parts_for(2 * k * n * m), max(1, m // PART_ROWS))
    arguments = (
        count, 2 * k * n * m, steps, form.X.T, W.dtype.type(form.scale), *_settings(problem),
        W, b, np.empty((count, k, n), W.dtype), np.empty((count, k), W.dtype),
    )  # fmt: skip
    if form.X.dtype == np.uint8 and _has_vectors():
        _advance("pixel_steps", *arguments, np.empty((count, k)))
    else:
        _advance("primal_steps", *arguments)
    return _state(W, b, (form.project(W[:, np.newaxis, :]) + b[:, np.newaxis, np.newaxis])[:, 0, :])


def gram_network_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance networks, or a softmax, on a GramForm. Twin: `descent.step`, `steps` times."""
    if not _is_small(problem):
        return plain.repeat(functools.partial(descent.step, problem), state, steps)
    form: Any = problem.form
    k, units, m = state.Z.shape
    C, s, b = pad(state.W[..., :-1].reshape(k * units, m)), state.W[..., -1].copy(), state.b[..., 0].copy()
    deeper, Z = _flat(state.deeper, b), state.Z.copy()
    count = starting.parts_for(k * units * m * m)
    sums = np.empty((count, k, units + deeper.shape[1]), C.dtype)
    _advance(
        "gram_network_steps", count, k * units * m * m, steps, *form.K, C.dtype.type(form.factor), form.Z,
        *_settings_of_all(problem), C, s, b, deeper, Z, np.arange(m), np.empty((count, *C.shape), C.dtype), sums,
    )  # fmt: skip
    W = np.concatenate([C[:, :m].reshape(Z.shape), s[:, :, np.newaxis]], axis=2)
    return State(W, b[:, :, np.newaxis], Z, _layers(deeper, state.deeper))


def primal_network_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance networks, or a softmax, on a PrimalForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    if not readable(form.X) or not _is_small(problem):
        return plain.repeat(functools.partial(descent.step, problem), state, steps)
    state = _steps_on(problem, state, np.arange(form.X.shape[1])[np.newaxis], steps, starting.PARTS)
    return state._replace(Z=form.logits(state.W, state.b))


def batch_steps(problem: Problem, state: State, batches: Array) -> State:
    """Advance a state by a step for each row of `batches`, but for its logits. Twin: `minibatch.step`."""
    form: Any = problem.form
    if not readable(form.X) or not _is_small(problem):
        for row in batches:
            state = minibatch.step(problem, row, state)
        return state
    return _steps_on(problem, state, batches, len(batches), BATCH_PARTS)._replace(t=state.t + len(batches))


def _steps_on(problem: Problem, state: State, batches: Array, steps: int, most: int) -> State:
    """Return the state after steps on these examples in turn, each cut into at most so many parts; Z stays."""
    form: Any = problem.form
    W, b = state.W.copy(), state.b[..., 0].copy()
    deeper = _flat(state.deeper, b)
    operations = 2 * W.size * batches.shape[1]
    count = 1 if operations < starting.ALONE else max(1, min(most, batches.shape[1] // BATCH_ROWS))
    sums = np.empty((count, len(W), b.shape[1] + deeper.shape[1]), W.dtype)
    _advance(
        "batch_steps", count, operations, steps, batches, form.X.T, W.dtype.type(form.scale),
        *_settings_of_all(problem), W, b, deeper, np.empty((count, *W.shape), W.dtype), sums,
    )  # fmt: skip
    return state._replace(W=W, b=b[..., np.newaxis], deeper=_layers(deeper, state.deeper))


def _advance(kernel: str, count: int, operations: int, steps: int, *arguments: Any) -> None:
    """Let a kernel do so many steps of so many operations each, in at most `count` threads, a turn at a time."""
    done = 0
    for turn in starting.turns(steps, operations):
        size = min(count, starting.size_that_meets(operations))
        starting.start(kernel, size, done, turn, *arguments)
        done += turn


def _settings(problem: Problem) -> tuple[Array, Array, Array]:
    """Return Y (1 or k, m), and the learning rates and l2 (k,), contiguous."""
    return problem.Y[:, 0, :], problem.learning_rate[:, 0, 0].copy(), problem.l2[:, 0, 0].copy()


def _settings_of_all(problem: Problem) -> tuple[Array, ...]:
    """Return Y, the learning rates and l2 (k,), each layer's units, and which numbers of the deeper are weights."""
    units = problem.network.units
    weighted = [np.repeat([1.0, 0.0], [size * below, size]) for below, size in pairwise(units)]
    return (
        problem.Y, problem.learning_rate[:, 0, 0].copy(), problem.l2[:, 0, 0].copy(),
        np.array(units, dtype=np.int64), np.concatenate([np.zeros(0), *weighted]),
    )  # fmt: skip


def _state(W: Array, b: Array, Z: Array) -> State:
    return State(W[:, np.newaxis, :], b[:, np.newaxis, np.newaxis], Z[:, np.newaxis, :])


def _is_small(problem: Problem) -> bool:
    """Return whether the layers above the first are so small that the kernels do better than a BLAS."""
    return sum(size * (below + 1) for below, size in pairwise(problem.network.units)) <= DEEPER


def _flat(layers: Deeper, like: Array) -> Array:
    """Return the deeper layers of k networks as (k, P)."""
    k = len(like)
    parts = [array.reshape(k, -1) for layer in layers for array in layer]
    return np.concatenate([np.empty((k, 0), like.dtype), *parts], axis=1)


def _layers(flat: Array, like: Deeper) -> Deeper:
    """Return (k, P) as layers of these shapes."""
    arrays, at = [], 0
    for array in (array for layer in like for array in layer):
        size = array[0].size
        arrays.append(flat[:, at : at + size].reshape(array.shape))
        at += size
    return tuple(Layer(*pair) for pair in zip(arrays[::2], arrays[1::2], strict=True))


def _has_vectors() -> bool:
    """Return whether the kernels in whole numbers run on this processor."""
    from fastlr.kernels.words import AVX2

    return bool(AVX2)

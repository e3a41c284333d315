"""The CPU's kernels that take many steps of gradient descent, on NumPy arrays; None where they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastlr.core import Array
from fastlr.kernels.cpu import starting
from fastlr.kernels.cpu.arrays import readable
from fastlr.kernels.cpu.matrix import GramMatrix, pad

PART_ROWS = 64  # samples in a part of a primal step at least: its gradient is n numbers to be added up
BATCH_PARTS, BATCH_ROWS = 8, 32  # parts of a batch at most, and samples in one at least
DEEPER = 2**12  # numbers above a network's first layer, up to which the kernels take them one sample after another


Layers = Sequence[tuple[Array, Array]]  # W (k, units, inputs) and b (k, units, 1) of each layer above the first
Moved = tuple[Array, Array, Layers, Array | None]  # W, b, the deeper layers, and the logits where they are at hand


def gram_steps(
    K: GramMatrix, factor: float, initial: Array, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: Layers, Z: Array, steps: int, counts: Array | None = None,
) -> Moved:  # fmt: skip
    """Take so many steps of one sigmoid unit in the Gram form. Twin: `descent.step` on a GramForm, `steps` times.

    `initial (k, 1, m)` are the logits of the initial weights, W (k, 1, m + 1) the coordinates.
    """
    C, s, b, Z = pad(W[:, 0, :-1]), W[:, 0, -1].copy(), b[:, 0, 0].copy(), Z[:, 0, :].copy()
    k, m = Z.shape
    count = starting.parts_for(k * m * m)
    _advance(
        "gram_steps", count, k * m * m, steps, *K, C.dtype.type(factor), initial[:, 0, :],
        Y[:, 0, :], _weights(counts, C), rates[:, 0, 0].copy(), l2[:, 0, 0].copy(),
        C, s, b, Z, np.empty((count, *C.shape), C.dtype), np.empty((count, k), C.dtype),
    )  # fmt: skip
    W = np.concatenate([C[:, :m], s[:, np.newaxis]], axis=1)
    return W[:, np.newaxis, :], b[:, np.newaxis, np.newaxis], (), Z[:, np.newaxis, :]


def primal_steps(
    X: Array, scale: float, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: Layers, Z: Array, steps: int, counts: Array | None = None,
) -> Moved | None:  # fmt: skip
    """Take so many steps of one sigmoid unit. Twin: `descent.step` on a PrimalForm, `steps` times."""
    if not readable(X):
        return None
    W, b = W[:, 0, :].copy(), b[:, 0, 0].copy()
    (k, n), m = W.shape, X.shape[1]
    count = min(starting.parts_for(2 * k * n * m), max(1, m // PART_ROWS))
    arguments = (
        count, 2 * k * n * m, steps, X.T, W.dtype.type(scale),
        Y[:, 0, :], _weights(counts, W), rates[:, 0, 0].copy(), l2[:, 0, 0].copy(),
        W, b, np.empty((count, k, n), W.dtype), np.empty((count, k), W.dtype),
    )  # fmt: skip
    if X.dtype == np.uint8 and _has_vectors():
        _advance("pixel_steps", *arguments, np.empty((count, k)))
    else:
        _advance("primal_steps", *arguments)
    return W[:, np.newaxis, :], b[:, np.newaxis, np.newaxis], (), None


def gram_network_steps(
    K: GramMatrix, factor: float, initial: Array, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: Layers, Z: Array, steps: int, counts: Array | None = None,
) -> Moved | None:  # fmt: skip
    """Take so many steps of networks, or a softmax, in the Gram form. Twin: `descent.step` on a GramForm."""
    if not _is_small(units):
        return None
    k, first, m = Z.shape
    C, s, b = pad(W[..., :-1].reshape(k * first, m)), W[..., -1].copy(), b[..., 0].copy()
    flat, Z = _flat(deeper, b), Z.copy()
    count = starting.parts_for(k * first * m * m)
    sums = np.empty((count, k, first + flat.shape[1]), C.dtype)
    _advance(
        "gram_network_steps", count, k * first * m * m, steps, *K, C.dtype.type(factor), initial,
        *_settings(Y, counts, rates, l2, units), C, s, b, flat, Z, np.arange(m), np.empty((count, *C.shape), C.dtype),
        sums,
    )  # fmt: skip
    W = np.concatenate([C[:, :m].reshape(Z.shape), s[:, :, np.newaxis]], axis=2)
    return W, b[:, :, np.newaxis], _layers(flat, deeper), Z


def primal_network_steps(
    X: Array, scale: float, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: Layers, Z: Array, steps: int, counts: Array | None = None,
) -> Moved | None:  # fmt: skip
    """Take so many steps of networks, or a softmax. Twin: `descent.step` on a PrimalForm, `steps` times."""
    if not readable(X) or not _is_small(units):
        return None
    everything = np.arange(X.shape[1])[np.newaxis]
    return _steps_on(everything, steps, starting.PARTS, X, scale, Y, counts, rates, l2, units, W, b, deeper)


def batch_steps(
    X: Array, scale: float, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: Layers, Z: Array, batches: Array, counts: Array | None = None,
) -> Moved | None:  # fmt: skip
    """Take a step on each row of `batches (count, size)`, indices of samples. Twin: `minibatch.step`."""
    if not readable(X) or not _is_small(units):
        return None
    return _steps_on(batches, len(batches), BATCH_PARTS, X, scale, Y, counts, rates, l2, units, W, b, deeper)


def _steps_on(
    batches: Array, steps: int, most: int, X: Array, scale: float, Y: Array, counts: Array | None, rates: Array,
    l2: Array, units: Sequence[int], W: Array, b: Array, deeper: Layers,
) -> Moved:  # fmt: skip
    """Take steps on these samples in turn, each cut into at most so many parts."""
    W, b = W.copy(), b[..., 0].copy()
    flat = _flat(deeper, b)
    operations = 2 * W.size * batches.shape[1]
    count = 1 if operations < starting.ALONE else max(1, min(most, batches.shape[1] // BATCH_ROWS))
    sums = np.empty((count, len(W), b.shape[1] + flat.shape[1]), W.dtype)
    _advance(
        "batch_steps", count, operations, steps, batches, X.T, W.dtype.type(scale),
        *_settings(Y, counts, rates, l2, units), W, b, flat, np.empty((count, *W.shape), W.dtype), sums,
    )  # fmt: skip
    return W, b[..., np.newaxis], _layers(flat, deeper), None


def _advance(kernel: str, count: int, operations: int, steps: int, *arguments: Any) -> None:
    """Let a kernel do so many steps of so many operations each, in at most `count` threads, a turn at a time."""
    done = 0
    for turn in starting.turns(steps, operations):
        size = min(count, starting.size_that_meets(operations))
        starting.start(kernel, size, done, turn, *arguments)
        done += turn


def _settings(
    Y: Array, counts: Array | None, rates: Array, l2: Array, units: Sequence[int]
) -> tuple[Array, ...]:  # fmt: skip
    """Return Y, what the samples count, the learning rates and l2 (k,), each layer's units, and which numbers of the
    deeper are weights.
    """
    weighted = [np.repeat([1.0, 0.0], [size * below, size]) for below, size in pairwise(units)]
    return (
        Y, _weights(counts, Y), rates[:, 0, 0].copy(), l2[:, 0, 0].copy(),
        np.array(units, dtype=np.int64), np.concatenate([np.zeros(0), *weighted]),
    )  # fmt: skip


def _weights(counts: Array | None, like: Array) -> Array:
    """Return how much the samples count, `(1 or k, m)`, in the dtype of `like`; without rows where all count alike."""
    return np.empty((0, 0), like.dtype) if counts is None else np.require(counts[:, 0, :], like.dtype, ("C", "W"))


def _is_small(units: Sequence[int]) -> bool:
    """Return whether the layers above the first are so small that the kernels do better than a BLAS."""
    return sum(size * (below + 1) for below, size in pairwise(units)) <= DEEPER


def _flat(layers: Layers, like: Array) -> Array:
    """Return the deeper layers of k networks as (k, P)."""
    k = len(like)
    parts = [array.reshape(k, -1) for layer in layers for array in layer]
    return np.concatenate([np.empty((k, 0), like.dtype), *parts], axis=1)


def _layers(flat: Array, like: Layers) -> Layers:
    """Return (k, P) as layers of these shapes."""
    arrays, at = [], 0
    for array in (array for layer in like for array in layer):
        size = array[0].size
        arrays.append(flat[:, at : at + size].reshape(array.shape))
        at += size
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def _has_vectors() -> bool:
    """Return whether the kernels in whole numbers run on this processor."""
    from fastlr.kernels.cpu.words import AVX2

    return bool(AVX2)

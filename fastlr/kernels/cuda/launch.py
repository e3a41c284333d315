"""Launching the CUDA kernels on the arrays of a library that Numba reads: CuPy's, or NumPy's in the simulator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from array_api_compat import device
from numba import cuda, typeof

from fastlr import core
from fastlr.core import Array
from fastlr.kernels.cuda import predict as cuda_predict
from fastlr.kernels.cuda import steps as kernels
from fastlr.kernels.cuda.predict import CHUNK, ROWS, WIDTH
from fastlr.kernels.cuda.steps import FEATURES, LANES, MODELS, SIMULATED, WARPS
from fastlr.namespace import array_namespace

Moved = tuple[Array, Array, tuple[()], Array | None]  # W, b, no deeper layers, and the logits where they are at hand

BLOCK = (LANES, WARPS)
BLOCKS = 2**16  # of a launch whose blocks need not all be there at once
KEPT = 2**15  # bytes of shared memory for a block's rows of K; 48 KiB is what a block has without asking for more


def predict(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return the probabilities σ(W (scale X) + b), shape (k, m), in one pass over X. Twin: `core.predict`."""
    xp, rows = array_namespace(W), X.T
    if not rows.flags.c_contiguous:
        return core.predict(W, b, X, scale)
    A = xp.empty((W.shape[0], rows.shape[0]), dtype=W.dtype, device=device(W))
    wide = reads_wide(rows)
    blocks = 1 if SIMULATED else min(BLOCKS, -(-rows.shape[0] // (WARPS * (ROWS if wide else 1))))
    if wide:
        # A scale in float64 would make float64 of all that it meets.
        kernel = cuda_predict.PREDICT_PIXELS[W.dtype]
        _on(blocks, kernel)(rows, arrange(W), b[:, 0].copy(), W.dtype.type(scale), A)
    else:
        _on(blocks, cuda_predict.predict)(rows, W, b[:, 0].copy(), scale, A)
    return A


def reads_wide(rows: Array) -> bool:
    """Return whether these rows are pixels of which every WIDTH begin at a multiple of WIDTH bytes."""
    interface = getattr(rows, "__cuda_array_interface__", None) or rows.__array_interface__
    return bool(rows.dtype == "uint8" and rows.shape[1] % WIDTH == 0 and interface["data"][0] % WIDTH == 0)


def arrange(W: Array) -> Array:
    """Return W (k, n) as (k, chunks, CHUNK), filled up with zeros, in the order in which the lanes of a warp read it.

    A lane reads WIDTH pixels that lie side by side. Of their weights all lanes read the first, then all the second, so
    the first weights of all lanes are to lie side by side.
    """
    xp, (k, n) = array_namespace(W), W.shape
    chunks, filled = -(-n // CHUNK), W
    if n % CHUNK:
        filled = xp.zeros((k, chunks * CHUNK), dtype=W.dtype, device=device(W))
        filled[:, :n] = W
    lanes = xp.reshape(filled, (k, chunks, LANES, WIDTH))
    return xp.reshape(xp.permute_dims(lanes, (0, 1, 3, 2)), (k, chunks, CHUNK))


def gram_steps(
    K: Array, factor: float, initial: Array, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: tuple[()], Z: Array, steps: int,
) -> Moved:  # fmt: skip
    """Take so many steps of one sigmoid unit in the Gram form. Twin: `descent.step` on a GramForm, `steps` times."""
    k, _, m = Z.shape
    xp = array_namespace(Z)
    if k > MODELS:  # as many models at a time as a launch takes
        groups = []
        for start in range(0, k, MODELS):
            some = slice(start, start + MODELS)
            mine = (Y if len(Y) == 1 else Y[some], rates[some], l2[some], units, W[some], b[some], deeper, Z[some])
            groups.append(gram_steps(K, factor, initial[some], *mine, steps))
        W, b, Z = (xp.concat([group[i] for group in groups], axis=0) for i in (0, 1, 3))
        return W, b, (), Z
    C = xp.zeros((2, k, m), dtype=W.dtype, device=device(W))
    C[0] = W[:, 0, :-1]
    s, b, Z = W[:, 0, -1].copy(), b[:, 0, 0].copy(), Z[:, 0, :].copy()
    scratch = partial(xp.empty, dtype=Z.dtype, device=device(Z))
    before = (steps, K, factor, initial[:, 0, :], *_settings(Y, rates, l2), C, s, b, Z)
    like = (*before, scratch((2, k, 1)))
    blocks = _blocks(kernels.gram_steps, like, -(-m // WARPS))
    kept = -(-m // (WARPS * blocks)) * WARPS * m * K.dtype.itemsize
    if kept > KEPT or _blocks(kernels.gram_steps, like, blocks, kept) < blocks:
        kept = 0
    _on(blocks, kernels.gram_steps, kept)(*before, scratch((2, k, blocks)))
    return xp.concat([C[steps % 2], s[:, None]], axis=1)[:, None, :], b[:, None, None], (), Z[:, None, :]


def primal_steps(
    X: Array, scale: float, Y: Array, rates: Array, l2: Array, units: Sequence[int],
    W: Array, b: Array, deeper: tuple[()], Z: Array, steps: int,
) -> Moved | None:  # fmt: skip
    """Take so many steps of one model; many models, or features, go the plain way. Twin: `descent.step`."""
    (k, _, n), rows = W.shape, X.T
    if k > 1 or n > FEATURES or not rows.flags.c_contiguous:
        return None
    xp = array_namespace(Z)
    W, b = W[:, 0, :].copy(), b[:, 0, 0].copy()
    before = (steps, rows, scale, *_settings(Y, rates, l2), W, b)
    scratch = partial(xp.empty, dtype=W.dtype, device=device(W))
    blocks = _blocks(kernels.primal_steps, (*before, scratch((1, n)), scratch(1)), -(-rows.shape[0] // WARPS))
    _on(blocks, kernels.primal_steps)(*before, scratch((blocks, n)), scratch(blocks))
    return W[:, None, :], b[:, None, None], (), None


def without_weights(kernel: Callable[..., Moved | None]) -> Callable[..., Moved | None]:
    """Return the kernel for samples that all count alike: where they do not the plain way is taken."""

    def steps(*arguments: Any, counts: Array | None) -> Moved | None:
        return None if counts is not None else kernel(*arguments)

    return steps


KERNELS = {
    "predict": predict,
    "gram_steps": without_weights(gram_steps),
    "primal_steps": without_weights(primal_steps),
}


def available() -> bool:
    """Return whether Numba reaches a CUDA device."""
    return bool(cuda.is_available())


def _settings(Y: Array, rates: Array, l2: Array) -> tuple[Array, Array, Array]:
    """Return Y (1 or k, m), and the learning rates and l2 (k,), contiguous."""
    return Y[:, 0, :], rates[:, 0, 0].copy(), l2[:, 0, 0].copy()


def _on(blocks: int, kernel: Any, shared: int = 0) -> Any:
    """Return a kernel to be launched on so many blocks, each with so many bytes of shared memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grid size")  # Numba's advice to take 128 or more: few rows need no more
        return kernel[blocks, BLOCK, 0, shared]


def _blocks(kernel: Any, arguments: tuple[Any, ...], wanted: int, shared: int = 0) -> int:
    """Return how many blocks wait for each other: no more than the device holds, each with so many shared bytes."""
    if SIMULATED:
        return 1
    given = (cuda.as_cuda_array(x) if hasattr(x, "__cuda_array_interface__") else x for x in arguments)
    signature = tuple(typeof(argument) for argument in given)
    kernel.compile(signature)
    held: int = kernel.overloads[signature].max_cooperative_grid_blocks(BLOCK, shared)
    return max(1, min(wanted, held))

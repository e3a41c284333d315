"""NumPy arrays with compiled kernels: the default on a CPU. Pixels are read as uint8, whatever the working dtype."""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastlr import core
from fastlr.backends import numpy as plain
from fastlr.backends.record import Backend, UnavailableError
from fastlr.core import Array
from fastlr.forms import Costs, Kernels
from fastlr.network import Deeper, Layer
from fastlr.solvers import descent, minibatch
from fastlr.solvers.problem import Problem, State

READS = ("uint8", "float32", "float64")  # dtypes of X for which there are kernels
# K of uint8 pixels stays below 2³¹ up to so many features.
INT32_FEATURES = (2**31 - 1) // 255**2
# Of `fastlr.kernels.gram`, which is imported when it is needed.
PANEL = 16
LANES = 8
FEATURES = 1024
# Parts into which a step's work is cut, and so the most threads that share it.
PARTS = 16
BATCH_PARTS, BATCH_ROWS = 8, 32  # the same for a batch, whose gradients are to be added up for few examples
PART_ROWS = 64  # examples in such a part of a primal step at least: its gradient is n numbers to be added up
DEEPER = 2**12  # numbers above a network's first layer, up to which the kernels take them one example after another
# Operations of one call, or one step, below which a second thread costs more than it brings.
ALONE = 1_000_000
NOTICE_AFTER = 1.0  # seconds

COMPILED: set[tuple[Any, ...]] = set()  # kernels with the types of their arguments
LOG = logging.getLogger("fastlr")


def devices() -> tuple[str, ...]:
    """Return the devices that Numba's CPU kernels run on."""
    if importlib.util.find_spec("numba") is None:
        raise UnavailableError("numba is not installed")
    return plain.devices()


device_of = plain.device_of


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return NumPy's record with the kernels."""
    return replace(
        plain.open_backend(device, dtype, precision),
        name="numba",
        asarray=np.ascontiguousarray,
        costs=Costs(primal=0.13, gram=0.06, product=0.005),
        kernels=KERNELS,
        reads=READS,
    )


def project(W: Array, X: Array, scale: float = 1.0) -> Array:
    """Return W (scale X), shape (k, m). Twin: `core.project`."""
    if not _readable(X):
        return core.project(W, X, scale)
    Z = np.empty((W.shape[0], X.shape[1]), dtype=W.dtype)
    _run("project", W.shape[0] * X.size, X.T, np.ascontiguousarray(W * scale), Z)
    return Z


def predict(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return the probabilities σ(W (scale X) + b), shape (k, m), in one pass over X. Twin: `core.predict`."""
    # A few pictures are done before the compiler would be imported.
    few = X.size < core.BLOCK
    return core.predict(W, b, X, scale) if few else core.sigmoid(project(W, X, scale) + b)


def combine(C: Array, X: Array, scale: float = 1.0) -> Array:
    """Return C (scale X)ᵀ, (k, n). Twin: `core.combine`."""
    if not _readable(X):
        return core.combine(C, X, scale)
    W = np.empty((C.shape[0], X.shape[0]), dtype=C.dtype)
    _run("combine", C.shape[0] * X.size, X.T, np.ascontiguousarray(C * scale), W)
    return W


class GramMatrix(NamedTuple):
    """XᵀX as `fastlr.kernels.gram` reads it: the upper triangle (M, M) without its diagonal, and that, (M,)."""

    upper: Array
    diagonal: Array


def gram_matrix(X: Array, dtype: Any) -> GramMatrix:
    """Return XᵀX, for pixels as int32 where it fits: half the bytes, still exact. Twin: `core.gram_matrix`."""
    n, m = X.shape
    padded = _padded(m, PANEL)
    if X.dtype != np.uint8 or not _readable(X):
        return _set_diagonal_apart(core.gram_matrix(X, dtype))
    upper = np.zeros((padded, padded), dtype=np.int32 if n <= INT32_FEATURES else np.float64)
    diagonal = np.empty(padded, dtype)
    packed = np.empty((padded // PANEL, FEATURES // 2, PANEL, 2), np.int16)
    _run("gram_matrix", n * m * m, np.zeros(1, np.int64), X.T, packed, upper, diagonal)
    return GramMatrix(upper, diagonal)


def standardized_gram_matrix(X: Array, mean: Array, deviation: Array, scale: float = 1.0) -> GramMatrix:
    """Return the Gram matrix of standardized features. Twin: `core.standardized_gram_matrix`."""
    return _set_diagonal_apart(core.standardized_gram_matrix(X, mean, deviation, scale))


def _set_diagonal_apart(K: Array) -> GramMatrix:
    """Return K (m, m) as the kernels read it."""
    m = K.shape[0]
    padded = _padded(m, PANEL)
    upper, diagonal = np.zeros((padded, padded), K.dtype), np.zeros(padded, K.dtype)
    upper[:m, :m], diagonal[:m] = K, K.diagonal()
    for row in range(LANES):
        for column in range(row + 1):
            upper[np.arange(row, padded, LANES), np.arange(column, padded, LANES)] = 0
    return GramMatrix(upper, diagonal)


def gram_product(C: Array, K: GramMatrix) -> Array:
    """Return C K, (k, m). Twin: `core.gram_product`."""
    k, m = C.shape
    Z = np.empty_like(C)
    count = _parts(k * m * m)
    size = min(count, _size(k * m * m))
    C = _pad(C)
    _start("gram_product", size, np.zeros(1, np.int64), *K, C, Z, np.empty((count, *C.shape), C.dtype))
    return Z


def gram_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a GramForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    W, Z = state.W[:, 0, :], state.Z[:, 0, :].copy()
    C, s, b = _pad(W[:, :-1]), W[:, -1].copy(), state.b[:, 0, 0].copy()
    k, m = Z.shape
    count = _parts(k * m * m)
    size = min(count, _size(k * m * m))
    _start(
        "gram_steps", size, np.zeros(1, np.int64), steps, *form.K, C.dtype.type(form.factor), form.Z[:, 0, :],
        *_settings(problem),
        C, s, b, Z, np.empty((count, *C.shape), C.dtype), np.empty((count, k), C.dtype),
    )  # fmt: skip
    return _state(np.concatenate([C[:, :m], s[:, np.newaxis]], axis=1), b, Z)


def _settings(problem: Problem) -> tuple[Array, Array, Array]:
    """Return Y (1 or k, m), and the learning rates and l2 (k,), contiguous."""
    return problem.Y[:, 0, :], problem.learning_rate[:, 0, 0].copy(), problem.l2[:, 0, 0].copy()


def _state(W: Array, b: Array, Z: Array) -> State:
    return State(W[:, np.newaxis, :], b[:, np.newaxis, np.newaxis], Z[:, np.newaxis, :])


def _padded(m: int, unit: int) -> int:
    return -(-m // unit) * unit


def _pad(C: Array) -> Array:
    """Return a copy of C (k, m) with columns of zeros up to whole vectors."""
    k, m = C.shape
    padded = np.zeros((k, _padded(m, LANES)), C.dtype)
    padded[:, :m] = C
    return padded


def primal_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a PrimalForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    W, b = state.W[:, 0, :].copy(), state.b[:, 0, 0].copy()
    (k, n), m = W.shape, form.X.shape[1]
    count = min(_parts(2 * k * n * m), max(1, m // PART_ROWS))
    size = min(count, _size(2 * k * n * m))
    arguments = (
        size, np.zeros(1, np.int64), steps, form.X.T, W.dtype.type(form.scale), *_settings(problem),
        W, b, np.empty((count, k, n), W.dtype), np.empty((count, k), W.dtype),
    )  # fmt: skip
    if form.X.dtype == np.uint8 and _has_vectors():
        _start("pixel_steps", *arguments, np.empty((size, k)))
    else:
        _start("primal_steps", *arguments)
    return _state(W, b, (form.project(W[:, np.newaxis, :]) + b[:, np.newaxis, np.newaxis])[:, 0, :])


def primal_network_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance networks, or a softmax, on a PrimalForm. Twin: `descent.step`, `steps` times."""
    form: Any = problem.form
    if not _readable(form.X) or not _is_small(problem):
        return plain.repeat(functools.partial(descent.step, problem), state, steps)
    state = _steps_on(problem, state, np.arange(form.X.shape[1])[np.newaxis], steps, PARTS)
    return state._replace(Z=form.logits(state.W, state.b))


def batch_steps(problem: Problem, state: State, batches: Array) -> State:
    """Advance a state by a step for each row of `batches`, but for its logits. Twin: `minibatch.step`."""
    form: Any = problem.form
    if not _readable(form.X) or not _is_small(problem):
        for row in batches:
            state = minibatch.step(problem, row, state)
        return state
    return _steps_on(problem, state, batches, len(batches), BATCH_PARTS)._replace(t=state.t + len(batches))


def gram_network_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance networks, or a softmax, on a GramForm. Twin: `descent.step`, `steps` times."""
    if not _is_small(problem):
        return plain.repeat(functools.partial(descent.step, problem), state, steps)
    form: Any = problem.form
    k, units, m = state.Z.shape
    C, s, b = _pad(state.W[..., :-1].reshape(k * units, m)), state.W[..., -1].copy(), state.b[..., 0].copy()
    deeper, Z = _flat(state.deeper, b), state.Z.copy()
    count = _parts(k * units * m * m)
    size = min(count, _size(k * units * m * m))
    sums = np.empty((count, k, units + deeper.shape[1]), C.dtype)
    _start(
        "gram_network_steps", size, np.zeros(1, np.int64), steps, *form.K, C.dtype.type(form.factor), form.Z,
        *_settings_of_all(problem), C, s, b, deeper, Z, np.arange(m), np.empty((count, *C.shape), C.dtype), sums,
    )  # fmt: skip
    W = np.concatenate([C[:, :m].reshape(Z.shape), s[:, :, np.newaxis]], axis=2)
    return State(W, b[:, :, np.newaxis], Z, _layers(deeper, state.deeper))


def _steps_on(problem: Problem, state: State, batches: Array, steps: int, most: int) -> State:
    """Return the state after steps on these examples in turn, each cut into at most so many parts; Z stays."""
    form: Any = problem.form
    W, b = state.W.copy(), state.b[..., 0].copy()
    deeper = _flat(state.deeper, b)
    operations = 2 * W.size * batches.shape[1]
    count = 1 if operations < ALONE else max(1, min(most, batches.shape[1] // BATCH_ROWS))
    sums = np.empty((count, len(W), b.shape[1] + deeper.shape[1]), W.dtype)
    _start(
        "batch_steps", min(count, _size(operations)), np.zeros(1, np.int64), steps, batches, form.X.T,
        W.dtype.type(form.scale), *_settings_of_all(problem), W, b, deeper, np.empty((count, *W.shape), W.dtype), sums,
    )  # fmt: skip
    return state._replace(W=W, b=b[..., np.newaxis], deeper=_layers(deeper, state.deeper))


def _settings_of_all(problem: Problem) -> tuple[Array, ...]:
    """Return Y, the learning rates and l2 (k,), each layer's units, and which numbers of the deeper are weights."""
    units = problem.network.units
    weighted = [np.repeat([1.0, 0.0], [size * below, size]) for below, size in pairwise(units)]
    return (
        problem.Y, problem.learning_rate[:, 0, 0].copy(), problem.l2[:, 0, 0].copy(),
        np.array(units, dtype=np.int64), np.concatenate([np.zeros(0), *weighted]),
    )  # fmt: skip


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


KERNELS: Kernels = {
    "project": project,
    "combine": combine,
    "predict": predict,
    "gram_matrix": gram_matrix,
    "standardized_gram_matrix": standardized_gram_matrix,
    "gram_product": gram_product,
    "gram_steps": gram_steps,
    "primal_steps": primal_steps,
    "gram_network_steps": gram_network_steps,
    "primal_network_steps": primal_network_steps,
    "batch_steps": batch_steps,
}

FUSED = tuple(KERNELS)


def _has_vectors() -> bool:
    """Return whether the kernels in whole numbers run on this processor."""
    from fastlr.kernels.words import AVX2

    return bool(AVX2)


def _readable(X: Array) -> bool:
    """Return whether the kernels read X: its examples are contiguous rows of a dtype they know."""
    return X.dtype.name in READS and X.T.flags.c_contiguous


def _size(operations: int) -> int:
    from fastlr.kernels.team import team_size

    return 1 if operations < ALONE else team_size()


def _parts(operations: int) -> int:
    return 1 if operations < ALONE else PARTS


def _run(kernel: str, operations: int, *arguments: Any) -> None:
    _start(kernel, _size(operations), *arguments)


def _start(kernel: str, size: int, *arguments: Any) -> None:
    from fastlr.kernels import cpu, gram, networks, primal
    from fastlr.kernels.team import together

    function = getattr(next(room for room in (cpu, networks, gram, primal) if hasattr(room, kernel)), kernel)
    types = tuple((x.dtype, x.ndim, x.flags.c_contiguous) if isinstance(x, np.ndarray) else type(x) for x in arguments)
    if (kernel, types) not in COMPILED:
        _compile(function, (0, size, *arguments))
        COMPILED.add((kernel, types))
    together(function, size, *arguments)


def _compile(function: Any, arguments: tuple[Any, ...]) -> None:
    """Compile, or load from the cache of an earlier process; say so where it takes long."""
    from numba import typeof

    signature = tuple(typeof(argument) for argument in arguments)
    notice = threading.Timer(NOTICE_AFTER, _announce)
    notice.daemon = True
    notice.start()
    try:
        function.compile(signature)
    finally:
        notice.cancel()


@functools.cache
def _announce() -> None:
    LOG.warning("compiling the kernels; this happens once after installation")

"""Launching `fastlr.kernels.cuda` on the arrays of a library that Numba reads: CuPy's, or NumPy's in the simulator."""

from __future__ import annotations

from functools import partial
from typing import Any

from numba import cuda, typeof

from fastlr import core
from fastlr.core import Array
from fastlr.forms import Kernels
from fastlr.kernels import cuda as kernels
from fastlr.kernels.cuda import FEATURES, LANES, MODELS, SIMULATED, WARPS
from fastlr.namespace import array_namespace
from fastlr.solvers import descent
from fastlr.solvers.problem import Problem, State

BLOCK = (LANES, WARPS)
BLOCKS = 4096  # of a launch whose blocks need not all be there at once


def predict(W: Array, b: Array, X: Array, scale: float = 1.0) -> Array:
    """Return the probabilities σ(W (scale X) + b), shape (k, m), in one pass over X. Twin: `core.predict`."""
    xp, rows = array_namespace(W), X.T
    if not rows.flags.c_contiguous:
        return core.predict(W, b, X, scale)
    A = xp.empty((W.shape[0], rows.shape[0]), dtype=W.dtype)
    blocks = 1 if SIMULATED else min(BLOCKS, -(-rows.shape[0] // WARPS))
    kernels.predict[blocks, BLOCK](rows, W, b[:, 0].copy(), scale, A)
    return A


def gram_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a GramForm. Twin: `descent.step`, `steps` times."""
    k, m = state.Z.shape
    if k > MODELS:
        return _in_groups(problem, state, steps)
    form: Any = problem.form
    xp = array_namespace(state.Z)
    C = xp.zeros((2, k, m), dtype=state.W.dtype)
    C[0] = state.W[:, :-1]
    s, b, Z = state.W[:, -1].copy(), state.b[:, 0].copy(), state.Z.copy()
    before = (steps, form.K, form.scale**2, form.Z, *_settings(problem), C, s, b, Z)
    blocks = _blocks(kernels.gram_steps, (*before, xp.empty((2, k, 1), dtype=Z.dtype)), -(-m // WARPS))
    kernels.gram_steps[blocks, BLOCK](*before, xp.empty((2, k, blocks), dtype=Z.dtype))
    return State(xp.concat([C[steps % 2], s[:, None]], axis=1), b[:, None], Z)


def primal_steps(problem: Problem, state: State, steps: int) -> State:
    """Advance a state on a PrimalForm; many models, or features, go the plain way. Twin: `descent.step`."""
    form: Any = problem.form
    (k, n), rows = state.W.shape, form.X.T
    if k > 1 or n > FEATURES or not rows.flags.c_contiguous:
        for _ in range(steps):
            state = descent.step(problem, state)
        return state
    xp = array_namespace(state.Z)
    W, b = state.W.copy(), state.b[:, 0].copy()
    Y, rates, l2 = _settings(problem)
    before = (steps, rows, form.scale, Y, rates, l2, W, b)
    room = partial(xp.empty, dtype=W.dtype)
    blocks = _blocks(kernels.primal_steps, (*before, room((1, n)), room(1)), -(-rows.shape[0] // WARPS))
    kernels.primal_steps[blocks, BLOCK](*before, room((blocks, n)), room(blocks))
    return State(W, b[:, None], form.logits(W, b[:, None]))


KERNELS: Kernels = {"predict": predict, "gram_steps": gram_steps, "primal_steps": primal_steps}


def available() -> bool:
    """Return whether Numba reaches a CUDA device."""
    return bool(cuda.is_available())


def _settings(problem: Problem) -> tuple[Array, Array, Array]:
    return problem.Y, problem.learning_rate[:, 0].copy(), problem.l2[:, 0].copy()


def _in_groups(problem: Problem, state: State, steps: int) -> State:
    """Advance as many models at a time as a launch takes."""
    k, groups = state.Z.shape[0], []
    for start in range(0, k, MODELS):
        models = range(start, min(k, start + MODELS))
        groups.append(gram_steps(problem.rows(models), state.rows(models), steps))
    xp = array_namespace(state.Z)
    return State(*(xp.concat(arrays, axis=0) for arrays in zip(*groups, strict=True)))


def _blocks(kernel: Any, arguments: tuple[Any, ...], wanted: int) -> int:
    """Return how many blocks wait for each other: no more than the device holds at a time."""
    if SIMULATED:
        return 1
    given = (cuda.as_cuda_array(x) if hasattr(x, "__cuda_array_interface__") else x for x in arguments)
    signature = tuple(typeof(argument) for argument in given)
    kernel.compile(signature)
    held: int = kernel.overloads[signature].max_cooperative_grid_blocks(BLOCK)
    return max(1, min(wanted, held))

"""What a backend is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from fastlr.core import Array
from fastlr.machine import free_memory

Kernels = Mapping[str, Callable[..., Any]]  # replacements for functions of the core and for steps, by their names
NO_KERNELS: Kernels = MappingProxyType({})

AHEAD = 4  # where asking makes the host wait for the device

S = TypeVar("S")
Step = Callable[[S], S]


class Repeat(Protocol):
    """The unit of delegation is many steps: how a backend applies a step that many times is its own affair."""

    def __call__(self, step: Step[S], state: S, steps: int, /) -> S:
        """Return the state after `steps` applications of `step`, a function or a `functools.partial` of arrays."""


def loop(step: Step[S], state: S, steps: int) -> S:
    """Apply `step` that many times: the way of a library that has no better one."""
    for _ in range(steps):
        state = step(state)
    return state


class UnavailableError(Exception):
    """A backend does not run here; the text says why."""


class Costs(NamedTuple):
    """A backend's nanoseconds for each number of a form's work, with all its threads; only their ratios decide."""

    primal: float  # of X, in one primal step
    gram: float  # of K, in one Gram step
    product: float  # of X times the number of samples, to compute K
    fused: float = 0.1  # of X and one output, in a reading that makes a softmax's loss and its gradient
    dense: float = 0.03  # of a product of two matrices of floats, for each multiply-add


@dataclass(frozen=True)
class Backend:
    """One array library on one device with one working dtype."""

    name: str
    device: str  # as a user writes it: "cpu", "cuda:0"
    dtype: str  # "float64" or "float32"
    precision: str  # of float32 matrix products: "full", or "tf32" (10 bits of mantissa) where that was asked for
    xp: Any  # the library's Array API namespace
    asarray: Callable[[Any], Array]  # a host array, or one of the library, to this device, its dtype kept
    to_host: Callable[[Array], Any]  # an array of this library to NumPy
    repeat: Repeat
    synchronize: Callable[[Any], object]  # returns when these arrays, in tuples or alone, are computed
    costs: Costs  # by which a form is chosen
    kernels: Kernels = field(
        default_factory=lambda: NO_KERNELS
    )  # fused replacements for functions of the core and for solvers' steps
    ahead: int = 1  # short steps to do before the host asks whether more are needed: `AHEAD` on a GPU
    reads: tuple[str, ...] = ()  # dtypes of X, beside the working dtype, that a primal step reads without a copy
    scope: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext  # settings around all its work
    free_memory: Callable[[], int] = free_memory  # bytes that may still be taken where its arrays are
    compile_seconds: Callable[[], float] = lambda: 0.0  # how long this process has compiled kernels so far

    @property
    def float_dtype(self) -> Any:
        """Return the namespace's dtype object for the working dtype."""
        return getattr(self.xp, self.dtype)

    def floats(self, array: Any) -> Array:
        """Return an array on this device in the working dtype."""
        return self.xp.astype(self.asarray(array), self.float_dtype, copy=False)

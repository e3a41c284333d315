"""Starting the CPU's kernels: how many threads share the work, and compiling, which is said where it takes long."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastlr.machine import Running, usable_cpus

# Parts into which a step's work is cut, and so the most threads that share it.
PARTS = 16
# Operations of one call, or one step, below which a second thread costs more than it brings.
ALONE = 1_000_000
# The same of a call without steps: a thread that waits for work takes longer to come than one that waits at a barrier.
ALONE_ONCE = 8_000_000
# Operations of a turn: some tens of milliseconds of one thread.
TURN = 500_000_000
NOTICE_AFTER = 1.0  # seconds

COMPILED: set[tuple[Any, ...]] = set()  # kernels with the types of their arguments
_compiling = [0.0]  # seconds, importing the compiler among them
LOG = logging.getLogger("fastlr")
_RUNNING = Running()


def size_for(operations: int, alone: int = ALONE_ONCE) -> int:
    """Return how many threads share so many operations; up to `alone` it is one."""
    return 1 if operations < alone else _imported()[1].team_size()


def size_that_meets(operations: int) -> int:
    """Return how many threads share a step of so many operations at whose end they wait for each other.

    A thread that waits for one that has no CPU waits for as long as the scheduler lets another go on, which is many
    times a step. So only CPUs count that no other thread of the process is using, such as a BLAS that spins after its
    work: alone is the faster then.
    """
    size = size_for(operations, ALONE)
    return size if size == 1 else max(1, min(size, usable_cpus() - _RUNNING.others()))


def turns(steps: int, operations: int) -> Iterator[int]:
    """Give so many steps, of so many operations each, a turn at a time: between turns the size of the team may change.

    The steps are the same, and so are their bits.
    """
    most = max(1, TURN // max(1, operations))
    for done in range(0, steps, most):
        yield min(most, steps - done)


def parts_for(operations: int, alone: int = ALONE) -> int:
    """Return into how many parts so many operations are cut; not by the threads, or they would change the bits."""
    return 1 if operations < alone else PARTS


def start(kernel: str, size: int, *arguments: Any) -> None:
    """Run a kernel in a team of that size, compiled for these arguments."""
    kernels, team = _imported()
    function = kernels[kernel]
    if not all(x.flags.writeable for x in arguments if isinstance(x, np.ndarray)):
        arguments = tuple(_as_writable(x) if isinstance(x, np.ndarray) else x for x in arguments)
    types = tuple(
        (x.dtype, x.ndim, x.flags.c_contiguous, x.flags.writeable) if isinstance(x, np.ndarray) else type(x)
        for x in arguments
    )
    if (kernel, types) not in COMPILED:
        compile_now(function, (0, size, np.zeros(1, np.int64), *arguments))
        COMPILED.add((kernel, types))
    team.together(function, size, *arguments)


class _Memory:
    """The memory of an array, which may be written as far as its type says."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}
        self.array = array  # lives as long as this


def _as_writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array, not copied, of the type that kernels are compiled for; they do not write to what they read."""
    return array if array.flags.writeable else np.asarray(_Memory(array))


@functools.cache
def _imported() -> tuple[Mapping[str, Any], Any]:
    """Return all kernels by their names, and the module that runs them."""
    began = time.perf_counter()
    from fastlr.kernels.cpu import (  # noqa: F401 (they register)
        conjugate,
        conjugate_primal,
        gram,
        losses,
        many,
        networks,
        newton,
        passes,
        positive,
        primal,
        products,
        team,
    )
    from fastlr.kernels.cpu.compiling import KERNELS

    _compiling[0] += time.perf_counter() - began
    return KERNELS, team


def compile_now(function: Any, arguments: tuple[Any, ...]) -> None:
    """Compile, or load from the cache of an earlier process; say so where it takes long."""
    from numba import typeof

    from fastlr.kernels.cpu.compiling import cache_folder

    signature = tuple(typeof(argument) for argument in arguments)
    notice = threading.Timer(NOTICE_AFTER, announce)
    notice.daemon = True
    if cache_folder() is None:
        announce_without_cache()
    else:
        with contextlib.suppress(RuntimeError):  # no thread can be started: nothing is said then
            notice.start()
    began = time.perf_counter()
    try:
        _compile(function, signature)
    finally:
        notice.cancel()
        _compiling[0] += time.perf_counter() - began


def seconds_of_compiling() -> float:
    """Return how long this process has compiled kernels so far, or loaded them from the cache."""
    return _compiling[0]


def _compile(function: Any, signature: tuple[Any, ...]) -> None:
    from numba.core.errors import NumbaError

    from fastlr.kernels.cpu.compiling import forget

    try:
        function.compile(signature)
    except NumbaError:
        raise
    except Exception as error:  # a damaged file in the cache makes pickle raise almost anything
        if function.signatures:
            announce_without_cache()  # it is compiled by then, but could not be kept
        elif isinstance(error, MemoryError) or not forget(function):
            raise
        else:
            announce_damage()
            function.compile(signature)


@functools.cache
def announce_damage() -> None:
    """Say, once, that what was kept cannot be used."""
    LOG.warning("the compiled kernels in the cache are damaged; they are compiled again")


@functools.cache
def announce() -> None:
    """Say, once, that compiling takes a while, unless that was said already."""
    if announce_damage.cache_info().currsize:
        return
    LOG.warning("compiling kernels for data of this kind; they are kept for later runs")


@functools.cache
def announce_without_cache() -> None:
    """Say, once, that compiling takes a while in every process."""
    LOG.warning("compiling the kernels, which cannot be kept: no cache folder is writable; set NUMBA_CACHE_DIR to one")


def run(kernel: str, operations: int, *arguments: Any) -> None:
    """Run a kernel that has no steps in as many threads as its operations are worth."""
    start(kernel, size_for(operations), *arguments)

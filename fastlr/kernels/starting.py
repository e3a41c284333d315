"""Starting the CPU's kernels: how many threads share the work, and compiling, which is said where it takes long."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import numpy as np

# Parts into which a step's work is cut, and so the most threads that share it.
PARTS = 16
# Operations of one call, or one step, below which a second thread costs more than it brings.
ALONE = 1_000_000
NOTICE_AFTER = 1.0  # seconds

COMPILED: set[tuple[Any, ...]] = set()  # kernels with the types of their arguments
LOG = logging.getLogger("fastlr")


def size_for(operations: int) -> int:
    """Return how many threads share so many operations."""
    from fastlr.kernels.team import team_size

    return 1 if operations < ALONE else team_size()


def parts_for(operations: int) -> int:
    """Return into how many parts so many operations are cut; not by the threads, or they would change the bits."""
    return 1 if operations < ALONE else PARTS


def start(kernel: str, size: int, *arguments: Any) -> None:
    """Run a kernel in a team of that size, compiled for these arguments."""
    function, together = _imported(kernel)
    types = tuple((x.dtype, x.ndim, x.flags.c_contiguous) if isinstance(x, np.ndarray) else type(x) for x in arguments)
    if (kernel, types) not in COMPILED:
        compile_now(function, (0, size, *arguments))
        COMPILED.add((kernel, types))
    together(function, size, *arguments)


@functools.cache
def _imported(kernel: str) -> tuple[Any, Any]:
    """Return a kernel by its name, and what runs it."""
    from fastlr.kernels import conjugate, cpu, gram, losses, networks, positive, primal
    from fastlr.kernels.team import together

    room = next(room for room in (cpu, gram, conjugate, losses, networks, positive, primal) if hasattr(room, kernel))
    return getattr(room, kernel), together


def compile_now(function: Any, arguments: tuple[Any, ...]) -> None:
    """Compile, or load from the cache of an earlier process; say so where it takes long."""
    from numba import typeof

    signature = tuple(typeof(argument) for argument in arguments)
    notice = threading.Timer(NOTICE_AFTER, announce)
    notice.daemon = True
    notice.start()
    try:
        function.compile(signature)
    finally:
        notice.cancel()


@functools.cache
def announce() -> None:
    """Say, once, that compiling takes a while."""
    LOG.warning("compiling the kernels; this happens once after installation")


def run(kernel: str, operations: int, *arguments: Any) -> None:
    """Run a kernel that has no steps in as many threads as its operations are worth."""
    start(kernel, size_for(operations), *arguments)

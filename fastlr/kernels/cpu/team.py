"""A team of threads inside compiled loops.

Numba's `parallel=True` takes half a second to load from its cache and starts its threads anew at every loop. Here
plain Python threads enter one compiled function together, without Python's lock, and meet at barriers that
cost less than a microsecond.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastlr.kernels.cpu.compiling import YIELD, inlined
from fastlr.machine import usable_cpus

LOG = logging.getLogger("fastlr")
LARGEST = 256  # members of a team
SPINS = 2000  # looks at the counter before the thread offers its processor to others
RELEASED = 2**62  # of a counter: no barrier waits any more


def team_size() -> int:
    """Return how many threads to use: OMP_NUM_THREADS where it is set, as the BLAS does, but no more than CPUs."""
    if YIELD is None:
        return 1
    cpus = min(usable_cpus(), LARGEST)
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # the first is that of the outermost level
    return min(int(asked), cpus) if asked.isdecimal() and int(asked) > 0 else cpus


class _Team:
    """The threads that wait for work, and the lock that lets one piece of work have them at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.helpers = 0

    def grow(self, helpers: int) -> int:
        """Start threads until there are so many; return how many there are, fewer where no more can be started."""
        while self.helpers < helpers:
            try:
                threading.Thread(target=self._serve, name="fastlr", daemon=True).start()
            except RuntimeError:
                _say_fewer(self.helpers + 1)
                break
            self.helpers += 1
        return min(self.helpers, helpers)

    def _serve(self) -> None:
        while True:
            self.tasks.get()()


@functools.cache
def _say_fewer(threads: int) -> None:
    LOG.warning(f"no more threads can be started: the work goes on in {threads}, and takes longer")


@functools.cache
def _team() -> _Team:
    return _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.cache_clear)  # a child process has none of its parent's threads


def together(work: Callable[..., Any], size: int, *arguments: Any) -> None:
    """Run `work(member, size, counter, *arguments)` for members 0 … size − 1, each in a thread of its own.

    Where not so many threads can be started the team is smaller. The counter is that of the barriers. Two teams never
    share the threads: members that wait at a barrier for one that has no thread would wait forever. An exception in one
    member lets all others pass their barriers, and is raised when they are done.
    """
    counter, errors = np.zeros(1, np.int64), []
    if size == 1:
        work(0, 1, counter, *arguments)
        return
    team, done = _team(), SimpleQueue[None]()
    with team.lock:
        size = 1 + team.grow(size - 1)

        def take_part(member: int) -> None:
            try:
                work(member, size, counter, *arguments)
            except BaseException as error:
                counter[0] = RELEASED
                errors.append(error)
            finally:
                done.put(None)

        for member in range(1, size):
            team.tasks.put(functools.partial(take_part, member))
        take_part(0)
        for _ in range(size):
            done.get()
    if errors:
        raise errors[0]


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return cgutils.get_item_pointer(
        context, builder, signature.args[0], array, [context.get_constant(types.intp, 0)], wraparound=False
    )


@intrinsic
def _arrive(typingctx: Any, counter: Any) -> Any:
    """Add 1 to counter[0], as one indivisible step that publishes all writes before it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(counter), codegen


@intrinsic
def _arrived(typingctx: Any, counter: Any) -> Any:
    """Read counter[0] anew, and with it what was published before it got that value."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(counter), codegen


if YIELD is None:

    @inlined
    def _yield() -> None:
        """Do nothing: there is one member alone."""

else:
    _yield = types.ExternalFunction(YIELD, types.int32())


@inlined
def wait_for_all(counter: Any, target: int) -> None:
    """Return when all have: the counter, an int64 array of one number, reaches size · (barriers so far)."""
    _arrive(counter)
    spins = 0
    while _arrived(counter) < target:
        spins += 1
        if spins >= SPINS:
            _yield()
            spins = 0

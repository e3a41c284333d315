"""A team of threads inside compiled loops.

Numba's `parallel=True` takes half a second to load from its cache and starts its threads anew at every loop. Here
plain Python threads enter one compiled function together, without Python's lock, and meet at barriers that
cost less than a microsecond.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LARGEST = 256  # members of a team
SPINS = 2000  # looks at the counter before the thread offers its processor to others

_yield = types.ExternalFunction("sched_yield", types.int32())


def team_size() -> int:
    """Return how many threads to use: OMP_NUM_THREADS where it is set, as the BLAS does, else the usable CPUs."""
    if not hasattr(os, "sched_yield"):
        return 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked) if asked.isdigit() and int(asked) > 0 else cpus, cpus, LARGEST)


class _Team:
    """The threads that wait for work, and the lock that lets one piece of work have them at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(max_workers=LARGEST - 1, thread_name_prefix="fastlr")


@functools.cache
def _team() -> _Team:
    return _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.cache_clear)  # a child process has none of its parent's threads


def together(work: Callable[..., Any], size: int, *arguments: Any) -> None:
    """Run `work(member, size, *arguments)` for members 0 … size − 1, each in a thread of its own.

    Two teams never share the threads: members that wait at a barrier for one that has no thread would wait forever.
    """
    if size == 1:
        work(0, 1, *arguments)
        return
    team = _team()
    with team.lock:
        others = [team.pool.submit(work, member, size, *arguments) for member in range(1, size)]
        work(0, size, *arguments)
        for other in others:
            other.result()


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


@njit(nogil=True)
def wait_for_all(counter: Any, target: int) -> None:
    """Return when all have: the counter, an int64 array of one number, reaches size · (barriers so far)."""
    _arrive(counter)
    spins = 0
    while _arrived(counter) < target:
        spins += 1
        if spins >= SPINS:
            _yield()
            spins = 0

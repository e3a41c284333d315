"""What this process may use of the machine."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import math
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from fastlr.errors import InputError

T = TypeVar("T")

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
TASKS = Path("/proc/self/task")
CPU_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
MEMORY_FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
NO_LIMIT = 2**60  # bytes: what the first version writes where it sets none
UNKNOWN_MEMORY = 2**32  # bytes that are taken to be free where the system does not say
SPIN = 2**33  # multiply-adds, up to which one thread of a BLAS loses less than its other threads take afterwards
USERS_VARIABLES = ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE")  # which say where a user's folders are
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def user_folders() -> list[Path]:
    """Return the user's cache folder, where there is a user with one."""
    if given := os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME"):
        return [Path(given) / "fastlr"]
    try:
        home = Path.home()
    except RuntimeError:
        return []
    return [home / "Library" / "Caches" / "fastlr" if sys.platform == "darwin" else home / ".cache" / "fastlr"]


def usable_cpus() -> int:
    """Return how many CPUs this process may run on: those of its affinity, and no more than its container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, _quota())))


@functools.cache
def _quota() -> float:
    """Return how many CPUs' time the control groups of this process grant it, infinity where they set no limit."""
    found = _control_groups("cpu")
    return min((_share(*(folder / name for name in CPU_FILES[version])) for version, folder in found), default=math.inf)


def _control_groups(controller: str) -> list[tuple[int, Path]]:
    """Return the folders with the limits of a controller on this process, each with the version of its files.

    The second version has files in each group from the process's own up to the root, the first version in the group of
    the controller. Where nothing can be read there is none.
    """
    found: list[tuple[int, Path]] = []
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                group = CGROUPS / path.lstrip("/")
                found += [(2, folder) for folder in (group, *group.parents) if folder.is_relative_to(CGROUPS)]
            elif controller in controllers.split(","):
                # A container may see the group's path on its host: its files are then in the root.
                folders = (CGROUPS / controllers / path.lstrip("/"), CGROUPS / controllers, CGROUPS / controller)
                found += [(1, folder) for folder in folders]
    return found


def memory_budget(free: int | None = None) -> int:
    """Return how many bytes a fit may take beside its data: `FASTLR_MEMORY`, else half of what is free.

    Raises InputError where the variable holds no size.
    """
    text = os.environ.get("FASTLR_MEMORY", "")
    if not text:
        return (free_memory() if free is None else free) // 2
    size = parse_size(text)
    if size is None:
        raise InputError(f"FASTLR_MEMORY: {text!r} is not a size; give a number of bytes, or a size such as 500M or 4G")
    return size


def parse_size(text: str) -> int | None:
    """Return "4G", "1.5M" or "1000" as bytes, in units of 1024, or None for other text."""
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)(?:I?B)?", text.strip().upper())
    return (int(float(match[1]) * UNITS[match[2]]) or None) if match else None


def free_memory() -> int:
    """Return how many bytes this process may still take: of the machine's, its control groups', and its own limit."""
    free = math.inf
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    for limit, used in _memory_limits():
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(limit.read_text()) - int(used.read_text()))
    with contextlib.suppress(ImportError, OSError, StopIteration):
        import resource

        most = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if most >= 0:
            lines = Path("/proc/self/status").read_text().splitlines()
            free = min(free, most - 1024 * int(next(line for line in lines if line.startswith("VmData:")).split()[1]))
    return int(max(0, free)) if math.isfinite(free) else UNKNOWN_MEMORY


@functools.cache
def _memory_limits() -> list[tuple[Path, Path]]:
    """Return, for each control group of this process that limits memory, the files of the limit and of what is used."""
    found = []
    for version, folder in _control_groups("memory"):
        limit, used = (folder / name for name in MEMORY_FILES[version])
        with contextlib.suppress(OSError, ValueError):  # "max", which is no number, is no limit
            if int(limit.read_text()) < NO_LIMIT:
                found.append((limit, used))
    return found


class Running:
    """How many other threads of this process are running now. Linux says; elsewhere it is thought to be none.

    A look takes some microseconds a thread. So that no more than a twentieth of the time goes there, what was seen
    holds for twenty times as long as the look took.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.until, self.seen = -math.inf, 0

    def others(self) -> int:
        """Return the number, this thread not counted."""
        began = time.perf_counter()
        if began > self.until:
            self.seen = max(0, sum(_runs(task) for task in _tasks()) - 1)
            now = time.perf_counter()
            self.until = now + 20 * (now - began)
        return self.seen


def blas_before_kernels(operations: int) -> AbstractContextManager[object]:
    """Return a context for so many multiply-adds of a BLAS, before kernels of our own: short work gets one thread.

    The other threads of a BLAS keep spinning after their work (for 2²⁸ cycles in the OpenBLAS of NumPy's wheels). That
    takes CPUs from the kernels.
    """
    if operations >= SPIN:
        return contextlib.nullcontext()
    control: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return control


@functools.cache
def _blas() -> Any:
    """Return what sets the threads of each BLAS that is loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _tasks() -> list[str]:
    try:
        return os.listdir(TASKS)
    except OSError:
        return []


def _runs(task: str, folder: Path = TASKS) -> bool:
    """Return whether a thread, or a process, is running, or waiting for nothing but a CPU."""
    try:
        return (folder / task / "stat").read_bytes().rpartition(b")")[2].split(maxsplit=1)[0] == b"R"
    except (OSError, IndexError):  # it has ended
        return False


def _share(*files: Path) -> float:
    """Return quota / period from one file that holds both or from a file for each, infinity for no limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()[:2]
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # "max", which is no number, is no limit
        return math.inf


def in_threads(work: Callable[[int], T], count: int, threads: int) -> list[T]:
    """Return what `work` makes of 0 … count − 1, in their order, done in so many threads, or as many as can be started.

    The first of them that raises ends it, with its exception.
    """
    results: list[Any] = [None] * count
    errors: dict[int, BaseException] = {}
    waiting = iter(range(count))  # taking the next of it is one step under Python's lock

    def take_part() -> None:
        while not errors and (index := next(waiting, None)) is not None:
            try:
                results[index] = work(index)
            except BaseException as error:
                errors[index] = error

    helpers: list[threading.Thread] = []
    for _ in range(min(threads, count) - 1):
        helper = threading.Thread(target=take_part, daemon=True)
        try:
            helper.start()
        except RuntimeError:  # no more threads can be started
            break
        helpers.append(helper)
    take_part()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[min(errors)]
    return results


def can_fork() -> bool:
    """Return whether a copy of this process can be made that works: another thread may hold a lock that it needs.

    JAX has threads of its own, and warns.
    """
    others = [
        t for t in threading.enumerate() if t is not threading.current_thread() and not hasattr(t, "holds_no_lock")
    ]
    return sys.platform == "linux" and not others and "jax" not in sys.modules


def in_a_copy(work: Callable[[], Any], seconds: float = 2.0) -> Any:
    """Return what `work` makes, plain values, in a copy of this process where one can be made, else in this one.

    A library that ends the process, as some do on damaged files, ends the copy alone: that is a ValueError. A copy that
    has no answer after so many seconds may wait for a lock that a library's thread held: then it is done in this
    process, but where the copy computed all the time: that is a ValueError. Raises OSError where none can be started.
    """
    if not can_fork():
        return work()
    answers, ours = os.pipe()
    try:
        process = os.fork()
    except OSError:
        os.close(answers)
        os.close(ours)
        raise
    if process == 0:
        try:
            signal.set_wakeup_fd(-1)  # the process that waits hears the signals, and ends this one
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            faulthandler.disable()
            os.close(2)  # on which a library says that it ends the process
            with os.fdopen(ours, "w") as file:
                try:
                    json.dump({"made": work()}, file)
                except Exception as error:
                    json.dump({"failed": str(error)}, file)
        finally:
            os._exit(0)
    os.close(ours)
    with os.fdopen(answers) as file:
        ready = select.poll()
        ready.register(file, select.POLLIN)
        answered = bool(ready.poll(1000 * seconds))
        computes = not answered and _runs(str(process), Path("/proc"))
        if not answered:
            os.kill(process, signal.SIGKILL)
        content = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if computes:
        raise ValueError("reading its structure does not end")
    if not answered:
        return work()
    answer = json.loads(content or '{"failed": ""}')
    if "made" not in answer:
        raise ValueError(answer["failed"] or f"its library fails on it, status {status}")
    return answer["made"]


def peak_memory() -> int:
    """Return the most memory, in bytes, that this process has had at once; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024

"""What this process may use of the machine."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
TASKS = Path("/proc/self/task")


def usable_cpus() -> int:
    """Return how many CPUs this process may run on: those of its affinity, and no more than its container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, _quota())))


@functools.cache
def _quota() -> float:
    """Return how many CPUs' time the control groups of this process grant it, infinity where they set no limit.

    The second version has one file in each group from the process's own up to the root, the first version two files in
    the group of the controller "cpu". Where the files cannot be read there is no limit.
    """
    least = math.inf
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                group = CGROUPS / path.lstrip("/")
                for folder in (group, *group.parents):
                    least = min(least, _share(folder / "cpu.max"))
                    if folder == CGROUPS:
                        break
            elif "cpu" in controllers.split(","):
                # A container may see the group's path on its host: its files are then in the root.
                for folder in (CGROUPS / controllers / path.lstrip("/"), CGROUPS / controllers, CGROUPS / "cpu"):
                    least = min(least, _share(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
    return least


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

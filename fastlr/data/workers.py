"""A Dask cluster: its workers, and the tasks that run there.

Dask schedules tasks, moves data and restarts workers. If a worker dies, Dask computes its results again elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlr
from fastlr.errors import InputError, shown
from fastlr.machine import usable_cpus

LOG = logging.getLogger("fastlr")

TIMEOUT = 60.0  # seconds to wait for a scheduler, and for workers where there are none
LOOK = 1.0  # seconds from one look at the workers to the next while a result is waited for
FAN = 8  # sums that one task adds up
SMALL = (
    2**16
)  # bytes of arguments that are sent with each task; larger ones are sent once, and workers fetch them from each other
NEEDED = "cluster: it needs Dask; try pip install '.[cluster]'"
FORMS = "the address of a scheduler, such as tcp://host:8786, or local:N for N processes on this machine"


class WorkerError(OSError):
    """A task failed; the message is one line that names the worker and the samples."""


class Cluster:
    """A client of a Dask scheduler."""

    def __init__(self, client: Any, timeout: float) -> None:
        """Wait for a worker, and check the version of fastlr on each."""
        self.client, self.timeout = client, timeout
        if client.status != "running":
            raise InputError(f"cluster: its client is {client.status}; give one that is open")
        with contextlib.suppress(Exception):
            client.wait_for_workers(1, timeout=timeout)
        if not self._workers():
            raise InputError(f"cluster: {self.address} has no workers after {timeout:g} s; start one: dask worker")
        self.threads = self._greet()

    @property
    def address(self) -> str:
        """Return the scheduler's address."""
        return str(self.client.scheduler.address)

    def _workers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _greet(self) -> dict[str, int]:
        """Return how many parts each worker gets; raise InputError where one has another fastlr, or none."""
        answers = self.client.run(_hello, on_error="return")
        for worker, answer in answers.items():
            if isinstance(answer, ModuleNotFoundError):
                raise InputError(f"cluster: worker {worker}: {answer}; install the same there as here")
            if isinstance(answer, OSError):  # it has died meanwhile
                continue
            if isinstance(answer, BaseException):
                raise InputError(f"cluster: worker {worker}: {type(answer).__name__}: {answer}")
            if answer["version"] != fastlr.__version__:
                raise InputError(
                    f"cluster: worker {worker} has fastlr {answer['version']}, here is {fastlr.__version__}; "
                    "install one version"
                )
        answers = {worker: answer for worker, answer in answers.items() if isinstance(answer, dict)}
        if not answers:
            raise InputError(f"cluster: no worker of {self.address} answers; look at their logs")
        nthreads = {worker: int(found["nthreads"]) for worker, found in self._workers().items()}
        return {worker: max(1, nthreads.get(worker, 1) // answers[worker]["threads"]) for worker in sorted(answers)}

    def submit(self, what: str, function: Callable[..., Any], *arguments: Any, worker: str | None = None) -> Any:
        """Submit a function of these arguments, which may be futures; `what` names the samples in error messages."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Dask warns of large arguments; samples are large
            more: dict[str, Any] = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
            return self.client.submit(_guarded, what, function, *arguments, pure=False, **more)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        """Return the results in the order of the futures; wait until the timeout for a cluster without workers."""
        distributed: Any = importlib.import_module("distributed")  # it has no types
        alone = None
        while True:
            try:
                distributed.wait(futures, timeout=LOOK)
                break
            except TimeoutError:
                if self._workers():
                    alone = None
                    continue
            if alone is None:
                alone = time.monotonic()
                LOG.warning("the cluster has no workers; waiting for one, %g s at the most", self.timeout)
            if time.monotonic() - alone > self.timeout:
                raise InputError(f"cluster: {self.address} has had no workers for {self.timeout:g} s; start one")
        try:
            found: list[Any] = _aligned(list(self.client.gather(list(futures))))
            return found
        except distributed.KilledWorker as error:
            raise InputError(
                f"cluster: several workers died on one part of the samples, the last was {error.last_worker.address}; "
                "give the workers more memory"
            ) from error
        except distributed.CancelledError as error:
            raise InputError(f"cluster: {self.address} was lost; {error}") from error

    def share(self, value: Any) -> Any:
        """Return a value for several tasks: itself, or, where it is large, a future of it on one worker."""
        size = sum(array.nbytes for array in _arrays_in(value))
        return value if size <= SMALL else self.client.submit(_same, value, pure=False)

    def sums(self, futures: Sequence[Any]) -> tuple[NDArray[np.float64], ...]:
        """Return the sums of tuples of arrays, added up as a tree in the order of the futures."""
        while len(futures) > FAN:
            several = [futures[i : i + FAN] for i in range(0, len(futures), FAN)]
            futures = [self.client.submit(_add, *some, pure=False) for some in several]
        return _add(*self.results(futures))


@contextlib.contextmanager
def open_cluster(given: Any, timeout: float = TIMEOUT) -> Iterator[Cluster]:
    """Open a cluster: by a scheduler's address, `local:N`, or a `distributed.Client`, which stays open.

    Raises InputError where there is none, or where its workers have another version of this package.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise InputError(NEEDED) from error
    if isinstance(given, distributed.Client):
        yield Cluster(given, timeout)
        return
    if not isinstance(given, str):
        raise InputError(f"cluster: {shown(given)}; give {FORMS}, or a distributed.Client")
    local = re.fullmatch(r"local:([0-9]{1,4})", given)
    if local is None and "://" not in given:
        raise InputError(f"cluster: {shown(given)}; give {FORMS}")
    with contextlib.ExitStack() as opened:
        opened.enter_context(_only_our_lines())
        if local is not None:
            count = int(local[1])
            if count < 1:
                raise InputError(f"cluster: {given!r}; at least one process is needed")
            threads = max(1, usable_cpus() // count)
            _start_tracker()
            # A task must run where its samples are: another worker would have to fetch them first.
            opened.enter_context(_dask_config({"distributed.scheduler.work-stealing": False}))
            address: Any = opened.enter_context(
                distributed.LocalCluster(
                    n_workers=count, threads_per_worker=1, processes=True, dashboard_address=_dashboard(),
                    host="127.0.0.1", env={"OMP_NUM_THREADS": str(threads)},
                )
            )  # fmt: skip
        else:
            address = given
        try:
            client = opened.enter_context(distributed.Client(address, timeout=timeout))
        except (OSError, TimeoutError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"cluster: no scheduler answers at {given} ({reason[:200]}); start one: dask scheduler"
            ) from error
        if client.dashboard_link and _dashboard() is not None:
            LOG.warning("the cluster's dashboard: %s", client.dashboard_link)
        yield Cluster(client, timeout)


def _start_tracker() -> None:
    """Start Python's resource tracker so that it does not warn of semaphores when a signal ends the command."""
    tracker: Any = importlib.import_module("multiprocessing.resource_tracker")
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        tracker.ensure_running()
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _dask_config(settings: dict[str, Any]) -> Any:
    dask: Any = importlib.import_module("dask")
    return dask.config.set(settings)


def _dashboard() -> str | None:
    """Return where a dashboard is to listen; None where what draws it is not installed."""
    return ":0" if importlib.util.find_spec("bokeh") else None


@contextlib.contextmanager
def _only_our_lines() -> Iterator[None]:
    """Hide Dask's log messages of workers that come and go; errors are raised."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


# What runs on a worker.


def _hello() -> dict[str, Any]:
    for name in ("distributed", "fastlr"):  # no messages of workers, such as that kernels are compiled
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asked = os.environ.get("OMP_NUM_THREADS", "")  # threads of a kernel; a nanny sets it to 1
    return {"version": fastlr.__version__, "threads": int(asked) if asked.isdecimal() and int(asked) else usable_cpus()}


def _guarded(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task; an error becomes one line with the worker and the samples."""
    from distributed import get_worker

    try:
        return function(*_aligned(arguments))
    except Exception as error:
        reason = " ".join(str(error).split()) or "no more is known"
        line = f"worker {get_worker().address}, {what}: "
        if isinstance(error, InputError):
            raise InputError(line + reason) from None
        raise WorkerError(f"{line}{type(error).__name__}: {reason[:500]}") from error


def _aligned(value: Any) -> Any:
    """Return a value in which every array is aligned.

    An array that Dask has received may start at any address. For such arrays Numba compiles other code, whose sums can
    differ in the last bit.
    """
    if isinstance(value, tuple | list):
        parts = [_aligned(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {name: _aligned(part) for name, part in value.items()}
    return value.copy() if isinstance(value, np.ndarray) and not value.flags.aligned else value


def _same(value: Any) -> Any:
    return value


def _add(*several: tuple[NDArray[np.float64], ...]) -> tuple[NDArray[np.float64], ...]:
    """Return the sums of tuples of arrays, in their order."""
    return tuple(sum(same[1:], start=same[0]) for same in zip(*several, strict=True))


def _arrays_in(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _arrays_in(part)
    elif isinstance(value, np.ndarray):
        yield value

"""Samples that lie on the workers of a cluster, in parts.

A part's samples are the result of a task, which Dask makes again elsewhere if their worker dies: a run goes on. What
is computed of a part depends on the part alone, and results are in the order of the parts: they have the same bits
whichever worker had a part, and whichever was first.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.rows import Rows
from fastlr.data.workers import Cluster
from fastlr.errors import InputError, counted
from fastlr.machine import memory_budget

HELD = 0.25  # of a worker's memory, which the samples of one part may take; larger parts are read in each pass
RECIPE = 2**20  # bytes, at most, of rows that are sent as the names of their files


class Placed(Rows):
    """Samples on the workers of a cluster, in parts."""

    def __init__(
        self, cluster: Cluster, futures: Sequence[Any], ends: NDArray[Any], shape: tuple[int, ...], dtype: Any
    ) -> None:
        """Keep the futures of the parts' rows, and where each part ends."""
        super().__init__(shape, dtype, self._fetch)  # type: ignore[arg-type]  # pictures have more axes
        self.cluster, self.futures, self.ends = cluster, futures, ends
        self.ndim = len(shape)

    @property
    def slices(self) -> list[slice]:
        """Return which samples each part holds."""
        return [slice(int(start), int(stop)) for start, stop in zip([0, *self.ends[:-1]], self.ends, strict=True)]

    def as_rows(self) -> Placed:
        """Return the same as `(m, n)`."""
        shape = (self.shape[0], math.prod(self.shape[1:]))
        return Placed(self.cluster, self.futures, self.ends, shape, self.dtype)

    def over_parts(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows of each part and these arguments, on their worker; return the results."""
        tasks = [
            self.cluster.submit(name_of(part), function, rows, *arguments)
            for rows, part in zip(self.futures, self.slices, strict=True)
        ]
        return self.cluster.results(tasks)

    @property
    def description(self) -> str:
        """Return where the samples are, in one line."""
        held = sum(self.over_parts(_held))
        count = len(self.cluster.threads)
        return (
            f"cluster: the samples are in {len(self.futures)} parts on {counted(count, 'worker')} of "
            f"{self.cluster.address}, which hold {held / 1e6:,.0f} MB of them in memory"
        )

    def __getitem__(self, which: Any) -> Any:
        """Fetch some rows from the workers."""
        if isinstance(which, np.ndarray) and which.dtype.kind in "iu" and which.ndim == 1:
            tasks, places = [], []
            for rows, part in zip(self.futures, self.slices, strict=True):
                inside = np.flatnonzero((which >= part.start) & (which < part.stop))
                if len(inside):
                    tasks.append(self.cluster.submit("some samples", _take, rows, which[inside] - part.start))
                    places.append(inside)
            found = np.empty((len(which), math.prod(self.shape[1:])), self.dtype)
            for inside, some in zip(places, self.cluster.results(tasks), strict=True):
                found[inside] = some
            return found
        return super().__getitem__(which)

    def _fetch(self, start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self[np.arange(start, stop)])


class Window(Rows):
    """Some consecutive rows of others."""

    def __init__(self, rows: Any, start: int, stop: int) -> None:
        """Keep where they are."""
        shape = (stop - start, int(rows.shape[1]))
        super().__init__(shape, rows.dtype, lambda first, last: rows[start + first : start + last])


def place(cluster: Cluster, rows: Any) -> Placed:
    """Give each worker its part of the samples `(m, …)`.

    Workers read rows of files themselves, so they must see the same paths. Arrays in memory are sent to them.
    """
    m, n = rows.shape[0], math.prod(rows.shape[1:])
    workers = [worker for worker, count in cluster.threads.items() for _ in range(count)][:m]
    ends = [m * (i + 1) // len(workers) for i in range(len(workers))]
    lazy = isinstance(rows, Rows) and _can_be_sent(rows)
    futures = []
    for worker, start, stop in zip(workers, [0, *ends[:-1]], ends, strict=True):
        what = f"samples {start} to {stop - 1}"
        given = (rows, start, stop) if lazy else (np.asarray(rows[start:stop]).reshape(stop - start, n), 0, None)
        futures.append(cluster.submit(what, _load, *given, worker=worker))
    return Placed(cluster, futures, np.array(ends), tuple(rows.shape), rows.dtype)


def place_chunks(cluster: Cluster, array: Any) -> Placed:
    """Use the chunks of a `dask.array` of samples `(m, …)` as the parts, on the workers where they are.

    Raises InputError for fewer than two axes, no samples, unknown sizes, or values that are no real numbers.
    """
    if array.ndim < 2:
        raise InputError(f"X: an array of Dask of {array.ndim} axes; (m, n) is needed")
    if any(math.isnan(size) for size in array.shape):
        raise InputError("X: an array of Dask whose sizes are not known; call its compute_chunk_sizes() first")
    if 0 in array.shape:
        raise InputError(f"X: an array of Dask of shape {array.shape}; at least one sample and one feature are needed")
    if array.dtype.kind not in "biuf":
        raise InputError(f"X: an array of Dask of {array.dtype}; uint8 pixels or real numbers are needed")
    array = array.rechunk(dict.fromkeys(range(1, array.ndim), -1)).persist()
    chunks = cluster.client.compute(list(array.to_delayed().reshape(-1)))
    n, ends, futures = math.prod(array.shape[1:]), np.cumsum(array.chunks[0]), []
    for chunk, size, stop in zip(chunks, array.chunks[0], ends.tolist(), strict=True):
        if size:
            futures.append(cluster.submit(name_of(slice(stop - size, stop)), _of_chunk, chunk, (size, n)))
    return Placed(cluster, futures, np.unique(ends[ends > 0]), tuple(array.shape), array.dtype)


def name_of(part: slice) -> str:
    """Return what a message calls a part."""
    return f"samples {part.start} to {part.stop - 1}"


def _can_be_sent(rows: Rows) -> bool:
    """Return whether workers can open the rows: Rows that hold only paths and numbers can be sent."""
    pickle: Any = importlib.import_module("distributed.protocol.pickle")
    try:
        return len(pickle.dumps(rows)) < RECIPE
    except Exception:
        return False


# What runs on a worker.


def _load(rows: Any, start: int, stop: int | None) -> Any:
    """Return a part's rows `(r, n)`: in memory where they fit, else to be read from their files in each pass."""
    if stop is None:
        return rows
    part = Window(rows, start, stop)
    size = math.prod(part.shape) * part.dtype.itemsize
    limit = _memory_limit()
    if size <= HELD * limit and size <= memory_budget():
        return np.asarray(part)
    part[:1]  # a path that is missing here is said now
    return part


def _of_chunk(chunk: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Return a chunk's rows; raise InputError where its shape is not what the array says."""
    rows = np.asarray(chunk)
    if rows.shape[:1] != shape[:1] or rows.size != math.prod(shape):
        raise InputError(f"the chunk has shape {rows.shape}, its array says {shape}; give the array its real chunks")
    return rows.reshape(shape)


def _memory_limit() -> float:
    from distributed import get_worker

    return float(get_worker().memory_manager.memory_limit or math.inf)


def _held(rows: Any) -> int:
    """Return how many bytes of a part's rows are in memory."""
    return int(getattr(rows, "nbytes", 0))


def _take(rows: Any, indices: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows[indices])

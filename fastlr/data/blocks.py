"""Samples a block at a time, in their order, from whatever can be sliced by rows.

Which rows are together depends on their number alone, not on where they lie: a sum over the blocks has the same bits
whether they come from one array or from many files.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.core import Array
from fastlr.namespace import is_lazy, itemsize_of, library_of


class Pass(NamedTuple):
    """How far a pass over the data has come."""

    read: int  # bytes
    size: int  # bytes, in all
    seconds: float


# Whoever wants to know is told after each block.
watching: ContextVar[Callable[[Pass], object] | None] = ContextVar("watching", default=None)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows `(m, n)` of samples with their labels `(m,)` or `(m, L)`, cut into blocks of so many."""

    rows: Any  # has a shape, and rows[start:stop] and rows[indices] are arrays
    labels: NDArray[Any]
    size: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (m, n)."""
        return int(self.rows.shape[0]), int(self.rows.shape[1])

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        """Give each block with the slice that it is. Of what is on a disk the next is read meanwhile."""
        tell, began = watching.get(), time.monotonic()
        each = self.shape[1] * itemsize_of(self.rows)
        for part, block in self._blocks():
            yield part, block
            if tell is not None:
                tell(Pass(part.stop * each, len(self.labels) * each, time.monotonic() - began))

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        parts = [
            slice(start, min(start + self.size, len(self.labels))) for start in range(0, len(self.labels), self.size)
        ]
        if is_in_memory(self.rows):
            yield from ((part, self.rows[part, ...]) for part in parts)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="fastlr-blocks") as reader:
            coming = reader.submit(self._read, parts[0])
            for part, following in zip(parts, [*parts[1:], None], strict=True):
                block = coming.result()
                if following is not None:
                    coming = reader.submit(self._read, following)
                yield part, block

    def take(self, indices: NDArray[np.intp]) -> tuple[Array, NDArray[Any]]:
        """Return some of the samples, given by their indices, and their labels."""
        if library_of(self.rows) != "numpy":
            return core.rows(self.rows, indices.tolist()), self.labels[indices]
        return self.rows[indices], self.labels[indices]

    def _read(self, part: slice) -> Array:
        return np.array(self.rows[part, ...])


def is_in_memory(rows: Any) -> bool:
    """Return whether an array is in memory: not a map of a file, nor something that reads files."""
    if is_lazy(rows):
        return False
    while isinstance(rows, np.ndarray | memoryview):
        rows = rows.base if isinstance(rows, np.ndarray) else rows.obj
        if isinstance(rows, mmap.mmap):
            return False
    return True

"""Rows that stay in their files and are read when they are asked for.

They stand where an array `(m, n)` does: they have its shape and dtype, `rows[start:stop]` and `rows[indices]` are
arrays, and whatever makes an array of all of them gets one, in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.format import reporting

LARGE = 2**28  # bytes from which an array stays in its file
BLOCK = 2**20  # numbers that are read at once where some rows here and there are wanted,
FEW = 64  # unless they are fewer than one in so many: then each is read by itself


class Rows:
    """Rows `(m, n)`, of which `read(start, stop)` makes an array."""

    ndim = 2

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], read: Callable[[int, int], NDArray[Any]]) -> None:
        """Keep what is known without reading anything."""
        self.shape, self.dtype, self._read = shape, dtype, read

    def __len__(self) -> int:
        """Return m."""
        return self.shape[0]

    def __getitem__(self, which: Any) -> Any:
        """Return the rows of a slice, a row, or those of an array of indices or of a mask."""
        if isinstance(which, tuple):
            which, *rest = which
            found = self[which]
            return found if rest == [...] else found[(*[slice(None)] * (found.ndim - 1), *rest)]
        m, n = self.shape
        if isinstance(which, int | np.integer):
            row = range(m)[which]
            return self._read(row, row + 1)[0]
        if isinstance(which, slice):
            start, stop, step = which.indices(m)
            return self._read(start, max(start, stop))[::step] if step > 0 else np.asarray(self)[which]
        wanted = np.arange(m)[which]
        found = np.empty((*wanted.shape, n), self.dtype)
        size = max(1, BLOCK // n)
        for block in np.unique(wanted // size):  # each is read once
            here, start = np.flatnonzero(wanted // size == block), int(block) * size
            if len(here) * FEW < size:
                for place in here.tolist():
                    found[place] = self._read(int(wanted[place]), int(wanted[place]) + 1)[0]
            else:
                found[here] = self._read(start, min(m, start + size))[wanted[here] - start]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of them."""
        return self._read(0, self.shape[0]).astype(self.dtype if dtype is None else dtype, copy=False)


def in_file(path: Path, shape: Sequence[int], dtype: np.dtype[Any], offset: int) -> Rows:
    """Return the rows of a file in which they lie one after another, from an offset on. Reading them opens it anew."""
    (m, n), size = shape, dtype.itemsize

    def read(start: int, stop: int) -> NDArray[Any]:
        with reporting(path):
            values = np.fromfile(path, dtype, (stop - start) * n, offset=offset + start * n * size)
            return values.reshape(stop - start, n)

    return Rows((m, n), dtype, read)


def joined(parts: Sequence[Any]) -> Rows:
    """Return the rows of several arrays, or of `Rows`, one after another; all have as many numbers, of one dtype."""
    ends = np.cumsum([part.shape[0] for part in parts])

    def read(start: int, stop: int) -> NDArray[Any]:
        found = np.empty((stop - start, parts[0].shape[1]), parts[0].dtype)
        for part, end in zip(parts, ends, strict=True):
            first = end - part.shape[0]
            here, there = max(start, first), min(stop, end)
            if here < there:
                found[here - start : there - start] = part[here - first : there - first]
        return found

    return Rows((int(ends[-1]), parts[0].shape[1]), parts[0].dtype, read)

"""Rows that stay in their files and are read when they are asked for.

They stand where an array `(m, n)` does: they have its shape and dtype, `rows[start:stop]` and `rows[indices]` are
arrays, and whatever makes an array of all of them gets one, in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastlr.data.format import reporting
from fastlr.errors import InputError

LARGE = 2**28  # bytes from which an array stays in its file
BLOCK = 2**20  # numbers that are read at once where some rows here and there are wanted,
FEW = 64  # unless they are fewer than one in so many: then each is read by itself


Read = Callable[[int, int], NDArray[Any]]  # of the rows from one number to another


class Rows:
    """Rows `(m, n)`, of which `read(start, stop)` makes an array."""

    ndim = 2
    is_lazy: ClassVar[bool] = True  # what `namespace` knows them by

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any], read: Read) -> None:
        """Keep what is known without reading anything."""
        self.shape, self.dtype, self._read = shape, dtype, read

    def __len__(self) -> int:
        """Return m."""
        return self.shape[0]

    def as_rows(self) -> Any:
        """Return them as `(m, n)`."""
        return self

    def over_parts(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call a function with the rows and these arguments; return its results, one for each part of the rows."""
        return [function(self, *arguments)]

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


class InOrder(Rows):
    """Rows that are read one after another, as in a compressed table. To go back is to begin anew.

    `begin(row)` returns the number of a row at or before this one, and the arrays of the rows from there on.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        begin: Callable[[int], tuple[int, Iterator[NDArray[Any]]]],
    ) -> None:
        """Keep what is known without reading anything."""
        super().__init__(shape, dtype, self._next)
        self._begin, self._lock = begin, threading.Lock()
        self._at, self._left = -1, np.empty((0, shape[1]), dtype)
        self._coming: Iterator[NDArray[Any]] = iter(())

    def _next(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows; to go on where the last reading ended needs no reading anew."""
        found = np.empty((stop - start, self.shape[1]), self.dtype)
        with self._lock:  # two threads would take each other's rows
            if start != self._at:
                self._at, self._coming = self._begin(start)
                self._left = self._left[:0]
            while self._at < stop:
                if not len(self._left):
                    self._left = self._following()
                wanted = max(start, self._at)  # rows before it are passed over
                taken = self._left[wanted - self._at : stop - self._at]
                found[wanted - start : wanted - start + len(taken)] = taken
                passed = min(len(self._left), stop - self._at)
                self._left, self._at = self._left[passed:], self._at + passed
        return found

    def _following(self) -> NDArray[Any]:
        """Return the rows that come next."""
        try:
            rows = next(self._coming, None)
        except BaseException:
            self._at = -1
            raise
        if rows is None or rows.dtype != self.dtype:
            at, self._at = self._at, -1
            what = "end" if rows is None else f"are {rows.dtype}, those before {self.dtype},"
            raise InputError(f"the features {what} after {at} rows; the file was changed, or holds no number there")
        return rows


def in_file(path: Path, shape: Sequence[int], dtype: np.dtype[Any], offset: int) -> Rows:
    """Return the rows of a file in which they lie one after another, from an offset on. Reading them opens it anew."""
    (m, n), size = shape, dtype.itemsize
    where = path.absolute()  # the working folder may be another one then

    def read(start: int, stop: int) -> NDArray[Any]:
        with reporting(path):
            values = np.fromfile(where, dtype, (stop - start) * n, offset=offset + start * n * size)
            return values.reshape(stop - start, n)

    return Rows((m, n), dtype, read)


def by_bands(read: Read, height: int, m: int) -> Read:
    """Return a reader of rows that are compressed `height` together: it keeps the last such band for the next call."""
    kept: tuple[int, NDArray[Any] | None] = -1, None

    def some(start: int, stop: int) -> NDArray[Any]:
        nonlocal kept
        band = start // height
        end = (band + 1) * height
        if stop - start >= height:
            return read(start, stop)
        if stop > end:
            return np.concatenate([some(start, end), some(end, stop)])
        number, rows = kept  # another thread may put another one there
        if number != band or rows is None:
            rows = read(band * height, min(m, end))
            kept = band, rows
        return rows[start - band * height : stop - band * height]

    return some


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

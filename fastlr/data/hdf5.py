"""HDF5 files in the tutorials' layout, or with `images` and `labels`."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.arrays import WEIGHTS
from fastlr.data.checks import class_names, list_names
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.data.format import Pictures, reporting
from fastlr.data.labelled import from_arrays
from fastlr.data.rows import LARGE, Rows, by_bands, in_file
from fastlr.errors import InputError
from fastlr.machine import in_threads, usable_cpus

if TYPE_CHECKING:
    from fastlr.data.hdf5_opener import Opener

SUFFIXES = (".h5", ".hdf5", ".hdf")
CLASSES = "list_classes"
AT_ONCE = 2**31  # bytes of chunks that threads expand at the same time
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def recognises(path: Path) -> bool:
    """Return whether it is a file with HDF5's signature or suffix."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix.lower() in SUFFIXES or file.read(8) == SIGNATURE


def splits(path: Path) -> tuple[str, ...]:
    """Return those of "train" and "test" for which the file holds `NAME_set_x`."""
    wanted = {name: f"{name}_set_x" for name in ("train", "test")}
    with _asked(path, [], DEFAULT, tuple(wanted.values())) as (answer, _):
        return tuple(name for name, array in wanted.items() if array in answer["there"])


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return `SPLIT_set_x` and `SPLIT_set_y`, or `images` and `labels`; `list_classes` names the classes.

    `SPLIT_sample_weight`, or `sample_weight`, says how much each sample counts, where it is there.
    """
    wanted = (f"{split}_set_x", f"{split}_set_y") if split else ("images", "labels")
    with _asked(path, [*wanted, CLASSES, _weights_of(split)], pictures.expansion) as (answer, arrays):
        for name, array in zip(wanted, arrays, strict=False):
            if array is None:
                held = list_names(answer["held"], total=answer["count"])
                raise InputError(f"{path}: holds no {name!r}; it holds {held or 'nothing'}")
        samples, labels, names, weights = arrays
    classes = None if names is None else class_names(path, names)
    data = from_arrays(str(path), samples, labels, classes, missing_label=pictures.missing_label)
    return replace(data, weights=weights)


def _weights_of(split: str | None) -> str:
    return f"{split}_{WEIGHTS}" if split else WEIGHTS


def write(path: Path, parts: dict[str, Dataset], missing_label: float = -1) -> None:
    """Write datasets by split in the layout that `read` takes; the key "" stands for an undivided one."""
    import h5py

    with path.open("w+b") as raw:
        checked = _Checked(raw)
        with h5py.File(checked, "w") as file:
            for split, data in parts.items():
                samples, labels = (f"{split}_set_x", f"{split}_set_y") if split else ("images", "labels")
                file.create_dataset(samples, data=data.images, track_times=False)
                file.create_dataset(labels, data=data.labels_with(missing_label), track_times=False)
                if data.weights is not None:
                    file.create_dataset(_weights_of(split), data=data.weights, track_times=False)
            classes = next(iter(parts.values())).classes
            names = np.array([str(name).encode("utf-8", "surrogateescape") for name in classes], dtype=bytes)
            file.create_dataset(CLASSES, data=names, track_times=False)
        checked.flush()
        if checked.error is not None:
            raise checked.error


class _Checked:
    """A file that stores write errors and raises none: on an error in a callback the HDF5 library ends the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write, and return how many bytes there were."""
        self._try(self._file.write, content)
        return len(content)

    def truncate(self, size: int) -> int:
        """Bring the file to a size."""
        self._try(self._file.truncate, size)
        return size

    def flush(self) -> None:
        """Write what is not written yet."""
        self._try(self._file.flush)

    def _try(self, step: Callable[..., object], *arguments: Any) -> None:
        try:
            if self.error is None:
                step(*arguments)
        except OSError as error:
            self.error = error

    def __getattr__(self, name: str) -> Any:
        """Return what else a file has."""
        return getattr(self._file, name)


@contextlib.contextmanager
def _asked(path: Path, names: Sequence[str], expansion: Expansion, looked_for: Sequence[str] = ()) -> Iterator[Any]:
    """Give what the process answers of the file, and the arrays of these names, None where there is none.

    The process takes the file apart; numbers that lie at one place are read here.
    """
    from fastlr.data.hdf5_opener import opener

    process = opener()
    with process.lock:
        try:
            yield _arrays(process, path, names, expansion, looked_for)
        except BaseException:
            process.end()  # the rest of its answer is not wanted
            raise


def _arrays(process: Opener, path: Path, names: Sequence[str], expansion: Expansion, looked_for: Sequence[str]) -> Any:
    size = path.stat().st_size
    answer = process.ask(
        {
            "path": os.fsencode(path.absolute()).hex(),  # the process may have another working folder
            "arrays": names,
            "most": expansion.most(size),
            "looked_for": looked_for,
        }
    )
    if "refused" in answer:
        raise InputError(f"{path}: {answer['refused']}")
    if "failed" in answer:
        raise ValueError(answer["failed"])
    for name, found in zip(names, answer["arrays"], strict=True):
        expansion.check(path, repr(name), found.get("bytes", 0), size)
    arrays = [_array(process, path, found) for found in answer["arrays"]]
    process.wait_for_close()
    return answer, arrays


def _array(process: Opener, path: Path, found: dict[str, Any]) -> Any:
    if "missing" in found:
        return None
    shape = tuple(found["shape"])
    if "texts" in found:
        texts = np.empty(len(found["texts"]), dtype=object)  # an array of text takes as much as the longest for each
        texts[:] = [text.encode("utf-8", "surrogateescape") for text in found["texts"]]
        return texts.reshape(shape)
    dtype, count = np.dtype(found["dtype"]), math.prod(shape)
    large = len(shape) == 2 and 0 < LARGE <= count * dtype.itemsize
    if "offset" in found:
        if large:
            return in_file(path, shape, dtype, found["offset"])
        values = np.fromfile(path, dtype, count, offset=found["offset"])
    elif "chunks" in found:
        if large:
            read = functools.partial(_expanded, path.absolute(), found, shape, dtype)
            return Rows((shape[0], shape[1]), dtype, by_bands(read, found["chunk"][0], shape[0]))
        return _expanded(path, found, shape, dtype, 0, shape[0])
    else:
        values = np.empty(count, dtype)
        process.fill(values.data.cast("B"))
    return values.reshape(shape)


def _expanded(
    path: Path, found: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any], first: int, last: int
) -> NDArray[Any]:
    """Return the rows first … last of an array from its chunks, which gzip has compressed.

    Each chunk is whole, also at the array's edges.
    """
    values, chunk = np.empty((last - first, *shape[1:]), dtype), tuple(found["chunk"])
    wanted = [one for one in found["chunks"] if first - chunk[0] < one[0][0] < last]
    size = math.prod(chunk) * dtype.itemsize
    with reporting(path), path.open("rb") as file:
        lock = threading.Lock()

        def expand(index: int) -> None:
            start, offset, stored, _ = wanted[index]
            with lock:
                file.seek(offset)
                content = file.read(stored)
            content = zlib.decompressobj().decompress(content, size)
            if len(content) < size:
                raise ValueError(f"the chunk at {tuple(start)} cannot be expanded")
            if found["shuffled"]:  # the first bytes of all numbers, then the second ones …
                content = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
            begin = start[0] - first
            rows = slice(max(0, begin), begin + chunk[0])
            beside = (slice(begin, begin + side) for begin, side in zip(start[1:], chunk[1:], strict=True))
            target = values[(rows, *beside)]
            skipped = rows.start - begin
            inside = (slice(skipped, skipped + target.shape[0]), *map(slice, target.shape[1:]))
            target[...] = np.frombuffer(content, dtype).reshape(chunk)[inside]

        # A thread has a chunk as it was stored, expanded, and in order.
        in_threads(expand, len(wanted), max(1, min(usable_cpus(), AT_ONCE // (3 * size))))
    return values

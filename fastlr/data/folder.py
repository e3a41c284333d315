"""A folder of class folders of picture files, or `train/` and `test/` with class folders in each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from fastlr.data.dataset import Dataset
from fastlr.data.picture import load_picture, quiet_decoding, to_pixels
from fastlr.data.reading import Pictures
from fastlr.errors import InputError

SPLITS = ("train", "test")

T = TypeVar("T")
R = TypeVar("R")


def recognises(path: Path) -> bool:
    """Return whether it is a folder."""
    return path.is_dir()


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test", where these are folders of folders."""
    return tuple(name for name in SPLITS if (path / name).is_dir() and _folders(path / name))


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Decode all pictures, in threads, into one uint8 array `(m, size, size, 3)`."""
    root = path / split if split else path
    class_folders = _folders(root)
    if not class_folders:
        raise InputError(f"{root}: holds no class folders; it should hold one folder of pictures per class")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(class_folders):
        inside = sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
        if not inside:
            raise InputError(f"{folder}: holds no pictures; each class folder needs at least one")
        files += inside
        labels += [label] * len(inside)

    size = (pictures.size, pictures.size)
    images = np.empty((len(files), *size, 3), dtype=np.uint8)

    def decode(index: int) -> str | None:
        try:
            images[index] = to_pixels(load_picture(files[index]), size, pictures.resample)
        except InputError as error:
            if not pictures.skip_bad:
                raise
            return str(error)
        return None

    with quiet_decoding():
        problems = list(threaded(decode, range(len(files)), pictures.threads))
    kept = np.array([problem is None for problem in problems])
    skipped = tuple(str(file) for file, keep in zip(files, kept, strict=True) if not keep)
    names = tuple(folder.name for folder in class_folders)
    if not kept.all():
        images = images[kept]
    return Dataset(
        images, np.array(labels, dtype=np.int64)[kept], names, str(root), pictures.resample, skipped
    )


def threaded(function: Callable[[T], R], items: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """Map in a pool of threads, results in the order of the items; Pillow releases the lock as it decodes."""
    with ThreadPoolExecutor(threads or usable_cpus()) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the first bad file ends the reading, not the last
            raise


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))

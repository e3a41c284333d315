"""HDF5 files in the tutorials' layout, or with `images` and `labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset, from_arrays
from fastlr.data.format import MAX_RATIO, Pictures
from fastlr.errors import InputError

SUFFIXES = (".h5", ".hdf5", ".hdf")
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def recognises(path: Path) -> bool:
    """Return whether it is a file with HDF5's signature or suffix."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix.lower() in SUFFIXES or file.read(8) == SIGNATURE


def splits(path: Path) -> tuple[str, ...]:
    """Return those of "train" and "test" for which the file holds `NAME_set_x`."""
    import h5py

    with h5py.File(path, "r") as file:
        return tuple(name for name in ("train", "test") if f"{name}_set_x" in file)


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return `SPLIT_set_x` and `SPLIT_set_y`, or `images` and `labels`; `list_classes` names the classes."""
    import h5py

    examples, labels = (f"{split}_set_x", f"{split}_set_y") if split else ("images", "labels")
    with h5py.File(path, "r") as file:
        names = None
        if "list_classes" in file:
            names = _array(path, file, "list_classes").tolist()
        return from_arrays(str(path), _array(path, file, examples), _array(path, file, labels), names)


def write(path: Path, parts: dict[str, Dataset]) -> None:
    """Write datasets by split in the layout that `read` takes; the key "" stands for an undivided one."""
    import h5py

    with h5py.File(path, "w") as file:
        for split, data in parts.items():
            examples, labels = (f"{split}_set_x", f"{split}_set_y") if split else ("images", "labels")
            file.create_dataset(examples, data=data.images, track_times=False)
            file.create_dataset(labels, data=data.labels, track_times=False)
        classes = next(iter(parts.values())).classes
        names = np.array([str(name).encode("utf-8", "surrogateescape") for name in classes], dtype=bytes)
        file.create_dataset("list_classes", data=names, track_times=False)


def _array(path: Path, file: Any, name: str) -> NDArray[Any]:
    import h5py

    if name not in file:
        raise InputError(f"{path}: holds no {name!r}; it holds {', '.join(sorted(file)) or 'nothing'}")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: {name!r} is not an array")
    if dataset.nbytes > MAX_RATIO * path.stat().st_size:
        raise InputError(
            f"{path}: {name!r} claims {dataset.nbytes:,} bytes, more than the file can hold; it is damaged"
        )
    return np.asarray(dataset[()])

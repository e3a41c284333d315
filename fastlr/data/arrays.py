"""NumPy's own files: `.npz` with examples and labels, or `.npy` with the labels in a file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset, from_arrays
from fastlr.data.format import Pictures
from fastlr.errors import InputError

EXAMPLES, LABELS = ("images", "X", "features", "embeddings"), ("labels", "y")
TEST = "test_"  # prefix of the test split's arrays


def recognises(path: Path) -> bool:
    """Return whether it is an .npz or .npy file."""
    return path.is_file() and path.suffix.lower() in (".npz", ".npy")


def splits(path: Path) -> tuple[str, ...]:
    """Return "test" where an .npz holds `test_images` or `test_X`, with "train" for the rest; else it is undivided."""
    if path.suffix.lower() == ".npy":
        return ()
    with _open_npz(path) as file:
        train, test = (any(prefix + name in file for name in EXAMPLES) for prefix in ("", TEST))
    return () if not test else ("train", "test") if train else ("test",)


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return examples and labels; the array `classes` names the classes where it is there."""
    if path.suffix.lower() == ".npy":
        beside = labels_beside(path)
        return from_arrays(str(path), np.load(path, allow_pickle=False), np.load(beside, allow_pickle=False))
    prefix = TEST if split == "test" else ""
    with _open_npz(path) as file:
        examples = file[name_of(path, file, EXAMPLES, prefix)]
        if any(prefix + name in file for name in LABELS) or prefix:
            labels = file[name_of(path, file, LABELS, prefix)]
        else:
            labels = np.load(labels_beside(path), allow_pickle=False)
        names = file["classes"].tolist() if "classes" in file else None
        return from_arrays(str(path), examples, labels, names)


def write(path: Path, parts: dict[str, Dataset]) -> None:
    """Write datasets by split in the layout that `read` takes; the key "" stands for an undivided one."""
    arrays: dict[str, NDArray[Any]] = {"classes": np.array(next(iter(parts.values())).classes)}
    for split, data in parts.items():
        prefix = TEST if split == "test" else ""
        examples, labels = (EXAMPLES[0], LABELS[0]) if data.images.dtype == np.uint8 else (EXAMPLES[1], LABELS[1])
        arrays |= {prefix + examples: data.images, prefix + labels: data.labels}
    with path.open("wb") as file:  # an open file, or NumPy would add its suffix to the name
        np.savez_compressed(file, allow_pickle=False, **arrays)


@contextmanager
def _open_npz(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open an .npz through a file of our own: NumPy leaves its own open when the archive is damaged."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
        yield npz


def name_of(path: Path, file: Iterable[str], names: tuple[str, ...], prefix: str) -> str:
    """Return the first of the names, after the prefix, that is in the file; raise InputError where none is."""
    held = list(file)
    for name in names:
        if prefix + name in held:
            return prefix + name
    wanted = " or ".join(repr(prefix + name) for name in names)
    raise InputError(f"{path}: holds no {wanted}; it holds {', '.join(held) or 'nothing'}")


def labels_beside(path: Path) -> Path:
    """Return the file that holds the labels of an array's file."""
    candidates = [path.with_suffix(".labels.npy"), path.with_name("labels.npy"), path.with_name("y.npy")]
    for candidate in candidates:
        if candidate.is_file() and candidate != path:
            return candidate
    raise InputError(f"{path}: its labels are missing; put them beside it as {candidates[0].name} or labels.npy")

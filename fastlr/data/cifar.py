"""CIFAR-10's python batches: one file, or the folder of them, read without running what is pickled."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from fastlr.data.checks import class_names
from fastlr.data.dataset import Dataset
from fastlr.data.format import Pictures
from fastlr.data.plain_pickle import PickledArray, load_plain_pickle
from fastlr.errors import InputError

# The names in batches.meta, for where that file is missing.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
PICKLE_SUFFIXES = (".pickle", ".pkl")


def recognises(path: Path) -> bool:
    """Return whether it is a pickle, or a folder that holds batches."""
    if path.is_dir():
        return bool(_batches(path, "train") or _batches(path, "test"))
    if path.suffix in PICKLE_SUFFIXES or path.name.startswith(("data_batch", "test_batch")):
        return True
    with path.open("rb") as file:
        return file.read(1) == pickle.PROTO


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test" for a folder that holds batches of both; a single file is undivided."""
    return tuple(split for split in ("train", "test") if path.is_dir() and _batches(path, split))


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return images uint8 (m, 32, 32, 3); the file keeps them as rows of a red, a green and a blue plane."""
    files = _batches(path, split) if split else [path]
    folder = path if path.is_dir() else path.parent
    rows, labels = zip(*(_read_batch(file) for file in files), strict=True)
    images = np.concatenate(rows).reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
    return Dataset(np.ascontiguousarray(images), np.concatenate(labels), _names(folder), str(path))


def _batches(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob("data_batch_*" if split == "train" else "test_batch*"))


def _read_batch(path: Path) -> tuple[Any, Any]:
    batch = load_plain_pickle(path)
    if not isinstance(batch, dict):
        raise InputError(f"{path}: holds no dictionary; a CIFAR-10 python batch is one with 'data' and 'labels'")
    batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    if missing := {"data", "labels"} - batch.keys():
        raise InputError(f"{path}: holds no {sorted(missing)[0]!r}; a CIFAR-10 python batch has 'data' and 'labels'")
    data = batch["data"].to_numpy() if isinstance(batch["data"], PickledArray) else None
    if data is None or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != math.prod(SHAPE):
        raise InputError(f"{path}: 'data' is not a uint8 array (m, 3072), as CIFAR-10's is")
    labels = batch["labels"]
    if isinstance(labels, PickledArray):
        labels = labels.to_numpy().tolist()
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise InputError(f"{path}: 'labels' is not a list of whole numbers")
    return data, np.array(labels, dtype=np.int64)


def _names(folder: Path) -> tuple[str, ...]:
    meta = folder / "batches.meta"
    if not meta.is_file():
        return CLASSES
    content = load_plain_pickle(meta)
    names = content.get(b"label_names", content.get("label_names")) if isinstance(content, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise InputError(f"{meta}: holds no list of text 'label_names'; remove the file to use the built-in names")
    return tuple(
        name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in class_names(meta, names)
    )

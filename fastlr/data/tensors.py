"""Features and labels in a safetensors file, bfloat16 among them, or with the labels in a file beside it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from fastlr.data.arrays import LABELS, SAMPLES, TEST, WEIGHTS, labels_beside, load_npy, name_of
from fastlr.data.checks import class_names
from fastlr.data.dataset import Dataset
from fastlr.data.format import Pictures
from fastlr.data.labelled import from_arrays
from fastlr.data.rows import LARGE, in_file
from fastlr.errors import InputError

STAYS = {"U8": "u1", "F16": "<f2", "F32": "<f4", "F64": "<f8"}  # large tensors that stay in their file
NUMPY_HAS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")


def recognises(path: Path) -> bool:
    """Return whether it is a .safetensors file."""
    return path.is_file() and path.suffix.lower() == ".safetensors"


def splits(path: Path) -> tuple[str, ...]:
    """Return "test" where it holds `test_features`, or another of the names, with "train" for the rest."""
    names, _ = _contents(path)
    train, test = (any(prefix + name in names for name in SAMPLES) for prefix in ("", TEST))
    return () if not test else ("train", "test") if train else ("test",)


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return samples and labels; `classes` in the metadata, a JSON list, names the classes where it is there."""
    names, metadata = _contents(path)
    prefix = TEST if split == "test" else ""
    samples = _tensor(path, name_of(path, names, SAMPLES, prefix))
    beside = None if any(prefix + name in names for name in LABELS) else labels_beside(path)
    labels = load_npy(beside) if beside else _tensor(path, name_of(path, names, LABELS, prefix))
    classes = class_names(path, json.loads(metadata["classes"])) if "classes" in metadata else None
    weights = _tensor(path, prefix + WEIGHTS) if prefix + WEIGHTS in names else None
    data = from_arrays(str(path), samples, labels, classes, missing_label=pictures.missing_label)
    return replace(data, weights=weights)


def _contents(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of the tensors, and the metadata."""
    with safe_open(path, "np") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
    for key, what in (("fastlr", "model"), ("fastlr-checkpoint", "checkpoint")):
        if key in metadata:
            raise InputError(f"{path}: is a {what} that fastlr saved, not data; give the samples that it is for")
    return names, metadata


def in_numpy(path: Path, file: Any, name: str) -> NDArray[Any]:
    """Return a tensor of an open safetensors file whose dtype NumPy has, or say that it has not."""
    kind = file.get_slice(name).get_dtype()
    if kind not in NUMPY_HAS:
        raise InputError(f"{path}: {name!r} is of type {kind}, which NumPy does not have; save it as float16 or wider")
    tensor: NDArray[Any] = file.get_tensor(name)
    return tensor


def _tensor(path: Path, name: str) -> Any:
    """Return a tensor; NumPy has no bfloat16, whose bits are the upper half of a float32's."""
    with safe_open(path, "np") as file:
        kind, shape = file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()
        dtype = np.dtype(STAYS.get(kind, "V"))
        large = kind in STAYS and len(shape) == 2 and 0 < LARGE <= math.prod(shape) * dtype.itemsize
        if kind != "BF16" and not large:
            return in_numpy(path, file, name)
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        start, stop = json.loads(raw.read(length))[name]["data_offsets"]
        if large:
            return in_file(path, shape, dtype, 8 + length + start)
        raw.seek(8 + length + start)
        halves = np.frombuffer(raw.read(stop - start), dtype="<u2")
    upper = halves.astype(np.uint32)
    upper <<= 16
    return upper.view(np.float32).reshape(shape)

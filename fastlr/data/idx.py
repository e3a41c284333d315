"""A folder of IDX files, the format of MNIST and its kind, compressed or not.

Source: the format's description on MNIST's page: two zero bytes, a type byte, the number of dimensions, each
dimension as a big-endian 32-bit integer, then the numbers.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.data.format import Pictures
from fastlr.data.labelled import from_arrays
from fastlr.errors import InputError

UINT8 = 0x08
IMAGES = re.compile(r"images[-.]idx3-ubyte(\.gz)?$")


def recognises(path: Path) -> bool:
    """Return whether it is a folder with an IDX file of images in it."""
    return path.is_dir() and bool(_image_files(path))


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test" by the files' names (`train-…`; `t10k-…` or `test-…`)."""
    found = {_split_of(file) for file in _image_files(path)}
    return tuple(split for split in ("train", "test") if split in found)


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return images uint8 (m, h, w, 1) and their labels."""
    files = {IMAGES.sub("", file.name): file for file in _image_files(path) if _split_of(file) == split}
    if len(files) > 1:
        names = ", ".join(file.name for file in files.values())
        raise InputError(f"{path}: holds several data sets ({names}); put each into a folder of its own")
    (images,) = files.values()
    labels = _labels_of(images)
    pixels, indices = (
        read_idx(file, dimensions, pictures.expansion) for file, dimensions in ((images, 3), (labels, 1))
    )
    return from_arrays(str(images), pixels, indices)


def read_idx(path: Path, dimensions: int, expansion: Expansion = DEFAULT) -> NDArray[Any]:
    """Return the uint8 array of an IDX file, which must have that many dimensions."""
    compressed = path.suffix == ".gz"
    with gzip.open(path) if compressed else path.open("rb") as file:
        header = file.read(4 + 4 * dimensions)
        if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, UINT8, dimensions)):
            raise InputError(f"{path}: not an IDX file of bytes in {dimensions} dimensions")
        shape = struct.unpack(f">{dimensions}I", header[4:])
        size = math.prod(shape)
        if not compressed and size > path.stat().st_size:
            raise InputError(
                f"{path}: its header claims {size:,} bytes, more than there are; it is cut short or damaged"
            )
        expansion.check(path, "what its header claims", size)
        content = file.read(size + 1)
    if len(content) != size:
        raise InputError(f"{path}: its header claims {size:,} bytes, but that many do not follow; it is damaged")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _image_files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if IMAGES.search(file.name) and file.is_file())


def _split_of(file: Path) -> str:
    return "test" if file.name.startswith(("t10k", "test")) or "-test-" in file.name else "train"


def _labels_of(images: Path) -> Path:
    stem = IMAGES.sub("", images.name)
    for separator in "-.":
        for suffix in ("", ".gz"):
            labels = images.with_name(f"{stem}labels{separator}idx1-ubyte{suffix}")
            if labels.is_file():
                return labels
    raise InputError(f"{images}: its labels are missing; put {stem}labels-idx1-ubyte beside it")

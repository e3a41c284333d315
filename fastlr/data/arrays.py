"""NumPy's own files: `.npz` with samples and labels, or `.npy` with the labels in a file beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.checks import class_names, list_names
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import Expansion
from fastlr.data.format import Pictures
from fastlr.data.labelled import from_arrays
from fastlr.data.rows import LARGE, in_file
from fastlr.errors import InputError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

SAMPLES, LABELS = ("images", "X", "features", "embeddings"), ("labels", "y")
WEIGHTS = "sample_weight"  # how much each training sample counts, where it is there
TEST = "test_"  # prefix of the test split's arrays


def recognises(path: Path) -> bool:
    """Return whether it is an .npz or .npy file."""
    return path.is_file() and path.suffix.lower() in (".npz", ".npy")


def splits(path: Path) -> tuple[str, ...]:
    """Return "test" where an .npz holds `test_images` or `test_X`, with "train" for the rest; else it is undivided."""
    if path.suffix.lower() == ".npy":
        return ()
    with _archive(path) as archive:
        names = _members(path, archive)
    train, test = (any(prefix + name in names for name in SAMPLES) for prefix in ("", TEST))
    return () if not test else ("train", "test") if train else ("test",)


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return samples and labels; the array `classes` names the classes where it is there."""
    if path.suffix.lower() == ".npy":
        beside = labels_beside(path)
        return from_arrays(str(path), load_npy(path, LARGE), load_npy(beside), missing_label=pictures.missing_label)
    prefix = TEST if split == "test" else ""
    with _archive(path) as archive:
        members = _members(path, archive)

        def array(name: str) -> NDArray[Any]:
            return _load_member(path, archive, members[name], pictures.expansion)

        samples = array(name_of(path, members, SAMPLES, prefix))
        if any(prefix + name in members for name in LABELS) or prefix:
            labels = array(name_of(path, members, LABELS, prefix))
        else:
            labels = load_npy(labels_beside(path))
        names = class_names(path, array("classes")) if "classes" in members else None
        weights = array(prefix + WEIGHTS) if prefix + WEIGHTS in members else None
    data = from_arrays(str(path), samples, labels, names, missing_label=pictures.missing_label)
    return replace(data, weights=weights)


def write(path: Path, parts: dict[str, Dataset], missing_label: float = -1) -> None:
    """Write datasets by split in the layout that `read` takes; the key "" stands for an undivided one."""
    arrays: dict[str, Any] = {"classes": np.array(next(iter(parts.values())).classes)}
    for split, data in parts.items():
        prefix = TEST if split == "test" else ""
        samples, labels = (SAMPLES[0], LABELS[0]) if data.images.dtype == np.uint8 else (SAMPLES[1], LABELS[1])
        arrays |= {prefix + samples: data.images, prefix + labels: data.labels_with(missing_label)}
        if data.weights is not None:
            arrays[prefix + WEIGHTS] = data.weights
    with path.open("wb") as file:  # an open file, or NumPy would add its suffix to the name
        np.savez_compressed(file, **arrays)  # before NumPy 2.2 allow_pickle=False would be one more array


def load_npy(path: Path, large: float = math.inf) -> Any:
    """Return the array of an .npy file; as Rows, which stay there, where it is a matrix of so many bytes."""
    with path.open("rb") as file:
        shape, fortran_order, dtype = _header(file)
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > (there := path.stat().st_size - file.tell()):
            raise InputError(f"{path}: its header claims {claimed:,} bytes, but {there:,} follow; it is cut short")
        if claimed >= large and len(shape) == 2 and not fortran_order and claimed:
            return in_file(path, shape, dtype, file.tell())
        file.seek(0)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _archive(path: Path) -> ZipFile:
    from zipfile import ZipFile

    return ZipFile(path)


def _members(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """Return an archive's arrays by their names."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    for name, info in members.items():
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise InputError(f"{path}: {name[:100]!r} is not compressed as NumPy does; write it with savez_compressed")
    return members


def _load_member(path: Path, archive: ZipFile, member: ZipInfo, expansion: Expansion) -> NDArray[Any]:
    """Return the array of an archive's member, whose sizes are checked first."""
    name = repr(member.filename[:100])
    expansion.check(path, name, member.file_size)
    with archive.open(member) as file:
        claimed = _claimed(file)
    if claimed > member.file_size:
        raise InputError(f"{path}: {name} claims {claimed:,} bytes, but holds {member.file_size:,}; it is damaged")
    with archive.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _claimed(file: IO[bytes]) -> int:
    """Return how many bytes an array takes by its header."""
    shape, _, dtype = _header(file)
    return math.prod(shape) * dtype.itemsize


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether it is in Fortran's order, and the dtype."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"version {version[0]}.{version[1]} of the format holds structures, not numbers")
    shape, fortran_order, dtype = read[version](file)
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    if dtype.hasobject:
        raise ValueError("its values are Python objects; save numbers or text, such as labels.astype(str)")
    if not dtype.itemsize:
        raise ValueError("its text has no characters")
    return shape, fortran_order, dtype


def name_of(path: Path, file: Iterable[str], names: tuple[str, ...], prefix: str) -> str:
    """Return the first of the names, after the prefix, that is in the file; raise InputError where none is."""
    held = set(file)
    for name in names:
        if prefix + name in held:
            return prefix + name
    wanted = " or ".join(repr(prefix + name) for name in names)
    raise InputError(f"{path}: holds no {wanted}; it holds {list_names(sorted(held)) or 'nothing'}")


def labels_beside(path: Path) -> Path:
    """Return the file that holds the labels of an array's file."""
    candidates = [path.with_suffix(".labels.npy"), path.with_name("labels.npy"), path.with_name("y.npy")]
    for candidate in candidates:
        if candidate.is_file() and candidate != path:
            return candidate
    raise InputError(f"{path}: its labels are missing; put them beside it as {candidates[0].name} or labels.npy")

"""Folders of arrays: the rows of all files, one after another, in the order of the numbers in their names.

`part-0.npy`, `part-1.npy`, … (or .npz, .safetensors, .h5), or the layout that exporters of embeddings write:
`img_emb/img_emb_0.npy`, … with the labels in `metadata/metadata_0.parquet`, …
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data import arrays, hdf5, tensors
from fastlr.data.checks import list_names
from fastlr.data.dataset import Dataset
from fastlr.data.format import Pictures, Reader, reporting
from fastlr.data.labelled import as_table_or_vector, from_arrays
from fastlr.data.rows import joined
from fastlr.errors import InputError, counted

READERS: dict[str, Reader] = {".npy": arrays, ".npz": arrays, ".safetensors": tensors}
READERS |= dict.fromkeys(hdf5.SUFFIXES, hdf5)
LABELS = ("labels.npy", "y.npy")  # of all files; those of one are in NAME.labels.npy
EMBEDDINGS, METADATA = "img_emb", "metadata"
PARTS = ("train", "test")


def recognises(path: Path) -> bool:
    """Return whether it is a folder of such files, or of `train` and `test` with such files in them."""
    return path.is_dir() and bool(files_in(path) or splits(path))


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test", where these are folders of such files."""
    return tuple(name for name in PARTS if (path / name).is_dir() and files_in(path / name))


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return the rows of all files. Those of features stay in their files where they can; pictures are read."""
    folder = path / split if split else path
    files = files_in(folder)
    found = []
    for file in files:
        with reporting(file):
            found.append(_open(file, pictures))
    samples, labels = [some for some, _ in found], [some for _, some in found]
    for file, some in zip(files, samples, strict=True):
        if some.ndim < 2 or some.shape[1:] != samples[0].shape[1:] or some.dtype != samples[0].dtype:
            raise InputError(
                f"{file}: is an array of shape {some.shape} and {some.dtype}, {files[0].name} one of "
                f"{samples[0].shape} and {samples[0].dtype}; all must hold samples of one kind"
            )
    if all(some is None for some in labels):
        labels = _labels_of_all(folder, files, samples, pictures)
    known = [some for some in labels if some is not None]
    for file, some, of in zip(files, samples, labels, strict=True):
        if of is None:
            raise InputError(f"{file}: its labels are missing; put them beside it as {file.stem}.labels.npy")
        if len(of) != some.shape[0]:
            there = f"{counted(some.shape[0], 'sample')}, but has {counted(len(of), 'label')}"
            raise InputError(f"{file}: holds {there}; each sample needs one")
        if (of.dtype.kind in "OSU") != (known[0].dtype.kind in "OSU"):
            raise InputError(f"{file}: some labels are text, some numbers; give all files one kind")
        if of.shape[1:] != known[0].shape[1:]:
            raise InputError(
                f"{file}: its labels have shape {of.shape}, those of {files[0].name} {known[0].shape}; "
                "give all files one kind"
            )
    whole = joined(samples) if samples[0].ndim == 2 else np.concatenate(samples)
    return from_arrays(str(folder), whole, np.concatenate(known), missing_label=pictures.missing_label)


def files_in(folder: Path) -> list[Path]:
    """Return the files with samples; none where other folders lie beside them, which are classes of pictures."""
    exported = folder / EMBEDDINGS
    where = exported if exported.is_dir() else folder
    inside = [entry for entry in where.iterdir() if not entry.name.startswith(".")]
    if where is folder and any(entry.is_dir() for entry in inside):
        return []
    files = [file for file in inside if file.suffix.lower() in READERS and file.is_file() and not _holds_labels(file)]
    return sorted(files, key=_in_order)


def samples_in(file: Path) -> Any:
    """Return the samples of one of these files, which need no labels where they are in a file of their own."""
    with reporting(file):
        return _open(file, Pictures())[0]


def _in_order(file: Path) -> tuple[list[Any], str]:
    """Return what sorts part-10 after part-9: text and numbers in turn."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)], file.name


def _holds_labels(file: Path) -> bool:
    return file.name in LABELS or file.name.endswith(".labels.npy")


def _open(file: Path, pictures: Pictures) -> tuple[Any, NDArray[Any] | None]:
    """Return a file's samples, and its labels where they are in it or beside it."""
    if file.suffix.lower() != ".npy":
        data = READERS[file.suffix.lower()].read(file, None, pictures)
        return data.images, _by_name(data, pictures.missing_label)
    beside = file.with_suffix(".labels.npy")
    samples = arrays.load_npy(file, large=0)
    return samples, _labels(beside, samples.shape[:1]) if beside.is_file() else None


def _labels(path: Path, count: tuple[int, ...]) -> NDArray[Any]:
    """Return labels `(m,)`, or a table of them `(m, L)`, of samples of shape `(m,)`."""
    labels = as_table_or_vector(arrays.load_npy(path), count)
    return labels if labels.ndim == 2 else labels.reshape(-1)


def _by_name(data: Dataset, missing_label: float | None) -> Any:
    """Return the names of the labels of one file, as other files may have other classes; or its table."""
    if data.is_table:
        return data.labels_with(missing_label)
    return np.asarray(data.classes)[data.labels]


def _labels_of_all(
    folder: Path, files: list[Path], samples: list[Any], pictures: Pictures
) -> list[NDArray[Any] | None]:
    """Return the labels of each file, from one file of NumPy's for all or from a table for each."""
    for path in (folder / name for name in LABELS):
        if path.is_file():
            ends = np.cumsum([some.shape[0] for some in samples])
            labels = _labels(path, (int(ends[-1]),))
            if len(labels) != ends[-1]:
                raise InputError(f"{path}: holds {len(labels)} labels for {ends[-1]} samples; each sample needs one")
            return list(np.split(labels, ends[:-1]))
    tables = sorted((folder / METADATA).glob("*.parquet"), key=_in_order)
    if tables and len(tables) != len(files):
        raise InputError(f"{folder / METADATA}: holds {len(tables)} tables for {len(files)} files of samples")
    if not tables:
        wanted = list_names(("NAME.labels.npy beside each file", LABELS[0], f"{METADATA}/*.parquet"))
        raise InputError(f"{folder}: its labels are missing; put them there as one of: {wanted}")
    from fastlr.data.huggingface import labels_in

    return [labels_in([table], pictures.expansion) for table in tables]

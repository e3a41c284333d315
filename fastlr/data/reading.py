"""open_dataset: which reader takes a path, and which split of it."""

from __future__ import annotations

import logging
import os
from numbers import Integral
from pathlib import Path
from typing import Any

from fastlr.data import arrays, cifar, folder, hdf5, huggingface, idx, shards, tensors
from fastlr.data.checks import list_names
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import as_expansion
from fastlr.data.format import MAX_SIZE, Pictures, Reader, reporting
from fastlr.data.labelled import refuse_missing
from fastlr.errors import InputError, shown
from fastlr.files import as_path

LOG = logging.getLogger("fastlr")
SIZE, RESAMPLE = 64, "bicubic"  # of picture files
# In the order in which they are asked; a folder of pictures is the last resort. Your own may be put in.
READERS: list[Reader] = [hdf5, arrays, tensors, cifar, idx, huggingface, shards, folder]


def open_dataset(
    path: Any,
    split: str = "train",
    size: int = SIZE,
    resample: str = RESAMPLE,
    positive: str | list[str] | tuple[str, ...] | None = None,
    balance: bool = False,
    *,
    skip_bad: bool = False,
    threads: int | None = None,
    max_expansion: float | str | None = None,
    channels: int | None = None,
    missing_label: float | None = None,
) -> Dataset:
    """Read one split of a folder of pictures, of a file of any of the formats, or of a folder of such files.

    Parameters
    ----------
    path : path, or a Dataset or DatasetDict of Hugging Face's `datasets`
        The data. Large matrices stay in their files, and are read when they are needed.
    split : str, default "train"
        "train" or "test". Data without splits are returned whole for both.
    size : int, default 64
        Side in pixels to which picture files are resized.
    resample : str, default "bicubic"
        Pillow's filter: nearest, box, bilinear, hamming, bicubic or lanczos.
    positive : str or list of str, optional
        Classes that count as 1, all others as 0: a name, names separated by commas, or a list.
    balance : bool, default False
        With `positive`, keep as many zeros as there are ones, the first of them.
    skip_bad : bool, default False
        Leave out files that are not pictures, and list them in `skipped`.
    threads : int, optional
        Threads that decode pictures; by default one for each CPU that this process may use.
    max_expansion : float or str, optional
        How many times its size a file may expand to (1000), or how many bytes ("4G"), or both ("1000,4G"); by default
        100 times its size or 128 MiB, whichever is larger.
    channels : {1, 3}, optional
        Read picture files as grey or as RGB; by default grey if all of them are grey, else RGB.
    missing_label : -1 or NaN, optional
        What stands for labels that are not known, in a table of labels.

    Returns
    -------
    Dataset
        The samples, their labels, and the names of the classes.

    Raises
    ------
    InputError
        The path cannot be read as data.
    """
    if isinstance(size, bool) or not isinstance(size, Integral) or not 1 <= size <= MAX_SIZE:
        raise InputError(f"size: {shown(size)} pixels; it must be a whole number from 1 to {MAX_SIZE}")
    size = int(size)
    if isinstance(channels, bool) or channels not in (None, 1, 3):
        raise InputError(f"channels: {channels!r}; picture files are read as 1 (grey) or 3 (RGB)")
    shape = (size, size, channels or 3)
    pictures = Pictures(
        shape, resample, skip_bad, threads, as_expansion(max_expansion), missing_label, grey=channels is None
    )
    if huggingface.is_huggingface(path):
        data = huggingface.from_huggingface(path, split, pictures)
    else:
        data = read(as_path("path", path, "a file, a folder or a data set of Hugging Face"), split, pictures)
    if not data.is_table:
        refuse_missing(data.source, missing_label)
    if positive is not None:
        data = data.with_positive(positive)
    return data.balanced() if balance else data


def as_dataset(data: Any, split: str = "train") -> Any:
    """Return an object of Hugging Face's `datasets` as a Dataset, and whatever else as it is."""
    return open_dataset(data, split) if huggingface.is_huggingface(data) else data


def read(path: Path, split: str, pictures: Pictures) -> Dataset:
    """Read one split of a path, or all of an undivided one."""
    reader = reader_of(path)
    with reporting(path):
        data = reader.read(path, _choose_split(path, reader.splits(path), split), pictures)
    asked = not pictures.of_model and (pictures.shape[:2], pictures.resample) != ((SIZE, SIZE), RESAMPLE)
    if asked and reader not in (folder, huggingface) and tuple(data.images.shape[1:3]) != pictures.shape[:2]:
        LOG.warning("%s: holds arrays, which keep their shape: size and resample are for picture files", path)
    return data


def splits_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the splits that a path holds, () where it is undivided."""
    where = Path(path)
    reader = reader_of(where)
    with reporting(where):
        return reader.splits(where)


def reader_of(path: Path) -> Reader:
    """Return what reads a path; raise InputError where nothing does."""
    try:
        path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be opened ({reason}); give one that can be read") from None
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: neither a file nor a folder; data is read from those only")
    with reporting(path):
        for reader in READERS:
            if reader.recognises(path):
                return reader
    raise InputError(
        f"{path}: not data that fastlr reads; give a folder with one folder of pictures per class, "
        "an HDF5, npz, npy, safetensors, parquet or CIFAR-10 batch file, or a folder of IDX, parquet or array files"
    )


def _choose_split(path: Path, available: tuple[str, ...], wanted: str) -> str | None:
    if not available:
        if wanted not in ("train", "test", ""):
            raise InputError(f"{path}: has no splits; leave out {wanted!r}")
        return None
    if wanted not in available:
        raise InputError(f"{path}: holds no {wanted!r} split, only {list_names(available)}")
    return wanted

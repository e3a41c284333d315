"""A folder of class folders of picture files, or `train/` and `test/` with class folders in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastlr.data.dataset import Dataset
from fastlr.data.format import Pictures
from fastlr.errors import InputError

SPLITS = ("train", "test")


def recognises(path: Path) -> bool:
    """Return whether it is a folder."""
    return path.is_dir()


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test", where these are folders of folders."""
    return tuple(name for name in SPLITS if (path / name).is_dir() and _folders(path / name))


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Decode all pictures into one uint8 array; the classes are the folders by name. Hidden files are no pictures."""
    from fastlr.data.decoding import decode_samples

    root = path / split if split else path
    class_folders = _folders(root)
    if not class_folders:
        raise InputError(f"{root}: holds no class folders; it should hold one folder of pictures per class")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(class_folders):
        # Folders, broken links and named pipes are no pictures either, but are said to be none.
        inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        if not inside:
            raise InputError(f"{folder}: holds no pictures; each class folder needs at least one")
        files += inside
        labels += [label] * len(inside)

    images, kept, skipped = decode_samples(str(root), [files], len(files), pictures)
    return Dataset(
        images=images,
        labels=np.array(labels, dtype=np.int64)[kept],
        classes=tuple(folder.name for folder in class_folders),
        source=str(root),
        resample=pictures.resample,
        skipped=skipped,
        files=tuple(f"{file.parent.name}/{file.name}" for file, there in zip(files, kept, strict=True) if there),
    )


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder. What may be meant for one and leads nowhere is not passed over."""
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if not entry.exists():
            raise InputError(f"{entry}: is a link that leads nowhere; mend or remove it")
    return [entry for entry in entries if entry.is_dir()]

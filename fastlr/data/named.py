"""The pictures that the arguments of a command stand for: files, folders of files, and standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastlr.data.picture import Encoded, Picture
from fastlr.errors import InputError

STANDARD_INPUT = "-"
MOST_BYTES = 2**30  # more than the largest picture that is decoded takes, in any format


class Named(NamedTuple):
    """Pictures in the order of their names, and for each whether it comes from a folder and so may be no picture."""

    pictures: list[Picture]
    from_folder: list[bool]


def pictures_named(names: Sequence[str]) -> Named:
    """Return the pictures: a folder stands for its own files and those of its folders, "-" for standard input."""
    if names.count(STANDARD_INPUT) > 1:
        raise InputError("-: given more than once; standard input holds one picture")
    found = Named([], [])
    for name in names:
        is_folder = name != STANDARD_INPUT and os.path.isdir(name)  # which, unlike Path's, takes any name
        if is_folder:
            found.pictures.extend(_files_in(Path(name)))
        else:
            found.pictures.append(_standard_input() if name == STANDARD_INPUT else Path(name))
        found.from_folder.extend([is_folder] * (len(found.pictures) - len(found.from_folder)))
    return found


def _files_in(folder: Path) -> list[Path]:
    """Return the folder's files, then those of each of its folders, all by name. Hidden ones are left out."""
    files, folders = _listed(folder)
    files += [file for inner in folders for file in _listed(inner)[0]]
    if not files:
        raise InputError(f"{folder}: holds no pictures, nor do its folders; give picture files or a folder of them")
    return files


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); give another folder") from None
    is_folder = [entry.is_dir() for entry in entries]
    files, folders = (
        [entry for entry, inner in zip(entries, is_folder, strict=True) if inner is kind] for kind in (False, True)
    )
    return files, folders


def _standard_input() -> Encoded:
    if sys.stdin is None:
        raise InputError("-: standard input is closed; give a picture there, as in `fastlr predict MODEL - < a.jpg`")
    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal; give a picture, as in `fastlr predict MODEL - < a.jpg`")
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"-: standard input holds more than {MOST_BYTES} bytes, which is no picture")
    return Encoded(STANDARD_INPUT, content or None, "standard input is empty; a picture is needed")

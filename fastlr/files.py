"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from fastlr.errors import InputError


def check_writable(path: Path) -> None:
    """Raise InputError unless a file could be written at `path`; ask before long work, not after it."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file to write")
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written, there is no folder {path.parent}; make it first")
        beside = _beside(path)
        beside.touch(exist_ok=False)
        beside.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason}); give another place") from None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path`; it takes the place of `path` when the block ends well, else it goes.

    A symbolic link stays one: its target is replaced.
    """
    check_writable(path)
    beside = _beside(path)
    try:
        yield beside
        beside.replace(Path(os.path.realpath(path)))
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path: Path, option: str) -> None:
    """Make the folder where it is not there yet; the option is the one that named it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{path}: is a file; {option} takes the name of a folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be made ({error}); give another folder with {option}") from None


def _beside(path: Path) -> Path:
    """Return a new name in the folder of the file that `path` is, or leads to."""
    return Path(os.path.realpath(path)).with_name(f".{secrets.token_hex(8)}.part")

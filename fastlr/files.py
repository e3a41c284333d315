"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fastlr.errors import InputError


def check_writable(path: Path) -> None:
    """Raise InputError unless a file could be written at `path`; ask before long work, not after it."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written, there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written, the folder {path.parent} is not writable")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path`; it takes the place of `path` when the block ends well, else it goes."""
    check_writable(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())  # mkstemp's own mode is for its owner alone
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Writing files so that a reader never sees half of one, no input is overwritten, and nothing is left behind."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fastlr.errors import InputError, shown

PART = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{16}\.part")  # the machine and the process that write it
unfinished: set[Path] = set()  # files that are being written; they go where the process is ended by a signal
OLD = 86_400  # seconds after which another machine's process is taken to be dead


def check_writable(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise InputError unless a file could be written at `path`, which is none of the inputs, nor in one of them.

    Ask before long work.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
                raise InputError(f"{path}: is {kind}; give the name of a file to write")
        if not path.parent.is_dir():
            raise InputError(f"{path}: cannot be written, there is no folder {path.parent}; make it first")
        check_apart(path, inputs)
        beside = _beside(path)
        beside.touch(exist_ok=False)
        beside.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written ({reason}); give another place") from None


def check_apart(path: Path, inputs: Iterable[Path | int | None]) -> None:
    """Raise InputError where `path` is one of the files that are read, under whatever name; see `check_all_apart`."""
    check_all_apart([path], inputs)


def check_all_apart(paths: Iterable[Path], inputs: Iterable[Path | int | None]) -> None:
    """Raise InputError where one of the paths to write is a file that is read.

    The inputs are files, folders of them, or files that are open under a number.
    """
    written = {identity: path for path in paths if (identity := _identity(path))}
    for given in inputs if written else ():  # what is not there yet is not read
        for read in (given, *_files_below(given)):
            if (identity := _identity(read)) in written:
                path = written[identity]
                raise InputError(f"{path}: is read by this command and would be lost; give another name to write")


def _files_below(folder: Path | int | None) -> Iterator[Path]:
    if isinstance(folder, Path):
        for inner, _, names in os.walk(folder):  # for a file this yields nothing
            yield from (Path(inner, name) for name in names)


def _identity(path: Path | int | None) -> tuple[int, int] | None:
    """Return what a file has in common under all of its names, None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        status = None if path is None else os.stat(path)
        return None if status is None else (status.st_dev, status.st_ino)
    return None


class UnwrittenError(OSError):
    """A file that could not be written; the text names it."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path`; it takes the place of `path` when the block ends well, else it goes.

    The new file has the permissions of the old one. A symbolic link is replaced, and what it leads to stays. Raises
    OSError that names `path` where it cannot be written.
    """
    check_writable(path)
    beside = _beside(path)
    unfinished.add(beside)
    try:
        yield beside
        with contextlib.suppress(OSError):
            old = path.lstat().st_mode
            if stat.S_ISREG(old):
                beside.chmod(stat.S_IMODE(old))
        beside.replace(path)
    except UnwrittenError:  # another file, written in the same block
        raise
    except OSError as error:
        reason = error.strerror or error
        raise UnwrittenError(f"{path}: could not be written ({reason}); nothing was changed there") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        unfinished.discard(beside)


def jpeg(image: Any) -> bytes:
    """Return one of Pillow's pictures as a JPEG file; Pillow itself says nothing where the disk is full."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return content.getvalue()


def write_jpeg(image: Any, path: Path) -> None:
    """Write one of Pillow's pictures as a JPEG file, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_bytes(jpeg(image))


def as_path(what: str, given: Any, wanted: str = "the name of a file") -> Path:
    """Return the path that a caller gave; raise InputError for what is none, and for an empty name."""
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        raise InputError(f"{what}: {shown(given)}; {wanted} is needed")
    return Path(given)


@contextlib.contextmanager
def folder_for(path: Path, option: str) -> Iterator[None]:
    """Make a folder for what the block writes; a new one goes again if the block fails and left nothing in it."""
    new = [one for one in (path, *path.parents) if not os.path.lexists(one)]
    make_folder(path, option)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for one in new:
                one.rmdir()
        raise


def make_folder(path: Path, option: str) -> None:
    """Make the folder where it is not there yet; the option is the one that named it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{path}: is a file; {option} takes the name of a folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be made ({reason}); give another folder with {option}") from None


def _beside(path: Path) -> Path:
    """Return a new name in the folder of `path`."""
    folder = Path(os.path.realpath(path.parent))
    _sweep(folder)
    return folder / f".{_machine()}-{os.getpid()}-{secrets.token_hex(8)}.part"


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            match = PART.fullmatch(entry.name)
            if match and Path(entry) not in unfinished and not _lives(match[1], int(match[2]), entry):
                with contextlib.suppress(OSError):
                    os.unlink(entry)


def _lives(machine: str, process: int, entry: os.DirEntry[str]) -> bool:
    """Return whether the process that began a file may still be writing it."""
    if machine != _machine() or os.name == "nt":  # where signal 0 is none
        return time.time() - entry.stat(follow_symlinks=False).st_mtime < OLD
    if process == os.getpid():
        return False  # an earlier process of this number: what this one writes is known
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):  # there is none, or can be none
        return False
    except OSError:
        return True
    return True


@functools.cache
def _machine() -> str:
    """Return a name for what numbers the processes: this machine, or this container."""
    import platform

    try:
        numbered = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbered = ""
    return hashlib.sha256(f"{platform.node()} {numbered}".encode()).hexdigest()[:8]

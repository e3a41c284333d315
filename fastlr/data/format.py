"""What every format's file is given, and what it must offer."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastlr.data.checks import RESAMPLING
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.errors import InputError, ShortageError, shortage

MAX_SIZE = 4096


@dataclass(frozen=True)
class Pictures:
    """How files are read: the size of pictures, what is done with bad ones, and how much a file may expand to."""

    shape: tuple[int, int, int] = (64, 64, 3)  # height, width, channels
    resample: str = "bicubic"
    skip_bad: bool = False
    threads: int | None = None  # None: one for each CPU that this process may use
    expansion: Expansion = DEFAULT
    missing_label: float | None = None  # what stands for a label that is not known, in a table of labels
    grey: bool = False  # whether a data set gets one channel if none of its pictures has colours
    of_model: bool = False  # whether a model, and not its user, asks for this size

    def __post_init__(self) -> None:
        """Check the values."""
        if self.resample not in RESAMPLING:
            raise InputError(f"resample: {self.resample!r} is not known; choose {', '.join(RESAMPLING)}")


class Reader(Protocol):
    """What a format's file offers."""

    def recognises(self, path: Path) -> bool:
        """Return whether this existing path looks like the format."""

    def splits(self, path: Path) -> tuple[str, ...]:
        """Return the names of the parts it holds, () where it is undivided."""

    def read(self, path: Path, split: str | None, pictures: Pictures) -> Dataset:
        """Return one part, or all of an undivided source."""


class _Warnings:
    """Python's warnings, which belong to the process: the first of several threads turns them off, the last on."""

    def __init__(self) -> None:
        self._lock, self._users, self._kept = threading.Lock(), 0, warnings.catch_warnings()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Drop what libraries warn of: odd EXIF, old headers, large but allowed pictures."""
        with self._lock:
            if self._users == 0:
                self._kept = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.simplefilter("ignore")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._kept.__exit__(None, None, None)


WARNINGS = _Warnings()


@contextmanager
def reporting(path: Path | str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one line about that file; what it warns of is dropped."""
    try:
        with WARNINGS.off():
            yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"{error.filename or path}: may not be read; ask for the permission, or leave it out"
        ) from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory, or is damaged ({error})") from error
    except Exception as error:
        if short := shortage(error):
            raise ShortageError(f"{path}: cannot be read, {short}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read; it is damaged or of another kind ({reason[:200]})") from error

"""What every format's file is given, and what it must offer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastlr.data.dataset import Dataset
from fastlr.errors import InputError

RESAMPLING = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
MAX_SIZE = 4096
# Deflate cannot shrink data more than this, so a file that claims more numbers is damaged.
MAX_RATIO = 1032


@dataclass(frozen=True)
class Pictures:
    """How picture files become arrays; formats that hold arrays already have no use for it."""

    shape: tuple[int, int, int] = (64, 64, 3)  # height, width, channels
    resample: str = "bicubic"
    skip_bad: bool = False
    threads: int | None = None  # None: one for each CPU that this process may use

    def __post_init__(self) -> None:
        """Check the values."""
        if self.resample not in RESAMPLING:
            raise InputError(f"--resample: {self.resample!r} is not known; choose {', '.join(RESAMPLING)}")


class Reader(Protocol):
    """What a format's file offers."""

    def recognises(self, path: Path) -> bool:
        """Return whether this existing path looks like the format."""

    def splits(self, path: Path) -> tuple[str, ...]:
        """Return the names of the parts it holds, () where it is undivided."""

    def read(self, path: Path, split: str | None, pictures: Pictures) -> Dataset:
        """Return one part, or all of an undivided source."""


@contextmanager
def reporting(path: Path | str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one line about that file."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory, or is damaged ({error})") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read; it is damaged or of another kind ({reason[:200]})") from error

"""Encoded pictures to pixels, from files or from bytes: one, or many in threads."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fastlr.data.format import Pictures
from fastlr.errors import InputError
from fastlr.machine import usable_cpus

_FILTERS = threading.Lock()
MODES = {1: "L", 3: "RGB"}  # channels to Pillow's name for such pictures


@dataclass(frozen=True)
class Encoded:
    """A picture's bytes as they lie within a larger file, and a name that says where, for error texts."""

    name: str
    content: bytes | None
    instead: str = "is empty"  # what there is where there are no bytes


Picture = Path | Encoded


def decode_examples(
    source: str, batches: Iterable[Sequence[Picture]], count: int, pictures: Pictures
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[str, ...]]:
    """Return the pictures that can be read, uint8; for each of all, whether it can; and what was wrong with the others.

    The batches hold `count` pictures in all; one batch is decoded at a time, so only its bytes need be in memory.
    """
    images = np.empty((count, *pictures.shape), dtype=np.uint8)
    problems: list[str | None] = []
    for batch in batches:
        try:
            problems += decode_all(batch, pictures, images[len(problems) :])[1]
        except InputError as error:
            raise InputError(f"{error}; remove it or use --skip-bad") from None
    kept = np.array([problem is None for problem in problems])
    if not kept.any():
        raise InputError(f"{source}: none of its files is a picture that can be read; the first: {problems[0]}")
    return images if kept.all() else images[kept], kept, tuple(problem for problem in problems if problem)


def decode_all(
    files: Sequence[Picture], pictures: Pictures, out: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.uint8], list[str | None]]:
    """Return uint8 `(m, height, width, channels)` and, for each file, None or what was wrong with it.

    Decoded in a pool of threads, since Pillow releases Python's lock; each writes its own row (of `out` where it
    is given), so the order is that of the files. Without `skip_bad` the first bad file ends the reading with an
    InputError.
    """
    if pictures.shape[2] not in MODES:
        raise InputError(f"model: it takes examples of {pictures.shape[2]} channels; picture files are read as 1 or 3")
    images = np.empty((len(files), *pictures.shape), dtype=np.uint8) if out is None else out

    def decode(index: int) -> str | None:
        try:
            images[index] = to_pixels(load_picture(files[index], pictures.shape[2]), pictures)
        except InputError as error:
            if not pictures.skip_bad:
                raise
            return str(error)
        return None

    # Pillow's warnings (odd EXIF, large but allowed pictures) stay off the terminal. The filter goes around the
    # whole pool, not into each thread: Python's warning filters belong to the process, hence the lock too.
    with _FILTERS, warnings.catch_warnings(), ThreadPoolExecutor(pictures.threads or usable_cpus()) as pool:
        warnings.simplefilter("ignore")
        try:
            return images, list(pool.map(decode, range(len(files))))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def load_picture(picture: Picture, channels: int = 3) -> Image.Image:
    """Return the picture upright, in 8-bit RGB (or grey, for one channel); alpha is dropped.

    Raises InputError, with the file's name, for whatever is not a whole picture.
    """
    name = picture.name if isinstance(picture, Encoded) else picture
    try:
        with Image.open(_source(picture)) as image:
            if image.format == "EPS":  # Pillow would hand it to Ghostscript
                raise InputError(f"{name}: refused, PostScript is a program; save it as PNG or JPEG")
            image.load()
            upright = eight_bit(_upright(image))
            return upright if upright.mode == MODES[channels] else upright.convert(MODES[channels])
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not a picture that can be read") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: refused, it is too large a picture ({error})") from None
    except Exception as error:  # a damaged file makes Pillow's plugins raise almost anything
        raise InputError(f"{name}: cannot be read as a picture ({error})") from error


def to_pixels(image: Image.Image, pictures: Pictures) -> NDArray[np.uint8]:
    """Return uint8 `(height, width, channels)` of the picture brought to the size wanted."""
    height, width, channels = pictures.shape
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling[pictures.resample.upper()])
    return np.asarray(image).reshape(height, width, channels)


def eight_bit(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit, its high bytes, and a palette as what it stands for."""
    if image.mode.startswith("I"):  # "I;16" and its byte orders, and "I", where Pillow widens 16 bits to 32
        values: NDArray[Any] = np.asarray(image)
        return Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if image.mode == "P":
        return image.convert("RGBA")  # some palettes hold transparency, which only this conversion knows
    return image


def _source(picture: Picture) -> Path | io.BytesIO:
    """Return what Pillow opens, or say why there is nothing to open."""
    if isinstance(picture, Encoded):
        if picture.content is None:
            raise InputError(f"{picture.name}: {picture.instead}")
        return io.BytesIO(picture.content)
    if picture.exists() and not picture.is_file():
        kind = "a folder" if picture.is_dir() else "not a regular file"
        raise InputError(f"{picture}: is {kind}; name picture files")
    return picture


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as its EXIF says; EXIF that cannot be read is passed over, as viewers do."""
    # In place, or an upright picture would be copied, while other threads wait for Python's lock.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image

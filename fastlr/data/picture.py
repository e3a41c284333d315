"""One encoded picture to pixels, from a file or from bytes."""

from __future__ import annotations

import contextlib
import io
import math
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.data.format import Pictures
from fastlr.errors import InputError, ShortageError, shortage

MODES = {1: "L", 3: "RGB"}  # channels to Pillow's name for such pictures
GREY = ("1", "L", "LA", "La")  # Pillow's modes of 8 bits or fewer without colours
T = TypeVar("T")

WIDTH_OF_TILE, HEIGHT_OF_TILE = 322, 323  # tags of a TIFF file
BYTES_PER_PIXEL = 4  # as Pillow keeps colours
AT_ONCE = 2**31  # bytes of pictures that are decoded at the same time
REFUSED = {
    "EPS": "PostScript is a program",  # Pillow would hand it to Ghostscript
    "ICO": "an icon holds pictures of other sizes than it says",
    "ICNS": "an icon holds pictures of other sizes than it says",
}


@dataclass(frozen=True)
class Encoded:
    """A picture's bytes as they lie within a larger file, and a name that says where, for error texts."""

    name: str
    content: bytes | None
    instead: str = "is empty"  # what there is where there are no bytes


Picture = Path | Encoded


def load_picture(picture: Picture, channels: int = 3, expansion: Expansion = DEFAULT) -> Image.Image:
    """Return the picture upright, in 8-bit RGB (or grey, for one channel); alpha is dropped.

    Raises InputError, with the file's name, for whatever is not a whole picture, and for one that expands to more than
    it may.
    """
    pictures = Pictures((*Pictures().shape[:2], channels), expansion=expansion)
    return load(picture, pictures, Shared(AT_ONCE), lambda image: image)


class ColourError(Exception):
    """A picture has colours where only grey ones are expected."""


def load(picture: Picture, pictures: Pictures, shared: Shared, then: Callable[[Image.Image], T]) -> T:
    """Return what `then` makes of a picture; threads that decode at the same time share the memory for it."""
    name = picture.name if isinstance(picture, Encoded) else picture
    expansion, mode = pictures.expansion, MODES[pictures.shape[2]]
    try:
        with _source(picture) as (file, stored):
            # Pillow takes the memory for all of a WebP picture as soon as it opens it.
            expansion.check(name, "the picture", BYTES_PER_PIXEL * math.prod(_webp_size(file)), stored)
            with Image.open(file) as image:
                if image.format in REFUSED:
                    raise InputError(f"{name}: refused, {REFUSED[image.format]}; save it as PNG or JPEG")
                expanded = BYTES_PER_PIXEL * max(math.prod(image.size), _tile_size(image))
                expansion.check(name, "the picture", expanded, stored)
                with shared.of(2 * expanded):  # turning it, and bringing it to 8 bits, make copies
                    image.load()
                    upright = eight_bit(_upright(image))
                    if pictures.grey and upright.mode not in GREY:
                        raise ColourError
                    return then(upright if upright.mode == mode else upright.convert(mode))
    except (InputError, ColourError):
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except PermissionError:
        raise InputError(f"{name}: may not be read; it needs the permission") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not a picture that can be read") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f"{name}: refused, it is too large a picture, of more than {most:,} pixels; save it smaller"
        ) from None
    except Exception as error:  # a damaged file makes Pillow's plugins raise almost anything
        if short := shortage(error):
            raise ShortageError(f"{name}: cannot be read, {short}") from error
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


class Shared:
    """Memory that threads share: who wants more of it than is left waits; who wants more than all of it is alone."""

    def __init__(self, size: int) -> None:
        """Share so many bytes."""
        self._size = self._left = size
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def of(self, wanted: int) -> Iterator[None]:
        """Hold so many bytes."""
        wanted = min(wanted, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= wanted)
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()


@contextlib.contextmanager
def _source(picture: Picture) -> Iterator[tuple[IO[bytes], int]]:
    """Give the file that Pillow opens, and its size, or say why there is nothing to open."""
    if isinstance(picture, Encoded):
        if picture.content is None:
            raise InputError(f"{picture.name}: {picture.instead}")
        yield io.BytesIO(picture.content), len(picture.content)
        return
    status = picture.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise InputError(f"{picture}: is {kind}, not a picture")
    with picture.open("rb") as file:
        yield file, status.st_size


def _tile_size(image: Image.Image) -> int:
    """Return the pixels of a tile of a TIFF file, which may be larger than the picture; 0 for any other."""
    tags: Any = getattr(image, "tag_v2", {})
    tile = tags.get(WIDTH_OF_TILE, 0) * tags.get(HEIGHT_OF_TILE, 0)
    return int(tile)


def _webp_size(file: IO[bytes]) -> tuple[int, int]:
    """Return the size by the header of a WebP picture, (0, 0) for any other.

    Source: RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1.
    """
    head = file.read(30)
    file.seek(0)
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return 0, 0
    match head[12:16]:
        case b"VP8X":  # 24 bits each, less one
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":  # 14 bits each, less one
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as its EXIF says; EXIF that cannot be read is passed over, as viewers do."""
    # In place, or an upright picture would be copied, while other threads wait for Python's lock.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image

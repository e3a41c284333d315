"""Annotated pictures: a picture with what the model makes of it written below."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.data.picture import Picture, load_picture
from fastlr.files import check_all_apart, folder_for, write_jpeg

STANDARD_INPUT = "standard-input"  # the name of what came from there
SHORTEST, LONGEST = 256, 1280  # the sides of an annotated picture, pixels


def annotate_all(
    pictures: Sequence[Picture], captions: Sequence[str], out: Path, expansion: Expansion = DEFAULT,
    inputs: Iterable[Path | int] = (),
) -> None:  # fmt: skip
    """Write each picture with its caption below it as a JPEG in the folder `out`.

    Raises InputError where one of them would take the place of a file that was read: of `pictures`, or of `inputs`.
    """
    named = [picture for picture in pictures if isinstance(picture, Path)]
    folder = os.path.commonpath([os.path.abspath(file.parent) for file in named] or [""])
    files = [picture if isinstance(picture, Path) else Path(folder, STANDARD_INPUT) for picture in pictures]
    written = [out / name for name in distinct_names(files)]
    check_all_apart(written, [*named, *inputs])
    with folder_for(out, "--annotate"):
        for picture, caption, target in zip(pictures, captions, written, strict=True):
            write_jpeg(annotate(load_picture(picture, expansion=expansion), caption), target)


def annotate(image: Image.Image, caption: str) -> Image.Image:
    """Return the picture, brought to a size that suits a screen, over a band with the caption."""
    scale = min(max(1.0, SHORTEST / min(image.size)), LONGEST / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Small pictures are enlarged without smoothing: their pixels are what the model sees.
    image = image.resize((width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    text_size = _fitting_size(caption, max(width, SHORTEST) - 16)
    band = round(text_size * 1.6)
    font = ImageFont.load_default(text_size)
    wide = max(width, SHORTEST, math.ceil(font.getlength(caption)) + 16)
    sheet = Image.new("RGB", (wide, height + band), "black")
    sheet.paste(image, ((sheet.width - width) // 2, 0))
    ImageDraw.Draw(sheet).text((sheet.width / 2, height + band / 2), caption, "white", font, anchor="mm")
    return sheet


def distinct_names(files: Sequence[Path]) -> list[str]:
    """Return a JPEG name for each file: its path below the folder that all share, joined by dashes, none twice."""
    whole = [Path(os.path.abspath(file)) for file in files]
    shared = len(_common_parts([file.parent.parts for file in whole]))
    names: dict[str, None] = {}
    for file in whole:
        stem = "-".join((*file.parts[shared:-1], file.stem))
        name, count = f"{stem}.jpg", 1
        while name in names:
            count += 1
            name = f"{stem}-{count}.jpg"
        names[name] = None
    return list(names)


def _common_parts(paths: Sequence[Sequence[str]]) -> list[str]:
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return common


def _fitting_size(text: str, width: int) -> int:
    """Return the size of the default font, from 20 pixels down to 10, at which the text fits."""
    return next((size for size in range(20, 10, -2) if ImageFont.load_default(size).getlength(text) <= width), 10)

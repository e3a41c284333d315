"""What a model makes of encoded pictures, a few at a time, so that any number of them fits into memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr.data.decoding import decode_all
from fastlr.data.expansion import DEFAULT, Expansion
from fastlr.data.format import Pictures
from fastlr.data.picture import Encoded, Picture
from fastlr.errors import InputError, shown

if TYPE_CHECKING:
    from fastlr.model.model import Model

AT_ONCE = 1000  # pictures decoded before they are predicted, fewer where they are large:
BYTES_AT_ONCE = 2**28


class Predictions(NamedTuple):
    """A row for each picture that could be read, these pictures, and what was wrong with the others."""

    rows: list[dict[str, Any]]
    pictures: list[Picture]
    skipped: list[str]


def predict_pictures(
    model: Model,
    files: Iterable[str | os.PathLike[str] | Encoded],
    top: int | None = None,
    may_skip: Sequence[bool] | None = None,
    expansion: Expansion = DEFAULT,
) -> Predictions:
    """Return for each picture `{"image", "label", "probability"}`, the probability that of the label, in their order.

    With `top`, a row also holds `"top"`: so many labels, or all, the most probable first, each with its probability.
    The first picture that cannot be read ends it with an InputError, but where `may_skip` is true for it.
    """
    if model.image_shape is None:
        raise InputError("model: it was trained on features, not on pictures")
    if isinstance(files, str | bytes | os.PathLike) or not isinstance(files, Iterable):
        raise InputError(f"files: {shown(files)}; a list of files is needed, such as ['cat.png']")
    files = list(files)
    if wrong := [file for file in files if not isinstance(file, str | os.PathLike | Encoded)]:
        raise InputError(f"files: {shown(wrong[0])}; names of files are needed, or Encoded pictures")
    if top is not None and (not isinstance(top, int | np.integer) or top < 1):
        raise InputError(f"top: {shown(top)}; a whole number of at least 1 is needed")
    wanted = Pictures(
        model.image_shape,
        model.resample or Pictures().resample,
        skip_bad=may_skip is not None and any(may_skip),
        expansion=expansion,
    )
    at_once = max(1, min(AT_ONCE, BYTES_AT_ONCE // math.prod(model.image_shape)))
    found = Predictions([], [], [])
    for start in range(0, len(files), at_once):
        named = files[start : start + at_once]
        pictures = [file if isinstance(file, Encoded) else Path(file) for file in named]
        pixels, problems = decode_all(pictures, wanted)
        for index, problem in enumerate(problems, start):
            if problem is not None:
                if not (may_skip and may_skip[index]):
                    raise InputError(problem)
                found.skipped.append(problem)
        kept = [index for index, problem in enumerate(problems) if problem is None]
        proba = model.predict_proba(pixels if len(kept) == len(named) else pixels[kept])
        for index, values in zip(kept, proba, strict=True):
            found.pictures.append(pictures[index])
            found.rows.append({"image": _name(named[index]), **_ranked(model.classes, values, top)})
    return found


def _name(file: str | os.PathLike[str] | Encoded) -> str:
    return file.name if isinstance(file, Encoded) else str(file)


def _ranked(classes: Sequence[Any], proba: NDArray[Any], top: int | None) -> dict[str, Any]:
    order = np.argsort(-proba, kind="stable")[: top or 1]
    ranked = [{"label": str(classes[i]), "probability": float(proba[i])} for i in order]
    return {**ranked[0], **({"top": ranked} if top else {})}

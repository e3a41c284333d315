"""Pictures of the data and of the weights, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.model.model import Model
from fastlr.namespace import dtype_name, to_host

LONGEST = 128  # the side of a picture of the data in a report, pixels: 24 of them stay below 2 MB
FOR, AGAINST = (179, 88, 6), (33, 102, 172)  # orange and blue differ to all eyes
WHITE = (255, 255, 255)


def has_pictures(data: Dataset) -> bool:
    """Return whether the samples are pictures."""
    return data.images.ndim == 4 and dtype_name(data.images) == "uint8"


def pictures_of(data: Dataset, indices: Sequence[int]) -> list[Image.Image]:
    """Return some of the data's pictures, those above LONGEST reduced; only they come to the host."""
    return [_picture(to_host(data.images[int(i), ...])) for i in indices]


def weight_images(model: Model) -> NDArray[np.float64]:
    """Return the first layer's weights as `(units, height, width)`, the mean over the channels.

    A unit is a class where there are no hidden layers; of two classes there is one unit, which scores the second.
    The weights are those of the pixels as they are, the standardization of a model that has one is in them.
    """
    if model.image_shape is None:
        raise InputError("model: it was trained on features, not on pictures; its weights make no image")
    W = to_host(model.layers[0].W).astype(np.float64)
    return np.asarray(W.reshape(-1, *model.image_shape).mean(axis=3))


def strongest(images: NDArray[np.float64]) -> float:
    """Return the largest weight of all images by its size, which gets the full colour; 1 where all are 0."""
    return float(np.abs(images).max()) or 1.0


def colour_weights(image: NDArray[np.float64], full: float) -> NDArray[np.uint8]:
    """Return weights `(h, w)` as colours `(h, w, 3)`: white at 0, and linear from there.

    A weight w ≥ 0 has the colour WHITE + (FOR − WHITE) · w / full, rounded to whole numbers; one below 0 has
    WHITE + (AGAINST − WHITE) · −w / full.
    """
    share = np.clip(image / full, -1, 1)[..., np.newaxis]
    ends = np.where(share >= 0, np.array(FOR), np.array(AGAINST))
    return np.rint(WHITE + (ends - WHITE) * np.abs(share)).astype(np.uint8)


def png(image: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return one picture `(h, w, c)`: alpha is dropped, and more channels than eyes have become their mean."""
    channels = pixels.shape[2]
    if channels in (2, 4):
        pixels = pixels[..., :-1]
    elif channels > 4:
        pixels = np.rint(pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return image

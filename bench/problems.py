"""The problems of the suite: shapes, steps, and pixels, real ones where FASTLR_DATA has them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastlr.data import open_dataset


@dataclass(frozen=True)
class Shape:
    """What a problem is; rates are those that do not diverge."""

    m: int
    n: int
    steps: int
    learning_rate: float
    real: tuple[str, dict] | None = None  # a path below FASTLR_DATA and how to open it


SHAPES = {
    "cats": Shape(209, 12288, 2000, 0.005, ("cats/train_catvnoncat.h5", {})),
    "birds": Shape(1900, 3072, 2000, 0.005, ("cifar10/data_batch_1", {"positive": "bird", "balance": True})),
    "planes": Shape(1500, 12288, 2000, 0.002),
    "beans": Shape(1034, 30000, 2000, 0.001),
    "tall": Shape(60000, 784, 200, 0.01),
}


@dataclass(frozen=True)
class Problem:
    """Pixels uint8 (m, n) and labels (m,) of two classes."""

    name: str
    shape: Shape
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    source: str  # "real" or "drawn"


def problem(name: str) -> Problem:
    """Return a problem with the tutorial's own pixels where they are, else drawn ones."""
    shape = SHAPES[name]
    folder = os.environ.get("FASTLR_DATA")
    if shape.real and folder and (Path(folder) / shape.real[0]).exists():
        data = open_dataset(Path(folder) / shape.real[0], **shape.real[1])
        if len(data) > shape.m:
            data, _ = data.holdout(len(data) - shape.m, 0)
        return Problem(name, shape, data.images.reshape(len(data), -1), data.labels, "real")
    return Problem(name, shape, *_drawn(shape), "drawn")


def _drawn(shape: Shape) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pixels whose spectrum decays as that of pictures does, and labels that a line half explains."""
    rng = np.random.default_rng(0)
    rank = 64
    factors = rng.normal(size=(shape.m, rank)) / np.arange(1, rank + 1)
    pictures = factors @ rng.normal(size=(rank, shape.n))
    labels = (factors[:, 0] + factors[:, 1] + rng.normal(size=shape.m) > 0).astype(np.int64)
    noise = rng.integers(-20, 21, (shape.m, shape.n), dtype=np.int8)
    return np.clip(128 + 50 * pictures + noise, 0, 255).astype(np.uint8), labels

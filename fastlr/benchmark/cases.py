"""The problems: shapes, steps, and pixels, real ones where FASTLR_DATA has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data import open_dataset
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError


@dataclass(frozen=True)
class Shape:
    """What a problem is; its rate is one that does not diverge."""

    m: int
    n: int
    steps: int
    learning_rate: float
    real: str | None = None  # a path below FASTLR_DATA
    reading: Mapping[str, Any] = field(default_factory=dict)  # how to open it


SHAPES = {
    "cats": Shape(209, 12288, 2000, 0.005, "cats/train_catvnoncat.h5"),
    "birds": Shape(1900, 3072, 2000, 0.005, "cifar10/data_batch_1", {"positive": "bird", "balance": True}),
    "planes": Shape(1500, 12288, 2000, 0.002),
    "beans": Shape(1034, 30000, 2000, 0.001),
    "tall": Shape(60000, 784, 200, 0.01),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """Pixels of two classes, and what to do with them."""

    name: str
    shape: Shape
    data: Dataset
    source: str  # "real" or "drawn"

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels as uint8 (m, n)."""
        rows: NDArray[np.uint8] = self.data.images.reshape(len(self.data), -1)
        return rows


def open_problem(name: str) -> Problem:
    """Return a problem with the tutorial's own pixels where they are, else drawn ones."""
    if name not in SHAPES:
        raise InputError(f"--problem: {name!r} is not known; choose {', '.join(SHAPES)}")
    shape = SHAPES[name]
    folder = os.environ.get("FASTLR_DATA")
    if shape.real and folder and (Path(folder) / shape.real).exists():
        data = open_dataset(Path(folder) / shape.real, **shape.reading)
        if len(data) > shape.m:
            data, _ = data.holdout(len(data) - shape.m, 0)
        return Problem(name, shape, data, "real")
    return Problem(name, shape, _draw(name, shape), "drawn")


def _draw(name: str, shape: Shape) -> Dataset:
    """Draw pixels whose spectrum decays as that of pictures does, and labels that a line half explains."""
    rng = np.random.default_rng(0)
    rank = 64
    factors = rng.normal(size=(shape.m, rank)) / np.arange(1, rank + 1)
    pictures = factors @ rng.normal(size=(rank, shape.n))
    labels = (factors[:, 0] + factors[:, 1] + rng.normal(size=shape.m) > 0).astype(np.int64)
    noise = rng.integers(-20, 21, (shape.m, shape.n), dtype=np.int8)
    return Dataset(np.clip(128 + 50 * pictures + noise, 0, 255).astype(np.uint8), labels, (0, 1), f"drawn {name}")

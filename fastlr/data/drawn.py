"""A data set drawn with Pillow: silhouettes of airplanes and bikes, for a first run with no download.

Every picture has its own random generator, seeded by the data set's seed and the picture's number, so a
picture is the same however many are drawn. One thread draws them all: most of the work holds Python's lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fastlr.files import write_jpeg

TINTS = {"airplane": (-12.0, 0.0, 12.0), "bike": (12.0, 0.0, -12.0)}
CLASSES = tuple(TINTS)
SIZE = 64
SUPERSAMPLING = 3  # drawn larger and reduced, so that edges are smooth
Points = Sequence[tuple[float, float]]
Place = Callable[[Points], Points]


def draw_dataset(out: Path, n_train: int = 1500, n_test: int = 100, seed: int = 0) -> None:
    """Write JPEGs to `out/train/airplane`, `out/train/bike`, `out/test/…`, half of each split a class."""
    for split, count in (("train", n_train), ("test", n_test)):
        for name in CLASSES:
            (out / split / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            name = CLASSES[i % len(CLASSES)]
            rng = np.random.default_rng([seed, split == "test", i])
            write_jpeg(draw_picture(name, rng), out / split / name / f"image_{i:04d}.jpg")


def draw_picture(name: str, rng: np.random.Generator) -> Image.Image:
    """Return one RGB picture, SIZE × SIZE: a silhouette of random place, size, angle and colour on a noisy ground."""
    pixels = _background(name, rng)
    mask = np.asarray(_silhouette(name, rng), dtype=np.float64)[..., np.newaxis] / 255
    # Most things are darker than the sky or the road behind them, but not all.
    towards = 255.0 if rng.random() < 0.05 else 0.0
    ground = pixels.mean(axis=(0, 1))
    colour = ground + rng.uniform(0.45, 0.9) * (towards - ground) + rng.normal(0, 18, 3)
    pixels = pixels + mask * (colour - pixels)
    pixels = pixels + rng.normal(0, rng.uniform(4, 20), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _background(name: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return float pixels: a tone that runs from top to bottom, and soft blobs.

    As in photographs, the ground says something of the thing on it: skies tend to blue, roads to brown.
    """
    tone = rng.uniform(150, 225) + rng.normal(0, 11, 3) + TINTS[name]
    slope = np.linspace(-1, 1, SIZE)[:, np.newaxis, np.newaxis] * rng.normal(0, 16, 3)
    coarse = rng.normal(0, 12, (6, 6)).astype(np.float32)
    blobs = np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return np.asarray(tone + slope + blobs[..., np.newaxis])


def _silhouette(name: str, rng: np.random.Generator) -> Image.Image:
    """Return the shape as an 8-bit mask, SIZE × SIZE."""
    side = SIZE * SUPERSAMPLING
    mask = Image.new("L", (side, side))
    reach = side * rng.uniform(0.30, 0.45)
    centre = side / 2 + rng.uniform(-0.10, 0.10, 2) * side
    angle = math.radians(rng.uniform(-20, 20))
    mirror = rng.choice((-1, 1))
    cos, sin = math.cos(angle) * reach, math.sin(angle) * reach

    def place(points: Points) -> Points:
        """Return points of the unit shape, x to the right and y down, on the canvas."""
        return [(centre[0] + mirror * x * cos - y * sin, centre[1] + mirror * x * sin + y * cos) for x, y in points]

    pen = ImageDraw.Draw(mask)
    if name == "airplane":
        _draw_airplane(pen, place, rng)
    else:
        _draw_bike(pen, place, reach, rng)
    return mask.resize((SIZE, SIZE), Image.Resampling.BOX)


def _draw_airplane(pen: ImageDraw.ImageDraw, place: Place, rng: np.random.Generator) -> None:
    thick = rng.uniform(0.09, 0.16)
    turn = [2 * math.pi * i / 40 for i in range(40)]
    pen.polygon(place([(math.cos(t), thick * math.sin(t)) for t in turn]), fill=255)
    sweep, span = rng.uniform(0.2, 0.5), rng.uniform(0.35, 0.7)
    for side in (-1, 1):
        wing = [(0.25, 0.0), (0.25 - sweep, side * span), (0.05 - sweep, side * span), (-0.15, 0.0)]
        pen.polygon(place(wing), fill=255)
    pen.polygon(place([(-0.7, 0.0), (-1.0, -0.38), (-1.1, -0.38), (-0.95, 0.0)]), fill=255)


def _draw_bike(pen: ImageDraw.ImageDraw, place: Place, reach: float, rng: np.random.Generator) -> None:
    radius = rng.uniform(0.38, 0.48)
    width = max(2, round(reach * rng.uniform(0.06, 0.11)))
    rear, front = (-0.58, 0.25), (0.58, 0.25)
    for x, y in place([rear, front]):
        r = radius * reach
        pen.ellipse((x - r, y - r, x + r, y + r), outline=255, width=width)
    saddle, pedals, head = (-0.25, -0.35), (-0.08, 0.25), (0.42, -0.32)
    bars = (rng.uniform(0.3, 0.55), -0.5)
    for path in (
        [rear, saddle, pedals, rear],
        [saddle, head, pedals],
        [front, head, bars],
        [(-0.38, -0.4), (-0.12, -0.4)],
    ):
        pen.line(place(path), fill=255, width=width, joint="curve")

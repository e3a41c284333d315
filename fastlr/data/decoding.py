"""Many encoded pictures to one array: large ones in threads, many small ones in processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastlr.data.decoders import Decoders
from fastlr.data.format import WARNINGS, Pictures
from fastlr.data.picture import AT_ONCE, MODES, ColourError, Picture, Shared, load, to_pixels
from fastlr.errors import InputError, ShortageError
from fastlr.machine import in_threads, usable_cpus

FIRST, SMALL = 8, 64 * 64  # pictures are small if the first so many have at most so many pixels each
MANY = 4000  # small pictures, from which on processes save more time than they take to start
PART = 512  # pictures that a process decodes before it is asked again


def decode_samples(
    source: str, batches: Iterable[Sequence[Picture]], count: int, pictures: Pictures
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[str, ...]]:
    """Return the pictures that can be read, uint8; for each of all, whether it can; and what was wrong with the others.

    The batches hold `count` pictures in all; one batch is decoded at a time, so only its bytes need be in memory.
    """
    wanted = replace(pictures, shape=(*pictures.shape[:2], 1)) if pictures.grey else pictures
    images = np.empty((count, *wanted.shape), dtype=np.uint8)
    problems: list[str | None] = []
    processes = usable_cpus() if pictures.threads is None and count >= MANY else 1
    with Decoders(processes) as decoders:
        for batch in batches:
            try:
                try:
                    problems += decode_all(batch, wanted, images[len(problems) :], decoders)[1]
                except ColourError:
                    wanted, grey = replace(pictures, grey=False), images[: len(problems)]
                    images = np.empty((count, *wanted.shape), dtype=np.uint8)
                    images[: len(grey)] = grey  # the same in each channel
                    problems += decode_all(batch, wanted, images[len(problems) :], decoders)[1]
            except ShortageError:
                raise
            except InputError as error:
                raise InputError(f"{error}; remove it, or give skip_bad (--skip-bad)") from None
    kept = np.array([problem is None for problem in problems])
    if not kept.any():
        raise InputError(f"{source}: none of its files is a picture that can be read; the first: {problems[0]}")
    return images if kept.all() else images[kept], kept, tuple(problem for problem in problems if problem)


def decode_all(
    files: Sequence[Picture],
    pictures: Pictures,
    out: NDArray[np.uint8] | None = None,
    decoders: Decoders | None = None,
) -> tuple[NDArray[np.uint8], list[str | None]]:
    """Return uint8 `(m, height, width, channels)` and, for each file, None or what was wrong with it.

    Large pictures are decoded in several threads. Small ones are decoded by the decoders' processes, or in one thread
    where there are none: more threads would only wait for Python's lock. The results are in the order of the files, in
    `out` if it is given. Without `skip_bad` the first bad file ends the reading with an InputError. With `grey`, the
    first picture that has colours ends it with a ColourError.
    """
    if pictures.shape[2] not in MODES:
        raise InputError(f"model: it takes samples of {pictures.shape[2]} channels; picture files are read as 1 or 3")
    images = np.empty((len(files), *pictures.shape), dtype=np.uint8) if out is None else out
    shared, largest = Shared(AT_ONCE), 0

    def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
        nonlocal largest
        largest = max(largest, image.width * image.height)
        return to_pixels(image, pictures)

    def decode(index: int) -> str | None:
        try:
            images[index] = load(files[index], pictures, shared, pixels_of)
        except InputError as error:
            if not pictures.skip_bad or isinstance(error, ShortageError):
                raise
            return str(error)
        return None

    def decode_part(start: int, decoders: Decoders) -> list[str | None]:
        part = slice(start, start + PART)
        done = decoders.decode(files[part], pictures, images[: len(files)][part])
        return [None if there else decode(index) for index, there in enumerate(done, start)]

    with WARNINGS.off():
        problems = [decode(index) for index in range(len(files[:FIRST]))]
        small, left = 0 < largest <= SMALL, len(files) - len(problems)
        if small and decoders and decoders.processes > 1:
            starts = range(len(problems), len(files), PART)
            parts = in_threads(lambda part: decode_part(starts[part], decoders), len(starts), decoders.processes)
            return images, problems + [problem for part in parts for problem in part]
        threads = pictures.threads or (1 if small else usable_cpus())
        return images, problems + in_threads(lambda index: decode(FIRST + index), left, threads)

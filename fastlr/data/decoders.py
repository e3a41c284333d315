"""Processes that decode small pictures: for these Python's lock is held so long that threads save nothing.

A process leaves what it cannot decode to the one that asked, which then says what is wrong. Nothing is lost where none
can be started, or where one ends.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.expansion import Expansion
from fastlr.data.format import WARNINGS, Pictures
from fastlr.data.picture import AT_ONCE, Picture, Shared, load, to_pixels

LARGEST = Expansion(ratio=0.0, size=2**20)  # bytes of a picture: processes do not share memory, so each takes little
START = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    f"from {__name__} import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)


class Decoders:
    """So many processes at most, each started when it is first needed, all ended with the context."""

    def __init__(self, processes: int) -> None:
        """Start nothing yet."""
        can_start = bool(sys.executable) and not hasattr(sys, "frozen")  # a frozen program would start itself
        self.processes, self.failed = processes if can_start else 1, False
        self._idle: list[Any] = []
        self._started: list[Any] = []

    def __enter__(self) -> Decoders:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them."""
        for process in self._started:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()
            process.wait()

    def decode(self, files: Sequence[Picture], pictures: Pictures, out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Decode into `out`, by a process that no other thread uses, and return which of the files it could decode."""
        done = np.zeros(len(files), dtype=bool)
        try:
            process = self._idle_or_new()
            pickle.dump((list(files), pictures), process.stdin)
            process.stdin.flush()
            answer: Any
            for answer in (done, out):
                if process.stdout.readinto(answer.reshape(-1).view(np.uint8)) < answer.nbytes:
                    raise EOFError
        except (OSError, EOFError):
            self.failed = True
            return np.zeros(len(files), dtype=bool)
        self._idle.append(process)
        return done

    def _idle_or_new(self) -> Any:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        if self.failed:
            raise EOFError  # as the next would
        pipe = subprocess.PIPE
        process: Any = subprocess.Popen(
            [sys.executable, "-c", START], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        self._started.append(process)
        paths = [entry for entry in sys.path if isinstance(entry, str)]
        process.stdin.write(json.dumps(paths).encode() + b"\n")
        return process


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until there are no more requests: a byte for each file that says whether it is done, then all pixels."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks hears it, and ends this one
    with contextlib.suppress(EOFError, BrokenPipeError), WARNINGS.off():
        while True:
            files, pictures = pickle.load(requests)
            done, images = _decode(files, replace(pictures, expansion=LARGEST))
            answers.write(done.tobytes())
            answers.write(images.data)
            answers.flush()


def _decode(files: Sequence[Picture], pictures: Pictures) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Return which of the files could be decoded, and their pixels."""
    images, done = np.zeros((len(files), *pictures.shape), np.uint8), np.zeros(len(files), bool)
    shared = Shared(AT_ONCE)
    for index, file in enumerate(files):
        with contextlib.suppress(Exception):
            images[index] = load(file, pictures, shared, lambda image: to_pixels(image, pictures))
            done[index] = True
    return done, images

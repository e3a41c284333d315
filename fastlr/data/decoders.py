"""Processes that decode small pictures: for these Python's lock is held so long that threads save nothing.

A process leaves what it cannot decode to the one that asked, which then says what is wrong. Nothing is lost where none
can be started, or where one ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.expansion import Expansion
from fastlr.data.format import WARNINGS, Pictures
from fastlr.data.picture import AT_ONCE, Picture, Shared, load, to_pixels

LARGEST = Expansion(ratio=0.0, size=2**20)  # bytes of a picture: processes do not share memory, so each takes little
LONGEST = 120.0  # seconds that a process may take for an answer
HELLO = 16  # bytes, drawn anew for each process, which it sends first: whatever else comes is not from `serve`
START = (  # what is printed later goes where errors go
    "import json, os, sys; answers = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1); "
    "hello, sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    f"from {__name__} import serve; serve(bytes.fromhex(hello), sys.stdin.buffer, answers)"
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
            _end(process)

    def decode(self, files: Sequence[Picture], pictures: Pictures, out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Decode into `out`, by a process that no other thread uses, and return which of the files it could decode."""
        done, process = np.zeros(len(files), dtype=bool), None
        try:
            process = self._idle_or_new()
            limit = threading.Timer(LONGEST, process.kill)
            limit.daemon = True
            limit.start()
            try:
                pickle.dump((list(files), pictures), process.stdin)
                process.stdin.flush()
                if process.hello and process.stdout.read(HELLO) != process.hello:
                    raise EOFError
                process.hello = b""
                answer: Any
                for answer in (done, out):
                    if process.stdout.readinto(answer.reshape(-1).view(np.uint8)) < answer.nbytes:
                        raise EOFError
            finally:
                limit.cancel()
        except (OSError, EOFError, RuntimeError):  # the last where no thread can be started
            self.failed = True
            if process is not None:
                _end(process)
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
            # Isolated, so that it imports nothing from the working directory, where the data of strangers may be.
            [sys.executable, "-I", "-c", START],
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
        )
        self._started.append(process)
        process.hello = os.urandom(HELLO)
        paths = [entry for entry in sys.path if isinstance(entry, str)]
        process.stdin.write(json.dumps([process.hello.hex(), paths]).encode() + b"\n")
        return process


def _end(process: Any) -> None:
    """End a process at once, and give back its pipes."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()
    process.wait()


def serve(hello: bytes, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until there are no more requests: a byte for each file that says whether it is done, then all pixels."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks hears it
    answers.write(hello)
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
    shared, parent = Shared(AT_ONCE), os.getppid()
    for index, file in enumerate(files):
        if os.getppid() != parent:  # it was interrupted
            break
        with contextlib.suppress(Exception):
            images[index] = load(file, pictures, shared, lambda image: to_pixels(image, pictures))
            done[index] = True
    return done, images

"""A file with the state of a training, from which an interrupted run continues and ends with the same bits.

The loops of a training offer what they need to continue. An offer is written if writing has taken at most a tenth of
the time so far, or if the last writing was `EVERY` seconds ago, and when the run is interrupted. The file is
safetensors, written beside and renamed. It holds the run's settings and a digest of its data; another run refuses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.data.dataset import Dataset
from fastlr.data.finite import in_pieces
from fastlr.data.placed import Placed
from fastlr.errors import InputError, escaped
from fastlr.files import UnwrittenError, check_writable, whole_file
from fastlr.namespace import dtype_name
from fastlr.training.packing import pack, unpack

LOG = logging.getLogger("fastlr")

FORMAT = 2
KEY = "fastlr-checkpoint"
DIGITS = 64  # of the digest, before the description
EVERY = 30.0  # seconds, at most, from one writing to the next
SHARE = 0.1  # of the time, which writing more often may take
PAUSE = 0.05  # seconds from one offer that is taken to the next

under_way: set[Checkpoint] = set()  # of trainings in this process
ending: set[int] = set()  # the thread that ends the process after a signal


class Checkpoint:
    """The checkpoint of a run. Without a path there is no file, and offers do nothing."""

    def __init__(self, path: Path | None = None, backend: Backend | None = None, run: Mapping[str, Any] | None = None):
        """Read the file where it is there; `run` says, in plain values, whose it is. Raises InputError."""
        self.path, self._backend, self._run = path, backend, dict(run or {})
        self._found: dict[str, Any] = {}
        self._beside: dict[str, Any] = {}
        self._latest: dict[str, Any] | None = None  # what was offered last, unless it is written
        self._lock = threading.RLock()  # of the one who writes
        self._writer, self._is_ours = 0, False  # the thread that writes, and whether the file is this run's
        self._identity: tuple[int, int] | None = None  # of the file as it was read or written last
        self._next = self._spent = 0.0
        self._said = ""
        self._began = self._written = time.monotonic()
        self._pace: tuple[int, float] | None = None
        if path is not None:
            check_writable(path)
            self._read(path)

    def __enter__(self) -> Checkpoint:
        """Let signals find it."""
        if self.path is not None:
            under_way.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what was offered last, also where the training ends with an error or is interrupted."""
        self.write()
        under_way.discard(self)

    @property
    def has_state(self) -> bool:
        """Return whether something was offered that is not written."""
        return self._latest is not None

    def restored(self, name: str) -> Any:
        """Return what the file held under a name, once; then, and where there is nothing, None."""
        return self._found.pop(name, None)

    def choose(self, make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return a choice that depends on the free memory: the first start makes it, later starts keep it."""
        found = self.restored("choice")
        chosen: tuple[Any, ...] = make() if found is None else found
        self.beside(choice=chosen)
        return chosen

    def beside(self, **values: Any) -> None:
        """Keep what outer loops need, to be written with what is offered next."""
        self._beside = {**self._beside, **values}

    def offer(self, make: Callable[[], dict[str, Any]]) -> None:
        """Take what a loop needs to continue, and write it when it is time. The values must not change afterwards."""
        now = time.monotonic()
        if self.path is None or now < self._next:
            return
        self._latest = {**self._beside, **make()}
        if now - self._written >= EVERY or self._spent <= SHARE * (now - self._began):
            self.write()
        self._next = time.monotonic() + PAUSE

    def steps(self, left: int, state: Any) -> int:
        """Return how many of the steps that are left fit into `EVERY` seconds.

        `state` is the result of the steps before; the time of these is measured.
        """
        if self.path is None or self._backend is None:
            return left
        self._backend.synchronize(state)
        now = time.monotonic()
        count = 1  # as long as it is not known what a step takes
        if self._pace is not None:
            done, since = self._pace
            count = max(1, int(EVERY * done / max(now - since, 1e-9)))
        count = min(left, count)
        self._pace = count, now
        return count

    def write(self) -> bool:
        """Write what was offered last, and return whether the file holds it."""
        if self.path is None:
            return False
        try:
            return self._write(self.path)
        finally:
            while ending and threading.get_ident() not in ending:
                time.sleep(1)  # another thread ends the process, and removes what is half-written

    def _write(self, path: Path) -> bool:
        with self._lock:
            if self._writer:  # this thread is at it, and was interrupted
                return False
            latest, self._latest = self._latest, None
            if latest is None:
                return self._is_ours
            self._writer, began = threading.get_ident(), time.monotonic()
            try:
                self._save(path, latest)
            except (InputError, OSError) as error:
                if str(error) != self._said:  # once, not at each recording
                    LOG.error("fastlr: %s; the training goes on", error)
                self._said = str(error)
                self._latest = latest
                return False
            finally:
                self._writer, self._written = 0, time.monotonic()
                self._spent += self._written - began
            return True

    def _save(self, path: Path, values: dict[str, Any]) -> None:
        from safetensors.numpy import save

        assert self._backend is not None
        if _identity(path) not in (None, self._identity):
            raise UnwrittenError(f"{path}: another run writes this file too; nothing was changed there")
        description, arrays = pack(values, self._backend.to_host)
        meta = {"format": FORMAT, "run": self._run, "values": description}
        text = json.dumps(meta, sort_keys=True, default=_plain)
        # One key: safetensors writes several of them in a random order.
        content = save(arrays, {KEY: _digest_of(text, arrays) + text})
        with whole_file(path) as beside, beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or the new name may stand before the content where the power fails
        self._identity, self._is_ours = _identity(path), True

    def _read(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        if not path.exists():
            return
        assert self._backend is not None
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if KEY not in metadata:
                    raise InputError(f"{path}: is there already, and is no checkpoint; give another name")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path}: cannot be read as a checkpoint ({error}); give another name, or delete it"
            ) from None
        digest, text = metadata[KEY][:DIGITS], metadata[KEY][DIGITS:]
        try:
            if digest != _digest_of(text, arrays):
                raise ValueError
            meta = json.loads(text)
            if meta["format"] != FORMAT:
                raise InputError(f"{path}: is of another version of fastlr; give another name, or delete it")
            self._check(path, meta["run"])
            self._found = dict(unpack(meta["values"], arrays, self._backend))
            self._identity, self._is_ours = _identity(path), True
        except InputError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise InputError(f"{path}: the checkpoint is damaged; delete it to begin anew") from None
        LOG.warning("going on from %s", path)

    def _check(self, path: Path, other: dict[str, Any]) -> None:
        """Raise InputError that names the difference if the file belongs to another run."""
        mine = json.loads(json.dumps(self._run, default=_plain))
        for name in dict.fromkeys((*mine, *other)):
            if mine.get(name) != other.get(name):
                values = [json.dumps(run.get(name)) for run in (other, mine)]
                how = f"{name} {values[0]}, not {values[1]}"
                if "data" in name:
                    how = f"other {name}, or the same read with other options"
                elif max(map(len, values)) > 60:
                    how = f"other values of {name}"
                raise InputError(
                    f"{path}: is the checkpoint of a run with {how}; to go on, give what that run was given; "
                    "to begin anew, delete the file or name another"
                )


NONE = Checkpoint()


def _digest_of(text: str, arrays: Mapping[str, Any]) -> str:
    """Return a digest of what a checkpoint holds, by which damage is seen."""
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(_bytes_of(arrays[name]))
    return found.hexdigest()


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's."""
    return value.item() if hasattr(value, "item") else str(value)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that took its place, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _bytes_of(array: Any) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def digest(data: Dataset, backend: Backend) -> str:
    """Return a digest of samples, labels and class names, in one pass over them."""
    found = hashlib.sha256(repr((data.images.shape, dtype_name(data.images), data.classes)).encode())
    found.update(_bytes_of(data.labels))
    if isinstance(data.rows, Placed):  # of each part, where it lies
        for part in data.rows.over_parts(_digest_of_rows):
            found.update(part)
        return found.hexdigest()
    for _, some in in_pieces(data.rows):
        some = some if isinstance(some, np.ndarray) else backend.to_host(some)
        found.update(_bytes_of(some))
    return found.hexdigest()


def _digest_of_rows(rows: Any) -> bytes:
    found = hashlib.sha256()
    for _, some in in_pieces(rows):
        found.update(_bytes_of(np.asarray(some)))
    return found.digest()


def digest_of(array: NDArray[Any]) -> str:
    """Return a digest of an array's numbers."""
    return hashlib.sha256(_bytes_of(array)).hexdigest()


def is_writing() -> bool:
    """Return whether this thread is writing a checkpoint."""
    return any(checkpoint._writer == threading.get_ident() for checkpoint in tuple(under_way))


def write_all() -> list[str]:
    """Write every checkpoint of a training that is under way, and return what is to be said of them."""
    said = []
    ending.add(threading.get_ident())
    for checkpoint in tuple(under_way):
        with contextlib.suppress(Exception):
            if checkpoint.write():
                said.append(escaped(f"the same command goes on from {checkpoint.path}"))
            elif checkpoint.has_state:
                said.append(escaped(f"{checkpoint.path} could not be written"))
    return said

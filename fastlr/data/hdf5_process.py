"""A process of its own that opens HDF5 files: a damaged file can end or stop it, and nothing else.

The HDF5 library loops for ever, or reads where nothing is, on some damaged files, and no signal handler of Python runs
meanwhile. So this is run as a script: it takes a request on standard input, a line of JSON, and writes the answer on
standard output: a line of JSON, and after it the numbers that are not at one place in the file, in blocks, each
after its length; a length of 0 ends them. An empty line says that the file is closed. It ends by itself when a request
takes too much processor time or memory, and after a while without requests. It imports nothing of fastlr.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import signal
import sys
from typing import IO, Any

IDLE = 5  # seconds without a request after which it ends
MANY = 50_000  # chunks, up to which the other process is told where each of them is
CHUNKS = 1000  # that are read at once: the library takes some kB for each
BLOCK = 2**18  # bytes that are read at once: while one block is on its way, the next is being read
MEMORY = 2**28  # bytes beside what is read
OPENED, READ = 8e6, 2e7  # bytes a second: of a file of chunks of a few bytes each, and of what is read of it
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


class Refusal(Exception):
    """What is wrong with the file, in words."""


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    for name in ("SIGTERM", "SIGALRM", "SIGPROF"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks hears it, and ends this one
    while True:
        if hasattr(signal, "alarm"):
            signal.alarm(IDLE)
        line = requests.readline()
        if not line:
            return
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        request = json.loads(line)
        sys.path[:] = request["sys_path"]
        try:
            _answer(request, answers)
        except BrokenPipeError:
            return
        except Refusal as error:
            _send(answers, {"refused": str(error)})
        except Exception as error:  # whatever h5py makes of a damaged file
            _send(answers, {"failed": " ".join(str(error).split())[:200] or type(error).__name__})


def _send(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _answer(request: dict[str, Any], answers: Any) -> None:
    import h5py

    path, most = os.fsdecode(bytes.fromhex(request["path"])), request["most"]
    _limit_time(os.path.getsize(path) / OPENED)
    _limit_memory(0)
    with h5py.File(path, "r") as file:
        held = list(file)
        found: list[dict[str, Any]] = []
        streamed = []
        for name in request["arrays"]:
            if name not in held:
                found.append({"missing": True})
                continue
            dataset = _open(file, name)
            found.append(_described(dataset, name, most, os.path.getsize(path)))
            if not found[-1].keys() & {"offset", "chunks", "texts", "too large"}:
                streamed.append(dataset)
        there = [name for name in request["looked_for"] if name in held]
        _send(answers, {"held": sorted(held)[:100], "count": len(held), "there": there, "arrays": found})
        for dataset in streamed:
            try:
                for block in _blocks(dataset):
                    answers.write(len(block).to_bytes(8, "little"))
                    answers.write(block)
            finally:
                answers.write(bytes(8))  # there is no more of it: all, or what could be read
                answers.flush()
    _limit_time(None)
    answers.write(b"\n")  # the file is closed, and its lock is gone
    answers.flush()


def _limit_time(seconds: float | None) -> None:
    """End this process when it has computed for so many seconds, and half a second more; never with None."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, 0.0 if seconds is None else 0.5 + seconds)


def _limit_memory(size: int) -> None:
    """Let this process take so many bytes, and some more, beside those that it has."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = now + size + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


def _open(file: Any, name: str) -> Any:
    """Return a dataset whose numbers are in the file itself and can be read with the common filters."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise Refusal(f"{name!r} is a soft or external link; links are not followed, store the array itself")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise Refusal(f"{name!r} is not an array")
    made = dataset.id.get_create_plist()
    if made.get_external_count():
        raise Refusal(f"{name!r} lies in another file (external storage); only what is in the file itself is read")
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise Refusal(f"{name!r} lies in other files (a virtual dataset); only what is in the file itself is read")
    for i in range(made.get_nfilters()):
        number, *_, title = made.get_filter(i)
        if number not in FILTERS:
            raise Refusal(
                f"{name!r} is stored with filter {number} ({title.decode('utf-8', 'replace')[:50]}); "
                f"the filters that are read are {', '.join(FILTERS.values())}"
            )
    return dataset


def _described(dataset: Any, name: str, most: int, file_size: int) -> dict[str, Any]:
    """Return the shape and dtype of a dataset, and where its numbers are; what it claims is checked."""
    import h5py

    dtype, shape = dataset.dtype, dataset.shape
    if shape is None:
        raise Refusal(f"{name!r} is empty")
    size = math.prod(shape) * dtype.itemsize
    described = {"shape": shape, "bytes": size}
    if size > most:
        return described | {"too large": True}
    if dtype.hasobject:
        return described | {"texts": _texts(dataset, name, most)}
    if dtype.kind not in "biufS":
        raise Refusal(f"{name!r} is of type {str(dtype)[:100]}; numbers or text are needed")
    described["dtype"] = dtype.str
    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.CHUNKED:
        chunk = math.prod(dataset.chunks) * dtype.itemsize
        if chunk > most:
            return described | {"bytes": chunk, "too large": True}
        filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
        chunks, count = _chunks(dataset, name, file_size, filters, chunk)
        if count * chunk > most:  # many of them may lie at one place in the file
            return described | {"bytes": count * chunk, "too large": True}
        sides = [range(0, side, part) for side, part in zip(shape, dataset.chunks, strict=True)]
        wanted = math.prod(map(len, sides))
        whole = len(chunks) == wanted and {tuple(start) for start, *_ in chunks} == set(itertools.product(*sides))
        if filters in ([1], [2, 1]) and whole and not any(mask for *_, mask in chunks) and _is_plain(dataset):
            return described | {"chunks": chunks, "chunk": dataset.chunks, "shuffled": filters[0] == 2}
        _limit_memory(4 * (chunk + BLOCK))
    elif made.get_layout() == h5py.h5d.CONTIGUOUS and _is_plain(dataset):
        offset = dataset.id.get_offset()
        if offset is not None:  # else it was never written, and holds its fill value
            if offset + size > file_size:
                raise Refusal(f"{name!r} claims {size:,} bytes, more than there are; the file is cut short or damaged")
            return described | {"offset": offset}
    return described


def _texts(dataset: Any, name: str, most: int) -> list[str]:
    """Return text of variable length."""
    import h5py

    if h5py.check_string_dtype(dataset.dtype) is None:
        raise Refusal(f"{name!r} is of a type of variable length; numbers or text are needed")
    values = dataset[()]
    texts = [value.decode("utf-8", "surrogateescape") for value in ([values] if dataset.shape == () else values.flat)]
    if sum(map(len, texts)) > most:
        raise Refusal(f"{name!r} holds more text than a file of this size may")
    return texts


def _is_plain(dataset: Any) -> bool:
    """Return whether the numbers are stored as NumPy keeps them."""
    import h5py

    return bool(dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)))


def _chunks(
    dataset: Any, name: str, file_size: int, filters: list[int], size: int
) -> tuple[list[tuple[Any, ...]], int]:
    """Return where each chunk begins in the dataset and in the file, its size there, which filters it skips; how many.

    Where there are too many the list holds the first of them. Raises Refusal where one is smaller than it can be, or
    reaches past the end of the file: the library does not look.
    """
    found: list[tuple[Any, ...]] = []
    count = 0

    def look(chunk: Any) -> None:
        nonlocal count
        done = {number for i, number in enumerate(filters) if not chunk.filter_mask >> i & 1}
        check = 4 if 3 in done else 0  # bytes of Fletcher32
        least = check + (1 if done & {1, 32000} else size)  # compressed, or as it is
        if not least <= chunk.size <= file_size - chunk.byte_offset:
            start = tuple(chunk.chunk_offset)
            raise Refusal(f"{name!r} is damaged: the chunk at {start} is too small or reaches past the end of the file")
        count += 1
        if count <= MANY:
            found.append((chunk.chunk_offset, chunk.byte_offset, chunk.size, chunk.filter_mask))

    dataset.id.chunk_iter(look)
    return found, count


def _blocks(dataset: Any) -> Any:
    """Yield the numbers of a dataset in order, some rows at a time."""
    import numpy as np

    if dataset.shape == ():
        yield np.asarray(dataset[()]).tobytes()
        return
    if 0 in dataset.shape:
        return
    row = max(1, math.prod(dataset.shape[1:]) * dataset.dtype.itemsize)
    chunk = dataset.chunks or (1, *dataset.shape[1:])
    across = math.prod(-(-side // part) for side, part in zip(dataset.shape[1:], chunk[1:], strict=True))
    rows = chunk[0] * max(1, min(BLOCK // (row * chunk[0]), CHUNKS // across))
    _limit_memory(4 * rows * row)
    _limit_time(dataset.shape[0] * row / READ)
    for start in range(0, dataset.shape[0], rows):
        yield np.ascontiguousarray(dataset[start : start + rows]).data.cast("B")


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

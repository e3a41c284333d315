"""The client of the process that reads HDF5 files."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import json
import os
import signal
import sys
import threading
from typing import Any

from fastlr.data import hdf5_process
from fastlr.machine import can_fork

PIPE = 2**20  # bytes on their way
SOON = 3.0  # seconds that a copy of this process has for an answer, before a new interpreter is asked
LONGEST = 60.0  # seconds that the process may wait for a file, on a slow network


class Opener:
    """The process that opens files: one for this process, started when it is first needed, and again when it ended."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.lock = threading.Lock()
        self.running: Any = None
        self.owner = os.getpid()
        atexit.register(self.end)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return its answer."""
        line, again = (
            json.dumps({"sys_path": [entry for entry in sys.path if isinstance(entry, str)], **request}).encode()
            + b"\n",
            False,
        )
        while True:
            try:
                process = self.running = self.running or _start()
            except OSError as error:
                return {"refused": f"no process can be started to open it ({error.strerror}); allow more of them"}
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(line)
                process.stdin.flush()
            limit = threading.Timer(SOON if isinstance(process, _Fork) else LONGEST, process.kill)
            limit.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread can be started
                limit.start()
            answer = process.stdout.readline()
            limit.cancel()
            if answer:
                found: dict[str, Any] = json.loads(answer)
                return found
            status = self.end()
            if status == -getattr(signal, "SIGKILL", 0) and not again:
                again, self.running = (
                    True,
                    _new_interpreter(),
                )  # a copy may wait for ever for a lock that a library's thread held
                continue
            if again and status == -getattr(signal, "SIGKILL", 0):
                return {"failed": f"it cannot be opened within {LONGEST:.0f} s"}
            if status != -getattr(signal, "SIGALRM", 0):  # it had no request for a while, and ended at this moment
                return {"failed": cause(status)}

    def fill(self, values: memoryview) -> None:
        """Read as many bytes as these, which follow an answer in blocks."""
        stream, done = self.running.stdout, 0
        while length := int.from_bytes(head := stream.read(8), "little"):
            if done + length > len(values) or stream.readinto(values[done : done + length]) < length:
                break
            done += length
        if len(head) < 8 or length:
            raise ValueError(cause(self.end()))
        if done < len(values):
            raise ValueError(f"{len(values) - done:,} bytes of it cannot be read")

    def wait_for_close(self) -> None:
        """Wait until it has closed the file, which may be written from then on."""
        if self.running.stdout.read(1) != b"\n":
            raise ValueError(cause(self.end()))

    def end(self) -> int:
        """End it and return its exit status."""
        process, self.running = self.running, None
        if process is None or self.owner != os.getpid():  # a child that the user forked leaves it to its parent
            return 0
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        return int(process.wait())


class _Fork:
    """A copy of this process that opens files, with what is used here of `subprocess.Popen`.

    It is there in a tenth of the time that a new interpreter needs, which is most of what opening a file takes.
    """

    def __init__(self) -> None:
        (theirs, requests), (answers, ours) = os.pipe(), os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            for end in (theirs, requests, answers, ours):
                os.close(end)
            raise
        self.stdin, self.stdout = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")
        if self.pid == 0:
            try:
                faulthandler.disable()
                for place, file in enumerate((theirs, ours)):
                    os.dup2(file, place)
                os.closerange(2, os.sysconf("SC_OPEN_MAX"))
                os.open(os.devnull, os.O_WRONLY)  # which is standard error then
                hdf5_process.serve(open(0, "rb"), open(1, "wb"))  # noqa: SIM115 (for as long as it lives)
            finally:
                os._exit(0)
        os.close(theirs)
        os.close(ours)

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return the exit status, negative for a signal, as Popen does."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _start() -> Any:
    process = _Fork() if can_fork() else _new_interpreter()
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    return process


def _new_interpreter() -> Any:
    import subprocess

    command = [sys.executable, "-I", "-S", hdf5_process.__file__]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


@functools.cache
def opener() -> Opener:
    """Return the one of this process."""
    return Opener()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=opener.cache_clear)  # it belongs to the parent


def cause(status: int) -> str:
    """Return what an exit status says of the file."""
    if status == -getattr(signal, "SIGPROF", 0):
        return "reading its structure does not end"
    return f"the HDF5 library fails on it, status {status}"

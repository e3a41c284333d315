"""How the command `fastlr` ends when it is interrupted: at once, with one line, and nothing half-written."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import signal
import sys
import time
from typing import Any

ENDS = {"SIGINT": "interrupted", "SIGTERM": "terminated"}

_standard_error = 2  # where the line goes; `listen` copies it, since what libraries print there is kept away at times
_ending = _thread.allocate_lock()  # `threading` is imported when signals are heard already


def listen() -> None:
    """End the process on SIGINT and SIGTERM, whatever it is doing.

    Python calls a signal's handler between two instructions of the main thread, which may be inside a compiled kernel
    or a BLAS for long. So a thread of its own waits for them too.
    """
    global _standard_error
    with contextlib.suppress(OSError):
        _standard_error = os.dup(2)
    signals = [getattr(signal, name) for name in ENDS if hasattr(signal, name)]
    for number in signals:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):  # as a shell starts what runs behind `&`
            signal.signal(number, lambda number, frame: _end(number))
    if os.name == "nt":
        return
    import threading

    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def wait() -> None:
        while True:
            number = os.read(heard, 1)[0]
            if number in signals:
                _end(number)

    with contextlib.suppress(RuntimeError):  # no thread can be started: the handlers alone hear them
        # It holds no lock that a copy of the process would wait for, see `fastlr.machine.can_fork`.
        listener = threading.Thread(target=wait, name="fastlr-signals", daemon=True)
        listener.holds_no_lock = True  # type: ignore[attr-defined]
        listener.start()
        for number in signals:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, _stand_still)


def _stand_still(number: int, frame: Any) -> None:
    """Let the main thread do no more: the listener has heard it too, and ends the process.

    But for a checkpoint that the main thread is writing, for which the listener waits.
    """
    if not getattr(sys.modules.get("fastlr.training.checkpoint"), "is_writing", bool)():
        while True:
            time.sleep(1)


def ignore() -> None:
    """Ignore the signals from now on: the work is done, and as the interpreter ends they would kill it silently."""
    for number in (getattr(signal, name) for name in ENDS if hasattr(signal, name)):
        signal.signal(number, signal.SIG_IGN)


def _end(number: int) -> Any:
    """Write the checkpoints, remove what is half-written, say why, and leave with the status that shells give."""
    if not _ending.acquire(blocking=False):
        return
    # A module that was not imported, or not to its end, has nothing to write or to remove.
    write_all = getattr(sys.modules.get("fastlr.training.checkpoint"), "write_all", tuple)
    words = [ENDS[signal.Signals(number).name], *write_all()]
    for path in tuple(getattr(sys.modules.get("fastlr.files"), "unfinished", ())):
        with contextlib.suppress(OSError):
            path.unlink()
    with contextlib.suppress(OSError):
        # A progress bar hides the cursor and stands in a line of its own.
        before = b"\x1b[?25h\n" if os.isatty(_standard_error) else b""
        os.write(_standard_error, before + f"fastlr: {'; '.join(words)}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)


@contextlib.contextmanager
def only_our_lines() -> Any:
    """Keep what C libraries print on standard error away, such as libtiff and libjpeg on damaged pictures.

    What `fastlr` itself logs meanwhile is shown.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    ours = logging.StreamHandler(os.fdopen(os.dup(kept), "w", errors="backslashreplace"))
    logging.getLogger("fastlr").addHandler(ours)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        logging.getLogger("fastlr").removeHandler(ours)
        ours.stream.close()
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)

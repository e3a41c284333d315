"""The command `fastlr` as a process of its own, which is over when the command is; also `python -m fastlr`."""

import os
import sys

from fastlr.cli.signals import ignore, listen

ENOUGH = 1000  # processes and threads of a user, with which nobody asks whether a few more can be started
COPIES = 3  # of OpenBLAS, NumPy's and SciPy's, and our own threads


def run() -> int:
    """Run the command line and return the exit status, without looking for garbage that the end takes anyway.

    Imports make many objects and little garbage; the interpreter would look through all of them again and again, and
    once more as it ends: a third of a short command's time.
    """
    for number in range(3):  # a stream that the caller closed: the next file that is opened would take its place
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    listen()
    allow_for_few_threads()
    import gc
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what there is to say is said in lines of our own
    gc.set_threshold(300_000)
    try:
        from fastlr.cli.app import main

        return main()
    finally:
        gc.freeze()
        ignore()


def allow_for_few_threads() -> None:
    """Let OpenBLAS, which interrupts its own process where it cannot start its threads, start none where few can be."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    if not 0 <= resource.getrlimit(resource.RLIMIT_NPROC)[0] < ENOUGH:
        return
    import threading

    stop, started = threading.Event(), []
    try:
        for _ in range(COPIES * (os.cpu_count() or 1)):
            started.append(threading.Thread(target=stop.wait, daemon=True))
            started[-1].start()
    except RuntimeError:
        started.pop()
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
    stop.set()
    for thread in started:
        thread.join()


if __name__ == "__main__":
    sys.exit(run())

"""The command `fastlr` as a process of its own, which is over when the command is; also `python -m fastlr`."""

import gc
import os
import sys
import warnings

from fastlr.cli.signals import listen


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
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what there is to say is said in lines of our own
    gc.set_threshold(300_000)
    try:
        from fastlr.cli.app import main

        return main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())

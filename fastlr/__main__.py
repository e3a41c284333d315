"""The command `fastlr` as a process of its own, which is over when the command is; also `python -m fastlr`."""

import gc
import sys

from fastlr.cli import main


def run() -> int:
    """Run the command line and return the exit status, without looking for garbage that the end takes anyway.

    Imports make many objects and little garbage; the interpreter would look through all of them again and again, and
    once more as it ends: a third of a short command's time.
    """
    gc.set_threshold(300_000)
    try:
        return main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())

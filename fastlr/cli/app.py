"""The command `fastlr`."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import typer

import fastlr
from fastlr.cli.backends import backends
from fastlr.cli.bench import bench
from fastlr.cli.convert import convert
from fastlr.cli.demo import demo
from fastlr.cli.evaluate import evaluate
from fastlr.cli.predict import predict
from fastlr.cli.probe import probe
from fastlr.cli.render.terminal import fail
from fastlr.cli.sweep import sweep
from fastlr.cli.train import train
from fastlr.cli.warmup import warmup
from fastlr.errors import InputError

app = typer.Typer(
    help="Logistic regression on images and embeddings, on any array library.",
    rich_markup_mode=None,  # plain help loads in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fastlr {fastlr.__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


COMMANDS = (train, predict, evaluate, sweep, probe, convert, backends, bench, warmup, demo)
for command in COMMANDS:
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 2 wrong input, 1 anything else, 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: what would go there goes nowhere
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as the process lives)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text in the terminal's encoding
    for library in ("PIL", "matplotlib"):  # damaged pictures are reported here; that there is no HOME is no matter
        logging.getLogger(library).addHandler(logging.NullHandler())
    arguments = sys.argv[1:] if arguments is None else arguments
    nothing = not arguments
    try:
        _refuse_empty(arguments)
        status = int(
            app(("--help",) if nothing else arguments, prog_name="fastlr", standalone_mode=False) or 2 * nothing
        )
        return _flushed() or status
    except InputError as error:
        return fail(str(error), 2)
    except typer.TyperException as error:
        return fail(_in_plain_words(error), error.exit_code)
    except typer.Exit as stop:
        return _flushed() or int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", 130)
    except MemoryError as error:
        return fail(f"out of memory ({error}); use fewer or smaller samples", 1)
    except OSError as error:
        # What is written in files names the file; all else that is written goes to standard output.
        lost = error.errno in (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF) and error.filename is None
        return _flushed(error if lost else None) or fail(str(error), 1)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raise InputError for an empty argument, such as "$OUT" without a value: as a path it would be this folder."""
    names = False  # after "--" all are
    for before, one in pairwise(["", *arguments]):
        names = names or before == "--"
        if not one or (not names and one.startswith("--") and one.find("=") == len(one) - 1):
            which = one or (f"the argument after {before}" if before else "the first argument")
            raise InputError(f"{which}: it is empty; give a value, or leave it out")


def _in_plain_words(error: typer.TyperException) -> str:
    """Return what is wrong with the arguments and, unless it is an option's value, where help is."""
    said = re.sub(r", unable to parse string as an? \w+", "", error.format_message())
    context = getattr(error, "ctx", None)
    if context is None or said.startswith("Invalid value"):
        return said
    return f"{said.rstrip('.')}; see {context.command_path} --help"


def _flushed(lost: OSError | None = None) -> int:
    """Print what is left to print, and return 1 where it cannot be, or something was lost already, else 0."""
    try:
        if lost is not None:
            raise lost
        sys.stdout.flush()
    except OSError as error:
        # Or the interpreter tries once more as it ends, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of our output went away, as `| head` does
            return 1
        return fail(f"standard output: cannot be written ({error.strerror})", 1)
    return 0

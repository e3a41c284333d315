"""What people read: progress, summaries and errors on the terminal, and JSON for programs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from fastlr.cli.render.text import isolated, reading, short_cost, shortened
from fastlr.errors import counted, escaped

WIDTH = 80  # columns of a line for people


@contextmanager
def progress(iterations: int, quiet: bool = False) -> Iterator[tuple[Callable[[int, float], None], Callable[[], None]]]:
    """Give the callback for `train`, and what to call when all iterations are done.

    They show a bar where standard error is a terminal that can move its cursor, else a line for each recorded cost.
    """
    if quiet:
        yield lambda i, cost: None, _nothing
        return
    if not moves_its_cursor():
        yield lambda i, cost: print(f"Cost after iteration {i}: {short_cost(cost)}", file=sys.stderr), _nothing
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cost {task.fields[cost]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[reading]}"),
    )
    with Progress(*columns, console=error_console()) as bar:
        task = bar.add_task("", total=iterations, cost="", reading="")
        with passes_shown(lambda text: bar.update(task, reading=text)):
            yield (
                lambda iteration, cost: bar.update(task, completed=iteration, cost=short_cost(cost)),
                lambda: bar.update(task, completed=iterations),
            )


@contextmanager
def passes_shown(show: Callable[[str], object]) -> Iterator[None]:
    """Let `show` be called, ten times a second, with how far a pass over data has come that are read in blocks."""
    from fastlr.data.blocks import Pass, watching

    last, shown = 0.0, ""

    def tell(now: Pass) -> None:
        nonlocal last, shown
        text = reading(*now)
        if text != shown and time.monotonic() - last > 0.1:
            show(text)
            last, shown = time.monotonic(), text

    before = watching.set(tell)
    try:
        yield
    finally:
        watching.reset(before)


def moves_its_cursor() -> bool:
    """Return whether standard error is a terminal on which what was printed can be printed over."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def error_console() -> Any:
    """Return rich's console on standard error."""
    from rich.console import Console

    # NO_COLOR is honoured here: rich itself would still print bold and dim.
    return Console(stderr=True, color_system=None if os.environ.get("NO_COLOR") else "auto")


def print_timings(machine: dict[str, Any], rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print what was timed on what, and a line for each backend and form."""
    first, threads = rows[0], counted(machine["threads"], "thread")
    lines = [
        f"{first['problem']}: {first['m']} samples of {first['n']} {first['pixels']} pixels, {first['steps']} steps",
        f"{machine['cpu']}, {threads}; copies {first['copy_bytes_per_second'] / 1e9:.1f} GB/s",
        f"textbook: {_seconds(first['textbook_step_seconds']['median'])} a step",
        f"{'backend':8} {'form':7} {'dtype':8} {'set-up':>9} {'step':>9} {'of copy':>8}   times the textbook's speed",
    ]
    for row in rows:
        ratio = row["ratio"]
        lines.append(
            f"{row['backend']:8} {row['form']:7} {row['dtype']:8} {_seconds(row['set_up_seconds']['median']):>9} "
            f"{_seconds(row['step_seconds']['median']):>9} {row['bandwidth_share']:>7.0%}   "
            f"{ratio['median']:.1f} ({ratio['min']:.1f} to {ratio['max']:.1f})"
        )
    say("\n".join(lines), as_json)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output; a number that is not defined, NaN, is null."""
    print(json.dumps(_defined(value), allow_nan=False))


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _defined(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def say(text: str, as_json: bool) -> None:
    """Print text for people: on standard output, or out of the way of the JSON there."""
    print(text, file=sys.stderr if as_json else sys.stdout)


def fail(message: str, status: int) -> int:
    """Print one line on standard error and return the exit status."""
    with contextlib.suppress(OSError):  # it cannot be written: the status says enough
        print(f"fastlr: {shown(' '.join(message.split()), stream=sys.stderr)}", file=sys.stderr)
    return status


def print_skipped(problems: Iterable[str]) -> None:
    """Print on standard error what was left out, a line each."""
    for problem in dict.fromkeys(problems):  # both parts of data that were split have those of all
        print(f"skipped {shown(problem, stream=sys.stderr)}", file=sys.stderr)


def print_curve(costs: Sequence[float], recorded_at: Sequence[int]) -> None:
    """Draw the learning curve where standard output is a terminal and there are costs enough for one."""
    width = columns(sys.stdout)
    if width is not None and len(costs) > 2:
        from fastlr.cli.render.curve import draw_curve

        for line in draw_curve(costs, recorded_at, width, 6, can_print("⠿│", sys.stdout)):
            print(line)


def shown(text: object, available: int | None = None, stream: TextIO | None = None) -> str:
    """Return text from outside as it may be printed: what a terminal would act on is written out.

    At most `available` columns are taken, if that is given. On a terminal, right-to-left text keeps to its place.
    """
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    printable = escaped(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    if available is not None:
        printable = shortened(printable, available, "…" if can_print("…", stream) else "...")
    return isolated(printable) if stream.isatty() and can_print("\u2068", stream) else printable


def fitted(text: object, beside: int, as_json: bool = False) -> str:
    """Return text from outside as it may be printed in a line with `beside` other columns; a pipe gets it whole."""
    stream = sys.stderr if as_json else sys.stdout
    available = columns(stream)
    return shown(text, None if available is None else available - beside, stream)


def can_print(characters: str, stream: TextIO) -> bool:
    """Return whether the stream's encoding has these characters."""
    try:
        characters.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def columns(stream: TextIO) -> int | None:
    """Return how many columns a line may take, 80 at the most; None where it is no terminal that is written to."""
    return max(20, min(WIDTH, shutil.get_terminal_size().columns)) if stream.isatty() else None


def _nothing() -> None:
    pass


def _seconds(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} µs"

"""What people read: progress, summaries and errors on the terminal, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.model import Results
    from fastlr.run import Run


@contextmanager
def progress(iterations: int) -> Iterator[tuple[Callable[[int, float], None], Callable[[], None]]]:
    """Give the callback for `train`, and what to call when all iterations are done.

    They show a bar where standard error is a terminal, else a line for each recorded cost.
    """
    if not sys.stderr.isatty():
        yield lambda i, cost: print(f"Cost after iteration {i}: {_cost(cost)}", file=sys.stderr), _nothing
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cost {task.fields[cost]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=iterations, cost="")
        yield (
            lambda iteration, cost: bar.update(task, completed=iteration, cost=_cost(cost)),
            lambda: bar.update(task, completed=iterations),
        )


def summary(data: Dataset, run: Run) -> str:
    """Return what was trained on what, in how long, and how well it does."""
    classes = ", ".join(str(name) for name in run.model.classes)
    tf32 = "" if run.precision == "full" else f" with {run.precision} products"
    lines = [
        f"{data.source}: {run.n_train} examples of {run.n_features} numbers; classes {classes}",
        f"trained in {run.seconds:.2f} s ({run.backend} on {run.device}, {run.dtype}{tf32}, {run.form} form)",
        f"train accuracy: {run.train_accuracy} %",
    ]
    if run.layers:
        lines.insert(1, f"hidden layers of {', '.join(map(str, run.layers))} units, drawn from seed {run.seed}")
    if run.test_accuracy is not None:
        lines.append(f"test accuracy: {run.test_accuracy} % of {run.n_test} examples")
    return "\n".join([*lines, *(f"note: {note}" for note in run.notes)])


def print_predictions(rows: list[dict[str, Any]], as_json: bool = False) -> None:
    """Print a line for each picture: its file, its label, and the probability of that label."""
    width = max(len(row["image"]) for row in rows)
    for row in rows:
        say(f"{row['image']:{width}}  {row['label']}  {row['probability']:.4f}", as_json)


def print_confusion(classes: Sequence[Any], results: Results, as_json: bool) -> None:
    """Print each class's accuracy, and how often it was taken for which."""
    names = [str(name) for name in classes]
    width, column = max(map(len, names)), max(8, len(str(results.matrix.max())))
    say(" " * (width + 10) + "taken for " + " ".join(f"{name[:column]:>{column}}" for name in names), as_json)
    for name, row, accuracy in zip(names, results.matrix, results.class_accuracy, strict=True):
        share = "-" if accuracy is None else f"{accuracy:.1f} %"
        say(f"{name:{width}} {share:>8} " + " " * 10 + " ".join(f"{count:>{column}}" for count in row), as_json)


def print_timings(machine: dict[str, Any], rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print what was timed on what, and a line for each backend and form."""
    first = rows[0]
    lines = [
        f"{first['problem']}: {first['m']} examples of {first['n']} {first['pixels']} pixels, {first['steps']} steps",
        f"{machine['cpu']}, {machine['threads']} threads; copies {first['copy_bytes_per_second'] / 1e9:.1f} GB/s",
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
    """Print one JSON value on standard output."""
    print(json.dumps(value, allow_nan=False))


def say(text: str, as_json: bool) -> None:
    """Print text for people: on standard output, or out of the way of the JSON there."""
    print(text, file=sys.stderr if as_json else sys.stdout)


def fail(message: str, status: int) -> int:
    """Print one line on standard error and return the exit status."""
    print(f"fastlr: {' '.join(message.split())}", file=sys.stderr)
    return status


def _nothing() -> None:
    pass


def _seconds(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e6:.2f} µs"


def _cost(cost: float) -> str:
    """Return a cost as the tutorials print it, and one that grew out of hand in short."""
    return f"{cost:f}" if cost < 1e6 else f"{cost:.6g}"

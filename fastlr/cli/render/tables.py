"""What a run, a model's predictions and its mistakes look like in lines that fit a terminal."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastlr.cli.render.terminal import WIDTH, can_print, columns, say, shown
from fastlr.cli.render.text import cells, listed, padded
from fastlr.errors import counted

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.model.evaluation import Results
    from fastlr.training.run import Run

LONGEST = 30  # columns that a class's name may take in a list of them
BAR = 20  # columns of a probability of 1
COMPILING = 1.0  # seconds of it, from which on they are named


def in_percent(value: float) -> str:
    """Return an accuracy in percent; that of a table in which no label is known is not defined."""
    return "not defined, no label is known," if math.isnan(value) else f"{value} %"


def duration(seconds: float, compiling: float) -> str:
    """Return how long a training took, and how much of that was compiling, where it is worth a word."""
    return f"{seconds:.2f} s" + (f", {compiling:.2f} s of it compiling" if compiling >= COMPILING else "")


def summary(data: Dataset, run: Run, as_json: bool = False) -> str:
    """Return what was trained on what, in how long, and how well it does, in lines of 80 columns at the most."""
    stream = sys.stderr if as_json else sys.stdout
    count = f": {counted(run.n_train, 'sample')} of {counted(run.n_features, 'feature')}"
    source = shown(data.source, WIDTH - len(count), stream) + count
    many = "labels" if run.model.multi_label else "classes"
    classes = listed(many, [shown(name, LONGEST, stream) for name in run.model.classes], WIDTH)
    together = f"{source}; {classes[0]}"
    tf32 = "" if run.precision == "full" else f" with {run.precision} products"
    lines = [
        f"trained in {duration(run.seconds, run.compile_seconds)} "
        f"({run.backend} on {run.device}, {run.dtype}{tf32}, {run.form} form)",
        *([] if run.solver == "gd" else [f"{run.solver}: {counted(run.recorded_at[-1], 'iteration')}"]),
        *([] if run.logits == "kept" else ["logits recomputed in each pass over the data"]),
        f"train accuracy: {in_percent(run.train_accuracy)}",
    ]
    if run.layers:
        lines.insert(0, f"hidden layers of {', '.join(map(str, run.layers))} units, drawn from seed {run.seed}")
    if run.test_accuracy is not None:
        lines.append(f"test accuracy: {in_percent(run.test_accuracy)} of {counted(run.n_test, 'sample')}")
    lines += [f"note: {note}" for note in run.notes]
    wrapped = [
        part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]
    head = [together] if len(classes) == 1 and cells(together) <= WIDTH else [source, *classes]
    return "\n".join([*head, *wrapped])


def print_predictions(rows: list[dict[str, Any]], as_json: bool = False) -> None:
    """Print for each picture its name, its label, and the probability of that label; on a terminal with a bar.

    Where rows hold a "top", the other labels follow: below the first on a terminal, beside it elsewhere.
    """
    stream = sys.stderr if as_json else sys.stdout
    available = columns(stream)
    if available is None:
        names = [shown(row["image"], stream=stream) for row in rows]
        width = max(map(cells, names))
        for name, row in zip(names, rows, strict=True):
            line = "  ".join(f"{shown(one['label'], stream=stream)}  {one['probability']:.4f}" for one in _top(row))
            say(f"{padded(name, width)}  {line}", as_json)
        return
    bar = BAR if available >= 60 else BAR // 2
    labels = [[shown(one["label"], available // 3, stream) for one in _top(row)] for row in rows]
    wide = max(cells(label) for found in labels for label in found)
    names = [shown(row["image"], available - wide - bar - 11, stream) for row in rows]
    width, blocks = max(map(cells, names)), can_print("█▏", stream)
    for name, row, found in zip(names, rows, labels, strict=True):
        for place, (label, one) in enumerate(zip(found, _top(row), strict=True)):
            drawn = draw_bar(one["probability"], bar, blocks)
            first = padded("" if place else name, width)
            say(f"{first}  {padded(label, wide)}  {one['probability']:.4f} {drawn}".rstrip(), as_json)


def draw_bar(share: float, width: int, blocks: bool) -> str:
    """Return a bar of that share of the width, in eighths of a column where the terminal has such blocks."""
    if not blocks:
        return "#" * round(share * width)
    full, eighths = divmod(round(share * width * 8), 8)
    return "█" * full + " ▏▎▍▌▋▊▉"[eighths].strip()


def print_confusion(classes: Sequence[Any], results: Results, as_json: bool) -> None:
    """Print each class's accuracy, and how often it was taken for which.

    That is a matrix, or on a terminal that is too narrow for it the most frequent mistakes.
    """
    stream = sys.stderr if as_json else sys.stdout
    available = columns(stream)
    names = [shown(name, None if available is None else available // 4, stream) for name in classes]
    width, column = max(map(cells, names)), max(8, len(str(results.matrix.max())))
    shares = ["-" if accuracy is None else f"{accuracy:.1f} %" for accuracy in results.class_accuracy]
    if available is not None and width + 20 + len(names) * (column + 1) > available:
        for i, (name, share, row) in enumerate(zip(names, shares, results.matrix.tolist(), strict=True)):
            wrong = sorted((-count, j) for j, count in enumerate(row) if count and j != i)
            mistakes = [f"{names[j]} {-count}" for count, j in wrong]
            first = f"{padded(name, width)} {share:>8}"
            say("\n".join(listed(f"{first} taken for", mistakes, available, 2) if wrong else [first]), as_json)
        return
    heads = [padded(shown(name, column, stream), column, right=True) for name in classes]
    say(f"{' ' * width} accuracy taken for " + " ".join(heads), as_json)
    for name, row, share in zip(names, results.matrix, shares, strict=True):
        counts = " ".join(f"{count:>{column}}" for count in row)
        say(f"{padded(name, width)} {share:>8} " + " " * 10 + counts, as_json)


def print_label_scores(
    classes: Sequence[Any], means: dict[str, float], each: dict[str, list[float]], as_json: bool
) -> None:
    """Print a line for each label of a table, with its scores in percent, and their means."""
    stream = sys.stderr if as_json else sys.stdout
    available = columns(stream)
    names = [shown(name, None if available is None else available // 4, stream) for name in (*classes, "mean")]
    heads = [f"{name.replace('_', ' '):>8}" for name in means]
    width = max(map(cells, names))
    say(" " * width + "  " + "  ".join(heads), as_json)
    for place, name in enumerate(names):
        scores = [means[score] if place == len(classes) else each[score][place] for score in means]
        texts = ["-" if math.isnan(value) else f"{100 * value:.2f} %" for value in scores]
        line = "  ".join(f"{text:>{len(head)}}" for text, head in zip(texts, heads, strict=True))
        say(f"{padded(name, width)}  {line}", as_json)


def _top(row: dict[str, Any]) -> list[dict[str, Any]]:
    top: list[dict[str, Any]] = row.get("top") or [row]
    return top

"""What a probe found, in lines that fit a terminal: the score over l2, the chosen value, the test."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlr.cli.render.tables import duration
from fastlr.cli.render.terminal import WIDTH, can_print, shown
from fastlr.cli.render.text import cells
from fastlr.errors import counted
from fastlr.training.run import at_edge, unfinished
from fastlr.training.selection import mean_scores

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.training.selection import RegularizationPath

ROWS = 24  # of the table; of more values those about the chosen one
BAR = 30  # columns


def summary(data: Dataset, found: RegularizationPath, results: dict[str, Any], as_json: bool = False) -> str:
    """Return the table of scores, what was chosen, the test scores, and what it took."""
    stream = sys.stderr if as_json else sys.stdout
    count = f": {counted(results['n_train'], 'sample')} of {counted(results['n_features'], 'feature')}"
    lines = [shown(data.source, WIDTH - len(count), stream) + count, *_table(found, can_print("█", stream))]
    lines.append(f"l2 {results['chosen_l2']:.3g} was chosen by {results['chosen_by']}")
    if results["test_scores"] is not None:
        of = counted(results["n_test"], "sample")
        for name, score in results["test_scores"].items():
            low, high = results["test_intervals"][name]
            if score is None:
                lines.append(f"test {name.replace('_', ' ')}: not defined on {of}")
                continue
            interval = f"95 % interval {_value(name, low)} to {_value(name, high)}"
            lines.append(f"test {name.replace('_', ' ')}: {_value(name, score)} of {of}, {interval}")
    if edge := found.at_edge:
        lines.append(f"note: {at_edge(edge)}")
    where = f"{results['backend']} on {results['device']}, {results['dtype']}"
    took = duration(results["seconds"], results["compile_seconds"])
    lines.append(
        f"{counted(len(found.runs), 'value')} in {took}, "
        f"{results['peak_memory_bytes'] / 2**30:.2f} GiB "
        f"({where}, {results['solver']}, {results['form']} form)"
    )
    if note := unfinished(found.runs, rounded=True):
        lines.append(f"note: {note}")
    return "\n".join(
        part for line in lines for part in textwrap.wrap(line, WIDTH, drop_whitespace=False, break_on_hyphens=False)
        if part.strip() or not line
    )  # fmt: skip


def _table(found: RegularizationPath, blocks: bool) -> list[str]:
    """Return a line for each value: its scores, and a bar of the first."""
    if not found.scores:
        return []
    names = list(found.scores)
    means = {name: mean_scores(found.scores[name]) for name in names}
    first = np.nan_to_num(means[names[0]], nan=float(np.nanmin(means[names[0]])))
    span = float(first.max() - first.min()) or 1.0
    start = min(max(0, found.chosen - ROWS // 2), max(0, len(first) - ROWS))
    rows = [["l2", *(name.replace("_", " ") for name in names), ""]]
    for i in range(start, min(len(first), start + ROWS)):
        bar = ("█" if blocks else "#") * round(1 + (BAR - 1) * float(first[i] - first.min()) / span)
        mark = f"{bar} best" if i == found.chosen else bar
        rows.append([f"{found.l2[i]:.3g}", *(_value(name, means[name][i]) for name in names), mark])
    widths = [max(cells(row[column]) for row in rows) for column in range(len(names) + 1)]
    lines = [
        "  ".join([*(f"{cell:>{width}}" for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in rows
    ]
    if len(first) > ROWS:
        lines.append(f"({len(first) - ROWS} more values)")
    return lines


def _value(name: str, score: float) -> str:
    """Return a score in percent, a loss as it is."""
    if np.isnan(score):
        return "-"
    return f"{score:.4f}" if name == "log_loss" else f"{100 * score:.2f} %"

"""The table of a sweep: while it runs, and when it is done."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from fastlr.cli.render.tables import duration
from fastlr.cli.render.terminal import error_console, moves_its_cursor, passes_shown
from fastlr.cli.render.text import short_cost
from fastlr.errors import counted
from fastlr.training.run import at_edge, chosen_by, edge_of, unfinished

if TYPE_CHECKING:
    from fastlr.training.run import Run
    from fastlr.training.settings import Candidate

ROWS = 24  # shown while the sweep runs, the best ones
Watch = Callable[[int, list[float]], None]


@contextmanager
def live_table(models: Sequence[Candidate], iterations: int, quiet: bool = False) -> Iterator[Watch]:
    """Give the callback for `sweep`: a table that changes on a terminal, else a line for each recording."""
    if quiet:
        yield lambda iteration, costs: None
        return
    if not moves_its_cursor():
        yield lambda iteration, costs: print(_line(iteration, costs), file=sys.stderr)
        return

    from rich.live import Live

    with Live(console=error_console(), auto_refresh=False, transient=True) as live:
        latest: tuple[int, list[float]] = (0, [math.inf] * len(models))

        def show(text: str) -> None:
            live.update(_now(models, iterations, *latest, text), refresh=True)

        def watch(iteration: int, costs: list[float]) -> None:
            nonlocal latest
            latest = iteration, costs
            live.update(_now(models, iterations, iteration, costs), refresh=True)

        with passes_shown(show):
            yield watch


def results(runs: Sequence[Run], best: Run) -> str:
    """Return the table of all runs, and what they ran on."""
    network, folds, descends = bool(best.layers), bool(best.fold_accuracies), best.solver == "gd"
    head = ["learning rate"] if descends else []
    head += ["l2", "seed"] if network else ["l2"]
    head += ["cost", "train", "folds"] if folds else ["cost", "train"]
    head += ["test"] if best.test_accuracy is not None else []
    rows = [[*head, ""]]
    for run in runs:
        settings: Any = run.model.settings
        row = [f"{settings['learning_rate']:g}"] if descends else []
        row += [f"{settings['l2']:g}", *([str(run.seed)] if network else [])]
        row += [short_cost(run.costs[-1]) if run.costs else "-", _percent(run.train_accuracy)]
        row += [_percent(fmean(run.fold_accuracies))] if folds else []
        row += [_percent(run.test_accuracy)] if run.test_accuracy is not None else []
        note = "diverged" if run.warning else "dead" if any("dead" in note for note in run.notes) else ""
        note = "not converged" if run.converged is False else note
        rows.append([*row, note or ("best" if run is best else "")])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(
        f"{counted(len(runs), 'model')} in {duration(best.seconds, best.compile_seconds)} "
        f"({best.backend} on {best.device}, {best.dtype}, {best.form} form)"
    )
    if advice := [run.warning for run in runs if run.warning]:
        lines.append(f"note: {len(advice)} of them {advice[0]}")
    if chosen_by(runs) == "test set" and len(runs) > 1:
        said = "the best was chosen on the test set, so its test accuracy is probably too high; choose with --folds"
        lines.append(f"note: {said}")
    if folds or best.test_accuracy is not None:
        l2, scores = np.array([run.model.settings["l2"] for run in runs]), np.array([run.score[0] for run in runs])  # type: ignore[index]
        if edge := edge_of(l2, scores, next(i for i, run in enumerate(runs) if run is best)):
            lines.append(f"note: {at_edge(edge)}")
    if left := unfinished(runs, rounded=True):
        lines.append(f"note: {left}")
    return "\n".join(lines)


def _now(models: Sequence[Candidate], iterations: int, iteration: int, costs: list[float], reading: str = "") -> Any:
    """Return the table of the lowest costs so far, and how far the pass over the data has come."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"iteration {iteration} of {iterations}", title_justify="left")
    for name in ("learning rate", "l2", "seed", "cost"):
        table.add_column(name, justify="right")
    ranked = sorted(zip(costs, models, strict=True), key=lambda pair: (math.isnan(pair[0]), pair[0]))
    for cost, model in ranked[:ROWS]:
        shown = "diverged" if math.isnan(cost) else "waits" if math.isinf(cost) else short_cost(cost)
        table.add_row(f"{model.learning_rate:g}", f"{model.l2:g}", str(model.seed), shown)
    return Group(table, Text(f"read {reading}")) if reading else table


def _line(iteration: int, costs: list[float]) -> str:
    finite = [cost for cost in costs if math.isfinite(cost)]
    lost = sum(math.isnan(cost) for cost in costs)
    diverged = f", {lost} diverged" if lost else ""
    of = counted(len(finite), "model")
    return f"Lowest cost after iteration {iteration}: {short_cost(min(finite))} of {of}{diverged}"


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f} %"

"""How a training shows that it moves: a bar on a terminal, else a line for each recorded cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(iterations: int) -> Iterator[Callable[[int, float], None]]:
    """Give the callback for `train`; all it shows goes to standard error."""
    if not sys.stderr.isatty():
        yield lambda iteration, cost: print(
            f"Cost after iteration {iteration}: {cost:f}", file=sys.stderr, flush=True
        )
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cost {task.fields[cost]:.6f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=iterations, cost=float("nan"))
        yield lambda iteration, cost: bar.update(task, completed=iteration, cost=cost)
        bar.update(task, completed=iterations)

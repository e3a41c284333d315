"""bench: how fast each array library is here, once its costs are those of the textbook."""

from __future__ import annotations

from typing import Annotated

import typer

from fastlr.cli.options import Json
from fastlr.cli.render.terminal import fail, print_json, print_timings


def bench(
    problem: Annotated[str, typer.Option(help="cats, birds, planes, beans or tall.")] = "cats",
    backends: Annotated[
        str | None, typer.Option(metavar="B[,B]", help="Array libraries; by default all that run.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare each backend's costs with the textbook's. Then time both."""
    from fastlr.backends import choose_backend, survey
    from fastlr.benchmark import measure
    from fastlr.benchmark.cases import open_problem
    from fastlr.benchmark.check import MismatchError

    task = open_problem(problem)
    names = backends.split(",") if backends is not None else [row["name"] for row in survey() if row["runs"]]
    try:
        rows = measure.measure(task, [choose_backend(name) for name in names], runs=5)
    except MismatchError as error:
        return fail(f"not timed: {error}", 1)
    machine = measure.machine()
    if as_json:
        print_json({"machine": machine, "rows": rows})
    print_timings(machine, rows, as_json)
    return 0

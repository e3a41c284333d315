"""backends, bench and warmup: what this machine has, and how fast it is."""

from __future__ import annotations

from typing import Annotated

import typer

from fastlr.cli.options import Json
from fastlr.terminal import fail, print_json, print_timings, say


def backends(as_json: Json = False) -> None:
    """List the array libraries: what is installed, what runs, on which device, and why not."""
    from fastlr.backends import survey

    rows = survey()
    if as_json:
        print_json(rows)
    for row in rows:
        state = f"runs on {', '.join(row['devices'])}" if row["runs"] else f"does not run: {row['why_not']}"
        say(f"{row['name']:8} {row['version'] or '-':10} {state} ({', '.join(row['dtypes'])})", as_json)


def bench(
    problem: Annotated[str, typer.Option(help="cats, birds, planes, beans or tall.")] = "cats",
    backends: Annotated[
        str | None, typer.Option(metavar="B[,B]", help="Array libraries; by default all that run.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check the costs against the textbook's loop, and if they are its own, time the backends beside it."""
    from fastlr.backends import choose_backend, survey
    from fastlr.benchmark import measure
    from fastlr.benchmark.problems import open_problem
    from fastlr.benchmark.trajectory import MismatchError

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


def warmup() -> None:
    """Compile the kernels now, which else happens when they are first used."""
    from fastlr.warmup import warm_up

    warm_up()
    print("the kernels are compiled")

"""sweep: many models that share each pass over the data, a live table of them, and the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import (
    CheckpointFile,
    DataPath,
    Json,
    ModelOut,
    Quiet,
    Reading,
    Report,
    TestPath,
    check_outputs,
    read_data,
    with_options,
)
from fastlr.cli.render.terminal import fitted, moves_its_cursor, print_json, print_skipped, say
from fastlr.training import texts
from fastlr.training.settings import Settings, Target, candidates

if TYPE_CHECKING:
    from fastlr.training.run import Run


@with_options
def sweep(
    data: DataPath,
    test: TestPath = None,
    model: ModelOut = None,
    checkpoint: CheckpointFile = None,
    *,
    lr: Annotated[
        str,
        typer.Option(
            "--lr", "--learning-rate", metavar="F[,F]", help="Learning rates, such as 0.01,0.001 or 1e-4:1e-1:4."
        ),
    ] = "0.005",
    l2: Annotated[
        str,
        typer.Option(
            metavar="F[,F]", help="Values of l2, such as 0,0.01, or 1e-6:1e2:9 for nine on a logarithmic scale."
        ),
    ] = "0",
    seed_list: Annotated[
        str | None,
        typer.Option("--seeds", metavar="N-N[,N]", help="Seeds of the initial weights, such as 0-7; for --layers."),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Number of folds of a cross-validation.")] = None,
    settings: Settings,
    target: Target,
    reading: Reading,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a model for each learning rate, l2 and seed; all share each pass over the data.

    --model keeps the best: by accuracy on the folds, else on the test set, then by the last cost; of equals the first.
    """
    from fastlr.cli.render.sweep_table import live_table, results
    from fastlr.reporting import report as write_report
    from fastlr.training.api import sweep as train_all
    from fastlr.training.run import best_of

    check_outputs(model, checkpoint, report, data, test)
    rates, penalties = texts.numbers("--lr", lr), texts.numbers("--l2", l2)
    chosen = [settings.seed] if seed_list is None else texts.seeds(seed_list)
    models = candidates(rates, penalties, chosen)
    train_set, test_set = read_data(data, test, reading, settings.seed)
    silent = quiet or (settings.converges and not moves_its_cursor())
    with live_table(models, settings.iterations, silent) as callback:
        runs = train_all(
            train_set,
            test=test_set,
            learning_rates=rates,
            l2=penalties,
            seeds=chosen,
            folds=folds,
            settings=settings,
            target=target,
            test_costs=report is not None and test_set is not None and not train_set.is_table,
            callback=callback,
            checkpoint=checkpoint,
        )
    best = best_of(runs)
    if model is not None:
        best.model.save(model)
    page = None if report is None else write_report(runs, report)
    if as_json:
        paths = {"model": model and str(model), "report": page and str(page)}
        print_json(_as_dict(runs, best) | paths)
    print_skipped((*train_set.skipped, *(test_set.skipped if test_set else ())))
    if not quiet:
        say(results(runs, best), as_json)
        if model is not None:
            say(f"model: {fitted(model, 25, as_json)}, the best of {len(runs)}", as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)
    return 1 if best.warning else 0


def _as_dict(runs: list[Run], best: Run) -> dict[str, Any]:
    """Return the runs as plain values; what is the same for all of them stands once, beside them."""
    from fastlr.training.run import chosen_by

    first = runs[0].as_dict()
    own = [
        "costs", "recorded_at", "train_accuracy", "test_accuracy", "fold_accuracies", "seed", "warning", "notes",
        "converged", "folds_converged",
    ]  # fmt: skip
    shared = {name: value for name, value in first.items() if name not in (*own, "test_costs")}
    rows = []
    for run in runs:
        settings, values = run.model.settings or {}, run.as_dict()
        rows.append({name: settings[name] for name in ("learning_rate", "l2")} | {name: values[name] for name in own})
    number = next(i for i, run in enumerate(runs) if run is best)
    return {"runs": rows, "best": number, "chosen_by": chosen_by(runs)} | shared

"""sweep: many models in one pass over the data, a live table of them, and the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import (
    BackendName,
    Balance,
    BatchSize,
    DataPath,
    DeviceName,
    DtypeName,
    FormName,
    Holdout,
    Iterations,
    Json,
    Layers,
    MaxExpansion,
    ModelOut,
    OptimizerName,
    Positive,
    Precision,
    Quiet,
    RecordEvery,
    Report,
    Resample,
    Scale,
    Seed,
    Size,
    SkipBad,
    SolverName,
    Standardize,
    TestPath,
    Tol,
    check_model_path,
    hidden_units,
    numbers,
    read_data,
    scale_option,
    seeds,
)
from fastlr.cli.render.terminal import fitted, moves_its_cursor, print_json, print_skipped, say

if TYPE_CHECKING:
    from fastlr.training.run import Run


def sweep(
    data: DataPath,
    test: TestPath = None,
    model: ModelOut = None,
    iterations: Iterations = 2000,
    lr: Annotated[
        str, typer.Option("--lr", "--learning-rate", metavar="F[,F]", help="Learning rates, such as 0.01,0.001.")
    ] = "0.005",
    l2: Annotated[
        str, typer.Option(metavar="F[,F]", help="Weight decays, such as 0,0.01, or 1e-6:1e2:9 for a geometric row.")
    ] = "0",
    seed_list: Annotated[
        str | None, typer.Option("--seeds", metavar="N-N", help="Networks from several seeds, such as 0-7.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate: leave each of so many parts out once.")] = None,
    layers: Layers = "",
    solver: SolverName = "gd",
    tol: Tol = None,
    optimizer: OptimizerName = "gd",
    batch_size: BatchSize = None,
    standardize: Standardize = False,
    scale: Scale = "auto",
    size: Size = 64,
    resample: Resample = "bicubic",
    positive: Positive = None,
    balance: Balance = False,
    holdout: Holdout = None,
    skip_bad: SkipBad = False,
    max_expansion: MaxExpansion = None,
    seed: Seed = 0,
    record_every: RecordEvery = 100,
    form: FormName = "auto",
    backend: BackendName = None,
    device: DeviceName = None,
    dtype: DtypeName = None,
    precision: Precision = "full",
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a model for each learning rate, l2 and seed in one pass over the data; --model keeps the best."""
    from fastlr.cli.render.sweep_table import live_table, results
    from fastlr.reporting import check_folder
    from fastlr.reporting import report as write_report
    from fastlr.training.api import sweep as train_all
    from fastlr.training.run import best_of
    from fastlr.training.settings import candidates

    if model is not None:
        check_model_path(model, data, test)
    if report is not None:
        check_folder(report, "--report", (data, test))
    rates, penalties = numbers("--lr", lr), numbers("--l2", l2)
    chosen = [seed] if seed_list is None else seeds(seed_list)
    models = candidates(rates, penalties, chosen)
    train_set, test_set = read_data(
        data, test, positive, balance, holdout, seed, size=size, resample=resample, skip_bad=skip_bad,
        max_expansion=max_expansion,
    )  # fmt: skip
    with live_table(models, iterations, quiet or (solver != "gd" and not moves_its_cursor())) as callback:
        runs = train_all(
            train_set,
            test=test_set,
            learning_rates=rates,
            l2=penalties,
            seeds=chosen,
            folds=folds,
            layers=hidden_units(layers),
            iterations=iterations,
            solver=solver,
            tol=tol,
            optimizer=optimizer,
            batch_size=batch_size,
            standardize=standardize,
            scale=scale_option(scale),
            seed=seed,
            record_every=record_every,
            form=form,
            backend=backend,
            device=device,
            dtype=dtype,
            precision=precision,
            test_costs=report is not None and test_set is not None,
            callback=callback,
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
    first = runs[0].as_dict()
    own = [
        "costs", "recorded_at", "train_accuracy", "test_accuracy", "fold_accuracies", "seed", "warning", "notes",
        "converged",
    ]  # fmt: skip
    shared = {name: value for name, value in first.items() if name not in (*own, "test_costs")}
    rows = []
    for run in runs:
        settings, values = run.model.settings or {}, run.as_dict()
        rows.append({name: settings[name] for name in ("learning_rate", "l2")} | {name: values[name] for name in own})
    number = next(i for i, run in enumerate(runs) if run is best)
    return {"runs": rows, "best": number} | shared

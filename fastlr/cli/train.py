"""train: from data to a model, with its progress and its summary."""

from __future__ import annotations

import sys
import warnings
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
    LearningRate,
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
    read_data,
    scale_option,
)
from fastlr.cli.render.terminal import fitted, print_curve, print_json, print_skipped, progress, say

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.training.run import Run


def train(
    data: DataPath,
    test: TestPath = None,
    model: ModelOut = None,
    iterations: Iterations = 2000,
    lr: LearningRate = 0.005,
    l2: Annotated[float, typer.Option(help="Weight decay: adds l2/2 ‖W‖² to the objective.")] = 0.0,
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
    """Train a classifier and report its accuracy."""
    from fastlr.cli.render.tables import summary
    from fastlr.reporting import check_folder
    from fastlr.reporting import report as write_report

    if model is not None:
        check_model_path(model, data, test)
    if report is not None:
        check_folder(report, "--report", (data, test))
    train_set, test_set = read_data(
        data, test, positive, balance, holdout, seed, size=size, resample=resample, skip_bad=skip_bad,
        max_expansion=max_expansion,
    )  # fmt: skip
    run = run_training(
        train_set,
        test_set,
        iterations=iterations,
        learning_rate=lr,
        l2=l2,
        layers=hidden_units(layers),
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
        quiet=quiet,
    )
    if model is not None:
        run.model.save(model)
    page = None if report is None else write_report(run, report)
    if as_json:
        print_json(run.as_dict() | {"model": model and str(model), "report": page and str(page)})
    print_skipped((*train_set.skipped, *(test_set.skipped if test_set else ())))
    if not quiet:
        say(summary(train_set, run, as_json), as_json)
        if not as_json:
            print_curve(run.costs, run.recorded_at)
        if model is not None:
            say(f"model: {fitted(model, 7, as_json)}", as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)
    return 0 if run.warning is None else 1


def run_training(train_set: Dataset, test_set: Dataset | None, quiet: bool = False, **settings: Any) -> Run:
    """Train with the progress on standard error and a divergence as one line there."""
    from fastlr.errors import ConvergenceWarning, DivergenceWarning
    from fastlr.training.api import train

    with warnings.catch_warnings(), progress(settings["iterations"], quiet) as (callback, done):
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is among the notes
        run = train(train_set, test=test_set, callback=callback, **settings)
        if run.warning is None and run.converged is None:
            done()
    if run.warning:
        print(f"fastlr: {run.warning}", file=sys.stderr)
    return run

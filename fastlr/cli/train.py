"""train: from data to a model, with its progress and its summary."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

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
from fastlr.cli.render.terminal import fitted, print_curve, print_json, print_skipped, progress, say
from fastlr.training.settings import Candidate, Settings, Target

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.training.run import Run

THE_DEFAULT = Target()


@with_options
def train(
    data: DataPath,
    test: TestPath = None,
    model: ModelOut = None,
    checkpoint: CheckpointFile = None,
    *,
    candidate: Candidate,
    settings: Settings,
    target: Target,
    reading: Reading,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a classifier and report its accuracy."""
    from fastlr.cli.render.tables import summary
    from fastlr.reporting import report as write_report

    check_outputs(model, checkpoint, report, data, test)
    train_set, test_set = read_data(data, test, reading, settings.seed)
    test_costs = report is not None and test_set is not None and not train_set.is_table
    run = run_training(train_set, test_set, candidate, settings, target, test_costs, checkpoint, quiet)
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


def run_training(
    train_set: Dataset,
    test_set: Dataset | None,
    candidate: Candidate,
    settings: Settings,
    target: Target = THE_DEFAULT,
    test_costs: bool = False,
    checkpoint: Path | None = None,
    quiet: bool = False,
) -> Run:
    """Train with the progress on standard error and a divergence as one line there."""
    from fastlr.errors import ConvergenceWarning, DivergenceWarning
    from fastlr.training.api import train

    with warnings.catch_warnings(), progress(settings.iterations, quiet) as (callback, done):
        warnings.simplefilter("ignore", DivergenceWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is among the notes
        run = train(
            train_set, test=test_set, candidate=candidate, settings=settings, target=target,
            test_costs=test_costs, callback=callback, checkpoint=checkpoint,
        )  # fmt: skip
        if run.warning is None and run.converged is None:
            done()
    if run.warning:
        print(f"fastlr: {run.warning}", file=sys.stderr)
    return run

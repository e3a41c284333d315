"""probe: a linear probe as benchmarks report it: l2 chosen on validation data, the model tested on test data."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
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
    held_out,
    read_data,
    with_options,
)
from fastlr.cli.render.terminal import fitted, moves_its_cursor, print_json, print_skipped, say
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError, counted
from fastlr.training import texts
from fastlr.training.settings import PathSettings, Target, candidates

if TYPE_CHECKING:
    from fastlr.data import Dataset

DRAWS = 1000  # of the bootstrap
VALUES = "1e-6:1e2:96"


@with_options
def probe(
    data: DataPath,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="DATA|N",
            help="Validation data (if they have splits, their test split), "
            "or a number of samples to hold out from DATA; by default cross-validation.",
        ),
    ] = None,
    test: TestPath = None,
    model: ModelOut = None,
    checkpoint: CheckpointFile = None,
    *,
    l2: Annotated[
        str, typer.Option(metavar="F[,F]", help="Values of l2, or FIRST:LAST:COUNT for values on a logarithmic scale.")
    ] = VALUES,
    folds: Annotated[
        int | None, typer.Option(help="Folds of the cross-validation, without validation data; by default 5.")
    ] = None,
    scoring: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME]",
            help="accuracy, balanced_accuracy, top_5, roc_auc, average_precision, "
            "f1, log_loss; the first of several chooses.",
        ),
    ] = "accuracy",
    refit: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Data for the final fit: train, or train+validation (the default with validation data).",
        ),
    ] = None,
    settings: PathSettings,
    target: Target,
    reading: Reading,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Choose l2 on validation data or by cross-validation, refit the model, and test it."""
    from fastlr.cli.render.probe import summary
    from fastlr.cli.render.sweep_table import live_table
    from fastlr.machine import peak_memory
    from fastlr.model.scores import check_scoring, plain
    from fastlr.reporting import report as write_report
    from fastlr.training.selection import path as fit_path

    check_outputs(model, checkpoint, report, data, test)
    values, names = texts.numbers("--l2", l2), scoring.split(",")
    check_scoring(names)
    if refit not in (None, "train", "train+validation"):
        raise InputError(f"--refit: {refit!r}; train or train+validation is needed")
    if validation is not None and folds is not None:
        raise InputError("--folds: l2 is chosen on --validation or by --folds; give one of the two")
    folds = 5 if folds is None else folds
    models = candidates([0.005], values, [settings.seed])
    train_set, test_set = read_data(data, test, reading, settings.seed)
    chosen_by, train_set = _validation(validation, train_set, reading, settings.seed)
    started = time.perf_counter()
    with live_table(models, settings.iterations, quiet or not moves_its_cursor()) as callback:
        found = fit_path(
            train_set,
            l2=values,
            folds=folds if chosen_by is None else chosen_by,
            scoring=names,
            refit=refit or ("train" if chosen_by is None else "train+validation"),
            test=test_set,
            settings=settings,
            target=target,
            callback=callback,
            checkpoint=checkpoint,
        )
    seconds, last = time.perf_counter() - started, found.final or found.best
    again = last if all(last is not run for run in found.runs) else None  # a fit of its own
    compiled = found.best.compile_seconds + (again.compile_seconds if again else 0.0)
    if model is not None:
        found.model.save(model)
    page = None if report is None else write_report(found, report)
    results: dict[str, Any] = {
        "l2": found.l2.tolist(),
        "scores": {name: plain(score.tolist()) for name, score in found.scores.items()},
        "chosen_l2": found.best_l2,
        "edge": found.at_edge,
        "chosen_by": f"{folds} folds" if chosen_by is None else counted(len(chosen_by), "validation sample"),
        "test_scores": None if test_set is None else plain(found.test_scores),
        "test_intervals": None if test_set is None else plain(found.test_intervals(DRAWS, settings.seed)),
        "n_train": len(train_set),
        "n_validation": 0 if chosen_by is None else len(chosen_by),
        "n_test": 0 if test_set is None else len(test_set),
        "n_features": train_set.n_features,
        "fitted_to": last.n_train,
        "converged": all(run.converged and all(run.folds_converged) for run in found.runs),
        "backend": last.backend,
        "device": last.device,
        "dtype": last.dtype,
        "solver": last.solver,
        "form": last.form,
        "seconds": seconds,
        "compile_seconds": compiled,
        "peak_memory_bytes": peak_memory(),
        "model": model and str(model),
        "report": page and str(page),
    }
    if as_json:
        print_json(results)
    print_skipped(skipped for some in (train_set, chosen_by, test_set) if some is not None for skipped in some.skipped)
    if not quiet:
        say(summary(train_set, found, results, as_json), as_json)
        if model is not None:
            say(f"model: {fitted(model, 7, as_json)}", as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)
    return 0


@only_our_lines()
def _validation(text: str | None, train_set: Dataset, reading: Reading, seed: int) -> tuple[Dataset | None, Dataset]:
    """Return the samples to choose by, where there are any, and those that are left to train on."""
    from fastlr.data import open_dataset

    if text is None:
        return None, train_set
    if text.removeprefix("-").isdecimal() and not Path(text).exists():
        if not 0 < int(text) < len(train_set):
            most = len(train_set) - 1
            raise InputError(f"--validation: {text} of {most + 1} samples; it must be from 1 to {most}, or name data")
        rest, held = held_out(train_set, int(text), seed, "--validation")
        return held, rest
    pictures = asdict(reading)
    for name in ("positive", "balance", "holdout"):
        pictures.pop(name)
    return open_dataset(text, "test", channels=train_set.channels, **pictures), train_set

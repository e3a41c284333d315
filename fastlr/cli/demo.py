"""demo: all of it on a data set that is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fastlr.cli.predict import caption
from fastlr.cli.render.terminal import fitted
from fastlr.cli.train import run_training
from fastlr.errors import InputError
from fastlr.training.settings import Candidate, Settings


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the pictures, the model and the results.")
    ] = Path("fastlr-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the drawn pictures.")] = 0,
) -> int:
    """Try everything on drawn pictures. Train, evaluate, save, predict, write a report."""
    from fastlr.cli.render.tables import print_predictions, summary
    from fastlr.data import open_dataset
    from fastlr.data.checks import check_seed
    from fastlr.data.drawn import CLASSES, draw_dataset
    from fastlr.files import check_writable, make_folder, whole_file
    from fastlr.reporting import report
    from fastlr.reporting.annotate import annotate_all

    check_seed(seed)
    mark = out / ".fastlr-demo"  # says that what lies here may be drawn anew
    make_folder(out, "--out")
    if any(out.iterdir()) and not mark.exists():
        raise InputError(f"{out}: exists and is not an earlier demo's; give another folder with --out")
    check_writable(mark)
    mark.touch()
    print(f"drawing pictures of an {CLASSES[0]} or a {CLASSES[1]} in {fitted(out, 46)}")
    draw_dataset(out, seed=seed)
    train_set, test_set = open_dataset(out, "train"), open_dataset(out, "test")
    candidate, settings = Candidate(0.002, seed=seed), Settings(iterations=500, seed=seed)
    run = run_training(train_set, test_set, candidate, settings, test_costs=True)
    run.model.save(out / "model.safetensors")
    with whole_file(out / "results.json") as beside:
        beside.write_text(json.dumps(run.as_dict(), indent=1, allow_nan=False))
    print(summary(train_set, run))

    files = [file for name in CLASSES for file in sorted((out / "test" / name).iterdir())[:3]]
    rows = run.model.predict_files(files)
    annotate_all(files, [caption(row) for row in rows], out / "annotated")
    print_predictions(rows)
    print(f"model: {fitted(out / 'model.safetensors', 7)}\nannotated pictures: {fitted(out / 'annotated', 20)}")
    print(f"report: {fitted(report(run, out), 8)}")
    return 0 if run.warning is None else 1

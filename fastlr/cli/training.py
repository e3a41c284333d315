"""train: from data to a model, with its progress and its summary."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import DataPath, Json, LearningRate, Resample, Size, SkipBad, check_model_path, hidden_units
from fastlr.errors import InputError
from fastlr.terminal import print_json, progress, say, summary

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.training import Run


def train(
    data: DataPath,
    test: Annotated[Path | None, typer.Option(help="Data to test on; by default DATA's own test split.")] = None,
    model: Annotated[Path | None, typer.Option(help="File to save the model in, .safetensors.")] = None,
    iterations: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 2000,
    lr: LearningRate = 0.005,
    l2: Annotated[float, typer.Option(help="Weight decay: adds l2/2 ‖W‖² to the objective.")] = 0.0,
    layers: Annotated[
        str, typer.Option(metavar="N[,N]", help="Units of hidden ReLU layers, such as 4,3,2; by default none.")
    ] = "",
    optimizer: Annotated[str, typer.Option(help="gd, momentum, nesterov or adam.")] = "gd",
    batch_size: Annotated[int | None, typer.Option(help="Examples a step looks at; by default all.")] = None,
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Bring each feature to mean 0 and standard deviation 1.")
    ] = False,
    size: Size = 64,
    resample: Resample = "bicubic",
    positive: Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Classes that count as 1.")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Keep as many zeros as there are ones.")] = False,
    holdout: Annotated[int | None, typer.Option(help="Shuffle, and keep this many examples for the test.")] = None,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn: initial weights, shuffles.")] = 0,
    record_every: Annotated[int, typer.Option(help="Iterations between two recorded costs.")] = 100,
    form: Annotated[str, typer.Option(help="auto, primal or gram.")] = "auto",
    backend: Annotated[str | None, typer.Option(help="Array library; by default FASTLR_BACKEND, else auto.")] = None,
    device: Annotated[str | None, typer.Option(help="By default FASTLR_DEVICE, else the library's first.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64 or float32; by default FASTLR_DTYPE.")] = None,
    precision: Annotated[str, typer.Option(help="full, or tf32 for float32 products on an NVIDIA GPU.")] = "full",
    as_json: Json = False,
) -> int:
    """Train a classifier and report its accuracy."""
    from fastlr.data import open_dataset, splits_of

    if model is not None:
        check_model_path(model)
    if test is not None and holdout is not None:
        raise InputError("--holdout: --test names the test data already; give one of the two")
    if positive == "":
        raise InputError("--positive: it is empty; give the names of the classes that count as 1")
    # The test set is brought to the training set's classes by their names, whichever of them it holds.
    reading: dict[str, Any] = {"size": size, "resample": resample, "skip_bad": skip_bad}
    train_set = open_dataset(data, "train", positive=positive, balance=balance, **reading)
    test_set = None
    if holdout is not None:
        train_set, test_set = train_set.holdout(holdout, seed)
    elif test is not None:
        test_set = open_dataset(test, "test", **reading)
    elif "test" in splits_of(data):
        test_set = open_dataset(data, "test", **reading)

    run = run_training(
        train_set,
        test_set,
        iterations=iterations,
        learning_rate=lr,
        l2=l2,
        layers=hidden_units(layers),
        optimizer=optimizer,
        batch_size=batch_size,
        standardize=standardize,
        seed=seed,
        record_every=record_every,
        form=form,
        backend=backend,
        device=device,
        dtype=dtype,
        precision=precision,
    )
    if model is not None:
        run.model.save(model)
    if as_json:
        print_json(run.as_dict() | {"model": None if model is None else str(model)})
    for bad in (*train_set.skipped, *(test_set.skipped if test_set else ())):
        print(f"skipped {bad}", file=sys.stderr)
    say(summary(train_set, run), as_json)
    if model is not None:
        say(f"model: {model}", as_json)
    return 0 if run.warning is None else 1


def run_training(train_set: Dataset, test_set: Dataset | None, **settings: Any) -> Run:
    """Train with the progress on standard error and a divergence as one line there."""
    from fastlr.errors import DivergenceWarning
    from fastlr.training import train

    with warnings.catch_warnings(), progress(settings["iterations"]) as (callback, done):
        warnings.simplefilter("ignore", DivergenceWarning)
        run = train(train_set, test=test_set, callback=callback, **settings)
        if run.warning is None:
            done()
    if run.warning:
        print(f"fastlr: {run.warning}", file=sys.stderr)
    return run

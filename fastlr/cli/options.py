"""Arguments and options that several commands have."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError

if TYPE_CHECKING:
    from fastlr.data import Dataset

MOST = 10_000  # models of a sweep's one option


def hush(quiet: bool) -> bool:
    """Keep what is only said of the work, such as that kernels are compiled, off the terminal, or back on it."""
    logging.getLogger("fastlr").setLevel(logging.ERROR if quiet else logging.NOTSET)
    return quiet


DATA_HELP = (
    "A folder of class folders, an HDF5, npz, npy, safetensors, parquet or CIFAR-10 file, "
    "or a folder of IDX or parquet files."
)
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that `fastlr train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, nothing else there.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=hush, help="Print no progress and no summary, only what is wrong.")
]
Size = Annotated[int, typer.Option(help="Side in pixels to which picture files are brought.")]
Resample = Annotated[str, typer.Option(help="nearest, box, bilinear, hamming, bicubic or lanczos.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that are not pictures, and count them.")]
MaxExpansion = Annotated[
    str | None,
    typer.Option(
        metavar="RATIO[,SIZE]",
        help="How many times its size a file may expand to when it is read, or how many bytes (4G); "
        "by default 100 times its size or 128 MiB, whichever is larger.",
    ),
]
Report = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for a report: report.html and its figures.")]
LearningRate = Annotated[float, typer.Option("--lr", "--learning-rate", help="Step of the gradient descent.")]
TestPath = Annotated[Path | None, typer.Option(help="Data to test on; by default DATA's own test split.")]
ModelOut = Annotated[Path | None, typer.Option(help="File to save the model in, .safetensors.")]
Iterations = Annotated[int, typer.Option(help="Steps of gradient descent.")]
Layers = Annotated[
    str, typer.Option(metavar="N[,N]", help="Units of hidden ReLU layers, such as 4,3,2; by default none.")
]
OptimizerName = Annotated[str, typer.Option(help="gd, momentum, nesterov or adam.")]
SolverName = Annotated[
    str, typer.Option("--solver", help="gd, or to the minimum: newton, newton-cg, lbfgs, auto (the least work).")
]
Tol = Annotated[float | None, typer.Option(help="Norm of the gradient at which all solvers but gd stop.")]
BatchSize = Annotated[int | None, typer.Option(help="Examples a step looks at; by default all.")]
Standardize = Annotated[
    bool, typer.Option("--standardize", help="Bring each feature to mean 0 and standard deviation 1.")
]
Scale = Annotated[
    str, typer.Option(metavar="F", help="What the numbers are multiplied by; auto: 1/255 for uint8, 1 for all else.")
]
Positive = Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Classes that count as 1.")]
Balance = Annotated[bool, typer.Option("--balance", help="Keep as many zeros as there are ones.")]
Holdout = Annotated[int | None, typer.Option(help="Shuffle, and keep this many examples for the test.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn: initial weights, shuffles.")]
RecordEvery = Annotated[int, typer.Option(help="Iterations between two recorded costs.")]
FormName = Annotated[str, typer.Option(help="auto, primal or gram.")]
BackendName = Annotated[str | None, typer.Option(help="Array library; by default FASTLR_BACKEND, else auto.")]
DeviceName = Annotated[str | None, typer.Option(help="By default FASTLR_DEVICE, else the library's first.")]
DtypeName = Annotated[str | None, typer.Option(help="float64 or float32; by default FASTLR_DTYPE.")]
Precision = Annotated[str, typer.Option(help="full, or tf32 for float32 products on an NVIDIA GPU.")]


@only_our_lines()
def read_data(
    data: Path, test: Path | None, positive: str | None, balance: bool, holdout: int | None, seed: int, **reading: Any
) -> tuple[Dataset, Dataset | None]:
    """Return the examples to train on, and those to test on where there are any; `reading` is for picture files."""
    from fastlr.data import open_dataset, splits_of

    if test is not None and holdout is not None:
        raise InputError("--holdout: --test names the test data already; give one of the two")
    if positive == "":
        raise InputError("--positive: it is empty; give the names of the classes that count as 1")
    # The test set is brought to the training set's classes by their names, whichever of them it holds.
    train_set = open_dataset(data, "train", positive=positive, balance=balance, **reading)
    if holdout is not None:
        return train_set.holdout(holdout, seed)
    if test is not None:
        return train_set, open_dataset(test, "test", **reading)
    return train_set, open_dataset(data, "test", **reading) if "test" in splits_of(data) else None


def numbers(option: str, text: str) -> list[float]:
    """Return "0.1,0.01" as numbers, and "1e-6:1e2:9" as nine from the first to the last, each the same times more."""
    found: list[float] = []
    for part in text.split(","):
        try:
            if ":" in part:
                first, last, count = part.split(":")
                found += _powers(float(first), float(last), int(count))
            else:
                found.append(float(part))
        except ValueError:
            raise InputError(
                f"{option}: {text!r}; numbers are needed, such as 0.1,0.01, or FIRST:LAST:COUNT for a geometric row"
            ) from None
    return found


def _powers(first: float, last: float, count: int) -> list[float]:
    if not (0 < first < math.inf and 0 < last < math.inf and 2 <= count <= MOST):
        raise ValueError
    return [first * (last / first) ** (i / (count - 1)) for i in range(count - 1)] + [last]


def scale_option(text: str) -> float | str:
    """Return "0.5" as a number, and "auto" as it is."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--scale: {text!r}; a positive number is needed, or auto") from None


def seeds(text: str) -> list[int]:
    """Return "0-7" or "0,3,5" as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or not 0 <= int(last or first) - int(first) < MOST:
            raise InputError(f"--seeds: {text!r}; whole numbers are needed, such as 0-7 or 0,3,5")
        found += range(int(first), int(last or first) + 1)
    return found


def hidden_units(text: str) -> tuple[int, ...]:
    """Return "4,3,2" as numbers."""
    parts = text.split(",") if text else []
    if any(not part.strip().isdecimal() or int(part) < 1 for part in parts):
        raise InputError(f"--layers: {text!r}; whole numbers of at least 1 are needed, such as 4,3,2")
    return tuple(int(part) for part in parts)


def check_model_path(path: Path, *inputs: Path | None) -> None:
    """Refuse a name that a model cannot be saved under, or that is read, before anything is trained."""
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: its name must end in .safetensors")
    check_output(path, *inputs)


def check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse a file that cannot be written, that is read, or that would lie among the arrays of a folder of them."""
    from fastlr.data import shards
    from fastlr.data.reading import reader_of
    from fastlr.files import check_writable

    check_writable(path, inputs)
    for given in inputs:
        if given is None or Path(os.path.realpath(given)) not in Path(os.path.realpath(path)).parents:
            continue
        if reader_of(given) is shards:
            raise InputError(f"{path}: lies within {given}, whose arrays are read; give another place")

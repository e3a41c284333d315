"""Arguments and options that several commands have."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError
from fastlr.training.definition import definition_of, settings_of

if TYPE_CHECKING:
    from fastlr.data import Dataset

T = TypeVar("T")


def hush(quiet: bool) -> bool:
    """Keep what is only said of the work, such as that kernels are compiled, off the terminal, or back on it."""
    logging.getLogger("fastlr").setLevel(logging.ERROR if quiet else logging.NOTSET)
    return quiet


DATA_HELP = (
    "A folder of class folders, an HDF5, npz, npy, safetensors, parquet or CIFAR-10 file, "
    "or a folder of array files, IDX or parquet files, or of a Hugging Face data set."
)
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that `fastlr train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else there.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=hush, help="Print no progress and no summary, only errors and warnings."),
]
Size = Annotated[int, typer.Option(help="Resize pictures to SIZE × SIZE pixels; the aspect ratio is not kept.")]
Resample = Annotated[str, typer.Option(help="nearest, box, bilinear, hamming, bicubic or lanczos.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that are not pictures, and say which.")]
MaxExpansion = Annotated[
    str | None,
    typer.Option(
        metavar="RATIO[,SIZE]",
        help="Refuse a file that expands to more than RATIO times its size and to more than SIZE bytes (such as 4G); "
        "by default 100 times its size or 128 MiB, whichever is larger.",
    ),
]
MissingLabel = Annotated[
    float | None,
    typer.Option(metavar="-1|nan", help="Value that stands for an unknown label, in a table of labels."),
]
Report = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for a report: report.html and its figures.")]
TestPath = Annotated[
    Path | None, typer.Option(help="Data to test on; by default DATA's own test split, if it has one.")
]
ModelOut = Annotated[Path | None, typer.Option(help="File to save the model in, .safetensors.")]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Save progress in this file; run the same command again to continue.",
    ),
]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="Scheduler of a Dask cluster, or local:N for N processes here; by default FASTLR_CLUSTER."
    ),
]
ClusterTimeout = Annotated[float, typer.Option(help="Seconds to wait for the cluster's scheduler and for workers.")]
Positive = Annotated[
    str | None, typer.Option(metavar="NAME[,NAME]", help="Train these classes (1) against all others (0).")
]
Balance = Annotated[
    bool,
    typer.Option(
        "--balance", help="With --positive: keep as many samples of the other classes as of these, drop the rest."
    ),
]
Holdout = Annotated[int | None, typer.Option(help="Shuffle, and keep this many samples for the test.")]


@dataclass(frozen=True)
class Reading:
    """Which samples of the data are read, and how."""

    size: Size = 64
    resample: Resample = "bicubic"
    positive: Positive = None
    balance: Balance = False
    holdout: Holdout = None
    skip_bad: SkipBad = False
    max_expansion: MaxExpansion = None
    missing_label: MissingLabel = None


def with_options(command: Callable[..., T]) -> Callable[..., T]:
    """Return the command with an option for each field of those parameters that are dataclasses, in their places.

    A setting's field has a `Definition`, from which its option is made; any other is annotated with its option.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        for one in settings_of(groups[name]) if name in groups else ():  # two groups may have one setting in common
            annotation = _option(groups[name], one)
            parameters[one.name] = inspect.Parameter(
                one.name, parameter.KEYWORD_ONLY, default=_default(one), annotation=annotation
            )
        if name not in groups:
            parameters[name] = parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])

    @functools.wraps(command)
    def with_fields(**given: Any) -> T:
        made = {
            name: group(**{one.name: _value(one, given[one.name]) for one in settings_of(group)})
            for name, group in groups.items()
        }
        return command(**{name: value for name, value in given.items() if name in hints}, **made)

    with_fields.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    with_fields.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return with_fields


def _option(group: Any, one: Field[Any]) -> Any:
    """Return the annotation of the parameter for a field: its type on the command line, and the option."""
    kind = get_type_hints(group, include_extras=True)[one.name]
    if "definition" not in one.metadata:
        return kind
    defined = definition_of(one)
    names = [*filter(None, [defined.option]), f"--{one.name.replace('_', '-')}"]  # without it a flag gets a `--no-`
    return Annotated[str if defined.read else kind, typer.Option(*names, metavar=defined.metavar, help=defined.help)]


def _default(one: Field[Any]) -> Any:
    """Return the default of a field as the command line writes it."""
    if "definition" in one.metadata and definition_of(one).read and not isinstance(one.default, str):
        return ""
    return one.default


def _value(one: Field[Any], given: Any) -> Any:
    """Return the value of a field from what the command line gives."""
    read = definition_of(one).read if "definition" in one.metadata else None
    return given if read is None else read(given)


@only_our_lines()
def read_data(data: Path, test: Path | None, reading: Reading, seed: int) -> tuple[Dataset, Dataset | None]:
    """Return the samples to train on, and those to test on where there are any."""
    from fastlr.data import open_dataset, splits_of

    pictures = asdict(reading)
    positive, balance, holdout = (pictures.pop(name) for name in ("positive", "balance", "holdout"))
    if test is not None and holdout is not None:
        raise InputError("--holdout: --test names the test data already; give one of the two")
    # The test set is brought to the training set's classes by their names, whichever of them it holds.
    train_set = open_dataset(data, "train", positive=positive, balance=balance, **pictures)
    if holdout is not None:
        return held_out(train_set, holdout, seed, "--holdout")
    pictures["channels"] = train_set.channels
    if test is not None:
        return train_set, open_dataset(test, "test", **pictures)
    return train_set, open_dataset(data, "test", **pictures) if "test" in splits_of(data) else None


def held_out(data: Dataset, count: int, seed: int, option: str) -> tuple[Dataset, Dataset]:
    """Return the samples that are left, and those held out; say so if a class is only among the latter."""
    rest, held = data.holdout(count, seed)
    if data.is_table:
        return rest, held
    here, left = {*data.labels.tolist()}, {*rest.labels.tolist()}
    if len(left) == 1 < len(here):
        (only,) = left
        raise InputError(
            f"{option}: it leaves class {str(data.classes[only])!r} alone to train on; "
            "hold out fewer samples, or take another --seed"
        )
    if lost := sorted(here - left):
        logging.getLogger("fastlr").warning(
            "%s: no sample of class %s is left to train on; hold out fewer, or take another --seed",
            option, repr(str(data.classes[lost[0]])),
        )  # fmt: skip
    return rest, held


def check_outputs(model: Path | None, checkpoint: Path | None, report: Path | None, *inputs: Path | None) -> None:
    """Refuse, before anything is trained, what cannot be written, or would replace what is read or another output."""
    if model is not None:
        if model.suffix != ".safetensors":
            raise InputError(f"{model}: its name must end in .safetensors")
        check_output(model, *inputs)
    if checkpoint is not None:
        check_output(checkpoint, *inputs)
        for folder in (*inputs, report):  # in which it would be read as data, or be written over
            if folder is not None and Path(os.path.realpath(folder)) in Path(os.path.realpath(checkpoint)).parents:
                raise InputError(f"{checkpoint}: lies within {folder}; give --checkpoint another place")
        if model is not None and os.path.realpath(model) == os.path.realpath(checkpoint):
            raise InputError(f"{checkpoint}: is the name of the model too; give --checkpoint another")
    if report is not None:
        from fastlr.reporting import check_folder

        check_folder(report, "--report", inputs)


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

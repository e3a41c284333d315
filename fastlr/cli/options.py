"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastlr.errors import InputError

DATA_HELP = (
    "A folder of class folders, an HDF5, npz, npy, parquet or CIFAR-10 file, or a folder of IDX or parquet files."
)
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that `fastlr train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, nothing else there.")]
Size = Annotated[int, typer.Option(help="Side in pixels to which picture files are brought.")]
Resample = Annotated[str, typer.Option(help="nearest, box, bilinear, hamming, bicubic or lanczos.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that are not pictures, and count them.")]
LearningRate = Annotated[float, typer.Option("--lr", "--learning-rate", help="Step of the gradient descent.")]


def hidden_units(text: str) -> tuple[int, ...]:
    """Return "4,3,2" as numbers."""
    parts = text.split(",") if text else []
    if any(not part.strip().isdecimal() or int(part) < 1 for part in parts):
        raise InputError(f"--layers: {text!r}; whole numbers of at least 1 are needed, such as 4,3,2")
    return tuple(int(part) for part in parts)


def check_model_path(path: Path) -> None:
    """Refuse a name that a model cannot be saved under, before anything is trained."""
    from fastlr.files import check_writable

    if path.suffix != ".safetensors":
        raise InputError(f"{path}: its name must end in .safetensors")
    check_writable(path)

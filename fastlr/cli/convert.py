"""convert: any data that fastlr reads as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastlr.cli.options import DataPath, MaxExpansion, MissingLabel, Quiet, Resample, Size, SkipBad, check_output
from fastlr.cli.render.terminal import fitted, print_skipped
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError, counted

if TYPE_CHECKING:
    from fastlr.data import Dataset


def convert(
    data: DataPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: OUT.h5 or OUT.npz.")],
    size: Size = 64,
    resample: Resample = "bicubic",
    skip_bad: SkipBad = False,
    max_expansion: MaxExpansion = None,
    missing_label: MissingLabel = None,
    quiet: Quiet = False,
) -> None:
    """Write any data that fastlr reads as one HDF5 or npz file."""
    from fastlr.data import arrays, hdf5, open_dataset, splits_of
    from fastlr.data.finite import check_finite
    from fastlr.files import whole_file

    writer = {".h5": hdf5.write, ".hdf5": hdf5.write, ".npz": arrays.write}.get(out.suffix.lower())
    if writer is None:
        raise InputError(f"{out}: its name must end in .h5 or .npz")
    check_output(out, data)
    parts: dict[str, Dataset] = {}
    first: Dataset | None = None
    for split in splits_of(data) or ("",):
        with only_our_lines():
            part = open_dataset(
                data, split, size=size, resample=resample, skip_bad=skip_bad, max_expansion=max_expansion,
                channels=None if first is None else first.channels, missing_label=missing_label,
            )  # fmt: skip
        first = part if first is None else first
        check_finite(part.source, part.rows)
        parts[split] = part.aligned(first.classes, first.class_of)
    with whole_file(out) as beside:
        writer(beside, parts, -1 if missing_label is None else missing_label)
    for split, part in parts.items():
        print_skipped(part.skipped)
        if not quiet:
            count = f"{counted(len(part), f'{split} sample'.strip())} of {counted(part.n_features, 'feature')}"
            print(f"{fitted(out, len(count) + 2)}: {count}")

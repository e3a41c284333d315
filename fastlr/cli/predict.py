"""predict: what a saved model says that pictures show."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import Json, MaxExpansion, ModelPath, Quiet
from fastlr.cli.render.terminal import print_json, print_skipped
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError, escaped

if TYPE_CHECKING:
    from fastlr.data.expansion import Expansion
    from fastlr.data.picture import Picture


def predict(
    model: ModelPath,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Picture files, folders of them, or - for standard input.")
    ],
    top: Annotated[
        int | None, typer.Option(metavar="N", help="Show the N most probable classes; by default the first.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each picture with its label here.")
    ] = None,
    max_expansion: MaxExpansion = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what pictures show."""
    from fastlr.cli.render.tables import print_predictions
    from fastlr.data.expansion import as_expansion
    from fastlr.data.named import pictures_named
    from fastlr.model.file import load
    from fastlr.model.pictures import predict_pictures

    classifier = load(model)
    if classifier.image_shape is None:
        raise InputError(f"{model}: was trained on features, not on pictures; use fastlr.load in Python")
    if top is not None and top < 1:
        raise InputError(f"--top: {top}; a whole number of at least 1 is needed")
    named = pictures_named(images)
    expansion = as_expansion(max_expansion)
    with only_our_lines():
        found = predict_pictures(classifier, named.pictures, top, named.from_folder, expansion)
    if not found.rows:
        raise InputError(f"{images[0]}: none of its files is a picture that can be read; the first: {found.skipped[0]}")
    if annotate is not None:
        write_annotated(found.pictures, [caption(row) for row in found.rows], annotate, expansion)
    print_skipped(found.skipped)
    if as_json:
        print_json(found.rows)
    if not (as_json and quiet):
        print_predictions(found.rows, as_json)
    if found.skipped:
        print(f"skipped {len(found.skipped)} of {len(named.pictures)} files", file=sys.stderr)


@only_our_lines()
def write_annotated(pictures: Sequence[Picture], captions: Sequence[str], out: Path, expansion: Expansion) -> None:
    """Write each picture with its caption below it in the folder `out`, that of standard input under a free name."""
    from fastlr.data.picture import load_picture
    from fastlr.files import write_jpeg
    from fastlr.reporting.annotate import annotate, annotate_all

    files = {i: picture for i, picture in enumerate(pictures) if isinstance(picture, Path)}
    written = annotate_all(list(files.values()), [captions[i] for i in files], out, expansion)
    taken = {os.path.realpath(file) for file in (*files.values(), *written)}
    for i in set(range(len(pictures))) - set(files):
        names = (out / f"standard-input{suffix}.jpg" for suffix in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        target = next(name for name in names if os.path.realpath(name) not in taken)
        write_jpeg(annotate(load_picture(pictures[i], expansion=expansion), captions[i]), target)


def caption(row: dict[str, Any]) -> str:
    """Return what is written below a picture: one line, whatever the class is called."""
    return f"{escaped(row['label'])}  {row['probability']:.1%}"

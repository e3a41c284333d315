"""predict: what a saved model says that pictures show, or its probabilities for folders of arrays."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import ClusterName, ClusterTimeout, Json, MaxExpansion, ModelPath, Quiet
from fastlr.cli.render.terminal import fitted, print_json, print_skipped, say
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError, counted, escaped

if TYPE_CHECKING:
    from fastlr.model.model import Model


def predict(
    model: ModelPath,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Picture files, folders of them, or - for standard input; with --out a folder of arrays.",
        ),
    ],
    top: Annotated[
        int | None, typer.Option(metavar="N", help="Show the N most probable classes; by default the first.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the pictures, each with its label below.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the probabilities of each file of a folder of arrays, as .npy."),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave out files that are not pictures, and say which; without it only those that come from folders.",
        ),
    ] = False,
    max_expansion: MaxExpansion = None,
    cluster: ClusterName = None,
    cluster_timeout: ClusterTimeout = 60.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict the classes of pictures. Or, with --out, write the probabilities for each file of a folder of arrays."""
    from fastlr.cli.render.tables import print_predictions
    from fastlr.data.expansion import as_expansion
    from fastlr.data.named import pictures_named
    from fastlr.model.file import load
    from fastlr.model.pictures import predict_pictures
    from fastlr.reporting.annotate import annotate_all

    classifier = load(model)
    if out is not None:
        if len(images) > 1 or top is not None or annotate is not None or skip_bad:
            raise InputError("--out: it goes with one folder of arrays, without --top, --annotate or --skip-bad")
        _predict_folder(classifier, Path(images[0]), out, cluster, cluster_timeout, as_json, quiet)
        return
    if cluster is not None:
        raise InputError("--cluster: it is for folders of arrays; give one, and --out for the probabilities")
    if classifier.image_shape is None:
        raise InputError(
            f"{model}: was trained on features, not on pictures; give a folder of arrays and --out, or use fastlr.load "
            "in Python"
        )
    if top is not None and top < 1:
        raise InputError(f"--top: {top}; a whole number of at least 1 is needed")
    named = pictures_named(images)
    expansion = as_expansion(max_expansion)
    # A name that leads nowhere is a mistake; a file that is no picture may be left out.
    there = (not isinstance(picture, Path) or os.path.exists(picture) for picture in named.pictures)
    may_skip = [inside or (skip_bad and known) for inside, known in zip(named.from_folder, there, strict=True)]
    with only_our_lines():
        found = predict_pictures(classifier, named.pictures, top, may_skip, expansion)
    if not found.rows:
        which = f"{images[0]}: none of its files" if named.from_folder[0] else "none of the files"
        raise InputError(f"{which} is a picture that can be read; the first: {found.skipped[0]}")
    if annotate is not None:
        # What could not be read stays as it is, too, and so do the model and the file that standard input is.
        inputs: list[Path | int] = [model, 0, *(picture for picture in named.pictures if isinstance(picture, Path))]
        with only_our_lines():
            annotate_all(found.pictures, [caption(row) for row in found.rows], annotate, expansion, inputs)
    print_skipped(found.skipped)
    if as_json:
        print_json(found.rows)
    if not (as_json and quiet):
        print_predictions(found.rows, as_json)
    if found.skipped:
        print(f"skipped {len(found.skipped)} of {len(named.pictures)} files", file=sys.stderr)


def _predict_folder(
    classifier: Model, folder: Path, out: Path, cluster: str | None, timeout: float, as_json: bool, quiet: bool
) -> None:
    from fastlr.model.parts import predict_folder
    from fastlr.training.placing import cluster_for
    from fastlr.training.settings import Target

    with cluster_for(None, Target(cluster=cluster, cluster_timeout=timeout)) as opened, only_our_lines():
        rows = predict_folder(classifier, folder, out, opened)
    if as_json:
        print_json(rows)
    if not quiet:
        count = f"{counted(sum(row['n'] for row in rows), 'sample')} of {counted(len(rows), 'file')}"
        say(f"{count}: {fitted(out, 50, as_json)}", as_json)


def caption(row: dict[str, Any]) -> str:
    """Return what is written below a picture: one line, whatever the class is called."""
    return f"{escaped(row['label'])}  {row['probability']:.1%}"

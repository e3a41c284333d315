"""predict and evaluate: what a saved model makes of pictures and of labelled data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import DataPath, Json, MaxExpansion, ModelPath, Quiet, Report, SkipBad
from fastlr.errors import InputError
from fastlr.interruption import only_our_lines
from fastlr.terminal import fitted, print_json, print_skipped, say
from fastlr.text import escaped

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
    from fastlr.data.expansion import as_expansion
    from fastlr.data.named import pictures_named
    from fastlr.model_file import load
    from fastlr.predictions import predict_pictures
    from fastlr.tables import print_predictions

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


def evaluate(
    model: ModelPath,
    data: DataPath,
    split: Annotated[str, typer.Option(help="train or test, where DATA holds both.")] = "test",
    skip_bad: SkipBad = False,
    max_expansion: MaxExpansion = None,
    report: Report = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a saved model's accuracy on labelled data."""
    from fastlr.data.expansion import as_expansion
    from fastlr.data.format import Pictures
    from fastlr.data.reading import read
    from fastlr.model import Results
    from fastlr.model_file import load
    from fastlr.reporting import check_folder, report_on_model
    from fastlr.tables import print_confusion

    if report is not None:
        check_folder(report, "--report", (data,))
    classifier = load(model)
    shape = classifier.image_shape or Pictures().shape
    with only_our_lines():
        examples = read(
            data, split, Pictures(shape, classifier.resample or "bicubic", skip_bad, None, as_expansion(max_expansion))
        )
    results = Results(classifier.confusion_matrix(examples))
    page = None if report is None else report_on_model(classifier, examples, report)
    print_skipped(examples.skipped)
    if as_json:
        print_json({"model": str(model), "data": str(data), "accuracy": results.accuracy, "n": len(examples),
                     "classes": list(classifier.classes), "class_accuracy": results.class_accuracy,
                     "confusion_matrix": results.matrix.tolist(), "skipped": len(examples.skipped),
                     "report": None if page is None else str(page)})  # fmt: skip
    if not (as_json and quiet):
        say(f"accuracy: {results.accuracy} % of {len(examples)} examples", as_json)
    if not quiet:
        print_confusion(classifier.classes, results, as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)


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

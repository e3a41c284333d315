"""predict and evaluate: what a saved model makes of pictures and of labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastlr.cli.options import DataPath, Json, ModelPath, SkipBad
from fastlr.errors import InputError
from fastlr.terminal import print_confusion, print_json, print_predictions, say


def predict(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each picture with its label here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what pictures show."""
    from fastlr.model import load

    classifier = load(model)
    if classifier.image_shape is None:
        raise InputError(f"{model}: was trained on features, not on pictures; use fastlr.load in Python")
    rows = classifier.predict_files(images)
    if annotate is not None:
        from fastlr.report import annotate_all

        annotate_all(images, [caption(row) for row in rows], annotate)
    if as_json:
        print_json(rows)
    print_predictions(rows, as_json)


def evaluate(
    model: ModelPath,
    data: DataPath,
    split: Annotated[str, typer.Option(help="train or test, where DATA holds both.")] = "test",
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Measure a saved model's accuracy on labelled data."""
    from fastlr.data.format import Pictures
    from fastlr.data.reading import read
    from fastlr.model import Results, load

    classifier = load(model)
    shape = classifier.image_shape or Pictures().shape
    examples = read(data, split, Pictures(shape, classifier.resample or "bicubic", skip_bad))
    results = Results(classifier.confusion_matrix(examples))
    if as_json:
        print_json({"model": str(model), "data": str(data), "accuracy": results.accuracy, "n": len(examples),
                     "classes": list(classifier.classes), "class_accuracy": results.class_accuracy,
                     "confusion_matrix": results.matrix.tolist(), "skipped": len(examples.skipped)})  # fmt: skip
    say(f"accuracy: {results.accuracy} % of {len(examples)} examples", as_json)
    print_confusion(classifier.classes, results, as_json)


def caption(row: dict[str, Any]) -> str:
    """Return what is written below a picture."""
    return f"{row['label']}  {row['probability']:.1%}"

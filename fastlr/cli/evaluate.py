"""evaluate: how well a saved model does on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import (
    ClusterName,
    ClusterTimeout,
    DataPath,
    Json,
    MaxExpansion,
    MissingLabel,
    ModelPath,
    Quiet,
    Report,
    SkipBad,
)
from fastlr.cli.render.terminal import fitted, print_json, print_skipped, say
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError, counted

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.model.model import Model


def evaluate(
    model: ModelPath,
    data: DataPath,
    split: Annotated[str, typer.Option(help="train or test, where DATA holds both.")] = "test",
    skip_bad: SkipBad = False,
    max_expansion: MaxExpansion = None,
    missing_label: MissingLabel = None,
    report: Report = None,
    cluster: ClusterName = None,
    cluster_timeout: ClusterTimeout = 60.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test a saved model on labelled data. Print its accuracy, or the scores of each label of a table."""
    from fastlr.cli.render.tables import print_confusion
    from fastlr.data.expansion import as_expansion
    from fastlr.data.format import Pictures
    from fastlr.data.labelled import refuse_missing
    from fastlr.data.reading import read
    from fastlr.model.evaluation import Results
    from fastlr.model.file import load
    from fastlr.reporting import check_folder, report_on_model
    from fastlr.training.placing import cluster_for, placed_dataset
    from fastlr.training.settings import Target

    target = Target(cluster=cluster, cluster_timeout=cluster_timeout)
    if report is not None:
        check_folder(report, "--report", (data, model))
    classifier = load(model)
    shape = classifier.image_shape or Pictures().shape
    with only_our_lines():
        samples = read(
            data,
            split,
            Pictures(
                shape,
                classifier.resample or "bicubic",
                skip_bad,
                None,
                as_expansion(max_expansion),
                missing_label,
                of_model=True,
            ),
        )
    if classifier.multi_label:
        page = None if report is None else report_on_model(classifier, samples, report)
        with cluster_for(samples.images, target) as opened:
            there = placed_dataset(samples, opened)
            _evaluate_table(classifier, there, {"model": str(model), "data": str(data)}, page, as_json, quiet)
        return
    refuse_missing(str(data), missing_label)
    if samples.is_table:
        raise InputError(f"{data}: has a table of labels, but {model} predicts one label for each sample")
    with cluster_for(samples.images, target) as opened:
        results = Results(classifier.confusion_matrix(placed_dataset(samples, opened)))
    page = None if report is None else report_on_model(classifier, samples, report)
    print_skipped(samples.skipped)
    if as_json:
        print_json({"model": str(model), "data": str(data), "accuracy": results.accuracy, "n": len(samples),
                     "classes": list(classifier.classes), "class_accuracy": results.class_accuracy,
                     "confusion_matrix": results.matrix.tolist(), "skipped": len(samples.skipped),
                     "report": None if page is None else str(page)})  # fmt: skip
    if not (as_json and quiet):
        say(f"accuracy: {results.accuracy} % of {counted(len(samples), 'sample')}", as_json)
    if not quiet:
        print_confusion(classifier.classes, results, as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)


def _evaluate_table(
    model: Model, samples: Dataset, given: dict[str, Any], page: Path | None, as_json: bool, quiet: bool
) -> None:
    """Print the scores of a model of many labels, their means, and those of each label."""
    from fastlr.cli.render.tables import in_percent, print_label_scores
    from fastlr.model.scores import plain

    results = model.label_results(samples)
    if as_json:
        print_json(given | {"accuracy": results.accuracy, "n": len(samples), "classes": list(model.classes),
                            "scores": plain(results.means), "label_scores": plain(results.each),
                            "skipped": len(samples.skipped), "report": page and str(page)})  # fmt: skip
    if not (as_json and quiet):
        of = counted(len(samples), "sample")
        say(f"accuracy: {in_percent(results.accuracy)} of {of}, each label by itself", as_json)
    if not quiet:
        print_label_scores(model.classes, results.means, results.each, as_json)
        if page is not None:
            say(f"report: {fitted(page, 8, as_json)}", as_json)

"""evaluate: how well a saved model does on labelled data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.cli.options import (
    ClusterName,
    ClusterTimeout,
    DataPath,
    Json,
    MaxExpansion,
    ModelPath,
    Quiet,
    Report,
    SkipBad,
    refuse_report,
)
from fastlr.cli.render.terminal import fitted, print_json, print_skipped, say
from fastlr.cli.signals import only_our_lines
from fastlr.errors import InputError

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.model.model import Model


def evaluate(
    model: ModelPath,
    data: DataPath,
    split: Annotated[str, typer.Option(help="train or test, where DATA holds both.")] = "test",
    skip_bad: SkipBad = False,
    max_expansion: MaxExpansion = None,
    report: Report = None,
    cluster: ClusterName = None,
    cluster_timeout: ClusterTimeout = 60.0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a saved model's accuracy on labelled data; of a table of labels, each label's scores."""
    from fastlr.cli.render.tables import print_confusion
    from fastlr.data.expansion import as_expansion
    from fastlr.data.format import Pictures
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
        examples = read(
            data, split, Pictures(shape, classifier.resample or "bicubic", skip_bad, None, as_expansion(max_expansion))
        )
    if classifier.multi_label:
        refuse_report(report, examples)
        with cluster_for(examples.images, target) as opened:
            there = placed_dataset(examples, opened)
            _evaluate_table(classifier, there, {"model": str(model), "data": str(data)}, as_json, quiet)
        return
    if examples.is_table:
        raise InputError(f"{data}: has a table of labels, but {model} predicts one label for each example")
    with cluster_for(examples.images, target) as opened:
        results = Results(classifier.confusion_matrix(placed_dataset(examples, opened)))
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


def _evaluate_table(model: Model, examples: Dataset, given: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Print the scores of a model of many labels, their means, and those of each label."""
    from fastlr.cli.render.tables import print_label_scores
    from fastlr.model.scores import plain

    names = ("accuracy", "average_precision", "f1", "roc_auc")
    accuracy, means = model.accuracy(examples), model.scores(examples, names)
    each = model.scores_by_label(examples, names)
    if as_json:
        print_json(given | {"accuracy": accuracy, "n": len(examples), "classes": list(model.classes),
                            "scores": plain(means), "label_scores": plain(each), "skipped": len(examples.skipped),
                            "report": None})  # fmt: skip
    if not (as_json and quiet):
        say(f"accuracy: {accuracy} % of {len(examples)} examples, each label by itself", as_json)
    if not quiet:
        print_label_scores(model.classes, means, each, as_json)

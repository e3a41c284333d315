"""The parts of a report that show charts. Each adds the PNG files of its figures to `files`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from fastlr.reporting import figures
from fastlr.reporting.figures import Curve
from fastlr.reporting.findings import Findings, LabelFindings, calibration_error
from fastlr.reporting.page import Image, Section, Table, phrase
from fastlr.reporting.style import DARK, LIGHT, Chart, drawable
from fastlr.reporting.subject import Subject
from fastlr.reporting.words import counted, percent, plain_cost
from fastlr.training.run import chosen_by
from fastlr.training.selection import RegularizationPath

MOST_CLASSES = 20  # more make a long table, to be opened
Files = dict[str, bytes]


def learning(curve: Curve, files: Files) -> Section:
    """Return the learning curve of one run."""
    chart = figures.learning_curve([curve])
    verb = "rises" if curve.costs[-1] > curve.costs[0] else "falls"
    alt = f"The training cost {verb} from {curve.costs[0]:.4g} to {curve.costs[-1]:.4g} over the iterations."
    about = "Lower is better."
    if curve.test_costs:
        alt += f" The test cost ends at {curve.test_costs[-1]:.4g}."
        about += " Where the test cost climbs while the training cost falls, the model overfits."
    return Section("Learning curve", about, [drawn("learning-curve", chart, alt, files), numbers(chart)])


def all_runs(subject: Subject, curves: Sequence[Curve], files: Files) -> Section:
    """Return the learning curves of all runs in one figure, and how well each does."""
    chart = figures.learning_curve(curves)
    runs = subject.runs
    columns: dict[str, list[str]] = {
        "run": list(subject.labels),
        "last cost": [plain_cost(run.costs) for run in runs],
        "training accuracy": [percent(run.train_accuracy) for run in runs],
        "accuracy on the folds": [percent(fmean(run.fold_accuracies)) if run.fold_accuracies else "" for run in runs],
        "test accuracy": ["" if run.test_accuracy is None else percent(run.test_accuracy) for run in runs],
    }
    filled = {name: column for name, column in columns.items() if any(column)}
    rows = list(zip(*filled.values(), strict=True))
    best = next(label for label, run in zip(subject.labels, subject.runs, strict=True) if run is subject.run)
    dotted = ", dotted the test cost" if any(curve.test_costs for curve in curves) else ""
    by = {"folds": "the highest accuracy on the folds", "test set": "the highest test accuracy"}
    chosen = chosen_by(runs)
    why = f"the best run, that of {by.get(chosen or '', 'the lowest last cost')}"
    why += " of those that did not diverge" * any(run.warning for run in runs)
    about = (
        f"The training cost of each run{dotted}; lower is better. The rest of the page is about "
        f"{why if chosen else 'the first, as all diverged'}: {best}."
    )
    alt = f"The costs of {len(curves)} runs over the iterations."
    listed = Table(list(filled), rows, "How well each run does")
    return Section("All runs", about, [drawn("learning-curve", chart, alt, files), listed, numbers(chart)])


def scores(path: RegularizationPath, files: Files) -> Section:
    """Return the scores over l2, by which it was chosen."""
    chart = figures.scores(path.l2, path.scores, path.chosen)
    folds = next(iter(path.scores.values())).shape[1]
    by = counted(len(path.validation), "validation sample") if path.validation is not None else f"{folds} folds"
    names = " and ".join(name.replace("_", " ") for name in path.scores)
    about = f"The {names} on the {by}. The l2 of the best {next(iter(path.scores)).replace('_', ' ')} was chosen: "
    about += f"{path.best_l2:.3g}."
    alt = f"The {names} of {len(path.l2)} values of l2; the best is at {path.best_l2:.3g}."
    return Section("Choice of l2", about, [drawn("scores", chart, alt, files), numbers(chart)])


def confusion(found: Findings, files: Files) -> Section:
    """Return what was taken for what."""
    results, classes = found.results, found.data.classes
    chart = figures.confusion(classes, results)
    right, total = int(results.matrix.trace()), int(results.matrix.sum())
    about = f"{right:,} of {total:,} {found.samples} are labelled right: those on the diagonal."
    alt = f"The confusion matrix of {len(classes)} classes: {right} of {total} on its diagonal."
    return Section("Right and wrong", about, [drawn("confusion", chart, alt, files), numbers(chart)])


def classes(found: Findings) -> Section:
    """Return the accuracy of each class."""
    results = found.results
    rows = [
        [label, int(row.sum()), int(row[i]), "none" if accuracy is None else percent(accuracy)]
        for i, (label, row, accuracy) in enumerate(
            zip(found.data.classes, results.matrix, results.class_accuracy, strict=True)
        )
    ]
    caption = "The accuracy of each class"
    listed = Table(["class", "samples", "right", "accuracy"], rows, caption, folded=len(rows) > MOST_CLASSES)
    return Section("Each class", f"How many of its {found.samples} are labelled right.", [listed])


def labels(found: LabelFindings) -> Section:
    """Return the scores of each label of a table, and how many samples have it."""
    data, each = found.data, found.results.each
    rows = [
        [label, int(data.labels[:, i].sum()), *(_share(scores[i]) for scores in each.values())]
        for i, label in enumerate(data.classes)
    ]
    rows.append(["mean", "", *(_share(value) for value in found.results.means.values())])
    header = ["label", "samples", *(score.replace("_", " ") for score in each)]
    about = f"How well each label is predicted for {len(data):,} {found.split} samples".replace("  ", " ")
    about += ". A score is empty where it is not defined, such as for a label that no sample has."
    return Section("Each label", about, [Table(header, rows, "The scores of each label")])


def _share(value: float) -> str:
    return "" if math.isnan(value) else percent(100 * value)


def calibration(found: Findings, files: Files) -> Section:
    """Return whether things come true as often as the model says."""
    bins = found.calibration()
    if len(found.data.classes) == 2:
        second = found.data.classes[1]
        shown = drawable(second, 2)
        chart = figures.calibration(bins, f"probability of {shown}, %", f"is {shown}, %")
        meaning = phrase("Of the samples that get 80 % for {0}, 80 % should be {0}: the dashed line.", second)
    else:
        chart = figures.calibration(bins, "probability of the label, %", "labelled right, %")
        meaning = phrase("Of the labels that get 80 %, 80 % should be right: the dashed line.")
    error = f"{100 * calibration_error(bins):.1f} points"
    about = meaning + f" The model is {error} off on average. Vertical lines are 95 % intervals."
    alt = f"Calibration: {len(bins)} points about the diagonal, {error} off on average."
    return Section("Calibration", about, [drawn("calibration", chart, alt, files), numbers(chart)])


def drawn(file: str, chart: Chart, alt: str, files: Files) -> Image:
    """Return a figure for light and dark screens; the light one is also a file."""
    files[f"{file}.png"] = chart.png(LIGHT)
    return Image(files[f"{file}.png"], alt, chart.png(DARK))


def numbers(chart: Chart) -> Table:
    """Return the numbers of a figure, to be opened."""
    return Table(chart.header, chart.rows, "The numbers of the figure", folded=True)

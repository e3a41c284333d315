"""The page and its parts, in the order in which they are read."""

from __future__ import annotations

import math
from typing import Any

from fastlr.machine import peak_memory
from fastlr.model.scores import accuracy, interval
from fastlr.reporting import charts
from fastlr.reporting.galleries import mistakes, samples
from fastlr.reporting.page import Facts, Page, Section, isolated, phrase
from fastlr.reporting.subject import Subject, in_effect, plain, versions
from fastlr.reporting.weights import weights
from fastlr.reporting.words import class_list, counted, percent, plain_cost, rounded
from fastlr.training.run import chosen_by


def whole_page(subject: Subject) -> tuple[str, dict[str, bytes]]:
    """Return the page of a report, and the files beside it by their names."""
    files: dict[str, bytes] = {}
    page = heading(subject)
    page.alerts = alerts(subject)
    found, classes = subject.findings, subject.model.classes
    curves = [curve for curve in subject.curves if len(curve.costs)]
    if subject.path is not None and subject.path.scores:
        page.side_by_side.append(charts.scores(subject.path, files))
    if len(subject.curves) > 1 and curves:
        page.top.append(charts.all_runs(subject, curves, files))
    elif curves:
        page.side_by_side.append(charts.learning(curves[0], files))
    if found is not None and len(found.data):
        page.side_by_side += [charts.confusion(found, files), charts.calibration(found, files)]
        page.side_by_side += [charts.classes(found)] if len(classes) > 2 else []
        page.below.append(mistakes(found, files))
    if subject.labels_found is not None:
        page.side_by_side.append(charts.labels(subject.labels_found))
    if (images := weights(subject.model, files)) is not None:
        one_image = subject.model.network.outputs == 1 and not subject.model.network.hidden
        (page.side_by_side if one_image else page.below).append(images)
    if (some := samples(subject, files)) is not None:
        page.below.append(some)
    page.below.append(settings(subject))
    return page.html(), files


def heading(subject: Subject) -> Page:
    """Return a page that says what it is about, and the figures that matter most; its parts are to come."""
    model, run, found = subject.model, subject.run, subject.findings
    softmax = len(model.classes) > 2 and not model.multi_label
    kind = "A network" if model.network.hidden else "Softmax regression" if softmax else "Logistic regression"
    lead = f"{kind} on {counted(model.n_features, 'feature')}."
    if run is not None:
        lead = f"{kind}, trained on {counted(run.n_train, 'sample')} of {counted(model.n_features, 'feature')}."
    if subject.path is not None:
        lead += f" The best of {counted(len(subject.path.runs), 'value')} of l2."
    if subject.runs[1:]:
        lead += f" The best of {len(subject.runs)} runs."
    over = phrase("fastlr report on {}", subject.data.source) if subject.data is not None else "fastlr report"
    many = f"{len(model.classes)} {'labels' if model.multi_label else 'classes'}"
    few = len(model.classes) <= 4
    title = " or ".join(map(isolated, model.classes)) if few else many
    shown = []
    chose = ", on which the best run was chosen" if test_chose(subject) else ""
    if found is not None:
        what = f"{found.split} accuracy".strip()
        beside = f"of {counted(len(found.data), 'sample')}"
        if chose:
            beside += chose
        elif found.split == "test":
            low, high = interval(accuracy, found.data.labels, found.proba)
            beside += f", 95 % interval {percent(100 * low)} to {percent(100 * high)}"
        shown.append((what, percent(found.results.accuracy), beside))
    if subject.labels_found is not None:
        table = subject.labels_found
        shown += [
            (
                f"{table.split} {score}".strip().replace("_", " "),
                percent(100 * value),
                f"mean of {len(model.classes)} labels" + (chose if score == "accuracy" else ""),
            )
            for score, value in table.results.means.items()
            if not math.isnan(value)
        ]
    if run is not None and run.test_accuracy is not None:
        shown.append(("training accuracy", percent(run.train_accuracy), f"of {counted(run.n_train, 'sample')}"))
    if model.costs:
        shown.append(("training cost", plain_cost(model.costs), f"at iteration {model.recorded_at[-1]:,}"))
    if subject.path is not None:
        shown.append(("chosen l2", f"{subject.path.best_l2:.3g}", f"of {counted(len(subject.path.runs), 'value')}"))
    if run is not None:
        where = " and ".join(dict.fromkeys(f"{one.backend} on {one.device}" for one in subject.runs))
        runs = {1: "", 2: ", both runs"}.get(len(subject.runs), f", all {len(subject.runs)} runs")
        whole = sum({one.seconds for one in subject.runs})  # each run of a sweep has the time of all
        shown.append(("time", f"{whole:.2f}\N{NO-BREAK SPACE}s", f"{where}{runs}"))
    return Page(f"fastlr report: {title}", over, class_list(model.classes) if few else many, lead, shown)


def test_chose(subject: Subject) -> bool:
    """Return whether the best of several runs was chosen on the test set: its accuracy there is too high."""
    return len(subject.runs) > 1 and chosen_by(subject.runs) == "test set"


def alerts(subject: Subject) -> list[str]:
    """Return what went wrong in a run, and what else is worth knowing of it."""
    said = []
    for label, run in zip(subject.labels, subject.runs, strict=True):
        before = f"{label}: " if subject.runs[1:] else ""
        said += [f"{before}{text}" for text in (run.warning, *run.notes) if text]
    return said


def settings(subject: Subject) -> Section:
    """Return how it was trained, on what, and with which versions."""
    model, run = subject.model, subject.run
    values: list[tuple[str, Any]] = []
    if run is not None:
        values += [("training samples", f"{run.n_train:,}"), ("test samples", f"{run.n_test:,}")]
    elif subject.tried is not None:
        values += [("samples", f"{len(subject.tried.data):,}")]
    values += [("features", f"{model.n_features:,}")]
    if model.image_shape is not None:
        values += [("height × width × channels", " × ".join(map(str, model.image_shape)))]
    values += [("resampling", model.resample)] if model.resample else []
    values += [(key.replace("_", " "), plain(value)) for key, value in in_effect(model.settings or {}).items()]
    if run is not None:
        values += [("objective", f"{run.form}, logits {run.logits}"), ("backend", run.backend), ("device", run.device)]
        values += [("seconds", f"{run.seconds:.3f}")]
        if run.steps_per_second:
            values += [("steps a second", rounded(run.steps_per_second))]
        if run.bytes_per_second:
            values += [("training data a second", f"{rounded(run.bytes_per_second / 1e6)} MB")]
        if memory := peak_memory():
            values += [("most memory of the process", f"{memory / 1e6:,.0f} MB")]
    installed = ", ".join(f"{what} {version}" for what, version in versions(run.backend if run else None))
    more = Facts([("classes", class_list(model.classes)), ("versions", installed)], broad=True)
    return Section("Settings", "", [Facts(values), more])

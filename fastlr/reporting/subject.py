"""What a report is about: one model, its runs, and the data that it is tried on."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.model.model import Model
from fastlr.reporting.figures import Curve
from fastlr.reporting.findings import Findings, LabelFindings, find, find_labels
from fastlr.solvers import GD
from fastlr.training.run import Run, best_of
from fastlr.training.selection import RegularizationPath
from fastlr.training.settings import TOLERANCE

OF_DESCENT = ("learning_rate", "optimizer", "batch_size", "record_every", "seed")
# What is installed under another name than it is imported by.
LIBRARIES = {
    "numba": ("numba",),
    "torch": ("torch",),
    "jax": ("jax", "jaxlib"),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x"),
}


@dataclass(frozen=True)
class Subject:
    """A model with its curves and what was found about it; of a sweep, that of its best run."""

    model: Model
    curves: tuple[Curve, ...]
    findings: Findings | None  # of data with one label for each sample
    samples: Dataset | None  # where the samples in the report come from
    runs: tuple[Run, ...] = ()
    labels: tuple[str, ...] = ()  # of the runs
    run: Run | None = None
    path: RegularizationPath | None = None
    labels_found: LabelFindings | None = None  # of data with a table of labels

    @property
    def data(self) -> Dataset | None:
        """Return the data that the page is named after."""
        return self.samples or (self.tried.data if self.tried else None)

    @property
    def tried(self) -> Findings | LabelFindings | None:
        """Return what was found about the data that the model is tried on."""
        return self.findings or self.labels_found


def subject_of_runs(runs: Sequence[Run]) -> Subject:
    """Return what there is to say of a run, or of all runs of a sweep."""
    if not runs:
        raise InputError("report: there are no runs; give one or more")
    labels = run_labels([run.model.settings or {} for run in runs])
    curves = tuple(
        Curve(label, run.recorded_at, run.costs, run.test_costs) for label, run in zip(labels, runs, strict=True)
    )
    best = best_of(runs)
    tried, split = (best.test_set, "test") if best.test_set is not None else (best.train_set, "training")
    subject = Subject(best.model, curves, None, best.train_set or tried, tuple(runs), tuple(labels), best)
    return subject if tried is None or not len(tried) else _with_findings(subject, tried, split)


def subject_of_path(path: RegularizationPath) -> Subject:
    """Return what there is to say of the model that a path leaves, and of the choice that led to it."""
    final = path.final
    if final is None:
        raise InputError("report: the path left no model, refit was False; take 'train' or 'train+validation'")
    return replace(subject_of_runs([final]), path=path)


def subject_of_model(model: Model, data: Dataset) -> Subject:
    """Return what there is to say of a saved model and the data that it is evaluated on."""
    curves = (Curve("training", model.recorded_at, model.costs),) if model.costs else ()
    return _with_findings(Subject(model, curves, None, None), data, "")


def _with_findings(subject: Subject, data: Dataset, split: str) -> Subject:
    """Return the subject with what its model makes of some data."""
    if subject.model.multi_label:
        table = find_labels(subject.model, data, split)
        return replace(subject, labels_found=table, samples=subject.samples or table.data)
    found = find(subject.model, data, split)
    return replace(subject, findings=found, samples=subject.samples or found.data)


def run_labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells the runs apart: "learning rate 0.01, l2 0.1"."""
    names = dict.fromkeys(name for each in settings for name in each)
    differing = [name for name in names if len({repr(each.get(name)) for each in settings}) > 1]
    labels = [
        ", ".join(f"{name.replace('_', ' ')} {plain(each[name])}" for name in differing if name in each)
        for each in map(in_effect, settings)
    ]
    if len(set(labels)) == len(labels) and all(labels):
        return labels
    return [f"run {i}" + (f": {label}" if label else "") for i, label in enumerate(labels, start=1)]


def in_effect(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without those that have no effect with their solver, and with the `tol` that is used."""
    if settings.get("solver", GD) == GD:
        return {name: value for name, value in settings.items() if name != "tol"}
    found = {name: value for name, value in settings.items() if name not in OF_DESCENT}
    return found | ({"tol": TOLERANCE} if found.get("tol", 0) is None else {})


def plain(value: Any) -> str:
    """Return a setting's value as people write it."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(of)}" for name, of in value.items())
    return ", ".join(map(plain, value)) if isinstance(value, list | tuple) else str(value)


def versions(backend: str | None) -> list[tuple[str, str]]:
    """Return the versions of what took part."""
    found = [("Python", platform.python_version())]
    for package in ("fastlr", "numpy", *LIBRARIES.get(backend or "", ())):
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

"""The parts of a report that show pictures: mistakes and samples. Each adds its figure to `files`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fastlr.data.dataset import Dataset
from fastlr.reporting.figures import gallery
from fastlr.reporting.findings import Findings, Mistake, spread_over_classes
from fastlr.reporting.page import Gallery, Image, Section, Table, isolated, phrase, strong
from fastlr.reporting.pictures import has_pictures, pictures_of, png
from fastlr.reporting.style import drawable, figure_png
from fastlr.reporting.subject import Subject
from fastlr.reporting.words import percent

MOST_PICTURES = 12


def mistakes(found: Findings, files: dict[str, bytes]) -> Section:
    """Return the most confident mistakes, the worst first."""
    classes, worst = found.data.classes, found.mistakes(MOST_PICTURES)
    title = "Most confident mistakes"
    if not worst:
        return Section(title, f"There are none: all {len(found.data):,} labels are right.")
    count = int(found.results.matrix.sum() - found.results.matrix.trace())
    about = f"{count:,} of {len(found.data):,} {found.samples} {'is' if count == 1 else 'are'} labelled wrong."
    if count > len(worst):
        about += f" These are the {len(worst)} of which the model was surest, the surest first."
    elif count > 1:
        about += " The one of which the model was surest comes first."
    header = ["sample", "is", "taken for", "probability"]
    rows = [
        [found.data.name_of(m.sample), classes[m.true], classes[m.predicted], percent(100 * m.probability)]
        for m in worst
    ]
    if not has_pictures(found.data):
        return Section(title, about, [Table(header, rows, title)])
    images = pictures_of(found.data, [m.sample for m in worst])
    items = [
        (Image(png(picture), _in_words(m, found.data)), [*_caption(m, classes), *_file(found.data, m.sample)])
        for m, picture in zip(worst, images, strict=True)
    ]
    captions = [
        f"{drawable(classes[m.predicted], m.predicted + 1)} {percent(100 * m.probability)}\n"
        f"is {drawable(classes[m.true], m.true + 1)}"
        for m in worst
    ]
    files["mistakes.png"] = figure_png(gallery(images, captions))
    return Section(title, about, [Gallery(items), Table(header, rows, title, folded=True)])


def samples(subject: Subject, files: dict[str, bytes]) -> Section | None:
    """Return some of the data with their labels, as many of each class."""
    data = subject.samples
    if data is None or not has_pictures(data) or not len(data):
        return None
    chosen = spread_over_classes(data, MOST_PICTURES)
    images, labels = pictures_of(data, chosen), [_labels_of(data, i) for i in chosen]
    items = [
        (Image(png(picture), f"Sample {_told(data, i)}: {isolated(label)}."), [strong("{}", label), *_file(data, i)])
        for i, picture, label in zip(chosen, images, labels, strict=True)
    ]
    captions = [
        drawable(label, i if data.is_table else data.labels[i] + 1) for i, label in zip(chosen, labels, strict=True)
    ]
    files["samples.png"] = figure_png(gallery(images, captions))
    rows = [[data.name_of(i), label] for i, label in zip(chosen, labels, strict=True)]
    height, width = data.images.shape[1:3]
    about = phrase(f"{len(data):,} pictures of {width} × {height} pixels in {{}}, some of each class.", data.source)
    listed = Table(["sample", "label"], rows, "Samples", folded=True)
    return Section("Samples", about, [Gallery(items, "small"), listed])


def _labels_of(data: Dataset, i: int) -> Any:
    """Return the label of a sample, or all of its labels of a table."""
    if not data.is_table:
        return data.classes[data.labels[i]]
    return ", ".join(str(label) for label, there in zip(data.classes, data.labels[i], strict=True) if there) or "none"


def _caption(mistake: Mistake, classes: Sequence[Any]) -> list[Markup]:
    """Return the lines below a mistake."""
    taken_for = strong("taken for {} ", classes[mistake.predicted]) + percent(100 * mistake.probability)
    return [taken_for, strong("is {}", classes[mistake.true])]


def _told(data: Dataset, index: int) -> str:
    """Return the file or the number of a sample, for a text."""
    return isolated(data.files[index]) if data.files else str(index)


def _file(data: Dataset, index: int) -> list[Markup]:
    """Return the file of a sample, for below its picture, where it has one."""
    return [Markup("<small>{}</small>").format(phrase("{}", data.files[index]))] if data.files else []


def _in_words(mistake: Mistake, data: Dataset) -> str:
    """Return a mistake as a sentence."""
    classes, sample = data.classes, _told(data, mistake.sample)
    true, predicted = isolated(classes[mistake.true]), isolated(classes[mistake.predicted])
    return f"Sample {sample} is {true} but was taken for {predicted}, {percent(100 * mistake.probability)}."

"""The report: one HTML page that needs nothing beside it, and its figures as PNG files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastlr.errors import InputError, shown
from fastlr.files import as_path, check_writable, folder_for, make_folder, whole_file

if TYPE_CHECKING:
    from fastlr.data.dataset import Dataset
    from fastlr.model.model import Model
    from fastlr.reporting.subject import Subject
    from fastlr.training.run import Run
    from fastlr.training.selection import RegularizationPath

PAGE = "report.html"
FIGURES = re.compile(r"(learning-curve|scores|confusion|calibration|mistakes|examples|samples|weights-\d\d)\.png")


def report(runs: Run | Sequence[Run] | RegularizationPath, path: str | os.PathLike[str]) -> Path:
    """Write a report of a run, of all runs of a sweep, or of a path; return where its page is.

    The page `report.html` holds its pictures and needs no network; they are beside it as PNG files too. It shows the
    costs, and, on the test set if there is one, the accuracy, the confusion matrix, the most confident mistakes and the
    calibration; then the weights, samples and settings. Of a sweep, these are of the best run; of a path, of the final
    model, after the scores over l2. For a table of labels it shows the scores of each label. What needs pictures is
    left out for features.

    Parameters
    ----------
    runs : Run, sequence of Run, or RegularizationPath
        What the report is about.
    path : path
        The folder; it is made if needed. What an earlier report left there is replaced.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    InputError
        The folder cannot be made or written, or there are no runs.
    """
    from fastlr.reporting.subject import subject_of_path, subject_of_runs
    from fastlr.training.run import Run
    from fastlr.training.selection import RegularizationPath

    if isinstance(runs, RegularizationPath):
        subject = subject_of_path(runs)
    else:
        several = [runs] if isinstance(runs, Run) else list(runs) if isinstance(runs, Iterable) else [runs]
        if wrong := [one for one in several if not isinstance(one, Run)]:
            raise InputError(f"report: {shown(wrong[0])} is no run; give what train, sweep or path returns")
        subject = subject_of_runs(several)
    return _write(subject, check_folder(path, "report"))


def report_on_model(model: Model, data: Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a report of a model on labelled data, such as a saved one on a test set; return where its page is."""
    from fastlr.reporting.subject import subject_of_model

    return _write(subject_of_model(model, data), check_folder(path, "report"))


def check_folder(path: str | os.PathLike[str], option: str, inputs: Iterable[Path | None] = ()) -> Path:
    """Return the folder of a report, or say why it cannot be made; ask before long work. It is left as it was."""
    folder = as_path(option, path, "the name of a folder")
    new = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    for given in inputs:
        # Its pictures could take the place of others, and would be read as data the next time.
        if given is not None and Path(os.path.realpath(given)) in Path(os.path.realpath(folder)).parents:
            raise InputError(f"{folder}: lies within {given}, which is read; give another folder with {option}")
    make_folder(folder, option)
    check_writable(folder / PAGE, inputs)
    with contextlib.suppress(OSError):
        for one in new:
            one.rmdir()
    return folder


def _write(subject: Subject, folder: Path) -> Path:
    """Write the page and its figures, each whole; what an earlier report left under their names goes."""
    from fastlr.reporting.sections import whole_page

    text, figures = whole_page(subject)
    page = folder / PAGE
    ours = _is_ours(page)
    with folder_for(folder, "report"), contextlib.ExitStack() as files:
        # The files take their places when all are written, the page last.
        files.enter_context(whole_file(page)).write_text(text, encoding="utf-8")
        for name, content in figures.items():
            files.enter_context(whole_file(folder / name)).write_bytes(content)
    if ours:
        for old in folder.iterdir():
            if FIGURES.fullmatch(old.name) and old.name not in figures:
                old.unlink()
    return page


def _is_ours(page: Path) -> bool:
    """Return whether an earlier report lies there."""
    from fastlr.reporting.page import GENERATOR_TAG

    if not page.is_file():
        return False
    with page.open("rb") as file:
        return GENERATOR_TAG.encode() in file.read(2000)

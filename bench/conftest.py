"""The combinations that the suite goes through: every problem × backend × dtype × form."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from fastlr.backends import choose_backend, survey
from fastlr.benchmark import measure
from fastlr.benchmark.cases import SHAPES, Problem, open_problem
from fastlr.objectives import FORMS


@functools.lru_cache(maxsize=2)
def problem_of(name: str) -> Problem:
    """Return a problem; the next ones need the memory of those before."""
    return open_problem(name)


def combinations() -> Iterator[object]:
    """Give problem, backend, dtype and form; what cannot run is there too, skipped with its reason."""
    for name in SHAPES:
        for row in survey():
            for dtype in row["dtypes"]:
                for form in FORMS:
                    reason = row["why_not"]
                    if not measure.runs_on(SHAPES[name], form):
                        reason = "K would take more memory than `auto` allows"
                    marks = [pytest.mark.skip(reason=reason)] if reason else []
                    label = f"{name}-{row['name']}-{dtype}-{form}"
                    yield pytest.param((name, row["name"], dtype, form), id=label, marks=marks)


@functools.lru_cache(maxsize=1)
def copy_bandwidth() -> float:
    """Return the memory's bandwidth, measured once a run."""
    return measure.copy_bandwidth()


@functools.lru_cache(maxsize=1)
def checked_job(name: str, backend: str, dtype: str, form: str) -> measure.Job:
    """Return a combination made ready; what does not follow the textbook raises instead, and cannot be timed."""
    problem = problem_of(name)
    return measure.Job(problem, choose_backend(backend, dtype=dtype), form, measure.check_steps(problem))


@pytest.fixture(params=combinations())
def combination(request) -> tuple[str, str, str, str]:
    """One combination."""
    return request.param

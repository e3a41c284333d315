"""Is it the textbook's trajectory? What is not is not timed."""

from __future__ import annotations

import functools

import numpy as np

from fastlr import textbook
from fastlr.backends import Backend
from fastlr.benchmark.cases import Problem
from fastlr.training.api import train

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}  # relative, of every recorded cost


class MismatchError(Exception):
    """The costs are not the textbook's; the text names the first bad step."""


@functools.lru_cache(maxsize=2)
def textbook_costs(problem: Problem, steps: int) -> tuple[float, ...]:
    """Return the textbook's cost at each of the first steps."""
    X, Y = float_pixels(problem), problem.data.labels[np.newaxis].astype(float)
    w, b = textbook.init_params(problem.shape.n)
    rate, costs = problem.shape.learning_rate, []
    for _ in range(steps):
        gradients, cost = textbook.propagate(w, b, X, Y)
        w, b = w - rate * gradients["dw"], b - rate * gradients["db"]
        costs.append(float(cost))
    return tuple(costs)


def float_pixels(problem: Problem) -> np.ndarray:
    """Return X as the textbook takes it: float64 (n, m), 0 to 1."""
    scaled: np.ndarray = problem.pixels.T / 255
    return scaled


def check_costs(costs: list[float], wanted: list[float], dtype: str, every: int = 1) -> float:
    """Return the largest relative difference; raise MismatchError where it is above the dtype's tolerance."""
    if len(costs) != len(wanted):
        raise MismatchError(f"{len(costs)} costs, the textbook has {len(wanted)}")
    worst = 0.0
    for i, (cost, expected) in enumerate(zip(costs, wanted, strict=True)):
        difference = abs(cost - expected) / expected
        if not difference <= TOLERANCE[dtype]:
            raise MismatchError(f"step {i * every}: the cost is {cost!r}, the textbook's is {expected!r}")
        worst = max(worst, difference)
    return worst


def check(problem: Problem, backend: Backend, form: str, steps: int) -> float:
    """Follow the textbook for so many steps, one at a time and then several in one call; return as `check_costs`."""
    wanted, worst = textbook_costs(problem, steps), 0.0
    for every in (1, max(2, steps // 4)):
        run = train(
            problem.data, iterations=steps, learning_rate=problem.shape.learning_rate, record_every=every, form=form,
            backend=backend.name, device=backend.device, dtype=backend.dtype,
        )  # fmt: skip
        name = f"{backend.name}, {backend.dtype}, {form} form"
        if (run.backend, run.device, run.dtype, run.form) != (backend.name, backend.device, backend.dtype, form):
            raise MismatchError(f"{name}: ran on {run.backend}, {run.device}, {run.dtype} in the {run.form} form")
        try:
            worst = max(worst, check_costs(run.costs, list(wanted[::every]), backend.dtype, every))
        except MismatchError as error:
            raise MismatchError(f"{name}: {error}") from error
    return worst

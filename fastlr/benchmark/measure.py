"""Seconds, bytes and bandwidth."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fastlr import textbook
from fastlr.backends import Backend
from fastlr.benchmark.cases import Problem, Shape
from fastlr.benchmark.check import check, float_pixels
from fastlr.objectives import FORMS
from fastlr.objectives.choose import MEMORY_LIMIT
from fastlr.objectives.form import Form
from fastlr.objectives.gram import GramForm
from fastlr.objectives.protocol import State
from fastlr.objectives.resident import Resident
from fastlr.solvers import choose_descent
from fastlr.training.inputs import set_up
from fastlr.training.settings import Candidate, Settings

PAUSE = 0.1  # seconds before each timing, in which a BLAS's threads, which wait busily for more work, fall asleep
TURN = 0.2  # seconds that a timing of many steps lasts at least
COPIED = 2**28  # bytes: far more than caches hold


def threads() -> int:
    """Return how many threads the kernels and the BLAS are to use."""
    from fastlr.kernels.cpu.team import team_size

    return team_size()


def machine() -> dict[str, Any]:
    """Return what it runs on."""
    versions = {name: importlib.metadata.version(name) for name in ("fastlr", "numpy", "numba", "array-api-compat")}
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(), "threads": threads(),
        "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def copy_bandwidth(runs: int = 5) -> float:
    """Return the bytes a second, read and written, of copying memory with all threads."""
    source, target = np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)
    count = threads()
    bounds = [COPIED * i // count for i in range(count + 1)]

    def copy(part: int) -> None:
        np.copyto(target[bounds[part] : bounds[part + 1]], source[bounds[part] : bounds[part + 1]])

    with ThreadPoolExecutor(count) as pool:
        seconds = [timed(lambda: list(pool.map(copy, range(count)))) for _ in range(runs)]
    return 2 * COPIED / statistics.median(seconds)


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(functions: Sequence[Callable[[], Any]], runs: int, turn: float = 0.0) -> list[list[float]]:
    """Return the seconds of each function, run A B C A B C …

    What is shorter than `turn` is run several times, and the median taken.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(runs):
        for function, times in zip(functions, seconds, strict=True):
            time.sleep(PAUSE)
            once = [timed(function)]
            while sum(once) < turn:
                once.append(timed(function))
            times.append(statistics.median(once))
    return seconds


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, and the range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def bytes_per_step(form: Form, fused: bool) -> int:
    """Return the bytes of the data that one step reads at least: X or K, twice or whole where there is no kernel."""
    if isinstance(form, GramForm):
        K = form.K
        return int(K.upper.nbytes) // 2 if hasattr(K, "upper") else int(K.nbytes)  # a triangle, or all of it
    X: Any = form
    return int(X.X.nbytes) * (1 if fused else 2)


def runs_on(shape: Shape, form: str) -> bool:
    """Return whether the form can be had: K must not be larger than what `auto` would take."""
    return form != GramForm.name or 8 * shape.m**2 <= MEMORY_LIMIT


class Job:
    """A problem made ready on a backend in a form: its trajectory is checked first, or it is not made at all."""

    def __init__(self, problem: Problem, backend: Backend, form: str, check_steps: int) -> None:
        """Check; raises `trajectory.MismatchError`."""
        self.problem, self.backend, self.form = problem, backend, form
        self.difference = check(problem, backend, form, check_steps)
        self.solver = choose_descent()
        self.objective, self.state = self.set_up()

    def set_up(self) -> tuple[Resident, State]:
        """Do what is done once: bring the data there, and compute K."""
        models = [Candidate(self.problem.shape.learning_rate)]
        with self.backend.scope():
            settings = Settings(self.problem.shape.steps, form=self.form)
            objective, state = set_up(self.backend, self.problem.data, settings, models)
        assert isinstance(objective, Resident), "these problems fit into the memory"
        self.backend.synchronize((getattr(objective.form, "K", ()), objective.Y))
        return objective, state

    def advance(self, steps: int) -> None:
        """Take so many steps from the start."""
        with self.backend.scope():
            self.backend.synchronize(self.solver.advance(self.backend, self.objective, self.state, steps))

    def steps_of(self, seconds: float) -> int:
        """Return how many steps, of those of the problem, take about so long."""
        self.advance(1)
        few = timed(lambda: self.advance(3)) / 3
        return max(3, min(self.problem.shape.steps, round(seconds / few)))

    @property
    def bytes_per_step(self) -> int:
        """Return the bytes of the data that a step reads at least."""
        return bytes_per_step(self.objective.form, f"{self.form}_steps" in self.backend.kernels)

    def info(self) -> dict[str, Any]:
        """Return what is said beside each figure."""
        return {
            "problem": self.problem.name, "pixels": self.problem.source, "m": self.problem.shape.m,
            "n": self.problem.shape.n, "steps": self.problem.shape.steps, "backend": self.backend.name,
            "device": self.backend.device, "dtype": self.backend.dtype, "form": self.form,
            "bytes_per_step": self.bytes_per_step, "worst_cost_difference": self.difference,
        }  # fmt: skip


def textbook_steps(problem: Problem, steps: int) -> Callable[[], Any]:
    """Return a function that takes so many steps of the textbook's loop."""
    X, Y = float_pixels(problem), problem.data.labels[np.newaxis].astype(float)
    w, b = textbook.init_params(problem.shape.n)
    return lambda: textbook.optimize(w, b, X, Y, steps, problem.shape.learning_rate)


def check_steps(problem: Problem) -> int:
    """Return how many steps of the textbook take about a second or less."""
    return max(8, min(200, 400_000_000 // (problem.shape.n * problem.shape.m)))


def measure(problem: Problem, backends: Sequence[Backend], runs: int) -> list[dict[str, Any]]:
    """Return a row for each backend and form, all timed in turn, beside the textbook's loop."""
    checked = check_steps(problem)
    jobs = [
        Job(problem, backend, form, checked) for backend in backends for form in FORMS if runs_on(problem.shape, form)
    ]
    counts = [job.steps_of(TURN) for job in jobs]
    loop = textbook_steps(problem, checked)
    loop()
    steps = in_turn([loop, *(lambda j=j, c=c: j.advance(c) for j, c in zip(jobs, counts, strict=True))], runs)
    once = in_turn([job.set_up for job in jobs], runs)
    bandwidth = copy_bandwidth()
    book = [seconds / checked for seconds in steps[0]]
    rows = []
    for job, count, all_steps, set_ups in zip(jobs, counts, steps[1:], once, strict=True):
        each = [seconds / count for seconds in all_steps]
        total = problem.shape.steps
        ratios = [a * total / (s + b * total) for a, b, s in zip(book, each, set_ups, strict=True)]
        share = job.bytes_per_step / statistics.median(each) / bandwidth
        rows.append(
            job.info() | {
                "set_up_seconds": spread(set_ups), "step_seconds": spread(each), "textbook_step_seconds": spread(book),
                "ratio": spread(ratios), "copy_bytes_per_second": bandwidth, "bandwidth_share": share,
            }
        )  # fmt: skip
    return rows

"""Seconds of every backend × dtype × form on every problem; what has not been checked in this run is not timed.

    pytest bench/test_speed.py --benchmark-json=bench/results/NAME.json

`extra_info` says what it ran on, the bytes that a step reads, and their share of the bandwidth of copying memory.
The last three tests hold the choice of the form, that of the solver, and float32, to what they promise.
"""

import os

import numpy as np
import pytest
import real
from conftest import checked_job, copy_bandwidth, problem_of

import fastlr
from fastlr.backends import choose_backend
from fastlr.benchmark import measure
from fastlr.benchmark.cases import SHAPES
from fastlr.benchmark.check import MismatchError
from fastlr.objectives import FORMS
from fastlr.objectives.choose import choose_form

ROUNDS = 5
SECONDS = 0.2  # of steps in one round
WITHIN = 1.3  # the chosen form's time, or solver's, by the better one's
MATRIX = 1000  # weights with which Newton's method is tried
SHIPPED = ("iris", "wine, scaled", "breast cancer, scaled", "digits", "digits, scaled", "digits, 3 and 8")


def job_of(*combination: str) -> measure.Job:
    try:
        return checked_job(*combination)
    except MismatchError as error:
        pytest.fail(f"not timed: {error}")


def test_steps(benchmark, combination):
    job = job_of(*combination)
    steps = job.steps_of(SECONDS)
    benchmark.pedantic(job.advance, args=(steps,), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info.update(job.info() | measure.machine() | {"steps_timed": steps})
    if benchmark.enabled:
        second = job.bytes_per_step * steps / benchmark.stats.stats.median
        benchmark.extra_info.update(bytes_per_second=second, bandwidth_share=second / copy_bandwidth())


def test_set_up(benchmark, combination):
    job = job_of(*combination)
    benchmark.pedantic(job.set_up, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info.update(job.info() | measure.machine())


def seconds_of(job: measure.Job) -> list[float]:
    """Return for each round the seconds of all of the problem's steps and what is done before them."""
    steps = job.steps_of(SECONDS)
    times = measure.in_turn([job.set_up, lambda: job.advance(steps)], ROUNDS)
    return [before + each / steps * job.problem.shape.steps for before, each in zip(*times, strict=True)]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_the_chosen_form_is_near_the_better(name, backend):
    shape, chosen_by = SHAPES[name], choose_backend(backend).costs
    chosen = choose_form("auto", shape.n, shape.m, 1, shape.steps, chosen_by)
    seconds = {
        form: np.median(seconds_of(job_of(name, backend, "float64", form)))
        for form in FORMS
        if measure.runs_on(shape, form)
    }
    assert seconds[chosen] <= WITHIN * min(seconds.values()), seconds


@pytest.mark.parametrize("name", [name for name in real.PROBLEMS if "FASTLR_DATA" in os.environ or name in SHIPPED])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_chosen_solver_is_near_the_best(name, dtype):
    """With the costs that `fastlr warmup` measured here, where it did."""
    task = real.open_task(name, 1e-4, dtype)

    def fit(solver: str) -> fastlr.LogisticRegression:
        return fastlr.LogisticRegression(C=task.C, solver=solver, max_iter=2000).fit(task.X, task.y)

    small = task.X.shape[1] * task.classes <= MATRIX
    solvers = ("auto", "newton-cg", "lbfgs", "newton") if small else ("auto", "newton-cg", "lbfgs")
    works = [lambda solver=solver: fit(solver) for solver in solvers]
    chosen, *others = (np.median(times) for times in measure.in_turn(works, ROUNDS))
    assert chosen <= WITHIN * min(others), (fit("auto").solver_, chosen, others)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_float32_is_not_slower(name, form, backend):
    if not measure.runs_on(SHAPES[name], form):
        pytest.skip("K would take more memory than `auto` allows")
    problem, jobs = problem_of(name), []
    for dtype in ("float64", "float32"):
        jobs.append(measure.Job(problem, choose_backend(backend, dtype=dtype), form, measure.check_steps(problem)))
    steps = jobs[0].steps_of(SECONDS)
    double, single = measure.in_turn([lambda job=job: job.advance(steps) for job in jobs], 2 * ROUNDS + 1)
    # In turn, on a machine that others share: what counts is the best of each.
    assert min(single) <= 1.1 * min(double), (double, single)

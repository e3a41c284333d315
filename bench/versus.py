"""The textbook loop against `fastlr.train`, in turn, in one process, on the same threads.

    python bench/versus.py [--problems cats,birds] [--runs 5] [--out bench/results/NAME.json]

Each problem's costs are first checked against the textbook's at every recording; what differs by more than 1e-9 is
not timed. `fastlr.train` is timed whole, from uint8 pixels to the finished run. The textbook's loop is timed on
`--textbook-steps` of its steps, all alike, and counted for as many as the problem has; its float64 copy of the
pixels is made outside the clock. OMP_NUM_THREADS (or OPENBLAS_NUM_THREADS with it) says how many threads both use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from problems import SHAPES, Problem, problem

import fastlr
from fastlr import textbook

TOLERANCE = 1e-9
RATES = 8  # learning rates of the sweep
TURN = 0.5  # seconds that a turn lasts at least
PAUSE = 0.1  # seconds between two timings, in which the BLAS's threads, which wait busily for more work, fall asleep


def check(costs: list[float], expected: list[float]) -> float:
    """Return the largest relative difference; exit where it is too large, with the first bad recording."""
    worst = 0.0
    for i, (cost, wanted) in enumerate(zip(costs, expected, strict=True)):
        difference = abs(cost - wanted) / wanted
        if not difference <= TOLERANCE:
            sys.exit(f"not timed: recording {i} is {cost!r}, the textbook's is {wanted!r}")
        worst = max(worst, difference)
    return worst


def in_turn(first: Any, second: Any, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of both, run A B A B …; what is short is run several times a turn, and the median taken."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for function, times in zip((first, second), seconds, strict=True):
            time.sleep(PAUSE)
            turn: list[float] = []
            while sum(turn) < TURN:
                start = time.perf_counter()
                function()
                turn.append(time.perf_counter() - start)
            times.append(statistics.median(turn))
    return seconds


def compare(p: Problem, runs: int, textbook_steps: int, rates: int) -> dict[str, Any]:
    """Check, then time one training, or a sweep of that many learning rates, against as many textbook runs."""
    X, Y = p.pixels.T / 255, p.labels[np.newaxis].astype(float)
    w, b = textbook.init_params(p.shape.n)
    steps, rate = p.shape.steps, p.shape.learning_rate
    all_rates = [rate * 0.9**i for i in range(rates)]

    def ours() -> list[fastlr.Run]:
        if rates == 1:
            return [fastlr.train(p.pixels, p.labels, iterations=steps, learning_rate=rate)]
        return fastlr.sweep(p.pixels, p.labels, iterations=steps, learning_rates=all_rates)

    runs_of_ours = ours()  # compiles, too
    worst = 0.0
    for one, each in zip(runs_of_ours, all_rates, strict=True):
        worst = max(worst, check(one.costs, textbook.optimize(w, b, X, Y, steps, each)[2]))
        if rates > 1 and each is all_rates[1]:
            break  # two of the sweep are checked here, all of them in the tests
    timed = min(textbook_steps, steps)
    theirs, mine = in_turn(lambda: textbook.optimize(w, b, X, Y, timed, rate), ours, runs)
    theirs = [seconds * rates * steps / timed for seconds in theirs]
    ratios = [a / b for a, b in zip(theirs, mine, strict=True)]
    return {
        "problem": p.name, "pixels": p.source, "m": p.shape.m, "n": p.shape.n, "steps": steps, "models": rates,
        "form": runs_of_ours[0].form, "backend": runs_of_ours[0].backend, "dtype": runs_of_ours[0].dtype,
        "device": runs_of_ours[0].device, "worst_cost_difference": worst, "textbook_steps_timed": timed,
        "textbook_seconds": theirs, "fastlr_seconds": mine,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what it ran on."""
    import importlib.metadata as metadata

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {name: metadata.version(name) for name in ("fastlr", "numpy", "numba")}
    return {
        "cpu": _cpu_name(), "cpus": cpus, "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    """Run the comparison and print, or write, its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join((*SHAPES, "sweep")))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--textbook-steps", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.problems.split(","):
        p = problem("birds" if name == "sweep" else name)
        rows.append(compare(p, arguments.runs, arguments.textbook_steps, RATES if name == "sweep" else 1))
        row = rows[-1]
        print(
            f"{name:7} {row['m']:6}×{row['n']:<6} {row['steps']:5} steps  {row['form']:7}"
            f"textbook {statistics.median(row['textbook_seconds']):8.3f} s  "
            f"fastlr {statistics.median(row['fastlr_seconds']):7.4f} s  "
            f"ratio {row['ratio']['median']:6.1f} ({row['ratio']['min']:.1f} to {row['ratio']['max']:.1f})  "
            f"costs to {row['worst_cost_difference']:.0e}",
            flush=True,
        )
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

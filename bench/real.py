"""Fits to the minimum on problems that nobody here drew, against every solver of scikit-learn and others.

    python bench/real.py [--problems iris,mnist] [--l2 1e-6,1e-4,1e-2,1] [--dtypes float32,float64,uint8] [--runs 5]
                         [--qualities 1e-4,1e-8] [--out bench/results/NAME.json]

The problems are scikit-learn's data sets, and those of FASTLR_DATA: pictures of cats, CIFAR-10's first batch,
photographs and MNIST, as pixels and through random features. Beside them stand embeddings that are drawn, with a
spectrum of 1 / iᵖ and classes that overlap. How they are compared is said in `versus_converged.py`. Each row is worked
out in a process of its own. What is printed at the end counts all rows: the geometric mean of the ratio to
scikit-learn's fastest solver, the worst row, and the share of rows in which another is faster.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import versus_converged as fits

from fastlr.benchmark import measure
from fastlr.data import open_dataset

Data = tuple[np.ndarray, np.ndarray]  # samples (m, n), uint8 where they are pixels, and labels


def shipped(name: str, scaled: bool = False) -> Data:
    """Return one of the data sets that come with scikit-learn; scaled: each feature of mean 0 and deviation 1."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if scaled:
        deviation = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return X, y


def pictures(folder: str, positive: str | None = None) -> Data:
    """Return pixels of FASTLR_DATA, all classes or one against the others."""
    data = open_dataset(Path(os.environ["FASTLR_DATA"]) / folder, "train", positive=positive)
    return np.ascontiguousarray(data.rows), data.labels


def mnist(classes: Sequence[int] = range(10)) -> Data:
    """Return MNIST's training digits, or some of them."""
    X, y = pictures("mnist")
    chosen = np.isin(y, classes)
    return X[chosen], np.unique(y[chosen], return_inverse=True)[1]


def fourier(m: int = 20_000, n: int = 500, width: float = 6.0) -> Data:
    """Return random Fourier features of MNIST (A. Rahimi and B. Recht, 2007): cos(x W / width + b)."""
    X, y = mnist()
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(X.shape[1], n)) / width, rng.uniform(0, 2 * np.pi, n)
    return np.sqrt(2 / n) * np.cos(X[:m] / 255 @ W + b), y[:m]


def convolved(m: int = 20_000, filters: int = 16) -> Data:
    """Return MNIST through random filters of 5 × 5, a ReLU, and means over 6 × 6 places."""
    X, y = mnist()
    images = X[:m].reshape(-1, 28, 28) / np.float32(255)
    windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(1, 2))
    kernels = np.random.default_rng(0).normal(size=(25, filters)).astype(np.float32)
    made = []
    for start in range(0, m, 1000):
        found = np.maximum(windows[start : start + 1000].reshape(-1, 24, 24, 25) @ kernels, 0)
        made.append(found.reshape(-1, 4, 6, 4, 6, filters).mean(axis=(2, 4)).reshape(len(found), -1))
    return np.concatenate(made).astype(np.float64), y[:m]


def spectral(power: float, m: int = 30_000, n: int = 512, classes: int = 10) -> Data:
    """Draw features whose variances fall as 1 / iᵖ, turned, and overlapping classes of a random linear model."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(n, n)))
    deviation = np.arange(1, n + 1) ** (-power / 2)
    plain = rng.normal(size=(m, n)) * (deviation / np.sqrt((deviation**2).mean()))
    scores = plain @ rng.normal(size=(n, classes)) / np.sqrt(n) + rng.gumbel(size=(m, classes))
    return plain @ turn, scores.argmax(axis=1)


PROBLEMS: dict[str, Callable[[], Data]] = {
    "iris": lambda: shipped("iris"),
    "iris, scaled": lambda: shipped("iris", scaled=True),
    "wine": lambda: shipped("wine"),
    "wine, scaled": lambda: shipped("wine", scaled=True),
    "breast cancer": lambda: shipped("breast_cancer"),
    "breast cancer, scaled": lambda: shipped("breast_cancer", scaled=True),
    "digits": lambda: shipped("digits"),
    "digits, scaled": lambda: shipped("digits", scaled=True),
    "digits, 3 and 8": lambda: tuple(np.asarray(a)[np.isin(shipped("digits")[1], (3, 8))] for a in shipped("digits")),
    "cats": lambda: pictures("cats/train_catvnoncat.h5"),
    "birds": lambda: pictures("cifar10", "bird"),
    "CIFAR-10": lambda: pictures("cifar10"),
    "photographs": lambda: pictures("photos"),
    "MNIST": mnist,
    "MNIST, 3 and 8": lambda: mnist((3, 8)),
    "MNIST, 4, 7 and 9": lambda: mnist((4, 7, 9)),
    "MNIST, Fourier": fourier,
    "MNIST, convolved": convolved,
    "spectrum 1": lambda: spectral(0),
    "spectrum 1/i": lambda: spectral(1),
    "spectrum 1/i²": lambda: spectral(2),
}


def open_task(name: str, l2: float, dtype: str) -> fits.Task | None:
    """Return a problem with samples of a dtype; None where it has none of pixels."""
    X, y = PROBLEMS[name]()
    y = np.unique(y, return_inverse=True)[1]
    if X.dtype == np.uint8:
        pixels = X if dtype == "uint8" else None
        # The others read the float32 or float64 copy of pixels; beside uint8 it is float64.
        return fits.Task(name, X.astype("float64" if pixels is not None else dtype) / 255, y, pixels, "real", l2)
    return None if dtype == "uint8" else fits.Task(name, X.astype(dtype), y, None, "real", l2)


def compare(name: str, l2: float, dtype: str, runs: int, qualities: Sequence[float]) -> dict[str, Any] | None:
    """Return a row, worked out in this process."""
    warnings.simplefilter("ignore")
    task = open_task(name, l2, dtype)
    return None if task is None else fits.compare(task, runs, qualities)


def gain(row: dict[str, Any], quality: str, ours: Sequence[str] = ("scikit-learn",)) -> tuple[float, str] | None:
    """Return how many times faster `fastlr` is than the fastest of those whose names begin so, and its name."""
    cells = {name: cell for name, cell in row["qualities"][quality].items() if cell}
    if "fastlr" not in cells:
        return 0.0, "fastlr does not get there"
    others = {name: cell for name, cell in cells.items() if name != "fastlr" and name.startswith(tuple(ours))}
    if not others:
        return None
    in_turn = {name: cell for name, cell in others.items() if len(cell["seconds"]) > 1} or others
    name = min(in_turn, key=lambda other: statistics.median(in_turn[other]["seconds"]))
    return others[name]["ratio"]["median"], name


def show(row: dict[str, Any]) -> None:
    """Print a row: the fastest of scikit-learn's solvers against ours."""
    print(
        f"{row['problem']:22} {row['m']:6}×{row['n']:<5} {row['classes']:2} {row['dtype']:8} l2 {row['l2']:<6g}", end=""
    )
    for quality in row["qualities"]:
        mine, found = row["qualities"][quality]["fastlr"], gain(row, quality)
        if found is None or not mine:
            print(f"   {quality}: {'nobody else gets there' if mine else 'not reached'}", end="")
            continue
        spread = row["qualities"][quality][found[1]]["ratio"]
        print(
            f"   {quality}: {statistics.median(mine['seconds']):7.4f} s, {found[0]:5.2f}× "
            f"({spread['min']:.2f} to {spread['max']:.2f}) {found[1].removeprefix('scikit-learn ')}", end="",
        )  # fmt: skip
    print(flush=True)


def summary(rows: Sequence[dict[str, Any]]) -> None:
    """Print what all rows come to."""
    for quality in rows[0]["qualities"]:
        gains = [(found[0], row) for row in rows if (found := gain(row, quality)) is not None]
        mean = math.exp(statistics.fmean(math.log(max(ratio, 1e-9)) for ratio, _ in gains))
        worst, row = min(gains, key=lambda pair: pair[0])
        slower = sum(ratio < 1 for ratio, _ in gains)
        print(
            f"{quality}: {len(gains)} rows, geometric mean {mean:.1f}, worst {worst:.2f} "
            f"({row['problem']}, {row['dtype']}, l2 {row['l2']:g}), another is faster in {slower / len(gains):.0%}"
        )


def main() -> None:
    """Run the suite; print, or write, its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=";".join(PROBLEMS), help="their names, with ; between them")
    parser.add_argument("--l2", default="1e-6,1e-4,1e-2,1")
    parser.add_argument("--dtypes", default="float32,float64,uint8")
    parser.add_argument("--qualities", default="1e-4,1e-8")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if unknown := [name for name in asked.problems.split(";") if name not in PROBLEMS]:
        sys.exit(f"--problems: {unknown[0]!r} is not known; choose of: {'; '.join(PROBLEMS)}")
    if "FASTLR_DATA" not in os.environ:
        sys.exit("FASTLR_DATA: is not set; give the folder with cats, cifar10, photos and mnist")
    qualities = [float(text) for text in asked.qualities.split(",")]
    jobs = [
        (name, float(l2), dtype, asked.runs, qualities)
        for name in asked.problems.split(";") for l2 in asked.l2.split(",") for dtype in asked.dtypes.split(",")
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for job in jobs:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            row = process.apply(compare, job)
        if row is not None:
            rows.append(row)
            show(row)
            if asked.out:
                asked.out.write_text(json.dumps({"machine": measure.machine(), "rows": rows}, indent=1) + "\n")
    summary(rows)


if __name__ == "__main__":
    main()

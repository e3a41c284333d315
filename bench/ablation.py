"""What each kernel of the CPU brings: real tasks with all kernels, and without that one.

    python bench/ablation.py [--kernels gram_steps,newton_steps] [--runs 7] [--out bench/results/NAME.json]

Without a kernel the work is done as on any other backend: by the array library and its BLAS, or step by step. The
kernels of the Gram matrix share a format that nothing else reads, so that they are left out together. Both are timed in
turn, in one process, on OMP_NUM_THREADS threads. What is printed is how many times as long the task takes without the
kernel: the first quartile, the median and the last quartile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import real

import fastlr
from fastlr.backends import numba as backend
from fastlr.benchmark import measure

ALL = dict(backend.KERNELS)
MATRIX = ("gram_matrix", "standardized_gram_matrix", "gram_product", "gram_diagonal", "gram_solve")
GRAM = (*MATRIX, "gram_conjugate_gradients", "gram_steps", "gram_network_steps")
Task = Callable[[], object]


@contextlib.contextmanager
def only(kernels: dict[str, Any]) -> Iterator[None]:
    """Have the backend offer these kernels alone."""
    backend.KERNELS = kernels
    try:
        yield
    finally:
        backend.KERNELS = ALL


def floats(name: str, dtype: str = "float32", rows: int | None = None) -> real.Data:
    """Return a problem with pixels as floats of a dtype."""
    X, y = real.PROBLEMS[name]()
    scale = 255 if X.dtype == np.uint8 else 1
    return np.ascontiguousarray(X[:rows].astype(dtype) / np.dtype(dtype).type(scale)), y[:rows]


def fit(data: real.Data, **settings: Any) -> Task:
    """Return a fit to the minimum."""
    X, y = data
    given = {"tol": 1e-4, "max_iter": 500, "C": 1e4 / len(y), "scale": 1 / 255 if X.dtype == np.uint8 else 1} | settings
    return lambda: fastlr.LogisticRegression(**given).fit(X, y)


def descend(data: real.Data, **settings: Any) -> Task:
    """Return a training by gradient descent."""
    return lambda: fastlr.train(*data, **{"learning_rate": 0.001, **settings})


def predicted(data: real.Data, dtype: str) -> Task:
    """Return a prediction of all samples."""
    X, y = data
    model = fastlr.train(X[:2000], y[:2000], iterations=2, dtype=dtype).model
    return lambda: model.predict_proba(X)


def tasks() -> dict[str, dict[str, Callable[[], Task]]]:
    """Return, for each kernel, the tasks in which it is used."""
    pixels = real.PROBLEMS
    return {
        "project": {"predict MNIST, 10 classes, uint8": lambda: predicted(pixels["MNIST"](), "float32")},
        "predict": {
            "predict birds, uint8": lambda: predicted(pixels["birds"](), "float64"),
            "predict cats, uint8": lambda: predicted(pixels["cats"](), "float64"),
        },
        "combine": {"fit birds, uint8, lbfgs": lambda: fit(pixels["birds"](), solver="lbfgs", form="primal")},
        "multiply": {"fit MNIST, lbfgs": lambda: fit(floats("MNIST", rows=20_000), solver="lbfgs", tol=1e-3)},
        "loss_and_gradient": {
            "fit MNIST, float32": lambda: fit(floats("MNIST", rows=20_000), solver="lbfgs", tol=1e-3),
            "fit MNIST, uint8": lambda: fit(pixels["MNIST"](), solver="lbfgs", tol=1e-2),
            "fit MNIST Fourier, float64": lambda: fit(floats("MNIST, Fourier", "float64"), solver="lbfgs"),
        },
        "newton_steps": {
            f"fit {name}, newton": lambda name=name: fit(floats(name), solver="newton")
            for name in ("iris", "wine, scaled", "breast cancer")
        },
        "primal_conjugate_gradients": {
            "fit digits, scaled, float32": lambda: fit(floats("digits, scaled")),
            "fit digits, float64": lambda: fit(floats("digits", "float64")),
            "fit MNIST 3 and 8, float32": lambda: fit(floats("MNIST, 3 and 8")),
            "fit MNIST 3 and 8, uint8": lambda: fit(pixels["MNIST, 3 and 8"]()),
        },
        "gram_conjugate_gradients": {
            "fit cats, newton-cg": lambda: fit(pixels["cats"](), solver="newton-cg", form="gram"),
            "fit photographs, newton-cg": lambda: fit(pixels["photographs"](), solver="newton-cg", form="gram"),
        },
        "gram_steps": {"train cats": lambda: descend(pixels["cats"](), iterations=2000, form="gram")},
        "gram_network_steps": {
            "train a network of 4 on cats": lambda: descend(pixels["cats"](), iterations=500, form="gram", layers=(4,))
        },
        "primal_steps": {
            "train birds, uint8": lambda: descend(pixels["birds"](), iterations=30, form="primal"),
            "train MNIST 3 and 8, float32": lambda: descend(
                floats("MNIST, 3 and 8"), iterations=60, form="primal", dtype="float32"
            ),
        },
        "primal_network_steps": {
            "train a network of 4 on birds": lambda: descend(
                pixels["birds"](), iterations=10, form="primal", layers=(4,)
            ),
            "train a network of 4 on digits, 3 and 8": lambda: descend(
                floats("digits, 3 and 8"), iterations=1000, form="primal", layers=(4,)
            ),
        },
        "batch_steps": {
            "train birds in batches of 256": lambda: descend(pixels["birds"](), iterations=200, batch_size=256),
            "train birds in batches of 32": lambda: descend(pixels["birds"](), iterations=1000, batch_size=32),
            "train digits, 3 and 8, in batches of 32": lambda: descend(
                floats("digits, 3 and 8"), iterations=2000, batch_size=32
            ),
        },
        "the format of the Gram matrix": {
            "train cats": lambda: descend(pixels["cats"](), iterations=2000, form="gram"),
            "fit cats, newton": lambda: fit(pixels["cats"](), solver="newton", form="gram"),
        },
    }


def main() -> None:
    """Time every task with and without its kernel; print, or write, the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = tasks()
    parser.add_argument("--kernels", default=",".join(known))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if "FASTLR_DATA" not in os.environ:
        sys.exit("FASTLR_DATA: is not set; give the folder with cats, cifar10, photos and mnist")
    if unknown := [name for name in asked.kernels.split(",") if name not in known]:
        sys.exit(f"--kernels: {unknown[0]!r} is not known; choose of: {', '.join(known)}")
    warnings.simplefilter("ignore")
    rows = []
    for kernel in asked.kernels.split(","):
        left_out = GRAM if kernel not in ALL else (kernel,)
        others = {name: function for name, function in ALL.items() if name not in left_out}
        for task, make in known[kernel].items():
            run = make()

            def without(run: Task = run, others: dict[str, Any] = others) -> None:
                with only(others):
                    run()

            run(), without()  # compile
            seconds = measure.in_turn([run, without], asked.runs)
            ratios = [b / a for a, b in zip(*seconds, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            rows.append({"kernel": kernel, "task": task, "seconds": seconds, "ratio": ratios})
            shown = f"{kernel:29} {task:42} {1e3 * statistics.median(seconds[0]):8.1f} ms"
            print(f"{shown}   {low:.2f} {middle:.2f} {high:.2f}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps({"machine": measure.machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

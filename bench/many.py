"""Time what linear-probe users run beside one fit: many labels, few-shot subsets, layers, small problems, a probe.

    python bench/many.py [labels] [subsets] [layers] [small] [probe] [--json FILE]

Each part prints a table: seconds, medians of several turns with the fastest and slowest, and how many times as long the
other side takes. Both sides run in this process, in turn, with OMP_NUM_THREADS threads. The data are scikit-learn's and
those that FASTLR_DATA names; where a size is asked for that they do not have, they are drawn, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

import fastlr

Data = tuple[np.ndarray, np.ndarray]


def timed(tasks: dict[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    """Return the seconds of each task, which take turns; the first turn of each is not counted."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns + 1):
        for name, task in tasks.items():
            before = time.perf_counter()
            task()
            if turn:
                found[name].append(time.perf_counter() - before)
    return found


def shown(title: str, found: dict[str, list[float]], ours: str) -> dict[str, Any]:
    """Print a table of seconds and of how many times as long each took as ours, and return it."""
    print(title)
    base, rows = statistics.median(found[ours]), {}
    for name, seconds in found.items():
        median = statistics.median(seconds)
        rows[name] = {"seconds": seconds, "median": median, "ratio": median / base}
        print(
            f"    {name:44} {median:9.4f} s ({min(seconds):.4f} to {max(seconds):.4f})  {median / base:7.2f}",
            flush=True,
        )
    return {"title": title, "rows": rows}


def embeddings(m: int, n: int, classes: int, power: float, seed: int = 0) -> Data:
    """Return drawn features of length 1 in float32 whose covariance has eigenvalues 1 / i^power, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, m)
    X = (rng.normal(size=(classes, n))[y] * 0.35 + rng.normal(size=(m, n))) * np.arange(1, n + 1) ** (-power / 2)
    X = X @ np.linalg.qr(rng.normal(size=(n, n)))[0]
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def labels() -> Iterator[dict[str, Any]]:
    """A table of 80 labels, the rarest of one sample in 200, against one fit for each; 20,000 × 512, drawn."""
    for power in (0.0, 1.0):
        for dtype in (np.float32, np.float64):
            X = embeddings(20_000, 512, 10, power)[0].astype(dtype)
            rng = np.random.default_rng(1)
            scores = X @ rng.normal(size=(512, 80))
            scores = scores / scores.std(axis=0) + 0.7 * rng.normal(size=scores.shape)
            Y = scores > [
                np.quantile(s, 1 - rate) for s, rate in zip(scores.T, np.geomspace(0.5, 0.005, 80), strict=True)
            ]
            Y = Y.astype(np.int64)
            exact = fastlr.LogisticRegression(tol=1e-9, max_iter=1000).fit(X.astype(float), Y)
            each = OneVsRestClassifier(fastlr.LogisticRegression(tol=1e-9, max_iter=1000)).fit(
                X.astype(float), Y[:, ::20]
            )
            apart = np.abs(np.vstack([one.coef_ for one in each.estimators_]) - exact.coef_[::20]).max()

            def one_table(X: Any = X, Y: Any = Y) -> Any:
                return fastlr.LogisticRegression().fit(X, Y)

            def one_by_one(X: Any = X, Y: Any = Y) -> Any:
                return OneVsRestClassifier(fastlr.LogisticRegression()).fit(X, Y)

            found = timed({"fastlr, one table": one_table, "fastlr in OneVsRestClassifier": one_by_one}, 5)
            before = time.perf_counter()
            OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(X, Y[:, ::4])
            found["scikit-learn in OneVsRestClassifier (20 of 80)"] = [4 * (time.perf_counter() - before)]
            title = f"80 labels, 20,000 × 512 {np.dtype(dtype).name}, spectrum 1/i^{power:g}, drawn"
            yield shown(f"{title}; coefficients {apart:.0e} apart (tol 1e-9)", found, "fastlr, one table")


def few_shot(y: np.ndarray) -> list[np.ndarray]:
    """Return ten draws of 1, 2, 4, 8 and 16 samples of each class."""
    rng, members = np.random.default_rng(0), [np.flatnonzero(y == one) for one in np.unique(y)]
    return [
        np.concatenate([rng.permutation(of)[:size] for of in members]) for size in (1, 2, 4, 8, 16) for _ in range(10)
    ]


def subsets() -> Iterator[dict[str, Any]]:
    """Ten draws × five sizes × three values of l2, against a loop of scikit-learn's fits."""
    X, y = load_digits(return_X_y=True)
    problems = {"digits": (X / 16, y), "10,000 × 768, 10 classes, drawn": embeddings(10_000, 768, 10, 1.0)}
    if "FASTLR_DATA" in os.environ:
        data = fastlr.open_dataset(Path(os.environ["FASTLR_DATA"]) / "mnist")
        problems["MNIST's first 10,000 × 784"] = (data.rows[:10_000].astype(np.float32) / 255, data.labels[:10_000])
    values = [1e-3, 1e-2, 1e-1]
    for name, (X, y) in problems.items():
        chosen = few_shot(y)

        def loop(X: Any = X, y: Any = y, chosen: Any = chosen, **more: Any) -> list[list[Any]]:
            made = [
                [LogisticRegression(C=1 / (l2 * len(rows)), max_iter=5000, **more) for l2 in values] for rows in chosen
            ]
            return [[fit.fit(X[rows], y[rows]) for fit in of] for of, rows in zip(made, chosen, strict=True)]

        ours = fastlr.fit_many(X, y, subsets=chosen, l2=values, tol=1e-8).scores(X, y)["accuracy"]
        theirs = np.array([[fit.score(X, y) for fit in row] for row in loop(solver="newton-cg", tol=1e-8)])
        found = timed(
            {
                "fastlr.fit_many": lambda X=X, y=y, chosen=chosen: fastlr.fit_many(X, y, subsets=chosen, l2=values),
                "a loop of scikit-learn's newton-cg": lambda loop=loop: loop(solver="newton-cg"),
            },
            5,
        )
        before = time.perf_counter()
        loop()
        found["a loop of scikit-learn's lbfgs, once"] = [time.perf_counter() - before]
        apart = np.abs(ours - theirs).max()
        yield shown(
            f"150 few-shot fits on {name}; accuracies at most {apart:.1e} apart (tol 1e-8)", found, "fastlr.fit_many"
        )


def layers() -> Iterator[dict[str, Any]]:
    """A batch of 24 layers, 2,000 × 512 each, against a loop of our own fits; drawn."""
    for classes in (2, 10):
        for power in (0.0, 1.0):
            y = embeddings(2000, 512, classes, power)[1]
            X = np.stack([embeddings(2000, 512, classes, power, seed)[0] for seed in range(24)]) * np.float32(10)
            labels = np.stack([embeddings(2000, 512, classes, power, seed)[1] for seed in range(24)])
            tasks: dict[str, Callable[[], Any]] = {
                "fastlr.fit_many": lambda X=X, labels=labels: fastlr.fit_many(X, labels, l2=[1 / 2000]),
                "a loop of fastlr's fits": lambda X=X, labels=labels: [
                    fastlr.LogisticRegression().fit(*one) for one in zip(X, labels, strict=True)
                ],
            }
            try:
                import torch
            except ImportError:
                pass
            else:
                there, of = torch.from_numpy(X), torch.from_numpy(labels)
                tasks["fastlr.fit_many on PyTorch"] = lambda there=there, of=of: fastlr.fit_many(
                    there, of, l2=[1 / 2000], backend="torch"
                )
                tasks["a loop of fastlr's fits on PyTorch"] = lambda there=there, of=of: [
                    fastlr.LogisticRegression(backend="torch").fit(*one) for one in zip(there, of, strict=True)
                ]
            title = f"24 layers, 2,000 × 512 float32, {len(np.unique(y))} classes, spectrum 1/i^{power:g}, drawn"
            yield shown(title, timed(tasks, 5), "fastlr.fit_many")


def small() -> Iterator[dict[str, Any]]:
    """Small problems: fit and predict against scikit-learn's solvers, medians of 30."""
    rng, problems = np.random.default_rng(0), {}
    for name, load in (("iris", load_iris), ("wine", load_wine), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        problems[f"{name}, scaled"] = StandardScaler().fit_transform(X), y
    problems["digits"] = load_digits(return_X_y=True)
    for m, n, classes in ((80, 768, 10), (512, 384, 2)):
        y = rng.integers(0, classes, m)
        problems[f"{m} × {n}, {classes} classes, drawn"] = (
            rng.normal(size=(classes, n))[y] * 0.15 + rng.normal(size=(m, n)),
            y,
        )
    for name, (X, y) in problems.items():
        ours, fits = fastlr.LogisticRegression(max_iter=10_000), {}
        fits["fastlr, fit"] = lambda X=X, y=y, ours=ours: ours.fit(X, y)
        solvers = (
            ("lbfgs", "newton-cg", "newton-cholesky")
            if X.shape[1] * len(np.unique(y)) < 400
            else ("lbfgs", "newton-cg")
        )
        for solver in solvers:
            peer = LogisticRegression(solver=solver, max_iter=10_000)
            fits[f"scikit-learn's {solver}, fit"] = lambda X=X, y=y, peer=peer: peer.fit(X, y)
        yield shown(name, timed(fits, 30), "fastlr, fit")
        answers = {
            "fastlr, predict": lambda X=X, ours=ours: ours.predict(X),
            "scikit-learn, predict": lambda X=X, peer=peer: peer.predict(X),
        }
        yield shown(f"{name}: predict", timed(answers, 30), "fastlr, predict")


def probe() -> Iterator[dict[str, Any]]:
    """MNIST's pixels, 50,000 + 10,000: 12 values of l2, against scikit-learn's GridSearchCV; FASTLR_DATA is needed."""
    data = fastlr.open_dataset(Path(os.environ["FASTLR_DATA"]) / "mnist")
    train, validation = data.holdout(10_000, 0)
    X, y = (np.concatenate([getattr(part, name) for part in (train, validation)]) for name in ("rows", "labels"))
    X, fold, l2 = X.astype(np.float32) / 255, np.repeat([-1, 0], [50_000, 10_000]), np.geomspace(1e-6, 10, 12)
    path = fastlr.path(X[:50_000], y[:50_000], l2=l2, folds=(X[50_000:], y[50_000:]))
    tasks = {"fastlr.path": lambda: fastlr.path(X[:50_000], y[:50_000], l2=l2, folds=(X[50_000:], y[50_000:]))}
    found, chosen = timed(tasks, 3), [f"fastlr {path.best_l2:.3g}"]
    # Its default solver alone, and once: it takes minutes.
    peer = LogisticRegression(max_iter=2000)
    search = GridSearchCV(peer, {"C": list(1 / (l2 * 50_000))}, cv=PredefinedSplit(fold), refit=False)
    before = time.perf_counter()
    search.fit(X, y)
    found["GridSearchCV, lbfgs"] = [time.perf_counter() - before]
    chosen.append(f"GridSearchCV {l2[search.best_index_]:.3g}")
    yield shown(f"MNIST, 12 values of l2 on a validation set; chosen: {', '.join(chosen)}", found, "fastlr.path")


PARTS = {"labels": labels, "subsets": subsets, "layers": layers, "small": small, "probe": probe}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; choose {', '.join(PARTS)}")
    warnings.simplefilter("ignore")
    tables = [{"part": part} | table for part in given.parts or PARTS for table in PARTS[part]()]
    if given.json is not None:
        threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
        given.json.write_text(json.dumps({"threads": threads, "tables": tables}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""fastlr's fits to the minimum against scikit-learn and others: the time to a quality, not the time to return.

    python bench/versus_converged.py [--problems cats,birds] [--runs 5] [--out bench/results/NAME.json]

All minimise the mean log-loss plus l2/2 ‖W‖², the intercept free, C = 1. Each solver is tried from a loose tolerance to
a tight one, and what is timed is the first at which its objective, computed here in float64, is within 1e-4 of the
lowest that anyone found; in a second column within 1e-8. All are timed in turn, in one process, on OMP_NUM_THREADS
threads. Where `fastlr` is given uint8 pixels, the others have their float64 copy, made outside the clock. `path` is a
cross-validation of 96 values of l2 on 5 folds, in which the worst of all 480 fits must have the quality.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastlr
from fastlr.benchmark import measure
from fastlr.benchmark.cases import open_problem

QUALITIES = (1e-4, 1e-8)
SHORT = 0.1  # seconds up to which every solver is timed in turn
LONGEST = 16.0  # seconds after which a solver is not tried with a tighter tolerance
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10)
Coefficients = tuple[np.ndarray, np.ndarray]  # W (outputs, n) and b (outputs,)


@dataclass(frozen=True, eq=False)
class Task:
    """Samples and labels: `X` as the others read it, and as `fastlr` does where that is not the same."""

    name: str
    X: np.ndarray
    y: np.ndarray
    pixels: np.ndarray | None = None
    source: str = "drawn"
    penalty: float | None = None  # l2; None is 1 / m, which is C = 1

    @property
    def classes(self) -> int:
        """Return how many classes there are."""
        return int(self.y.max()) + 1

    @property
    def l2(self) -> float:
        """Return l2."""
        return 1 / len(self.y) if self.penalty is None else self.penalty

    @property
    def C(self) -> float:
        """Return scikit-learn's C, 1 / (m l2)."""
        return 1 / (len(self.y) * self.l2)

    def objective(self, W: np.ndarray, b: np.ndarray) -> float:
        """Return the mean loss plus l2/2 ‖W‖², in float64."""
        return objective(self.X, self.y, np.asarray(W, np.float64), np.asarray(b, np.float64), self.l2)


def objective(X: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray, l2: float) -> float:
    """Return the mean loss plus l2/2 ‖W‖²."""
    Z = np.asarray(X, np.float64) @ W.T + b
    if Z.shape[1] == 1:
        Z = np.concatenate([np.zeros_like(Z), Z], axis=1)
    top = Z.max(axis=1)
    losses = top + np.log(np.exp(Z - top[:, np.newaxis]).sum(axis=1)) - Z[np.arange(len(y)), y]
    return float(losses.mean() + l2 / 2 * (W * W).sum())


def photographs(m: int, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures whose amplitudes fall as 1 / frequency, as those of photographs do, and labels of them.

    The labels are the sign of a projection on such a picture, a tenth of them turned round. Source of the spectrum:
    D. Field, Relations between the statistics of natural images and the response properties of cortical cells, 1987.
    """
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = 1 / side

    def fields(count: int) -> np.ndarray:
        drawn = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, 3, side, side))) / frequency).real
        drawn += drawn.mean(axis=1, keepdims=True)  # the channels have much in common
        return drawn / drawn.std(axis=(1, 2, 3), keepdims=True)

    pictures, pattern = fields(m), fields(1)
    score = (pictures * pattern).sum(axis=(1, 2, 3))
    labels = (score > np.median(score)).astype(int)
    turned = rng.random(m) < 0.1
    pixels = np.clip(128 + 50 * pictures, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels).reshape(m, -1), np.where(turned, 1 - labels, labels)


def embeddings(m: int, n: int, classes: int, distance: float, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw features of Gaussian classes whose variances decay as 1 / i, turned so that no feature stands alone."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, n + 1) ** -0.5
    turn, _ = np.linalg.qr(rng.normal(size=(n, n)))
    means = distance * rng.normal(size=(classes, n)) * scale
    y = rng.integers(0, classes, m)
    X = (means[y] + rng.normal(size=(m, n)) * scale) @ turn * np.sqrt(n / (scale**2).sum())
    return X.astype(dtype), y


def open_task(name: str) -> Task:
    """Return a problem: real pixels where FASTLR_DATA has them."""
    if name in ("cats", "birds"):
        p = open_problem(name)
        return Task(name, p.pixels / 255, p.data.labels, p.pixels, p.source)
    if name in ("planes", "beans"):
        pixels, y = photographs(*{"planes": (1500, 64), "beans": (1034, 100)}[name])
        return Task(name, pixels / 255, y, pixels)
    if name == "embeddings":
        return Task(name, *embeddings(50_000, 512, 10, 0.1, np.float32))
    raise SystemExit(f"--problems: {name!r} is not known; choose {', '.join((*NAMES, 'path'))}")


NAMES = ("cats", "birds", "planes", "beans", "embeddings")
Fit = Callable[[Task, float], Coefficients]


def ours(task: Task, tol: float) -> Coefficients:
    """Fit with `fastlr`: `train` on pixels, the estimator on features."""
    if task.pixels is None:
        clf = fastlr.LogisticRegression(C=task.C, tol=tol, max_iter=1000).fit(task.X, task.y)
        return clf.coef_, clf.intercept_
    run = fastlr.train(task.pixels, task.y, solver="auto", l2=task.l2, tol=tol)
    (layer,) = run.model.layers
    return layer.W, layer.b[:, 0]


def scikit_learn(solver: str, module: str = "sklearn.linear_model") -> Fit:
    """Return the fit of scikit-learn with a solver, or of what stands in for it."""

    def fit(task: Task, tol: float) -> Coefficients:
        estimator = importlib.import_module(module).LogisticRegression
        clf = estimator(C=task.C, solver=solver, tol=tol, max_iter=10_000).fit(task.X, task.y)
        return clf.coef_, clf.intercept_

    return fit


def cyanure(task: Task, tol: float) -> Coefficients:
    """Fit with cyanure."""
    from cyanure.estimators import Classifier

    loss = "logistic" if task.classes == 2 else "multiclass-logistic"
    clf = Classifier(
        loss=loss, penalty="l2", lambda_1=task.l2, tol=tol, max_iter=2000, fit_intercept=True, verbose=False
    )
    clf.fit(task.X, task.y)
    W = np.atleast_2d(np.asarray(clf.coef_))
    return (W if W.shape[1] == task.X.shape[1] else W.T), np.ravel(clf.intercept_)


def torch(task: Task, tol: float) -> Coefficients:
    """Fit with PyTorch's L-BFGS and its line search."""
    import torch as library

    library.set_num_threads(measure.threads())
    X = library.from_numpy(task.X)
    outputs = 1 if task.classes == 2 else task.classes
    y = library.from_numpy(task.y) if outputs > 1 else library.from_numpy(task.y.astype(task.X.dtype))
    W = library.zeros((outputs, X.shape[1]), dtype=X.dtype, requires_grad=True)
    b = library.zeros(outputs, dtype=X.dtype, requires_grad=True)
    optimizer = library.optim.LBFGS(
        [W, b], max_iter=5000, tolerance_grad=tol, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        optimizer.zero_grad()
        Z = X @ W.T + b
        if outputs == 1:
            loss = library.nn.functional.binary_cross_entropy_with_logits(Z[:, 0], y)
        else:
            loss = library.nn.functional.cross_entropy(Z, y)
        value = loss + task.l2 / 2 * (W * W).sum()
        value.backward()
        return value

    optimizer.step(closure)
    return W.detach().numpy(), b.detach().numpy()


def peers(task: Task) -> dict[str, Fit]:
    """Return the others that fit such a problem and are installed here."""
    names = ["lbfgs", "newton-cg"]
    small = task.X.shape[1] <= 4000 and task.X.size <= 2e7  # on 10,000 × 3,072 it takes more than ten minutes
    names += ["liblinear"] if task.classes == 2 and small else []
    names += ["newton-cholesky"] if task.X.shape[1] * (1 if task.classes == 2 else task.classes) <= 1000 else []
    found = {f"scikit-learn {name}": scikit_learn(name) for name in names}
    if importlib.util.find_spec("sklearnex"):
        found["scikit-learn-intelex"] = scikit_learn("lbfgs", "sklearnex.linear_model")
    if importlib.util.find_spec("cyanure"):
        found["cyanure"] = cyanure
    if importlib.util.find_spec("torch"):
        found["torch L-BFGS"] = torch
    return found


@dataclass(frozen=True)
class Trial:
    """A fit with a tolerance: the objective it led to, and in how many seconds."""

    tol: float
    objective: float
    seconds: float


def search(task: Task, fit: Fit, enough: float = -np.inf) -> list[Trial]:
    """Return fits with ever tighter tolerances, until one has an objective that is enough, or took too long."""
    found: list[Trial] = []
    for tol in TOLERANCES:
        result: list[Coefficients] = []
        seconds = measure.timed(lambda tol=tol, result=result: result.append(fit(task, tol)))
        found.append(Trial(tol, task.objective(*result[0]), seconds))
        if found[-1].objective <= enough or seconds > LONGEST:
            break
    return found


def compare(task: Task, runs: int, qualities: Sequence[float] = QUALITIES) -> dict[str, Any]:
    """Find each one's tolerance for each quality, and time it in turn with `fastlr`.

    What takes more than twice as long as the fastest of the others keeps the seconds of its one trial, if that is not
    short; it is not the fastest then, whatever the trial of another time says.
    """
    fits = {"fastlr": ours} | peers(task)
    ours(task, TOLERANCES[0])  # compiles
    found = {"fastlr": search(task, ours)}
    lowest = min(trial.objective for trial in found["fastlr"])
    found |= {name: search(task, fit, lowest * (1 + qualities[-1])) for name, fit in fits.items() if fit is not ours}
    best = min(trial.objective for each in found.values() for trial in each)
    row: dict[str, Any] = {
        "problem": task.name, "data": task.source, "m": len(task.y), "n": task.X.shape[1], "classes": task.classes,
        "dtype": str((task.X if task.pixels is None else task.pixels).dtype), "l2": task.l2, "objective": best,
        "qualities": {},
    }  # fmt: skip
    for quality in qualities:
        within = best * (1 + quality)
        first = {name: next((t for t in each if t.objective <= within), None) for name, each in found.items()}
        able = {name: trial for name, trial in first.items() if trial is not None}
        fastest = min((trial.seconds for name, trial in able.items() if name != "fastlr"), default=np.inf)
        few = max(2 * fastest, SHORT)
        timed = [name for name, trial in able.items() if name == "fastlr" or trial.seconds <= few]
        jobs = [partial(fits[name], task, able[name].tol) for name in timed]
        times = dict(zip(timed, measure.in_turn(jobs, runs), strict=True))
        cells: dict[str, Any] = dict.fromkeys(fits)
        for name, trial in able.items():
            seconds, mine = times.get(name, [trial.seconds]), times.get("fastlr", [np.nan])
            mine = mine if len(mine) == len(seconds) else [statistics.median(mine)] * len(seconds)
            cells[name] = {"tol": trial.tol, "seconds": seconds, "ratio": ratio(seconds, mine)}
        row["qualities"][f"{quality:.0e}"] = cells
    return row


def ratio(theirs: Sequence[float], mine: Sequence[float]) -> dict[str, float]:
    """Return the median and the range of the ratios, turn by turn."""
    return measure.spread([a / b for a, b in zip(theirs, mine, strict=True)])


def compare_paths(runs: int) -> dict[str, Any]:
    """Time the cross-validation of 96 values of l2 on 5 folds, against scikit-learn with its fastest solver there."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    X, y = embeddings(5000, 768, 2, 0.05, np.float64)
    l2 = np.geomspace(1e-6, 1e2, 96)
    splits = list(StratifiedKFold(5).split(X, y))
    settings = {"Cs": 1 / (4000 * l2), "cv": splits, "scoring": "accuracy", "l1_ratios": (0.0,)}

    def theirs(solver: str, tol: float) -> Any:
        more = {"use_legacy_attributes": False, "max_iter": 10_000}
        return LogisticRegressionCV(solver=solver, tol=tol, **more, **settings).fit(X, y)

    def mine(tol: float) -> Any:
        return fastlr.LogisticRegressionCV(tol=tol, max_iter=1000, **settings).fit(X, y)

    def objectives(clf: Any) -> np.ndarray:
        each = np.reshape(clf.coefs_paths_, (5, 96, 769))
        return np.array([
            [objective(X[train], y[train], w[np.newaxis, :-1], w[-1:], value) for w, value in zip(row, l2, strict=True)]
            for (train, _), row in zip(splits, each, strict=True)
        ])  # fmt: skip

    fits = {"fastlr": mine} | {
        f"scikit-learn {name}": lambda tol, name=name: theirs(name, tol) for name in ("newton-cg",)
    }
    best = objectives(mine(1e-9))
    chosen, gaps = {}, {}
    for name, fit in fits.items():
        for tol in (3e-4, 1e-4, 3e-5, 1e-5, 3e-6):
            worst = float((objectives(fit(tol)) / best - 1).max())
            if worst <= QUALITIES[0]:
                chosen[name], gaps[name] = tol, worst
                break
    times = dict(
        zip(chosen, measure.in_turn([lambda n=n, t=t: fits[n](t) for n, t in chosen.items()], runs), strict=True)
    )
    return {
        "problem": "path", "data": "drawn", "m": 5000, "n": 768, "classes": 2, "dtype": "float64", "values": 96,
        "folds": 5, "qualities": {
            f"{QUALITIES[0]:.0e}": {
                name: {"tol": chosen[name], "worst_gap": gaps[name], "seconds": times[name],
                       "ratio": ratio(times[name], times["fastlr"])}
                for name in chosen
            }
        },
    }  # fmt: skip


def show(row: dict[str, Any]) -> None:
    """Print a row: the fastest of scikit-learn's solvers against ours, and the fastest of the others."""
    print(f"{row['problem']:10} {row['m']}×{row['n']}, {row['classes']} classes")
    for quality, each in row["qualities"].items():
        reached = {name: cell for name, cell in each.items() if cell}
        for name, cell in sorted(reached.items(), key=lambda item: statistics.median(item[1]["seconds"])):
            spread, seconds = cell["ratio"], cell["seconds"]
            times = f"({spread['min']:.1f} to {spread['max']:.1f})" if len(seconds) > 1 else "(once)"
            print(
                f"    {quality}  {name:30} {statistics.median(seconds):8.3f} s  {spread['median']:6.1f}× {times}",
                flush=True,
            )
        for name in each.keys() - reached.keys():
            print(f"    {quality}  {name:30}  not reached", flush=True)


def main() -> None:
    """Run the comparison and print, or write, its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join((*NAMES, "path")))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in arguments.problems.split(","):
        rows.append(compare_paths(arguments.runs) if name == "path" else compare(open_task(name), arguments.runs))
        show(rows[-1])
    if arguments.out:
        machine = measure.machine()
        for name in ("scikit-learn", "scikit-learn-intelex", "cyanure", "torch"):
            try:
                machine["versions"][name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                machine["versions"][name] = None
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

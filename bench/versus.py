"""The textbook's loop, PyTorch and JAX against `fastlr.train`, in turn, in one process, on the same threads.

    python bench/versus.py [--problems cats,birds] [--runs 5] [--out bench/results/NAME.json]

`fastlr`'s costs are first checked against the textbook's at every recording; what differs by more than 1e-9 is not
timed. `fastlr.train` is timed whole, from uint8 pixels to the finished run. The textbook's loop, PyTorch's eager loop
and JAX's compiled `fori_loop`, the last two where they are installed, are timed on `--loop-steps` of their steps, all
alike, and counted for as many as the problem has; their float64 copy of the pixels is made outside the clock.

`sweep` trains eight learning rates on the birds at once, against eight textbook runs. `predict` is the fused kernel
on 20,000 × 12,288 pixels against NumPy's expression. `network` is the 4-3-2-1 network on the beans' shape against the
textbook's functions for networks. `digits` is one epoch of a softmax on 60,000 × 784 pixels in mini-batches of 256,
against the same steps in PyTorch. OMP_NUM_THREADS says how many threads all of them use.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastlr
from fastlr import textbook
from fastlr.backends import choose_backend
from fastlr.benchmark import measure
from fastlr.benchmark.cases import SHAPES, Problem, open_problem
from fastlr.benchmark.check import MismatchError, check_costs, float_pixels

RATES = 8  # learning rates of the sweep
TURN = 0.5  # seconds that a turn lasts at least
PREDICTED = (20_000, 12_288)
HIDDEN = (4, 3, 2)
BATCH = 256

Loop = Callable[[], Any]


def torch_loop(problem: Problem, steps: int) -> Loop:
    """Return so many steps of the textbook in PyTorch, eager, on the CPU."""
    import torch

    torch.set_num_threads(measure.threads())
    X, Y = torch.from_numpy(float_pixels(problem)), torch.from_numpy(problem.data.labels[np.newaxis].astype(float))
    rate, m = problem.shape.learning_rate, problem.shape.m

    def run() -> None:
        w, b = torch.zeros((X.shape[0], 1), dtype=X.dtype), torch.zeros((), dtype=X.dtype)
        for _ in range(steps):
            D = torch.sigmoid(w.T @ X + b) - Y
            w -= rate / m * (X @ D.T)
            b -= rate * D.mean()

    return run


def jax_loop(problem: Problem, steps: int) -> Loop:
    """Return so many steps of the textbook in JAX, one compiled `fori_loop`, on the CPU."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        X, Y = jnp.asarray(float_pixels(problem)), jnp.asarray(problem.data.labels[np.newaxis].astype(float))
    rate, m = problem.shape.learning_rate, problem.shape.m

    def step(_: Any, state: Any) -> Any:
        w, b = state
        D = jax.nn.sigmoid(w.T @ X + b) - Y
        return w - rate / m * (X @ D.T), b - rate * D.mean()

    compiled = jax.jit(lambda w, b: jax.lax.fori_loop(0, steps, step, (w, b)))

    def run() -> None:
        with jax.enable_x64(True):
            jax.block_until_ready(compiled(jnp.zeros((X.shape[0], 1)), jnp.zeros(())))

    return run


OTHERS = {"torch": torch_loop, "jax": jax_loop}


def compare(p: Problem, runs: int, loop_steps: int, rates: int) -> dict[str, Any]:
    """Check, then time one training, or a sweep of that many learning rates, against as many runs of each loop."""
    X, Y = float_pixels(p), p.data.labels[np.newaxis].astype(float)
    w, b = textbook.init_params(p.shape.n)
    steps, rate = p.shape.steps, p.shape.learning_rate
    all_rates = [rate * 0.9**i for i in range(rates)]

    def ours() -> list[fastlr.Run]:
        if rates == 1:
            return [fastlr.train(p.data, iterations=steps, learning_rate=rate)]
        return fastlr.sweep(p.data, iterations=steps, learning_rates=all_rates)

    runs_of_ours = ours()  # compiles, too
    worst = 0.0
    # Two of the sweep are checked here, all of them in the tests.
    for one, each in list(zip(runs_of_ours, all_rates, strict=True))[:2]:
        worst = max(worst, check_costs(one.costs, textbook.optimize(w, b, X, Y, steps, each)[2], one.dtype, 100))
    timed = min(loop_steps, steps)
    loops: dict[str, Loop] = {"textbook": lambda: textbook.optimize(w, b, X, Y, timed, rate)}
    if rates == 1:
        loops |= {name: make(p, timed) for name, make in OTHERS.items() if importlib.util.find_spec(name)}
    for loop in loops.values():
        loop()
    *theirs, mine = measure.in_turn([*loops.values(), ours], runs, TURN)
    first = runs_of_ours[0]
    return {
        "problem": p.name if rates == 1 else "sweep", "pixels": p.source, "m": p.shape.m, "n": p.shape.n,
        "steps": steps, "models": rates, "form": first.form, "backend": first.backend, "dtype": first.dtype,
        "device": first.device, "worst_cost_difference": worst, "loop_steps_timed": timed, "fastlr_seconds": mine,
        "others": {
            name: against([each * rates * steps / timed for each in seconds], mine)
            for name, seconds in zip(loops, theirs, strict=True)
        },
    }  # fmt: skip


def compare_predictions(runs: int) -> dict[str, Any]:
    """Check, then time the fused kernel against NumPy's expression."""
    m, n = PREDICTED
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (m, n), dtype=np.uint8)
    W, b = rng.normal(size=(1, n)) / n, np.zeros((1, 1))
    kernel = choose_backend("numba").kernels["predict"]

    def expression() -> Any:
        return 1 / (1 + np.exp(-(W @ (X.T / 255) + b)))

    worst = check_costs(list(kernel(W, b, X.T, 1 / 255)[0]), list(expression()[0]), "float64")
    theirs, mine = measure.in_turn([expression, lambda: kernel(W, b, X.T, 1 / 255)], runs)
    return {
        "problem": "predict", "pixels": "drawn", "m": m, "n": n, "models": 1, "backend": "numba", "dtype": "float64",
        "device": "cpu", "worst_difference": worst, "fastlr_seconds": mine, "others": {"numpy": against(theirs, mine)},
    }  # fmt: skip


def compare_network(runs: int, loop_steps: int) -> dict[str, Any]:
    """Check, then time the training of a network against the textbook's functions."""
    p, steps, rate = open_problem("beans"), 1000, 0.001
    X, Y = float_pixels(p), p.data.labels[np.newaxis].astype(float)
    drawn = textbook.initialise_parameters([p.shape.n, *HIDDEN, 1], seed=0)

    def ours(count: int = steps, every: int = 100) -> fastlr.Run:
        return fastlr.train(p.data, iterations=count, learning_rate=rate, layers=HIDDEN, record_every=every)

    checked = ours(loop_steps, 1)
    costs = textbook.train_network(X, Y, drawn, loop_steps, rate, 1)[1]
    worst = check_costs(checked.costs, costs, checked.dtype)
    ours()
    theirs, mine = measure.in_turn([lambda: textbook.train_network(X, Y, drawn, loop_steps, rate), ours], runs, TURN)
    return described("network", p.source, checked, mine, worst) | {
        "steps": steps, "loop_steps_timed": loop_steps, "layers": HIDDEN,
        "others": {"textbook": against([seconds * steps / loop_steps for seconds in theirs], mine)},
    }  # fmt: skip


def compare_batches(runs: int) -> dict[str, Any]:
    """Check, then time an epoch of mini-batches against the textbook's functions, and PyTorch where it is installed."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (60_000, 784), dtype=np.uint8), rng.integers(0, 10, 60_000)
    steps, rate = -(-len(labels) // BATCH), 0.01
    order = np.random.default_rng([0, 0]).permutation(len(labels))  # as fastlr draws it
    batches = [order[start : start + BATCH] for start in range(0, len(labels), BATCH)]
    one_hot = np.eye(10)[:, labels]

    def ours(every: int = steps) -> fastlr.Run:
        settings = {"iterations": steps, "learning_rate": rate, "batch_size": BATCH, "record_every": every}
        return fastlr.train(pixels, labels, **settings)

    def book() -> dict[str, Any]:
        now = {"W1": np.zeros((10, 784)), "b1": np.zeros((10, 1))}
        for some in batches:
            grads = textbook.back_prop(textbook.forward_prop(pixels[some].T / 255, now), now, one_hot[:, some])
            now = {name: value - rate * grads[f"d{name}"] for name, value in now.items()}
        return now

    run = ours()
    wanted, got = book()["W1"], run.model.layers[0].W
    worst = float(np.abs(got - wanted).max() / np.abs(wanted).max())
    if worst > 1e-9:
        raise MismatchError(f"the weights differ by {worst}")
    loops: dict[str, Loop] = {"textbook": book}
    if importlib.util.find_spec("torch"):
        loops["torch"] = torch_batches(pixels, labels, batches, rate)
        loops["torch"]()
    *theirs, mine = measure.in_turn([*loops.values(), ours], runs, TURN)
    return described("digits", "drawn", run, mine, worst) | {
        "steps": steps, "batch_size": BATCH, "classes": 10,
        "others": {name: against(seconds, mine) for name, seconds in zip(loops, theirs, strict=True)},
    }  # fmt: skip


def torch_batches(pixels: np.ndarray, labels: np.ndarray, batches: list[np.ndarray], rate: float) -> Loop:
    """Return the same epoch in PyTorch: its own cross entropy, gradients and optimizer, float64."""
    import torch

    torch.set_num_threads(measure.threads())
    X, y, picked = torch.from_numpy(pixels), torch.from_numpy(labels), [torch.from_numpy(some) for some in batches]

    def run() -> None:
        W, b = (torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in ((784, 10), (10,)))
        optimizer = torch.optim.SGD([W, b], lr=rate)
        for some in picked:
            loss = torch.nn.functional.cross_entropy(X[some].to(torch.float64) / 255 @ W + b, y[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def described(name: str, pixels: str, run: fastlr.Run, seconds: list[float], worst: float) -> dict[str, Any]:
    """Return what is said of a run of ours beside its figure."""
    return {
        "problem": name, "pixels": pixels, "m": run.n_train, "n": run.n_features, "models": 1, "form": run.form,
        "backend": run.backend, "dtype": run.dtype, "device": run.device, "worst_difference": worst,
        "fastlr_seconds": seconds,
    }  # fmt: skip


def against(theirs: list[float], mine: list[float]) -> dict[str, Any]:
    """Return the seconds, and their ratio to ours, turn by turn."""
    return {"seconds": theirs, "ratio": measure.spread([a / b for a, b in zip(theirs, mine, strict=True)])}


def show(row: dict[str, Any]) -> None:
    """Print a row of the table."""
    print(
        f"{row['problem']:8}{row['m']:6}×{row['n']:<6} fastlr {statistics.median(row['fastlr_seconds']):8.4f} s", end=""
    )
    for name, other in row["others"].items():
        ratio = other["ratio"]
        seconds = statistics.median(other["seconds"])
        print(f"   {name} {seconds:.3f} s, {ratio['median']:.1f}× ({ratio['min']:.1f} to {ratio['max']:.1f})", end="")
    print(flush=True)


def main() -> None:
    """Run the comparison and print, or write, its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join((*SHAPES, "sweep", "predict", "network", "digits")))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--loop-steps", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.problems.split(","):
        try:
            if name == "predict":
                rows.append(compare_predictions(arguments.runs))
            elif name == "network":
                rows.append(compare_network(arguments.runs, min(arguments.loop_steps, 30)))
            elif name == "digits":
                rows.append(compare_batches(arguments.runs))
            else:
                p = open_problem("birds" if name == "sweep" else name)
                rows.append(compare(p, arguments.runs, arguments.loop_steps, RATES if name == "sweep" else 1))
        except MismatchError as error:
            sys.exit(f"not timed: {name}: {error}")
        show(rows[-1])
    if arguments.out:
        machine = measure.machine() | {"copy_bytes_per_second": measure.copy_bandwidth()}
        machine["versions"] |= {
            name: importlib.metadata.version(name) for name in OTHERS if importlib.util.find_spec(name)
        }
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

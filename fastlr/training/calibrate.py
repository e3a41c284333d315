"""Measuring what a backend's work costs on this machine: the ratios decide what "auto" takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fastlr import core
from fastlr.backends import DTYPES, Backend, Costs, choose_backend, survey
from fastlr.objectives.gram import GramForm
from fastlr.objectives.passes import fuses, loss_and_gradient
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.protocol import Vector

UNITS = 10
RUNS = 5
LONGEST = 0.05  # seconds, after which a piece of work is not repeated


def calibrate() -> list[tuple[Backend, Costs]]:
    """Return the costs of every backend that runs here, on the device that it takes by itself."""
    backends = [choose_backend(row["name"], dtype=dtype) for row in survey() if row["runs"] for dtype in DTYPES]
    return [(backend, measure(backend)) for backend in backends]


def measure(backend: Backend, n: int = 1000, m: int = 6000, few: int = 1000) -> Costs:
    """Return a backend's nanoseconds for each number, on pixels where it reads them.

    The floats are more than a CPU's caches hold, as most data are. K is that of `few` samples.
    """
    rng = np.random.default_rng(0)
    with backend.scope():
        xp, kernels = backend.xp, backend.kernels
        pixels = rng.integers(0, 256, (m, n), dtype=np.uint8)
        X = (backend.asarray(pixels) if "uint8" in backend.reads else backend.floats(pixels)).T
        W, b = (backend.floats(rng.normal(size=(1, UNITS, count)) / n) for count in (n, 1))
        one = PrimalForm.of(X, W[:, :1, :], 1 / 255, kernels)
        floats = backend.floats(pixels / 255).T
        some = PrimalForm.of(floats, W, 1.0, kernels)
        labels, some_X = backend.asarray(rng.integers(0, UNITS, m)), X[:, :few]
        gram = GramForm.of(some_X, 0 * W[:, :1, :], 1 / 255, kernels)
        C = backend.floats(rng.normal(size=(1, 1, few + 1)))

        def seconds(work: Callable[[], object]) -> float:
            """Return the shortest time of a few, of which the first may compile."""
            times = []
            for _ in range(RUNS + 1):
                began = time.perf_counter()
                backend.synchronize(work())
                times.append(time.perf_counter() - began)
                if len(times) > 1 and times[-1] > LONGEST:
                    break
            return 1e9 * min(times[1:])

        primal = seconds(lambda: one.gradient(one.logits(W[:, :1, :], b[:, :1, :]))) / (n * m)
        fused = UNITS * primal
        if fuses(kernels, UNITS, n, np.dtype(backend.dtype).itemsize):
            fused = seconds(lambda: list(loss_and_gradient(some, Vector(W, b), labels, None, m))) / (n * m)
        return Costs(
            primal=primal,
            gram=seconds(lambda: gram.logits(C, 0 * b[:, :1, :])) / few**2,
            product=seconds(lambda: GramForm.of(some_X, 0 * W[:, :1, :], 1 / 255, kernels).K) / (n * few**2),
            fused=fused / UNITS,
            dense=seconds(lambda: core.second_moments(floats, getattr(xp, backend.dtype))) / (n * n * m),
        )

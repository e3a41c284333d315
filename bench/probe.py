"""Time a linear probe: one fit to the minimum, and the path of 96 values of l2, on embeddings of many classes.

    python bench/probe.py [--samples 1281167] [--features 768] [--classes 1000] [--dtype float16] [--values 96]

The embeddings are drawn from Gaussian classes. The fit's tolerance is the loosest of 1e-2, 1e-3, … whose objective is
within 1e-4 of that at a hundredth of it. Prints JSON: seconds, iterations, and the peak of the host's memory and of the
device's, as the array library counts it. FASTLR_BACKEND and FASTLR_DEVICE choose where it runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import numpy as np

import fastlr
from fastlr.backends import choose_backend

QUALITY = 1e-4
L2 = 1e-4
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
CHUNK = 65_536  # samples that are drawn at a time


def draw(m: int, n: int, classes: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings (m, n) around a mean of each class, and their labels."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(classes, n)).astype(np.float32) / 2
    y, X = rng.integers(0, classes, m), np.empty((m, n), dtype)
    for start in range(0, m, CHUNK):
        part = slice(start, min(start + CHUNK, m))
        X[part] = means[y[part]] + rng.standard_normal((part.stop - start, n), np.float32)
    return X, y


def objective(run: fastlr.Run) -> float:
    """Return the mean loss plus l2/2 ‖W‖² at the end of a run."""
    (layer,) = run.model.layers
    return float(run.costs[-1] + L2 / 2 * (np.asarray(layer.W, np.float64) ** 2).sum())


def device_bytes(name: str) -> int | None:
    """Return the most that the array library has held on its device, where it counts that."""
    if name == "cupy":
        import cupy

        return int(cupy.get_default_memory_pool().total_bytes())
    if name == "torch":
        import torch

        return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
    return None


def main() -> None:
    """Run both and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_281_167)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--dtype", default="float16", choices=("float16", "float32", "float64"))
    parser.add_argument("--values", type=int, default=96, help="of l2 on the path; 0 leaves it out")
    given = parser.parse_args()
    backend = choose_backend(None, dtype="float64" if given.dtype == "float64" else "float32")
    X, y = draw(given.samples, given.features, given.classes, given.dtype)
    result: dict[str, Any] = vars(given) | {"backend": backend.name, "device": backend.device, "working": backend.dtype}

    def fit(tol: float) -> tuple[fastlr.Run, float]:
        start = time.perf_counter()
        run = fastlr.train(
            X, y, solver="auto", l2=L2, tol=tol, backend=backend.name, device=backend.device, dtype=backend.dtype
        )
        return run, time.perf_counter() - start

    fit(TOLERANCES[0])  # compiles
    for tol in TOLERANCES:
        run, seconds = fit(tol)
        best, _ = fit(tol / 100)
        gap = objective(run) / objective(best) - 1
        if gap <= QUALITY:
            break
    result["fit"] = {"tol": tol, "gap": gap, "seconds": seconds, "iterations": len(run.costs) - 1, "solver": run.solver}
    if given.values:
        start = time.perf_counter()
        path = fastlr.path(
            X, y, l2=np.geomspace(1e-6, 1e2, given.values).tolist(), folds=None, tol=tol,
            backend=backend.name, device=backend.device, dtype=backend.dtype,
        )  # fmt: skip
        result["path"] = {
            "seconds": time.perf_counter() - start,
            "converged": sum(bool(r.converged) for r in path.runs),
        }
    result["host_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result["device_bytes"] = device_bytes(backend.name)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Time a fit on a Dask cluster of this machine beside one process with as many threads, and beside dask-glm.

    python bench/cluster.py [--samples 2000000] [--features 256] [--classes 10] [--workers 2] [--json FILE]
    python bench/cluster.py --scaling [--json FILE]

The data are drawn, with a spectrum of 1/i, and written once as four shards of float32 into a temporary folder. Both
sides read the same shards, in turn; the seconds are those of the whole call, the start of the cluster apart. dask-glm
(two classes alone) runs on the same workers, where it is installed.

--scaling times a step of gradient descent on 1, 2, 4 and 8 workers of one thread, with the connections to the scheduler
delayed by 0 and 10 milliseconds each way, for many samples and for few; for few it is the latency of a step.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastlr
from fastlr.data.workers import open_cluster

SHARDS = 4


def draw(folder: Path, m: int, n: int, classes: int) -> Path:
    """Write the shards, and return their folder."""
    rng = np.random.default_rng(0)
    deviations = (1 / np.arange(1, n + 1)) ** 0.5
    weights = rng.normal(size=(n, classes)) / deviations[:, np.newaxis] / n**0.5
    for number in range(SHARDS):
        size = m * (number + 1) // SHARDS - m * number // SHARDS
        X = (rng.standard_normal((size, n), dtype=np.float32) * deviations.astype(np.float32)).astype(np.float32)
        scores = X @ weights.astype(np.float32) + rng.gumbel(size=(size, classes)).astype(np.float32)
        np.save(folder / f"part-{number}.npy", X)
        np.save(folder / f"part-{number}.labels.npy", scores.argmax(axis=1).astype(np.uint8))
    return folder


def fit(folder: Path, **more: Any) -> tuple[float, Any]:
    """Return the seconds of a fit to the shards, and its run."""
    before = time.perf_counter()
    run = fastlr.train(fastlr.open_dataset(folder), solver="lbfgs", l2=1e-3, dtype="float32", **more)
    return time.perf_counter() - before, run


def beside_one_process(folder: Path, workers: int, turns: int) -> dict[str, Any]:
    """Return the seconds of both, in turn; the first turn compiles and is not counted."""
    found: dict[str, list[float]] = {"one process": [], "cluster": []}
    with open_cluster(f"local:{workers}") as cluster:
        for turn in range(turns + 1):
            for name, more in (("one process", {}), ("cluster", {"cluster": cluster})):
                seconds, run = fit(folder, **more)
                if turn:
                    found[name].append(seconds)
                    print(
                        f"    {name:12} {seconds:8.2f} s, {len(run.costs)} iterations, cost {run.costs[-1]:.8f}",
                        flush=True,
                    )
    ratio = statistics.median(found["cluster"]) / statistics.median(found["one process"])
    print(f"the cluster takes {ratio:.2f} times as long")
    return found | {"ratio": ratio}


def beside_dask_glm(folder: Path, workers: int, turns: int) -> dict[str, Any]:
    """Return the seconds of both for two classes, on the same workers, both to a relative gap of 1e-4.

    The gap is that of the objective to the minimum of a fit with a tolerance of 1e-9. dask-glm gets the fewest
    iterations that reach it, as it has no tolerance that does (its own is the gradient of a sum over all samples).
    Its intercept counts in its penalty; that it would standardize the features first is turned off.
    """
    import dask.array as da
    from dask_glm.algorithms import lbfgs
    from dask_glm.utils import add_intercept
    from distributed import Client, LocalCluster

    files = sorted(folder.glob("part-?.npy"))
    y = np.concatenate([np.load(file.with_suffix(".labels.npy")) for file in files])
    own = {"threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}

    def objective(weights: Any, intercept: float) -> float:
        z = np.concatenate([np.load(file, mmap_mode="r") @ weights.astype(np.float32) for file in files]) + intercept
        loss = np.logaddexp(0, np.where(y == 1, -z, z)).mean(dtype=np.float64)
        return float(loss + 5e-4 * (weights @ weights))

    def ours(tol: float | None = None) -> tuple[float, float]:
        before = time.perf_counter()
        run = fastlr.train(X, y, solver="lbfgs", l2=1e-3, dtype="float32", cluster=client, tol=tol)
        seconds = time.perf_counter() - before
        layer = run.model.layers[0]
        return seconds, objective(np.ravel(layer.W).astype(np.float64), float(np.ravel(layer.b)[0]))

    def theirs(iterations: int) -> tuple[float, float]:
        before = time.perf_counter()
        beta = lbfgs(ones, labels, regularizer="l2", lamduh=1e-3 * len(y), max_iter=iterations, normalize=False)
        return time.perf_counter() - before, objective(beta[:-1], beta[-1])

    with LocalCluster(n_workers=workers, **own) as cluster, Client(cluster) as client:
        X = da.concatenate([da.from_array(np.load(file, mmap_mode="r"), chunks=(125_000, -1)) for file in files])
        X = X.persist()
        labels, ones = da.from_array(y, chunks=X.chunks[0]).persist(), add_intercept(X).astype(X.dtype).persist()
        _, least = ours(tol=1e-9)
        found: dict[str, Any] = {"fastlr": [], "dask-glm": [], "gaps": {}}
        few, iterations = 0, 64  # 64 iterations are enough, few are not
        while iterations - few > 1:
            tried = (few + iterations) // 2
            seconds, ended = theirs(tried)
            print(f"    dask-glm, {tried} iterations: {seconds:.1f} s, gap {ended / least - 1:.1e}", flush=True)
            few, iterations = (few, tried) if ended <= least * (1 + 1e-4) else (tried, iterations)
        found["iterations of dask-glm"] = iterations
        for _ in range(turns):
            for name, (seconds, ended) in (("fastlr", ours()), ("dask-glm", theirs(iterations))):
                found[name].append(seconds)
                found["gaps"][name] = ended / least - 1
                print(f"    {name:8} {seconds:6.2f} s, gap {ended / least - 1:.1e}", flush=True)
    ratio = statistics.median(found["dask-glm"]) / statistics.median(found["fastlr"])
    print(f"dask-glm takes {ratio:.1f} times as long")
    return found | {"ratio": ratio}


async def delayed(port: int, seconds: float) -> tuple[asyncio.Server, int]:
    """Listen on a port of loopback; pass on to another what comes, and back what answers, so much later each way."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, some = await waiting.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not some:
                    writer.close()
                    return
                writer.write(some)

        sending = asyncio.create_task(send())
        while some := await reader.read(2**16):
            waiting.put_nowait((time.monotonic() + seconds, some))
        waiting.put_nowait((time.monotonic(), b""))
        await sending

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@contextlib.contextmanager
def workers_behind(delay: float, count: int) -> Iterator[Any]:
    """Give a client of so many workers, both of which reach the scheduler through delayed connections."""
    from distributed import Client, LocalCluster

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        port = int(cluster.scheduler_address.rpartition(":")[2])
        _, near = asyncio.run_coroutine_threadsafe(delayed(port, delay), loop).result()
        address = f"tcp://127.0.0.1:{near}"
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
        command += ["--no-dashboard", "--host", "127.0.0.1"]
        own = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [subprocess.Popen(command, env=own, stderr=subprocess.DEVNULL) for _ in range(count)]
        try:
            with Client(address) as client:
                client.wait_for_workers(count, timeout=60)
                yield client
        finally:
            for process in started:
                process.kill()
                process.wait()


def step_seconds(data: Any, client: Any) -> float:
    """Return the seconds of a step of gradient descent: the difference of a long and a short training."""

    def seconds(steps: int) -> float:
        before = time.perf_counter()
        fastlr.train(data, iterations=steps, record_every=steps, dtype="float32", cluster=client)
        return time.perf_counter() - before

    seconds(2)  # compiles
    return statistics.median((seconds(25) - seconds(5)) / 20 for _ in range(3))


def scaling() -> list[dict[str, Any]]:
    """Return, and print, the seconds of a step by workers, delay and samples."""
    rows = []
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        folders = {2_000: draw(Path(few), 2_000, 256, 10), 400_000: draw(Path(many), 400_000, 256, 10)}
        for delay in (0.0, 0.01):
            for count in (1, 2, 4, 8):
                with workers_behind(delay, count) as client:
                    for m, folder in folders.items():
                        seconds = step_seconds(fastlr.open_dataset(folder), client)
                        rows.append({"delay": delay, "workers": count, "samples": m, "seconds": seconds})
                        said = f"{count} workers, {1e3 * delay:4.0f} ms, {m:7,} x 256"
                        print(f"    {said}: {1e3 * seconds:7.1f} ms a step", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="time steps by workers and delay instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(asked.workers))
    warnings.simplefilter("ignore")
    if asked.scaling:
        found = scaling()
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1) + "\n")
        return
    kept: dict[str, Any] = {"samples": asked.samples, "features": asked.features, "workers": asked.workers}
    for classes in (asked.classes, 2):
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder), asked.samples, asked.features, classes)
            print(f"{asked.samples:,} × {asked.features}, {classes} classes, {asked.workers} workers of one thread")
            if classes == asked.classes:
                kept["beside one process"] = beside_one_process(Path(folder), asked.workers, asked.turns)
            else:
                kept["beside dask-glm"] = beside_dask_glm(Path(folder), asked.workers, asked.turns)
    if asked.json:
        asked.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()

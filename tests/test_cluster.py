"""Trainings on the workers of a Dask cluster: the same numbers as here, whatever happens to a worker."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastlr
from fastlr.data import workers
from fastlr.errors import InputError

pytest.importorskip("distributed", reason="distributed is not installed; try pip install '.[cluster]'")

import dask.array as da
from distributed import Client, LocalCluster

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, of its threads and files

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1500, 12)) * np.geomspace(1, 5, 12)
SCORES = X @ RNG.normal(size=(12, 3)) / 4 + RNG.gumbel(size=(1500, 3))
Y, PAIR = SCORES.argmax(axis=1), (SCORES[:, 0] > 0).astype(int)
TABLE = (SCORES > 0).astype(int)
EXACT = {"tol": 1e-9, "l2": 1e-3}


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as c,
    ):
        yield c


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(1500), 4)):
        np.save(folder / f"part-{number}.npy", X[rows].astype(np.float32))
        np.save(folder / f"part-{number}.labels.npy", Y[rows])
    return folder


def parameters(run):
    return np.concatenate([np.asarray(part).reshape(-1) for layer in run.model.layers for part in layer])


@pytest.mark.parametrize(
    ("solver", "more"),
    [
        ("auto", {}),
        ("lbfgs", {}),
        ("lbfgs", {"standardize": True}),
        ("newton-cg", {"standardize": True}),
        ("newton-cg", {"class_weight": "balanced"}),
    ],
)
def test_solvers_end_at_the_same_minimum(client, solver, more):
    here = fastlr.train(X, Y, solver="newton-cg", form="primal", **EXACT, **more)
    there = fastlr.train(X, Y, solver=solver, cluster=client, **EXACT, **more)
    assert there.converged
    np.testing.assert_allclose(parameters(there), parameters(here), atol=1e-8)
    assert there.train_accuracy == here.train_accuracy
    assert there.form == "primal"


@pytest.mark.parametrize(
    ("labels", "more"),
    [(PAIR, {}), (Y, {}), (PAIR, {"layers": (4, 3), "seed": 1}), (Y, {"optimizer": "adam", "l2": 0.1}), (TABLE, {})],
)
def test_descent_follows_the_same_trajectory(client, labels, more):
    settings = {"iterations": 30, "record_every": 10, "learning_rate": 0.05, **more}
    here = fastlr.train(X, labels, form="primal", **settings)
    there = fastlr.train(X, labels, cluster=client, **settings)
    np.testing.assert_allclose(there.costs, here.costs, rtol=1e-12)
    np.testing.assert_allclose(parameters(there), parameters(here), rtol=1e-9, atol=1e-12)
    assert there.train_accuracy == here.train_accuracy


def test_a_sweep_and_a_path_with_folds(client):
    settings = {"learning_rates": [0.01, 1e9], "folds": 2, "iterations": 20, "form": "primal"}
    here, there = (fastlr.sweep(X, PAIR, **settings, **more) for more in ({}, {"cluster": client}))
    assert [run.fold_accuracies for run in there] == [run.fold_accuracies for run in here]
    np.testing.assert_allclose(there[0].costs, here[0].costs, rtol=1e-12)
    settings = {"l2": np.geomspace(1e-4, 1, 5), "folds": 3, "scoring": ["log_loss", "accuracy"], "tol": 1e-8}
    here, there = (fastlr.path(X, Y, **settings, **more) for more in ({}, {"cluster": client}))
    assert there.best_l2 == here.best_l2
    np.testing.assert_allclose(there.scores["log_loss"], here.scores["log_loss"], atol=1e-7)
    both = fastlr.path(X, Y, folds=(X[:300], Y[:300]), refit="train+validation", l2=[1e-2, 1.0], cluster=client)
    assert both.model.predict(X).shape == (1500,)


def test_shards_are_read_by_the_workers(client, shards, tmp_path, monkeypatch):
    data = fastlr.open_dataset(shards)
    here = fastlr.train(data, solver="lbfgs", dtype="float64", **EXACT)
    there = fastlr.train(data, solver="lbfgs", cluster=client, **EXACT, checkpoint=tmp_path / "c")
    np.testing.assert_allclose(parameters(there), parameters(here), atol=1e-8)
    again = fastlr.train(data, solver="lbfgs", cluster=client, **EXACT, checkpoint=tmp_path / "c")
    assert again.model == there.model
    assert there.train_set is data

    monkeypatch.setattr("fastlr.data.placed.HELD", 0.0)
    client.run(_hold_nothing)
    try:
        streamed = fastlr.train(data, solver="lbfgs", cluster=client, **EXACT)
    finally:
        client.run(_hold_again)
    assert (parameters(streamed) == parameters(there)).all(), "whether a part is in memory is of no account"


def _hold_nothing():
    from fastlr.data import placed

    placed.HELD = -1.0


def _hold_again():
    from fastlr.data import placed

    placed.HELD = 0.25


def test_sums_have_the_same_bits_whichever_worker_had_a_part(client):
    settings = {"solver": "lbfgs", "cluster": client, **EXACT}
    first = fastlr.train(X, Y, **settings)
    assert (parameters(fastlr.train(X, Y, **settings)) == parameters(first)).all()
    client.run(os.getpid)
    turned = workers.Cluster._greet
    try:
        workers.Cluster._greet = lambda self: dict(reversed(turned(self).items()))
        assert (parameters(fastlr.train(X, Y, **settings)) == parameters(first)).all()
    finally:
        workers.Cluster._greet = turned


def test_arrays_of_dask(client):
    features = da.from_array(X, chunks=(400, 5))
    here = fastlr.LogisticRegression(tol=1e-9).fit(X, Y)
    there = fastlr.LogisticRegression(tol=1e-9).fit(features, da.from_array(Y, chunks=700))
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-7)
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        lazy = getattr(there, method)(features)
        assert isinstance(lazy, da.Array)
        expected = getattr(there, method)(X)
        assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-12)
    assert there.score(features, Y) == here.score(X, Y)
    settings = {"form": "primal", "iterations": 20, "record_every": 10}
    costs = fastlr.train(X, Y, **settings).costs
    np.testing.assert_allclose(fastlr.train(features, Y, **settings).costs, costs, rtol=1e-12)
    with pytest.raises(ValueError, match="LogisticRegressionCV takes no array of Dask"):
        fastlr.LogisticRegressionCV().fit(features, Y)
    assert fastlr.path(features, Y, l2=[1e-3, 1e-1], folds=2).best_l2 in (1e-3, 1e-1)


@pytest.mark.parametrize("nanny", [True, False])
def test_a_worker_that_is_killed_costs_time_alone(nanny):
    """With a nanny another one takes its place, without one those that are left have its part."""
    if nanny:
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
            _killed(cluster.scheduler_address, lambda client: list(client.run(os.getpid).values()))
        return
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny"]
        more = ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "60"]
        own = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [subprocess.Popen(command + more, env=own, stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            _killed(cluster.scheduler_address, lambda client: [process.pid for process in started])
        finally:
            for process in started:
                process.kill()
                process.wait()


def _killed(address, processes):
    settings = {"iterations": 40, "record_every": 5, "learning_rate": 0.05}
    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
        whole = fastlr.train(X, Y, cluster=client, **settings)
        victim, seen = processes(client)[0], []

        def kill(iteration, cost):
            seen.append(iteration)
            if iteration == 15:
                os.kill(victim, signal.SIGKILL)

        broken = fastlr.train(X, Y, cluster=client, callback=kill, **settings)
    assert broken.costs == whole.costs
    assert (parameters(broken) == parameters(whole)).all()
    assert seen[-1] == 35


def test_the_command_line(fastlr_command, client, shards, tmp_path):
    address = client.scheduler.address
    trained = fastlr_command(
        "train", shards, "--cluster", address, "--solver", "lbfgs", "--l2", "1e-3", "--tol", "1e-8",
        "--model", tmp_path / "m.safetensors", "--json", "-q",
    )  # fmt: skip
    assert trained.status == 0, trained.err
    here = fastlr.train(fastlr.open_dataset(shards), solver="lbfgs", l2=1e-3, tol=1e-8)
    assert trained.json["train_accuracy"] == here.train_accuracy
    out = tmp_path / "out"
    told = fastlr_command(
        "predict", tmp_path / "m.safetensors", shards, "--out", out, "--cluster", address, "--json", "-q"
    )
    assert told.status == 0, told.err
    assert [row["n"] for row in told.json] == [375] * 4
    assert sorted(path.name for path in out.iterdir()) == [f"part-{number}.npy" for number in range(4)]
    model = fastlr.load(tmp_path / "m.safetensors")
    answers = np.concatenate([np.load(out / f"part-{number}.npy") for number in range(4)])
    np.testing.assert_allclose(answers, model.predict_proba(X.astype(np.float32)), atol=1e-7)
    local = fastlr_command("predict", tmp_path / "m.safetensors", shards, "--out", tmp_path / "local", "-q")
    assert local.status == 0, local.err
    assert (np.load(tmp_path / "local" / "part-3.npy") == np.load(out / "part-3.npy")).all()
    plain, spread = (
        fastlr_command("evaluate", tmp_path / "m.safetensors", shards, "--json", "-q", *more).json
        for more in ((), ("--cluster", address))
    )
    assert spread == plain


def test_a_cluster_of_its_own(shards):
    """Started and ended by the command."""
    command = [sys.executable, "-m", "fastlr", "train", shards, "--cluster", "local:2", "--solver", "lbfgs"]
    done = subprocess.run([*command, "--l2", "0.1", "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_train"] == 1500
    assert "distributed" not in done.stderr


def test_what_is_not_there_is_refused_by_name(client):
    for more, says in (
        ({"batch_size": 10}, "mini-batches are not for a cluster"),
        ({"form": "gram"}, "a cluster has neither the Gram form nor newton"),
        ({"solver": "newton", "l2": 0.1}, "a cluster has neither the Gram form nor newton"),
    ):
        with pytest.raises(InputError, match=says):
            fastlr.train(X, Y, cluster=client, **more)


def test_bad_input(client, refused, shards, tmp_path, monkeypatch):
    model = tmp_path / "m.safetensors"
    refused("train", shards, "--cluster", "nowhere", "--model", model, says=("give the address of a scheduler",))
    refused("train", shards, "--cluster", "local:0", says=("at least one process",))
    refused(
        "train", shards, "--cluster", "tcp://127.0.0.1:9", "--cluster-timeout", "1", "--model", model,
        says=("no scheduler answers at tcp://127.0.0.1:9",),
    )  # fmt: skip
    refused("train", shards, "--cluster-timeout", "0", says=("cluster timeout: 0",))
    address = client.scheduler.address
    (shards / "part-2.labels.npy").unlink()
    refused("train", shards, "--cluster", address, "--model", model, says=("part-2.npy: its labels are missing",))
    np.save(shards / "part-2.labels.npy", Y[:3])
    refused("train", shards, "--cluster", address, "--model", model, says=("375 samples, but has 3 labels",))
    np.save(shards / "part-2.labels.npy", Y[:375])
    np.save(shards / "part-2.npy", X[:375, :5].astype(np.float32))
    refused("train", shards, "--cluster", address, "--model", model, says=("all must hold samples of one kind",))
    assert not model.exists()
    strange = X.copy()
    strange[700, 3] = np.nan
    chunked = da.from_array(strange, chunks=400)
    with pytest.raises(InputError, match="sample 700 holds nan at feature 3"):
        fastlr.train(chunked, Y, cluster=client)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda D: D[:, 0], "of 1 axes"),
        (lambda D: D.sum(), "of 0 axes"),
        (lambda D: D[:0], "at least one sample"),
        (lambda D: D[:, :0], "at least one sample and one feature"),
        (lambda D: D[D[:, 0] > 0], "compute_chunk_sizes"),
        (lambda D: D.astype(complex), "complex128; uint8 pixels or real numbers"),
        (lambda D: D.astype(str), "uint8 pixels or real numbers"),
        (lambda D: D.map_blocks(lambda block: block[:5], dtype=float, chunks=D.chunks), "its array says"),
    ],
)
def test_arrays_of_dask_that_cannot_be_used(client, broken, says):
    features = broken(da.from_array(X, chunks=(400, -1)))
    for fit in (fastlr.LogisticRegression().fit, fastlr.train):
        with pytest.raises(ValueError, match=says):
            fit(features, Y)


def test_empty_chunks_are_no_parts(client):
    features = da.from_array(X, chunks=(500, -1)).rechunk(((0, 500, 0, 1000, 0), (12,)))
    settings = {"solver": "newton-cg", "tol": 1e-9}
    here, there = (fastlr.LogisticRegression(**settings).fit(some, Y) for some in (X, features))
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-7)
    assert there.predict_proba(features).compute().shape == (1500, 3)
    with pytest.raises(ValueError, match=r"of shape \(1500, 5\); \(m, 12\) is needed"):
        there.predict(features[:, :5])


def test_a_client_that_is_closed():
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        closed = Client(cluster)
        closed.close()
        with pytest.raises(InputError, match="its client is closed"):
            fastlr.train(X, Y, cluster=closed)


def test_a_path_that_a_worker_does_not_see_is_said(client, shards):
    data = fastlr.open_dataset(shards)
    (shards / "part-3.npy").rename(shards / "gone")
    with pytest.raises(InputError, match=r"worker tcp://.*, samples 750 to 1499: .*part-3\.npy"):
        fastlr.train(data, cluster=client, iterations=2)


def test_what_fails_on_a_worker_is_one_line(client, fastlr_command, shards, monkeypatch):
    cluster = workers.Cluster(client, 10.0)
    says = r"worker tcp://\S*, samples 0 to 9: ZeroDivisionError: division by zero"
    with pytest.raises(workers.WorkerError, match=says) as caught:
        cluster.results([fails(cluster)])
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("fastlr.training.api.train_all", lambda *_, **__: cluster.results([fails(cluster)]))
    outcome = fastlr_command("train", shards, "--cluster", client.scheduler.address, "-q")
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "ZeroDivisionError" in outcome.err


def fails(cluster):
    return cluster.submit("samples 0 to 9", _fails)


def _fails():
    return 1 / 0


def test_another_version_and_none(client, monkeypatch):
    monkeypatch.setattr(fastlr, "__version__", "0.0.0")
    with pytest.raises(InputError, match=r"has fastlr .*, here is 0\.0\.0; install one version"):
        fastlr.train(X, Y, cluster=client)
    monkeypatch.undo()
    lacking = ModuleNotFoundError("No module named 'fastlr'")
    monkeypatch.setattr(client, "run", lambda *_, **__: {"tcp://127.0.0.1:1": lacking})
    with pytest.raises(InputError, match=r"worker tcp://127.0.0.1:1: No module named 'fastlr'; install the same"):
        fastlr.train(X, Y, cluster=client)


def test_a_cluster_without_workers_waits_and_ends():
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster, Client(cluster) as empty:
        began = time.monotonic()
        with pytest.raises(InputError, match="has no workers after 1 s; start one: dask worker"):
            fastlr.train(X, Y, cluster=empty, cluster_timeout=1.0)
        assert time.monotonic() - began < 20

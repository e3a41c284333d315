"""Data that come a block at a time: the same trajectories and minima as of data in memory, in little memory."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import every_backend

import fastlr
from fastlr import machine
from fastlr.data.blocks import Blocks, is_in_memory
from fastlr.training import inputs


@pytest.fixture
def streaming(monkeypatch):
    """Return a function that has training read blocks of few samples, or keep all there is."""

    def switch(on: bool) -> None:
        monkeypatch.setenv("FASTLR_MEMORY", "1" if on else "4G")
        monkeypatch.setattr(inputs, "BLOCK", 1000)
        monkeypatch.setattr(inputs, "FEWEST", 17)
        monkeypatch.setattr(inputs, "fuses", lambda *_: False)  # or there would be no logits to keep

    return switch


def samples(classes, m=300, n=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, n)) + rng.normal(size=n)
    scores = X @ rng.normal(size=(n, max(classes, 2))) + 2 * rng.gumbel(size=(m, max(classes, 2)))
    return X, scores.argmax(axis=1)


def both(streaming, function):
    """Return what a function makes of data that are kept, and of data that are streamed."""
    results = []
    for on in (False, True):
        streaming(on)
        results.append(function())
    assert results[1][0].logits == "recomputed"
    assert results[0][0].logits == "kept"
    return results


@pytest.mark.parametrize("name", every_backend())
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "learning_rates": [0.05]},
        {"batch_size": 32, "learning_rates": [0.05, 0.1]},
        {"layers": (4, 3), "seeds": [1, 2]},
        {"standardize": True, "batch_size": 50, "optimizer": "momentum"},
    ],
)
def test_descent_follows_the_same_trajectory(streaming, name, classes, settings):
    X, labels = samples(classes, 180)
    common = {"l2": [1e-3, 1e-1], "folds": 3, "iterations": 24, "record_every": 6, "form": "primal", "backend": name}
    test = {"test": (X[:40], labels[:40]), "test_costs": True}
    kept, streamed = both(streaming, lambda: fastlr.sweep(X, labels, **common, **test, **settings))
    for one, other in zip(kept, streamed, strict=True):
        np.testing.assert_allclose(other.costs, one.costs, rtol=1e-12)
        np.testing.assert_allclose(other.test_costs, one.test_costs, rtol=1e-11)
        assert other.fold_accuracies == one.fold_accuracies
        assert (other.train_accuracy, other.test_accuracy) == (one.train_accuracy, one.test_accuracy)
        for a, b in zip(one.model.layers, other.model.layers, strict=True):
            np.testing.assert_allclose(b.W, a.W, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", every_backend())
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
@pytest.mark.parametrize("standardize", [False, True])
def test_solvers_end_at_the_same_minimum(streaming, name, classes, solver, standardize):
    X, labels = samples(classes, 180)
    common = {"l2": [1e-2], "folds": 2, "form": "primal", "tol": 1e-11, "standardize": standardize}
    kept, streamed = both(
        streaming, lambda: fastlr.path(X, labels, solver=solver, backend=name, iterations=500, **common).runs
    )
    for one, other in zip(kept, streamed, strict=True):
        assert other.converged
        np.testing.assert_allclose(other.model.layers[0].W, one.model.layers[0].W, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(other.model.layers[0].b, one.model.layers[0].b, rtol=1e-8, atol=1e-9)
        assert other.fold_accuracies == one.fold_accuracies


@pytest.mark.parametrize("read", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_dtype_is_read(streaming, read, dtype):
    X, labels = samples(3)
    X = (40 * X + 100).clip(0, 255).astype(read) if read == np.uint8 else X.astype(read)
    tol = 1e-8 if dtype == "float64" else 1e-4
    kept, streamed = both(
        streaming, lambda: [fastlr.train(X, labels, solver="lbfgs", tol=tol, l2=0.1, form="primal", dtype=dtype)]
    )
    tolerance = 1e-6 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(streamed[0].model.layers[0].W, kept[0].model.layers[0].W, atol=tolerance)
    assert streamed[0].model.layers[0].W.dtype == dtype


def test_estimators_stream(streaming):
    X, labels = samples(3)
    fitted = []
    for on in (False, True):
        streaming(on)
        one = fastlr.LogisticRegression(form="primal", tol=1e-9).fit(X, labels)
        several = fastlr.LogisticRegressionCV(Cs=3, cv=3, form="primal", tol=1e-9).fit(X, labels, np.arange(300) % 3)
        fitted.append((one, several))
    for kept, streamed in zip(*fitted, strict=True):
        np.testing.assert_allclose(streamed.coef_, kept.coef_, atol=1e-7)
    np.testing.assert_array_equal(fitted[0][1].scores_, fitted[1][1].scores_)


def test_separable_classes_and_dead_networks_are_noticed(streaming):
    streaming(True)
    X = np.repeat([[-1.0, 0.5], [1.0, 0.5]], 40, axis=0)
    labels = np.repeat([0, 1], 40)
    with pytest.warns(fastlr.ConvergenceWarning):
        run = fastlr.train(X, labels, solver="lbfgs", iterations=5, form="primal")
    assert "the classes are separable" in run.notes[0]
    dead = fastlr.train(-abs(X) * 1e3, labels, layers=(2,), iterations=3, learning_rate=1e3, form="primal")
    streaming(False)
    assert [note[:24] for note in dead.notes] == [
        note[:24] for note in fastlr.train(-abs(X) * 1e3, labels, layers=(2,), iterations=3, learning_rate=1e3).notes
    ]


def test_the_gram_form_keeps_to_the_budget(monkeypatch):
    X, labels = samples(2, 60, 400)
    assert fastlr.train(X, labels, iterations=500).form == "gram"
    monkeypatch.setenv("FASTLR_MEMORY", "10k")
    assert fastlr.train(X, labels, iterations=500).form == "primal"
    assert fastlr.train(X, labels, solver="auto", l2=0.1).form == "primal"


def test_the_advice_looks_at_all_blocks(streaming):
    X, labels = samples(2)
    X[200:] *= 1000
    rates = []
    for on in (False, True):
        streaming(on)
        with pytest.warns(fastlr.DivergenceWarning, match="try a learning rate of") as warned:
            fastlr.train(X, labels, learning_rate=1e306, iterations=5, record_every=1, form="primal")
        rates.append(float(str(warned[0].message).rpartition(" ")[2]))
    assert 0 < rates[1] <= rates[0]


def test_newton_says_that_it_needs_the_data(streaming):
    streaming(True)
    with pytest.raises(fastlr.InputError, match="newton needs data that fit into the memory, see FASTLR_MEMORY"):
        fastlr.train(*samples(2), solver="newton", form="primal")
    assert fastlr.train(*samples(2), solver="auto", form="primal", l2=0.1).solver in ("newton-cg", "lbfgs")


def test_the_command_says_it(fastlr_command, tmp_path, monkeypatch):
    X, labels = samples(2)
    np.savez(tmp_path / "x.npz", X=X, y=labels)
    command = ("train", tmp_path / "x.npz", "--iterations", 20, "--form", "primal")
    assert fastlr_command(*command, "--json", "--quiet").json["logits"] == "kept"
    monkeypatch.setenv("FASTLR_MEMORY", "10k")
    assert fastlr_command(*command, "--json", "--quiet").json["logits"] == "recomputed"
    assert "logits recomputed in each pass over the data\n" in fastlr_command(*command).out


@pytest.mark.parametrize("text", ["much", "-1", "0", "0.5", "4X", "1e400"])
def test_a_budget_that_is_none(refused, tmp_path, monkeypatch, text):
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0, 1])
    monkeypatch.setenv("FASTLR_MEMORY", text)
    refused(
        "train",
        tmp_path / "x.npz",
        says=(f"FASTLR_MEMORY: '{text}' is not a size; give a number of bytes",),
    )


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("1.5k", 1536), ("4G", 2**32), ("2 MiB", None), ("2mib", 2**21)]
)
def test_sizes(text, size):
    assert machine.parse_size(text) == size


def test_free_memory_is_that_of_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text("0::/a\n")
    (tmp_path / "a").mkdir()

    def free():
        machine._memory_limits.cache_clear()
        return machine.free_memory()

    monkeypatch.setattr(machine, "_memory_limits", functools.cache(machine._memory_limits.__wrapped__))
    assert free() > 10**8
    for folder, limit, used in ((tmp_path / "a", "max", "5"), (tmp_path, "90000000", "50000000")):
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text(used + "\n")
    assert free() == 40_000_000
    assert machine.memory_budget() == 20_000_000
    assert machine.memory_budget(1000) == 500
    (tmp_path / "own").write_text("3:cpu:/x\n2:memory:/docker/17\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("70000000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("90000000\n")
    assert free() == 0
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert free() > 10**8, "that is no limit"


class Failing:
    """Rows of a file that cannot be read to its end."""

    shape, dtype = (100, 2), np.dtype(float)

    def __getitem__(self, rows):
        rows, _ = rows
        if rows.start > 50:
            raise OSError("gone")
        return np.ones((rows.stop - rows.start, 2))


def test_blocks(tmp_path):
    X = np.arange(22.0).reshape(11, 2)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert is_in_memory(X)
    assert not is_in_memory(mapped)
    assert not is_in_memory(np.asarray(mapped)[2:].reshape(-1, 1))
    for rows in (X, mapped):
        blocks = Blocks(rows, np.arange(11), 4)
        found = list(blocks)
        assert [part for part, _ in found] == [slice(0, 4), slice(4, 8), slice(8, 11)]
        np.testing.assert_array_equal(np.concatenate([block for _, block in found]), X)
        some, labels = blocks.take(np.array([7, 2]))
        np.testing.assert_array_equal(some, X[[7, 2]])
        assert labels.tolist() == [7, 2]
    with pytest.raises(OSError, match="gone"):
        list(Blocks(Failing(), np.zeros(100, int), 20))


def test_a_mapped_file_gives_the_bits_of_an_array(streaming, tmp_path):
    X, labels = samples(4)
    np.save(tmp_path / "x.npy", X)
    streaming(True)
    settings = {"solver": "lbfgs", "l2": 0.01, "form": "primal"}
    one, other = (fastlr.train(rows, labels, **settings) for rows in (X, np.load(tmp_path / "x.npy", mmap_mode="r")))
    assert one == other


MEASURED = """
import json
from pathlib import Path
import numpy as np, fastlr
rng = np.random.default_rng(0)
m, n, classes = 6000, 32, 50
labels = rng.integers(0, classes, m)
X = (rng.normal(size=(classes, n))[labels] + rng.normal(size=(m, n))).astype(np.float32)
settings = {"folds": 5, "solver": "lbfgs", "iterations": 100, "backend": "numpy"}
fastlr.path(X[:200], labels[:200] % 3, l2=[1.0], **(settings | {"folds": 2}))
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])

before = peak()
path = fastlr.path(X, labels, l2=[0.3, 1.0, 3.0], **settings)
print(json.dumps([path.runs[0].logits, peak() - before, [run.fold_accuracies for run in path.runs]]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux says how much memory was taken")
def test_a_path_needs_little_memory():
    found = {}
    for memory in ("4G", "30M"):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", MEASURED],
            env={**os.environ, "FASTLR_MEMORY": memory},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        logits, grown, scores = json.loads(run.stdout)
        found[logits] = (grown, scores)
    assert found["recomputed"][0] < 60e6 < found["kept"][0]
    np.testing.assert_allclose(found["recomputed"][1], found["kept"][1], rtol=1e-6)

"""The path of many l2, and the features that it is for: in memory, in files, on the command line."""

import json
import struct

import numpy as np
import pytest
from conftest import every_backend
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

import fastlr
from fastlr.cli import app as cli
from fastlr.training import warm_start as linear


def drawn(m=80, n=12, classes=3, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, n))
    return X.astype(dtype), (X @ rng.normal(size=(n, classes)) + rng.gumbel(size=(m, classes))).argmax(axis=1)


@pytest.mark.parametrize("form", ["primal", "gram"])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_each_value_has_the_model_that_it_has_alone(at_once, form, monkeypatch):
    monkeypatch.setattr(linear, "AT_ONCE", at_once)
    X, y = drawn()
    values = [0.01, 10.0, 0.1, 1e-3, 1.0]
    found = fastlr.path(X, y, l2=values, folds=4, tol=1e-8, form=form)
    assert found.l2.tolist() == values
    assert found.fold_accuracies.shape == (5, 4)
    for l2, run in zip(values, found.runs, strict=True):
        alone = fastlr.train(X, y, l2=l2, solver="newton-cg", form=form, tol=1e-8)
        np.testing.assert_allclose(run.model.layers[0].W, alone.model.layers[0].W, rtol=1e-4, atol=1e-5)
        assert run.converged
    best = found.fold_accuracies.mean(axis=1).max()
    assert found.best.fold_accuracies == tuple(found.fold_accuracies[found.runs.index(found.best)])
    assert found.fold_accuracies[found.runs.index(found.best)].mean() == best
    assert found.model is found.best.model


@pytest.mark.parametrize("name", every_backend())
def test_every_backend_has_the_same_path(name):
    X, y = drawn(classes=2)
    settings = {"l2": [1e-3, 0.1, 10.0], "folds": 3, "tol": 1e-9}
    ours, plain = (fastlr.path(X, y, backend=backend, **settings) for backend in (name, "numpy"))
    np.testing.assert_allclose(ours.fold_accuracies, plain.fold_accuracies)
    for one, other in zip(ours.runs, plain.runs, strict=True):
        np.testing.assert_allclose(one.model.layers[0].W, other.model.layers[0].W, rtol=1e-6, atol=1e-8)


def test_the_values_are_the_usual_ones_unless_given():
    X, y = drawn(classes=2)
    found = fastlr.path(X, y, folds=None, test=(X[:20], y[:20]))
    np.testing.assert_allclose(found.l2, np.geomspace(1e-6, 1e2, 96))
    assert found.best.test_accuracy == max(run.test_accuracy for run in found.runs)


def test_a_run_of_the_path_holds_its_recordings_alone():
    X, y = drawn(classes=2)
    seen = []
    found = fastlr.path(
        X, y, l2=[0.1, 1.0], folds=2, test=(X, y), test_costs=True, callback=lambda *now: seen.append(now)
    )
    for run in found.runs:
        assert run.recorded_at == list(range(len(run.costs)))
        np.testing.assert_allclose(run.test_costs, run.costs, rtol=1e-9)
    assert seen[0][0] == 0
    assert all(len(costs) == 2 for _, costs in seen)
    assert seen[-1][1] == [run.costs[-1] for run in found.runs]


def test_what_has_no_path_is_refused():
    X, y = drawn()
    with pytest.raises(fastlr.InputError, match="solver: 'gd' does not go to the minimum"):
        fastlr.path(X, y, solver="gd")
    with pytest.raises(
        fastlr.InputError, match="learning rates: solver 'newton' uses none; give one, or several values of l2"
    ):
        fastlr.sweep(X, y, learning_rates=[0.1, 0.2], solver="newton")
    with pytest.raises(fastlr.InputError, match=r"l2: -1; a number of at least 0 is needed"):
        fastlr.path(X, y, l2=[-1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_features_with_labels_beside_them(tmp_path, dtype):
    X, y = drawn(dtype=dtype)
    np.savez(tmp_path / "a.npz", features=X, labels=y)
    np.savez(tmp_path / "b.npz", embeddings=X)
    np.save(tmp_path / "b.labels.npy", y)
    save_file({"features": X, "labels": y}, tmp_path / "c.safetensors", {"classes": json.dumps(["a", "b", "c"])})
    save_file({"X": X}, tmp_path / "d.safetensors")
    np.save(tmp_path / "d.labels.npy", y)
    save_file({"X": X[:60], "y": y[:60], "test_X": X[60:], "test_y": y[60:]}, tmp_path / "e.safetensors")
    for name in "abcde":
        (path,) = (file for file in tmp_path.iterdir() if file.stem == name and not file.name.endswith("labels.npy"))
        data = fastlr.open_dataset(path)
        size = 60 if name == "e" else 80
        assert (data.images == X[:size]).all()
        assert data.images.dtype == dtype
        assert (data.labels == y[:size]).all()
        assert data.classes == (("a", "b", "c") if name == "c" else (0, 1, 2))
    assert len(fastlr.open_dataset(tmp_path / "e.safetensors", "test")) == 20


def bfloat16(path, X, y):
    """Write features as bfloat16, which NumPy cannot."""
    halves = (X.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    tensors = {
        "labels": {"dtype": "I64", "shape": list(y.shape), "data_offsets": [0, y.nbytes]},
        "features": {"dtype": "BF16", "shape": list(X.shape), "data_offsets": [y.nbytes, y.nbytes + len(halves)]},
    }
    head = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + y.tobytes() + halves)


def test_bfloat16_is_read_to_the_bit(tmp_path):
    X, y = drawn()
    X = np.round(X * 4) / 4  # what bfloat16 holds exactly
    bfloat16(tmp_path / "halves.safetensors", X, y)
    data = fastlr.open_dataset(tmp_path / "halves.safetensors")
    assert data.images.dtype == np.float32
    assert (data.images == X).all()


def test_a_sweep_of_features_on_the_command_line(tmp_path, capsys):
    X, y = drawn(m=120)
    np.savez(tmp_path / "features.npz", features=X.astype(np.float16), labels=y)
    file, out = str(tmp_path / "features.npz"), str(tmp_path / "best.safetensors")
    arguments = [
        "sweep",
        file,
        "--solver",
        "auto",
        "--l2",
        "1e-6:1e2:9",
        "--folds",
        "5",
        "--tol",
        "1e-7",
        "--model",
        out,
    ]
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["runs"]) == 9
    assert found["solver"] in ("newton-cg", "newton")
    X = X.astype(np.float16).astype(float)
    for run in found["runs"]:
        peer = LogisticRegression(C=1 / (run["l2"] * 120), solver="newton-cholesky", tol=1e-10).fit(X, y)
        cost = -np.log(peer.predict_proba(X)[np.arange(120), y]).mean()
        np.testing.assert_allclose(run["costs"][-1], cost, rtol=1e-5)
        assert run["converged"]
    assert fastlr.load(out).settings["l2"] == found["runs"][found["best"]]["l2"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["l2", "cost", "train", "folds"]
    assert sum(line.endswith("best") for line in lines) == 1
    assert cli.main(["train", file, "--solver", "newton", "--l2", "0.01", "--tol", "1e-8"]) == 0
    assert "newton: " in capsys.readouterr().out
    assert cli.main(["train", file, "--solver", "lbfgs", "--iterations", "2"]) == 0
    assert "note: not converged after 2 iterations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: save_file({"X": np.ones((2, 2))}, path), "its labels are missing; put them beside it as"),
        (lambda path: save_file({"a": np.ones(2)}, path), "holds no 'images' or 'X' or 'features' or 'embeddings'"),
        (lambda path: path.write_bytes(b"no tensors"), "cannot be read; it is damaged or of another kind"),
        (lambda path: save_file({"W": np.ones(2)}, path, {"fastlr": "{}"}), "is a model that fastlr saved, not data"),
    ],
)
def test_tensors_that_are_no_data(tmp_path, write, message):
    path = tmp_path / "data.safetensors"
    write(path)
    with pytest.raises(fastlr.InputError) as raised:
        fastlr.open_dataset(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)

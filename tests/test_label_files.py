"""Tables of labels in files: every command that trains or evaluates takes them."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import fastlr
from fastlr.data import open_dataset

NAMES = np.array(["sun", "rain", "wind", "fog"])


def drawn(m=200, n=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, n))
    return X, (X @ rng.normal(size=(n, len(NAMES))) + rng.normal(size=(m, len(NAMES))) > 0).astype(np.int8)


X, Y = drawn()


@pytest.fixture
def files(tmp_path):
    """Return the names of files of training and test data."""
    for name, part in (("train", slice(0, 150)), ("test", slice(150, 200))):
        np.savez(tmp_path / f"{name}.npz", X=X[part], y=Y[part], classes=NAMES)
    return tmp_path / "train.npz", tmp_path / "test.npz"


@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors", "h5"])
def test_readers_take_a_table(tmp_path, suffix):
    file = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(file, X=X, y=Y)
    elif suffix == "npy":
        np.save(file, X)
        np.save(tmp_path / "y.npy", Y)
    elif suffix == "h5":
        import h5py

        with h5py.File(file, "w") as there:
            there["images"], there["labels"] = X, Y
    else:
        from safetensors.numpy import save_file

        save_file({"X": X, "y": Y}, file)
    data = open_dataset(file)
    assert data.is_table
    np.testing.assert_array_equal(data.labels, Y)
    assert data.classes == (0, 1, 2, 3)


def test_train_evaluate_and_probe(fastlr_command, files, tmp_path):
    train, test = files
    model = tmp_path / "m.safetensors"
    trained = fastlr_command("train", train, "--test", test, "--solver", "auto", "--l2", "1e-2", "--model", model)
    assert trained.status == 0
    assert "classes sun, rain, wind, fog" in trained.out
    run = fastlr.train(X[:150], Y[:150], test=(X[150:], Y[150:]), solver="auto", l2=1e-2)
    assert f"test accuracy: {run.test_accuracy} % of 50 examples" in trained.out
    found = json.loads(fastlr_command("evaluate", model, test, "--json").out)
    probabilities = run.model.predict_proba(X[150:])
    for name, peer in (("average_precision", average_precision_score), ("roc_auc", roc_auc_score)):
        np.testing.assert_allclose(found["label_scores"][name], peer(Y[150:], probabilities, average=None))
        assert found["scores"][name] == pytest.approx(peer(Y[150:], probabilities))
    np.testing.assert_allclose(found["label_scores"]["f1"], f1_score(Y[150:], probabilities > 0.5, average=None))
    assert found["accuracy"] == run.test_accuracy
    lines = fastlr_command("evaluate", model, test).out.splitlines()
    assert lines[0] == f"accuracy: {run.test_accuracy} % of 50 examples, each label by itself"
    assert [line.split()[0] for line in lines[2:]] == [*NAMES, "mean"]
    assert {len(line) for line in lines[1:]} == {len(lines[1])}
    probed = json.loads(
        fastlr_command("probe", train, "--test", test, "--l2", "1e-3:1:4", "--scoring", "f1,roc_auc", "--json").out
    )
    path = fastlr.path(X[:150], Y[:150], l2=probed["l2"], folds=5, scoring=["f1", "roc_auc"], test=(X[150:], Y[150:]))
    assert probed["chosen_l2"] == path.best_l2
    assert probed["test_scores"] == pytest.approx(path.test_scores)


def test_what_is_not_there_for_tables(refused, files, tmp_path, fastlr_command):
    train, test = files
    for command in ("train", "sweep", "probe"):
        refused(command, train, "--report", tmp_path / "r", says=("--report: there is none for a table of labels",))
    assert not list((tmp_path / "r").iterdir())
    three, wrong, few = tmp_path / "three.npz", tmp_path / "wrong.npz", tmp_path / "few.npz"
    np.savez(three, X=X, y=Y[:, :3])
    np.savez(wrong, X=X, y=Y.astype(float) * 2)
    np.savez(few, X=X, y=Y, classes=NAMES[:2])
    model = tmp_path / "m.safetensors"
    assert fastlr_command("train", train, "--iterations", 2, "--model", model, "-q").status == 0
    refused("evaluate", model, test, "--report", tmp_path / "r", says=("--report: there is none",))
    refused("evaluate", model, three, says=("its table of labels has 3 columns", "4"))
    refused("train", wrong, says=("row", "holds 2.0 in column", "a table of labels holds zeros and ones"))
    refused("train", few, says=("2 names for 4 columns of labels; each column needs one",))
    run = fastlr.train(X, Y[:, 0], iterations=2)
    run.model.save(tmp_path / "one.safetensors")
    refused("evaluate", tmp_path / "one.safetensors", test, says=("has a table of labels, but", "one label for each"))
    with pytest.raises(fastlr.InputError, match="scores_by_label: the model has one label for each example"):
        run.model.scores_by_label((X, Y[:, 0]), "f1")

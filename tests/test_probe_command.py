"""fastlr probe: l2 chosen by validation data or folds, the model tested, all in one command."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

import fastlr
from fastlr import machine

X, Y = load_digits(return_X_y=True)
X, Y = X[:500] / 16, Y[:500]


@pytest.fixture
def files(tmp_path):
    """Return the names of files of training, validation and test data."""
    parts = {"train": slice(0, 300), "validation": slice(300, 400), "test": slice(400, 500)}
    for name, part in parts.items():
        np.savez(tmp_path / f"{name}.npz", X=X[part], y=Y[part])
    return {name: tmp_path / f"{name}.npz" for name in parts}


def test_the_whole_protocol(fastlr_command, files, tmp_path):
    model, folder = tmp_path / "probe.safetensors", tmp_path / "report"
    outcome = fastlr_command(
        "probe", files["train"], "--validation", files["validation"], "--test", files["test"], "--l2", "1e-5:10:7",
        "--scoring", "accuracy,log_loss", "--tol", "1e-8", "--model", model, "--report", folder, "--json",
    )  # fmt: skip
    assert outcome.status == 0
    found = json.loads(outcome.out)
    path = fastlr.path(
        X[:300], Y[:300], l2=found["l2"], folds=(X[300:400], Y[300:400]), test=(X[400:], Y[400:]),
        scoring=["accuracy", "log_loss"], refit="train+validation", tol=1e-8,
    )  # fmt: skip
    assert found["chosen_l2"] == path.best_l2
    assert found["fitted_to"] == 400
    for name, scores in path.scores.items():
        np.testing.assert_allclose(found["scores"][name], scores)
        assert found["test_scores"][name] == pytest.approx(path.test_scores[name])
        low, high = found["test_intervals"][name]
        assert low < found["test_scores"][name] < high
    assert fastlr.load(model) == path.model
    assert found["peak_memory_bytes"] > 2**20
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Choice of l2" in page
    assert "95 % interval" in page
    assert f"was chosen: {path.best_l2:.3g}." in page
    assert (folder / "scores.png").stat().st_size > 5000
    assert "l2 " in outcome.err
    assert "was chosen by 100 validation samples" in outcome.err


def test_what_people_read(fastlr_command, files):
    outcome = fastlr_command("probe", files["train"], "--test", files["test"], "--l2", "1e-4,1e-2,1", "--folds", 3)
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0].endswith(": 300 samples of 64 features")
    assert lines[1].split() == ["l2", "accuracy"]
    assert [line.split()[0] for line in lines[2:5]] == ["0.0001", "0.01", "1"]
    assert sum(line.endswith("best") for line in lines) == 1
    assert any("was chosen by 3 folds" in line for line in lines)
    assert any("95 % interval" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_choice_at_the_edge_is_said(fastlr_command, files):
    command = ["probe", files["train"], "--validation", files["validation"], "--l2"]
    assert (
        "note: the chosen l2 is the smallest value tried; try smaller ones" in fastlr_command(*command, "1e-3,1e2").out
    )
    assert (
        "note: the chosen l2 is the largest value tried; try larger ones" in fastlr_command(*command, "1e-300,1e-3").out
    )
    assert "value tried" not in fastlr_command(*command, "1e-300,1e-3,1e2").out
    assert "value tried" not in fastlr_command(*command, "1e-3").out
    assert "1 value in " in fastlr_command(*command, "1e-3").out


def test_weights_of_one_set_alone_are_not_mixed_with_ones(refused, files, tmp_path):
    np.savez(tmp_path / "weighted.npz", X=X[:300], y=Y[:300], sample_weight=np.linspace(1, 2, 300))
    says = "the training data have sample weights and the validation data have none; take 'train', or give both"
    refused("probe", tmp_path / "weighted.npz", "--validation", files["validation"], "--l2", "1", says=(says,))


def test_many_values_are_shown_about_the_best(fastlr_command, files):
    outcome = fastlr_command("probe", files["train"], "--validation", 50, "--l2", "1e-6:1e3:60")
    assert "(36 more values)" in outcome.out
    assert sum("%" in line for line in outcome.out.splitlines()) == 24
    assert "250 samples of 64 features" in outcome.out
    assert "was chosen by 50 validation samples" in outcome.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--validation", "300"], "--validation: 300 of 300 samples; it must be from 1 to 299"),
        (["--validation", "0"], "it must be from 1 to 299"),
        (["--validation", "30", "--folds", "3"], "--folds: l2 is chosen on --validation or by --folds"),
        (["--refit", "train+validation"], "refit: 'train+validation' needs a validation set"),
        (["--validation", "nothere.npz"], "nothere.npz: no such file"),
        (["--scoring", "beauty"], "scoring: 'beauty' is not known"),
        (["--refit", "test"], "--refit: 'test'"),
        (["--l2", "a"], "--l2: 'a'"),
        (["--folds", "1"], "folds: 1; a whole number of at least 2"),
        (["--solver", "gd"], "solver: 'gd' does not go to the minimum"),
    ],
)
def test_what_is_wrong_is_said(refused, files, tmp_path, more, says):
    refused("probe", files["train"], "--model", tmp_path / "m.safetensors", *more, says=(says,))
    assert not (tmp_path / "m.safetensors").exists()


def test_a_validation_set_with_other_classes_is_refused(refused, files, tmp_path):
    np.savez(tmp_path / "other.npz", X=X[:20], y=Y[:20] + 5)
    refused("probe", files["train"], "--validation", tmp_path / "other.npz", says=("holds class 10, unknown",))


def test_a_report_of_a_path_needs_a_model(tmp_path):
    found = fastlr.path(X, Y, l2=[1e-2, 1.0], folds=3, refit=False)
    with pytest.raises(fastlr.InputError, match="report: the path left no model"):
        fastlr.report(found, tmp_path / "report")


def test_the_most_memory_is_that_of_this_process():
    before = machine.peak_memory()
    block = np.ones(2**25)
    assert machine.peak_memory() >= max(before, block.nbytes)


def test_a_score_that_is_not_defined_is_said(fastlr_command, refused, files, tmp_path):
    two, ones = Y < 2, np.flatnonzero(Y == 1)
    np.savez(tmp_path / "two.npz", X=X[two], y=Y[two], classes=["no", "yes"])
    np.savez(tmp_path / "ones.npz", X=X[ones], y=Y[ones], classes=["no", "yes"])
    command = ["probe", tmp_path / "two.npz", "--l2", "1,0.01", "--scoring", "roc_auc,accuracy"]
    outcome = fastlr_command(*command, "--test", tmp_path / "ones.npz", "--folds", 3, "--json")
    assert outcome.status == 0
    found = json.loads(outcome.out)
    assert found["test_scores"]["roc_auc"] is None
    assert found["test_intervals"]["roc_auc"] == [None, None]
    assert "test roc auc: not defined" in outcome.err
    model = tmp_path / "m.safetensors"
    refused(*command, "--validation", tmp_path / "ones.npz", "--model", model, says=("scoring: roc_auc has no value",))
    assert not model.exists()

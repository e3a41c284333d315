"""fastlr sweep: its table, its JSON, its best model, and what it refuses."""

import json

import numpy as np
import pytest
from conftest import draw_images, write_folder
from pseudo import on_a_terminal

import fastlr
from fastlr.cli.render.sweep_table import results
from fastlr.training.run import best_of
from fastlr.training.texts import numbers, seeds


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        images, labels = draw_images(24, seed=len(split))
        noise = rng.integers(-40, 40, images.shape)
        noisy = (images.astype(int) + noise).clip(0, 255).astype(np.uint8)
        write_folder(tmp_path / "data" / split, noisy, labels)
    return tmp_path / "data"


def test_the_published_sweep(real_data, published, fastlr_command):
    outcome = fastlr_command(
        "sweep", real_data / "cifar10" / "data_batch_1", "--positive", "bird", "--balance", "--holdout", 164,
        "--seed", 0, "--iterations", 2000, "--lr", "0.01,0.001,0.0001", "--json",
    ).json  # fmt: skip
    for run, (rate, accuracies) in zip(outcome["runs"], published["birds"]["sweep"].items(), strict=True):
        assert run["learning_rate"] == float(rate)
        assert [run["train_accuracy"], run["test_accuracy"]] == accuracies
    assert outcome["best"] == 0
    assert outcome["seconds"] > 0


def test_json_holds_what_is_promised(folder, fastlr_command):
    options = ["--size", 8, "--lr", "0.1,0.01", "--l2", "0,0.1", "--iterations", 60, "--record-every", 20]
    outcome = fastlr_command("sweep", folder, *options, "--folds", 3, "--json")
    assert outcome.status == 0
    told = outcome.json
    assert [(run["learning_rate"], run["l2"]) for run in told["runs"]] == [(0.1, 0), (0.1, 0.1), (0.01, 0), (0.01, 0.1)]
    train, test = (fastlr.open_dataset(folder, split, size=8) for split in ("train", "test"))
    for run in told["runs"]:
        settings = {"learning_rate": run["learning_rate"], "l2": run["l2"], "iterations": 60, "record_every": 20}
        alone = fastlr.train(train, test=test, **settings)
        assert run["costs"] == pytest.approx(alone.costs)
        assert (run["train_accuracy"], run["test_accuracy"]) == (alone.train_accuracy, alone.test_accuracy)
        assert run["recorded_at"] == [0, 20, 40]
        assert len(run["fold_accuracies"]) == 3
    assert (told["backend"], told["n_train"], told["classes"]) == ("numba", 24, ["dark", "light"])
    assert "Lowest cost after iteration 40" in outcome.err


def test_the_best_is_marked_and_kept(folder, tmp_path, fastlr_command):
    file = tmp_path / "m.safetensors"
    options = ["--size", 8, "--lr", "1e-7,0.05", "--iterations", 1000, "--model", file]
    outcome = fastlr_command("sweep", folder, *options)
    rows = [line.split() for line in outcome.out.splitlines()]
    assert rows[0] == ["learning", "rate", "l2", "cost", "train", "test"]
    assert "best" not in rows[1]
    assert rows[2][-1] == "best"
    assert f"model: {file}, the best of 2" in outcome.out
    chosen = "note: the best was chosen on the test set, so its test accuracy is probably too high; choose with --folds"
    assert chosen in outcome.out
    assert chosen not in fastlr_command("sweep", folder, *options, "--folds", 2).out
    assert fastlr.load(file).settings["learning_rate"] == 0.05
    assert fastlr.load(file).accuracy(fastlr.open_dataset(folder, "test", size=8)) == float(rows[2][-3])


def test_without_a_test_set_the_last_cost_chooses(folder, tmp_path, fastlr_command):
    told = fastlr_command("sweep", folder / "train", "--size", 8, "--lr", "1e-6,0.01,0.001", "--json").json
    assert told["best"] == 1
    assert told["runs"][0]["test_accuracy"] is None


def test_what_diverges_or_dies_is_marked(folder, fastlr_command):
    outcome = fastlr_command("sweep", folder, "--size", 8, "--lr", "1e200,0.01", "--l2", "1", "--iterations", 50)
    assert outcome.status == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert [row[-1] for row in rows[1:3]] == ["diverged", "best"]
    assert "note: 1 of them diverged: the cost was no longer finite" in outcome.out
    every = fastlr_command("sweep", folder, "--size", 8, "--lr", "1e200", "--l2", "1e200", "--iterations", 500)
    assert every.status == 1
    networks = fastlr_command(
        "sweep", folder, "--size", 8, "--layers", "2,1", "--seeds", "0-11", "--lr", 0.001, "--iterations", 30
    )
    marks = [line.split()[-1] for line in networks.out.splitlines()[1:13]]
    assert "dead" in marks
    assert "best" in marks
    assert networks.out.splitlines()[0].split()[:4] == ["learning", "rate", "l2", "seed"]


def test_a_live_table_on_a_terminal(folder):
    options = ["--size", 8, "--lr", "0.1,0.01", "--iterations", 300]
    seen = on_a_terminal("sweep", folder, *options, errors_there=True)
    assert seen.status == 0
    assert "iteration 200 of 300" in seen.text
    assert "learning rate" in seen.text
    assert "Lowest cost" not in seen.text
    assert seen.lines[-2].startswith("2 models in")
    dumb = on_a_terminal("sweep", folder, *options, errors_there=True, TERM="dumb")
    assert "Lowest cost after iteration 200" in dumb.text


def test_a_quiet_sweep(folder, fastlr_command):
    outcome = fastlr_command("sweep", folder, "--size", 8, "--iterations", 20, "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.1", [0.1]), ("0.1,1e-3", [0.1, 1e-3]), ("1e-2:1e2:5", [0.01, 0.1, 1, 10, 100]), ("1,2:8:3", [1, 2, 4, 8])],
)
def test_lists_of_numbers(text, expected):
    assert numbers("--lr", text) == pytest.approx(expected)


def test_lists_of_seeds():
    assert seeds("0-3") == [0, 1, 2, 3]
    assert seeds("5,0-1") == [5, 0, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--lr", "0.1,fast"], "--lr: '0.1,fast'; numbers are needed"),
        (["--lr", ""], "the argument after --lr: it is empty; give a value"),
        (["--lr", "0.1,-1"], "learning rate: -1.0; a positive number"),
        (
            ["--l2", "1:0:5"],
            "--l2: '1:0:5'; FIRST:LAST:COUNT needs two numbers above 0, not too far apart, and 2 to 10,000",
        ),
        (["--l2", "1:2:1000000"], "--l2: '1:2:1000000'; FIRST:LAST:COUNT needs"),
        (["--l2", "nan"], "l2: nan"),
        (["--seeds", "3-1"], "--seeds: '3-1'; the last must not be smaller than the first"),
        (["--solver", "auto", "--seeds", "0-1"], "seeds: solver 'auto' uses none; give one, or several values of l2"),
        (["--solver", "lbfgs", "--lr", "1,2"], "learning rates: solver 'lbfgs' uses none"),
        (["--solver", "auto", "--lr", "0.1,0.1"], "learning rates: solver 'auto' uses none"),
        (["--seeds", "9" * 5000], "whole numbers are needed, such as 0-7"),
        (["--layers", "9" * 5000], "whole numbers of at least 1 are needed"),
        (["--lr", "1:2"], "--lr: '1:2'; FIRST:LAST:COUNT needs two numbers and a whole number, such as 1e-6:1e2:9"),
        (["--l2", "1:2:1.5"], "--l2: '1:2:1.5'; FIRST:LAST:COUNT needs two numbers and a whole number"),
        (["--l2", "1e-300:1e300:3"], "--l2: '1e-300:1e300:3'; FIRST:LAST:COUNT needs"),
        (["--seeds", "0-99999999999"], "--seeds: '0-99999999999'; give 10,000 seeds at the most"),
        (["--folds", "1"], "folds: 1; a whole number of at least 2"),
        (["--folds", "20"], "folds: 20, but the smallest class has 12 samples"),
        (["--model", "m.txt"], "m.txt: its name must end in .safetensors"),
        (["--layers", "0"], "--layers: '0'"),
        (["--optimizer", "adam", "--form", "gram"], "form: 'gram' is not possible"),
    ],
)
def test_what_a_sweep_refuses(folder, refused, tmp_path, options, says):
    refused("sweep", folder, "--size", 8, *options, says=(says,))
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_result_is_json_alone(folder, fastlr_command):
    outcome = fastlr_command("sweep", folder, "--size", 8, "--iterations", 20, "--json")
    assert list(json.loads(outcome.out)["runs"][0])[:2] == ["learning_rate", "l2"]
    assert json.loads(outcome.out)["chosen_by"] == "test set"
    folds = fastlr_command("sweep", folder, "--size", 8, "--iterations", 20, "--folds", 2, "--json")
    assert json.loads(folds.out)["chosen_by"] == "folds"


def test_a_report_of_the_sweep(folder, tmp_path, fastlr_command):
    out = tmp_path / "report"
    options = ["--size", 8, "--lr", "0.1,0.01", "--iterations", 300, "--report", out]
    told = fastlr_command("sweep", folder, *options, "--json").json
    page = (out / "report.html").read_text()
    assert told["report"] == str(out / "report.html")
    assert "learning rate 0.1" in page
    assert "learning rate 0.01" in page
    assert (out / "learning-curve.png").is_file()
    assert f"report: {out / 'report.html'}" in fastlr_command("sweep", folder, *options).out


def test_the_table_says_if_the_best_l2_is_at_the_edge_of_the_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 40))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    for l2, edge in (
        ([1e-6, 1e-5, 1e-1], "largest"),
        ([1, 3, 100], "smallest"),
        ([1e-1, 1, 3], None),
        ([1e-1, 10], None),
    ):
        runs = fastlr.sweep(X, y, l2=l2, folds=3, solver="auto")
        text = results(runs, best_of(runs))
        assert (f"note: the chosen l2 is the {edge} value tried; try {edge and edge[:-2]}r ones" in text) == (
            edge is not None
        ), text

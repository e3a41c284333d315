"""The commands, as people and scripts call them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image
from pseudo import on_a_terminal

import fastlr
from fastlr.reporting import annotate as report


@pytest.fixture
def pictures(tmp_path):
    images, labels = draw_images(30)
    write_folder(tmp_path / "pictures" / "train", images[:20], labels[:20])
    return write_folder(tmp_path / "pictures" / "test", images[20:], labels[20:]).parent


def test_train_json_is_one_object_and_nothing_else(fastlr_command, pictures, tmp_path):
    model = tmp_path / "m.safetensors"
    outcome = fastlr_command("train", pictures, "--size", 8, "--iterations", 150, "--model", model, "--json")
    assert outcome.status == 0
    assert outcome.out.count("\n") == 1
    run = outcome.json
    assert {"costs", "recorded_at", "train_accuracy", "test_accuracy", "classes", "n_train", "n_test", "n_features",
            "form", "backend", "device", "dtype", "seconds", "model"} <= run.keys()  # fmt: skip
    assert (run["n_train"], run["n_test"], run["n_features"]) == (20, 10, 192)
    assert run["model"] == str(model)
    assert "Cost after iteration 100: " in outcome.err
    assert f"test accuracy: {run['test_accuracy']} % of 10 samples" in outcome.err
    assert fastlr.load(model).costs == tuple(run["costs"])


def test_the_version(fastlr_command):
    outcome = fastlr_command("--version")
    assert (outcome.status, outcome.out, outcome.err) == (0, f"fastlr {fastlr.__version__}\n", "")


def test_train_for_people(fastlr_command, pictures):
    outcome = fastlr_command("train", pictures, "--size", 8, "--iterations", 101)
    assert [line.split(":")[0] for line in outcome.err.splitlines()] == [
        "Cost after iteration 0",
        "Cost after iteration 100",
    ]
    assert "train accuracy: " in outcome.out
    assert "classes dark, light" in outcome.out


def test_train_without_a_test_set(fastlr_command, pictures):
    run = fastlr_command("train", pictures / "train", "--size", 8, "--iterations", 5, "--json").json
    assert (run["test_accuracy"], run["n_test"], run["model"]) == (None, 0, None)


def test_both_names_of_the_learning_rate(fastlr_command, pictures):
    one, two = (
        fastlr_command("train", pictures, "--size", 8, option, "0.02", "--iterations", 101, "--json").json["costs"]
        for option in ("--lr", "--learning-rate")
    )
    assert one == two
    assert one != fastlr_command("train", pictures, "--size", 8, "--iterations", 101, "--json").json["costs"]


def test_positive_balance_and_holdout(fastlr_command, tmp_path):
    images, _ = draw_images(30)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(30) % 3, classes=["a", "b", "c"])
    options = ("--positive", "b", "--balance", "--holdout", 4, "--seed", 7, "--iterations", 50, "--json")
    run = fastlr_command("train", tmp_path / "x.npz", *options).json
    assert (run["n_train"], run["n_test"]) == (16, 4)
    assert run["classes"] == ["not b", "b"]


def test_evaluate_maps_the_classes_as_training_did(fastlr_command, tmp_path):
    images, _ = draw_images(30)
    labels = np.arange(30) % 2 + np.arange(30) // 15  # three classes; the odd ones are bright
    np.savez(tmp_path / "x.npz", images=images, labels=labels, classes=["a", "b", "c"])
    model = tmp_path / "m.safetensors"
    trained = fastlr_command("train", tmp_path / "x.npz", "--positive", "b,c", "--model", model, "--json").json
    evaluated = fastlr_command("evaluate", model, tmp_path / "x.npz", "--json").json
    assert evaluated["accuracy"] == trained["train_accuracy"]
    assert evaluated["n"] == 30


def test_positive_classes_that_the_test_set_lacks(fastlr_command, tmp_path):
    images, _ = draw_images(30)
    np.savez(
        tmp_path / "x.npz", images=images, labels=np.arange(30) % 3, test_images=images[:4], test_labels=[0, 1, 0, 1]
    )
    run = fastlr_command("train", tmp_path / "x.npz", "--positive", "2", "--iterations", 5, "--json").json
    assert (run["n_train"], run["n_test"], run["classes"]) == (30, 4, ["not 2", "2"])


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the stream")
def test_a_closed_standard_error_is_no_hindrance(pictures):
    command = '"$0" -m fastlr train "$1" --size 8 --iterations 5 --json 2>&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, str(pictures)], capture_output=True, check=True)
    assert json.loads(done.stdout)["n_train"] == 20


def test_evaluate_brings_pictures_to_the_models_size(fastlr_command, pictures, tmp_path):
    model = tmp_path / "m.safetensors"
    trained = fastlr_command(
        "train", pictures, "--size", 5, "--resample", "box", "--model", model, "--iterations", 300, "--json"
    ).json
    assert fastlr_command("evaluate", model, pictures, "--json").json["accuracy"] == trained["test_accuracy"]
    assert (
        fastlr_command("evaluate", model, pictures, "--split", "train", "--json").json["accuracy"]
        == trained["train_accuracy"]
    )


def test_predict_agrees_with_python_and_annotates(fastlr_command, pictures, tmp_path):
    model = tmp_path / "m.safetensors"
    fastlr_command("train", pictures, "--size", 8, "--lr", 0.05, "--iterations", 1000, "--model", model)
    files = [*sorted((pictures / "test" / "dark").iterdir()), *sorted((pictures / "test" / "light").iterdir())]
    outcome = fastlr_command("predict", model, *files, "--annotate", tmp_path / "out", "--json")
    classifier, data = fastlr.load(model), fastlr.open_dataset(pictures, "test", size=8)
    assert [row["probability"] for row in outcome.json] == classifier.predict_proba(data).max(axis=1).tolist()
    assert [row["label"] for row in outcome.json] == classifier.predict(data).tolist()
    assert {row["label"] for row in outcome.json} == {"dark", "light"}
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 10
    assert written[0].name == "dark-picture_000.jpg"
    with Image.open(written[0]) as image:
        assert image.size[0] == report.SHORTEST
        assert image.size[1] > report.SHORTEST, "the caption stands below the picture"
    lines = fastlr_command("predict", model, files[0]).out.splitlines()
    assert lines == [f"{files[0]}  {outcome.json[0]['label']}  {outcome.json[0]['probability']:.4f}"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_names_that_are_no_text_are_read_shown_and_kept(tmp_path):
    images, labels = draw_images(8)
    name = os.fsdecode(b"caf\xff")
    write_folder(tmp_path / "data", images, labels, names=("é<b>", name))
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    def run(*arguments) -> str:
        command = [sys.executable, "-m", "fastlr", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, env=environment).stdout.decode()

    assert "classes caf\\udcff, \\xe9<b>" in run(
        "train", "data", "--size", 8, "--iterations", 2, "--model", "m.safetensors"
    )
    rows = json.loads(run("predict", "m.safetensors", f"data/{name}/picture_001.png", "--json"))
    assert rows[0]["image"] == f"data/{name}/picture_001.png"
    for out in ("out.h5", "out.npz"):
        run("convert", "data", out, "--size", 8)
        assert fastlr.open_dataset(tmp_path / out).classes == (name, "é<b>")
        assert json.loads(run("evaluate", "m.safetensors", out, "--json"))["n"] == 8


def test_annotated_names_are_distinct(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("a/x.png", "b/x.png", "b/x.jpg", "b/x.png")]
    assert report.distinct_names(files) == ["a-x.jpg", "b-x.jpg", "b-x-2.jpg", "b-x-3.jpg"]
    assert report.distinct_names(files[:1]) == ["x.jpg"]
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert report.distinct_names([Path("x.png"), Path("../b/y.png")]) == ["a-x.jpg", "b-y.jpg"]


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (4000, 30), (64, 64)])
def test_annotated_pictures_fit_a_screen(size):
    caption = "a rather long class name of many words  99.9%" * 2
    sheet = report.annotate(Image.new("RGB", size), caption)
    assert report.SHORTEST <= sheet.width <= report.LONGEST
    assert sheet.width >= report.ImageFont.load_default(10).getlength(caption), "room for all of the caption"
    assert sheet.height <= report.LONGEST + 40
    assert np.asarray(sheet)[-20:].max() > 200, "the caption is there, in white"


def test_backends(fastlr_command):
    rows = fastlr_command("backends", "--json").json
    numpy = next(row for row in rows if row["name"] == "numpy")
    assert numpy["runs"] is True
    assert numpy["version"] == np.__version__
    assert numpy["devices"] == ["cpu"]
    lines = fastlr_command("backends").out.splitlines()
    assert any(line.startswith("numpy") and line.endswith("runs on cpu (float64, float32)") for line in lines)
    assert not any("does not run" in line and "float64" in line for line in lines)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_class_that_is_held_out_whole_is_named(seed, tmp_path):
    """In a process of its own: what libraries print while files are read is kept away, this is not."""
    X = np.random.default_rng(0).normal(size=(30, 2))
    np.savez(tmp_path / "d.npz", X=X, y=np.array(["a", "b"] * 14 + ["rare", "a"]))
    command = [sys.executable, "-m", "fastlr", "train", tmp_path / "d.npz", "--holdout", "15", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lost = "--holdout: no sample of class 'rare' is left to train on; hold out fewer, or take another --seed\n"
    assert (lost in done.stderr) == (28 in np.random.RandomState(seed).permutation(30)[15:])


def test_a_holdout_that_leaves_one_class(refused, tmp_path):
    np.savez(tmp_path / "d.npz", X=np.eye(4), y=[0, 0, 1, 1])
    says = "--holdout: it leaves class '1' alone to train on; hold out fewer samples, or take another --seed"
    refused("train", tmp_path / "d.npz", "--holdout", 3, "--seed", 1, says=(says,))


def test_progress_bar_on_a_terminal(pictures):
    seen = on_a_terminal("train", pictures, "--size", 8, "--iterations", 300, columns=100, errors_there=True)
    assert seen.status == 0
    assert "20 samples of 192 features" in seen.text
    assert "300/300" in seen.text
    assert "cost 0." in seen.text
    assert "Cost after iteration" not in seen.text


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["--report", ""], "the argument after --report"), (["--model="], "--model="),
        (["--class-weight", ""], "the argument after --class-weight"), (["--test="], "--test="),
        (["-q", ""], "the argument after -q"), (["--", ""], "the argument after --"),
    ],
)  # fmt: skip
def test_an_empty_argument_is_not_this_folder(arguments, which, refused, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    refused("train", pictures, *arguments, says=(f"{which}: it is empty; give a value, or leave it out",))
    assert sorted(tmp_path.rglob("*")) == before
    refused("train", "--", "--x=", says=("--x=: no such file or folder",))
    refused("", says=("the first argument: it is empty",))


def test_drawn_pictures_depend_on_the_seed_alone(tmp_path):
    from fastlr.data.drawn import draw_dataset

    for name, seed, count in (("a", 0, 4), ("b", 0, 6), ("c", 1, 4)):
        draw_dataset(tmp_path / name, count, 2, seed)
    a, b, c = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.jpg")}
        for name in "abc"
    )
    assert a.items() <= b.items()
    assert a.keys() == c.keys()
    assert not set(a.values()) & set(c.values())


def test_scale_is_an_option_of_train_and_sweep(fastlr_command, refused, tmp_path):
    images, labels = draw_images(20)
    np.savez(tmp_path / "d.npz", images=images, labels=labels)
    auto = fastlr_command("train", tmp_path / "d.npz", "--iterations", 20, "--json").json
    same = fastlr_command("train", tmp_path / "d.npz", "--iterations", 20, "--json", "--scale", 1 / 255).json
    half = fastlr_command("train", tmp_path / "d.npz", "--iterations", 20, "--json", "--scale", 0.5 / 255, "--lr", 0.02)
    assert auto["costs"] == same["costs"]
    assert half.json["costs"] == pytest.approx(auto["costs"], rel=1e-3), "half the scale, four times the rate"
    swept = fastlr_command(
        "sweep", tmp_path / "d.npz", "--iterations", 20, "--json", "--scale", 0.5 / 255, "--lr", 0.02
    )
    assert swept.json["runs"][0]["costs"] == half.json["costs"]
    refused("train", tmp_path / "d.npz", "--scale", "-1", says=("scale: -1.0; a positive number is needed, or 'auto'",))
    refused("train", tmp_path / "d.npz", "--scale", "big", says=("--scale: 'big'; a positive number is needed",))
    refused("sweep", tmp_path / "d.npz", "--scale", "1,2", says=("--scale: '1,2'; a positive number is needed",))

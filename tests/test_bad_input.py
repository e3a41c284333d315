"""Each kind of bad input: one line that says what, where and what to do; exit status 2; nothing left behind."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SOURCES, draw_images, write_folder, write_idx, write_source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fastlr
from fastlr.data import Dataset, splits_of


@pytest.fixture
def pictures(tmp_path) -> Path:
    return write_folder(tmp_path / "pictures", *draw_images())


@pytest.fixture
def model(tmp_path) -> Path:
    fastlr.train(*draw_images(), iterations=20).model.save(tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


@pytest.fixture
def train_refused(refused, tmp_path):
    """Refuse a training that was to save a model, and leave no model and no part of one."""

    def check(*arguments, says):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        refused("train", *arguments, "--model", out / "m.safetensors", says=says)
        assert not list(out.iterdir())

    return check


def test_a_missing_path(train_refused, tmp_path):
    train_refused(tmp_path / "none", says=("none: no such file or folder",))


def test_a_path_that_no_system_takes(train_refused):
    with pytest.raises(fastlr.InputError, match="cannot be opened"):
        fastlr.open_dataset("a\0b")
    train_refused("x" * 5000, says=("cannot be opened",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_not_waited_for(train_refused, refused, model, pictures, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    train_refused(tmp_path / "pipe", says=("pipe: neither a file nor a folder",))
    os.mkfifo(tmp_path / "out.npz")
    (tmp_path / "link.npz").symlink_to("out.npz")
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    for name, says in (
        ("out.npz", "is a device, pipe or socket; give the name of a file"),
        ("link.npz", "is a device, pipe or socket; give the name of a file"),
        ("loop.npz", "cannot be written (Too many levels of symbolic links)"),
    ):
        refused("convert", pictures, tmp_path / name, says=(f"{name}: {says}",))
    assert stat.S_ISFIFO((tmp_path / "out.npz").lstat().st_mode)
    refused("predict", model, tmp_path / "pipe", says=("pipe: is a device, pipe or socket, not a picture",))


def test_an_empty_folder(train_refused, tmp_path):
    (tmp_path / "empty").mkdir()
    train_refused(tmp_path / "empty", says=("empty: holds no class folders; it should hold one folder of pictures",))


def test_an_empty_class_folder(train_refused, pictures):
    (pictures / "zebra").mkdir()
    train_refused(pictures, says=("zebra: holds no pictures",))


def test_a_single_class(train_refused, pictures):
    shutil.rmtree(pictures / "light")
    train_refused(pictures, says=("pictures: holds class 'dark' alone; samples of two classes are needed",))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--layers", "0"], "--layers: '0'; whole numbers of at least 1 are needed, such as 4,3,2"),
        (["--layers", "4,-3"], "--layers: '4,-3'; whole numbers of at least 1"),
        (["--layers", "4,three"], "--layers: '4,three'; whole numbers of at least 1"),
        (["--layers", "4,,2"], "--layers: '4,,2'; whole numbers of at least 1"),
        (["--optimizer", "adam", "--form", "gram"], "form: 'gram' is not possible: adam scales each weight by itself"),
        (["--batch-size", "4", "--form", "gram"], "form: 'gram' is not possible: mini-batches have no Gram form"),
        (["--batch-size", "0"], "batch size: 0; a whole number of at least 1"),
        (["--batch-size", "13"], "batch size: 13, but"),
        (["--optimizer", "sgd"], "optimizer: 'sgd' is not known; choose gd, momentum, nesterov, adam"),
    ],
)
def test_wrong_settings_of_networks(train_refused, pictures, options, says):
    train_refused(pictures, *options, says=(says,))


def test_a_test_set_of_other_classes(train_refused, pictures, tmp_path):
    other = write_folder(tmp_path / "other", *draw_images(2), names=("dark", "dusk"))
    train_refused(pictures, "--test", other, says=("holds class 'dusk', unknown to the training data",))
    write_folder(pictures, *draw_images(2), names=("dawn", "noon"))
    train_refused(pictures, "--test", other, "--layers", "2", says=("holds class 'dusk'", "dark, dawn, light, noon"))


def test_a_file_that_is_no_picture(train_refused, fastlr_command, pictures):
    (pictures / "dark" / "notes.txt").write_text("hello")
    train_refused(pictures, says=("dark/notes.txt: not a picture that can be read", "--skip-bad"))
    outcome = fastlr_command("train", pictures, "--skip-bad", "--iterations", 2)
    assert outcome.status == 0
    assert "skipped" in outcome.err
    assert "notes.txt" in outcome.err


def test_a_truncated_jpeg(train_refused, tmp_path):
    source, file = write_source("jpg", tmp_path / "jpg")
    file.write_bytes(file.read_bytes()[:-30])
    train_refused(source, says=("picture_000.jpg: cannot be read as a picture", "truncated"))


def test_a_decompression_bomb(train_refused, pictures, monkeypatch):
    Image.new("1", (3000, 3000)).save(pictures / "dark" / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    train_refused(pictures, says=("bomb.png: refused, it is too large a picture",))


def test_labels_that_do_not_match_in_length(train_refused, tmp_path):
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0])
    train_refused(tmp_path / "x.npz", says=("x.npz: 4 samples and 3 labels; each sample needs one",))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(train_refused, tmp_path, value):
    X = np.eye(4)
    X[2, 1] = value
    np.savez(tmp_path / "x.npz", X=X, y=[0, 1, 0, 1])
    train_refused(tmp_path / "x.npz", says=(f"x.npz: sample 2 holds {value} at feature 1",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lr", "-0.1"), "learning rate: -0.1; a positive number is needed"),
        (("--learning-rate", "nan"), "learning rate: nan; a positive number is needed"),
        (("--lr", "fast"), "Invalid value for '--lr'"),
        (("--l2", "-1"), "l2: -1.0; a number of at least 0"),
        (("--iterations", "0"), "iterations: 0; a whole number of at least 1"),
        (("--record-every", "0"), "record every: 0"),
        (("--seed", "-3"), "seed: -3"),
        (("--size", "0"), "size: 0 pixels; it must be a whole number from 1 to 4096"),
        (("--size", "1000000"), "size: 1000000 pixels"),
        (("--resample", "best"), "resample: 'best' is not known; choose nearest"),
        (("--form", "dual"), "form: 'dual' is not known; choose auto, primal, gram"),
        (
            ("--backend", "tensorflow"),
            "backend: 'tensorflow' is not a backend of this version; choose auto, numba, numpy",
        ),
        (("--device", "cuda:9"), "device: numba has no device 'cuda:9' here; choose cpu"),
        (("--dtype", "float16"), "dtype: 'float16' is not a working dtype; choose float64 or float32"),
        (("--positive", "zebra"), "positive: "),
        (("--holdout", "12"), "holdout: 12 of 12 samples; a whole number from 1 to 11 is needed"),
        (("--holdout", "3", "--test", "x"), "--holdout: --test names the test data already"),
        (("--test", "nowhere"), "nowhere: no such file or folder"),
        (("--colour", "red"), "No such option: --colour"),
    ],
)
def test_wrong_options(train_refused, pictures, options, words):
    train_refused(pictures, *options, says=(words,))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FASTLR_BACKEND", "tensorflow", "FASTLR_BACKEND: 'tensorflow' is not a backend"),
        ("FASTLR_DEVICE", "cuda:9", "FASTLR_DEVICE: numba has no device 'cuda:9'"),
        ("FASTLR_DTYPE", "float16", "FASTLR_DTYPE: 'float16' is not a working dtype"),
    ],
)
def test_wrong_environment(train_refused, pictures, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    train_refused(pictures, says=(words,))


def test_balance_needs_two_classes(train_refused, pictures):
    write_folder(pictures, *draw_images(2), names=("a", "b"))
    train_refused(pictures, "--balance", says=("balance: ", "has 4 classes; name the ones with positive"))


def test_no_command_and_wrong_command(refused, fastlr_command):
    assert fastlr_command().status == 2
    refused("trai", says=("No such command 'trai'",))
    refused("train", says=("Missing argument 'DATA'",))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/m.safetensors", "cannot be written, there is no folder"),
        ("m.pt", "its name must end in .safetensors"),
        ("folder.safetensors", "is a folder"),
    ],
)
def test_where_the_model_cannot_be_written(refused, pictures, tmp_path, name, words):
    (tmp_path / "folder.safetensors").mkdir()
    refused("train", pictures, "--model", tmp_path / name, says=(name, words))


def test_a_place_that_cannot_be_written_is_known_before_training(refused, pictures, monkeypatch):
    monkeypatch.setattr("fastlr.training.trained.follow", lambda *_: pytest.fail("it trained"))
    monkeypatch.setattr(
        "pathlib.Path.touch", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no permission"))
    )
    refused(
        "train",
        pictures,
        "--model",
        pictures / "m.safetensors",
        says=("m.safetensors: cannot be written (no permission)",),
    )


def test_a_long_name_is_no_hindrance(fastlr_command, pictures, tmp_path):
    model = tmp_path / ("m" * 240 + ".safetensors")
    assert fastlr_command("train", pictures, "--iterations", 2, "--model", model).status == 0
    assert model.is_file()


def test_what_a_symbolic_link_leads_to_stays(fastlr_command, pictures, tmp_path):
    precious, model, report = tmp_path / "precious", tmp_path / "m.safetensors", tmp_path / "report"
    precious.write_text("do not lose")
    report.mkdir()
    for link in (model, report / "report.html", report / "confusion.png"):
        link.symlink_to(precious)
    command = ("train", pictures, "--size", 8, "--iterations", 2, "--model", model, "--report", report)
    assert fastlr_command(*command).status == 0
    assert precious.read_text() == "do not lose"
    assert fastlr.load(model).classes == ("dark", "light")
    assert not model.is_symlink()
    assert "<html" in (report / "report.html").read_text()


def test_annotating_never_overwrites_the_pictures(refused, fastlr_command, model, tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    before = (tmp_path / "photo.jpg").read_bytes()
    refused(
        "predict", model, tmp_path / "photo.jpg", "--annotate", tmp_path, says=("photo.jpg: is read by this command",)
    )
    monkeypatch.chdir(tmp_path)
    refused("predict", model, "photo.jpg", "--annotate", ".", says=("photo.jpg: is read by this command",))
    assert (tmp_path / "photo.jpg").read_bytes() == before
    # A picture that could not be read is one of the user's files too, and so is what standard input comes from.
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "a.jpg").write_bytes(before[:40])
    refused("predict", model, "photos", "--annotate", "photos", says=("a.jpg: is read by this command",))
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == before[:40]
    (tmp_path / "standard-input.jpg").write_bytes(before)
    with open("standard-input.jpg", "rb") as file:
        command = [sys.executable, "-m", "fastlr", "predict", str(model), "-", "--annotate", "."]
        done = subprocess.run(command, stdin=file, capture_output=True, text=True)
    assert done.returncode == 2
    assert "standard-input.jpg: is read by this command" in done.stderr
    assert (tmp_path / "standard-input.jpg").read_bytes() == before


def test_only_bad_pictures_are_no_data(train_refused, refused, pictures, model, tmp_path):
    for file in pictures.rglob("*.png"):
        file.write_bytes(b"")
    train_refused(pictures, "--skip-bad", says=("pictures: none of its files is a picture",))
    refused("evaluate", model, pictures, "--skip-bad", says=("pictures: none of its files is a picture",))
    refused("convert", pictures, tmp_path / "x.npz", "--skip-bad", says=("pictures: none of its files is a picture",))
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take(train_refused, refused, pictures, tmp_path, seed):
    train_refused(pictures, "--holdout", 2, "--seed", seed, says=(f"seed: {seed}; a whole number from 0",))
    refused("demo", "--seed", seed, "--out", tmp_path / "demo", says=(f"seed: {seed}",))
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_somebodys_results_is_no_demo(refused, tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "results.json").write_text("precious")
    refused("demo", "--out", tmp_path / "project", says=("exists and is not an earlier demo's",))
    assert (tmp_path / "project" / "results.json").read_text() == "precious"


def test_two_classes_of_one_name(train_refused, tmp_path):
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0, 1], classes=["cat", "cat"])
    train_refused(tmp_path / "x.npz", says=("x.npz: two classes have the same name",))


@pytest.mark.parametrize("classes", [[1.5, np.nan], [1j, 2j], np.array(["2020", "2021"], "datetime64[Y]")])
def test_class_names_that_no_model_could_hold(train_refused, tmp_path, classes):
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0, 1], classes=classes)
    train_refused(tmp_path / "x.npz", says=("is no name of a class; text or a number is needed",))


def test_several_idx_sets_in_one_folder(train_refused, tmp_path):
    images, labels = draw_images()
    for name in ("letters-train", "digits-train"):
        write_idx(tmp_path, images[..., 0], labels, name=name)
    train_refused(tmp_path, says=("holds several data sets (digits-train-images", "put each into a folder of its own"))


def test_a_test_set_of_another_kind_is_refused_before_training(train_refused, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("fastlr.training.trained.follow", lambda *_: pytest.fail("it trained"))
    np.savez(tmp_path / "x.npz", X=np.ones((2, 192)), labels=["dark", "light"])
    train_refused(pictures, "--size", 8, "--test", tmp_path / "x.npz", says=("x.npz: its samples are float64",))


def test_an_empty_positive(train_refused, pictures):
    train_refused(pictures, "--positive", "", says=("the argument after --positive: it is empty",))


def test_a_model_of_another_channel_count_says_so(refused, pictures, tmp_path):
    images, labels = draw_images()
    rgba = np.concatenate([images, images[..., :1]], axis=3)
    fastlr.train(rgba, labels, iterations=2).model.save(tmp_path / "rgba.safetensors")
    picture = pictures / "dark" / "picture_000.png"
    refused("predict", tmp_path / "rgba.safetensors", picture, says=("model: it takes samples of 4 channels",))


def test_a_path_given_to_train_in_python(pictures):
    with pytest.raises(fastlr.InputError, match=r"is a path; give fastlr\.open_dataset of it"):
        fastlr.train(str(pictures))


def test_a_test_set_of_another_size_or_class(train_refused, pictures, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=["dark", "light"])
    train_refused(
        pictures, "--size", 8, "--test", tmp_path / "x.npz", says=("x.npz: its samples have 48 features each",)
    )
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=["dark", "grey"])
    train_refused(pictures, "--size", 8, "--test", tmp_path / "x.npz", says=("x.npz: holds class 'grey'",))


def test_other_files_as_data(train_refused, tmp_path, pictures):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    train_refused(tmp_path / "table.csv", says=("table.csv: not data that fastlr reads; give a folder",))
    train_refused(pictures / "dark" / "picture_000.png", says=("not data that fastlr reads",))
    (tmp_path / "empty.h5").write_bytes(b"")
    train_refused(tmp_path / "empty.h5", says=("empty.h5: cannot be read; it is damaged or of another kind",))
    (tmp_path / "x.npz").write_bytes(b"PK")
    train_refused(tmp_path / "x.npz", says=("x.npz: cannot be read",))


def test_idx_cut_short_and_without_labels(train_refused, tmp_path):
    images, labels = draw_images()
    write_idx(tmp_path, images[..., 0], labels)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x0c\0\1")
    train_refused(tmp_path, says=("train-labels-idx1-ubyte: its header claims 12 bytes",))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\1\0\0\1")
    train_refused(tmp_path, says=("its header claims 256 bytes, more than there are; it is cut short",))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    train_refused(tmp_path, says=("its labels are missing; put train-labels-idx1-ubyte beside it",))


def test_a_model_cut_short(refused, model, pictures, tmp_path):
    model.write_bytes(model.read_bytes()[:-50])
    picture = pictures / "dark" / "picture_000.png"
    refused(
        "predict",
        model,
        picture,
        "--annotate",
        tmp_path / "out",
        says=("trained.safetensors: cannot be read as a model",),
    )
    refused("evaluate", model, pictures, says=("trained.safetensors: cannot be read as a model",))
    assert not (tmp_path / "out").exists()


def test_predict_what_cannot_be_predicted(refused, model, pictures, tmp_path):
    good, out = pictures / "dark" / "picture_000.png", tmp_path / "out"
    refused("predict", model, good, tmp_path / "none.png", "--annotate", out, says=("none.png: no such file",))
    refused("predict", model, model, "--annotate", out, says=("trained.safetensors: not a picture",))
    refused("predict", model, says=("Missing argument 'IMAGE...'",))
    refused("predict", tmp_path / "none.safetensors", good, says=("none.safetensors: no such model file",))
    refused("predict", model, good, "--annotate", good, says=("is a file; --annotate takes the name of a folder",))
    assert not out.exists()


def test_predict_with_a_model_of_features(refused, tmp_path, pictures):
    fastlr.train(np.eye(2), [0, 1], iterations=2).model.save(tmp_path / "f.safetensors")
    picture = pictures / "dark" / "picture_000.png"
    refused("predict", tmp_path / "f.safetensors", picture, says=("was trained on features, not on pictures",))


def test_pictures_of_other_channel_counts_are_predicted(fastlr_command, model, tmp_path):
    files = []
    for mode in ("L", "RGBA", "LA", "P", "1", "CMYK", "I;16"):
        files.append(tmp_path / f"{mode.replace(';', '')}.tiff")
        Image.new(mode, (20, 10)).save(files[-1])
    outcome = fastlr_command("predict", model, *files, "--json")
    assert outcome.status == 0, outcome.err
    assert [row["image"] for row in outcome.json] == [str(file) for file in files]


def test_evaluate_on_the_wrong_data(refused, model, tmp_path):
    write_folder(tmp_path / "other", *draw_images(), names=("cat", "dog"))
    refused("evaluate", model, tmp_path / "other", says=("other: holds class 'cat', unknown to the training data",))
    np.savez(tmp_path / "features.npz", X=np.eye(4), y=[0, 1, 0, 1])
    says = (
        "features.npz: the samples are float64, but the model was trained on uint8 pixels; give pictures, or uint8 ",
    )
    refused("evaluate", model, tmp_path / "features.npz", says=says)
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0, 1])
    refused(
        "evaluate",
        model,
        tmp_path / "x.npz",
        says=("x.npz: the samples are float64, but the model was trained on uint8 pixels",),
    )


def test_convert_to_what_cannot_be_written(refused, pictures, tmp_path):
    refused("convert", pictures, tmp_path / "out.csv", says=("out.csv: its name must end in .h5 or .npz",))
    refused("convert", pictures, tmp_path / "none" / "out.h5", says=("there is no folder",))
    (pictures / "dark" / "notes.txt").write_text("hello")
    refused("convert", pictures, tmp_path / "out.h5", says=("notes.txt: not a picture",))
    assert [entry.name for entry in tmp_path.iterdir()] == ["pictures"]


def test_demo_does_not_write_into_a_folder_of_other_things(refused, pictures):
    before = sorted(pictures.rglob("*"))
    refused("demo", "--out", pictures, says=("exists and is not an earlier demo's",))
    refused(
        "demo", "--out", pictures / "dark" / "picture_000.png", says=("is a file; --out takes the name of a folder",)
    )
    assert sorted(pictures.rglob("*")) == before


def test_divergence_is_said_and_the_last_finite_model_kept(fastlr_command, pictures, tmp_path):
    out = tmp_path / "m.safetensors"
    outcome = fastlr_command("train", pictures, "--lr", 1, "--l2", 10, "--iterations", 5000, "--model", out, "--json")
    assert outcome.status == 1
    assert "fastlr: diverged: the cost was no longer finite at iteration" in outcome.err
    assert "try a learning rate of" in outcome.json["warning"]
    assert np.isfinite(fastlr.load(out).layers[0].W).all()


def test_running_out_of_memory_is_one_line(fastlr_command, pictures, monkeypatch):
    monkeypatch.setattr(
        "fastlr.training.trained.follow", lambda *_: (_ for _ in ()).throw(MemoryError("Unable to allocate"))
    )
    outcome = fastlr_command("train", pictures)
    assert outcome.status == 1
    assert outcome.err == "fastlr: out of memory (Unable to allocate); use fewer or smaller samples\n"


def test_interruption_and_a_closed_pipe_are_quiet(pictures):
    command = [sys.executable, "-m", "fastlr", "train", str(pictures), "--iterations", "20", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # nobody reads what is printed
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.parametrize("kind", SOURCES)
@settings(
    max_examples=settings.default.max_examples // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mangled_bytes_never_end_in_a_traceback(tmp_path_factory, kind, data):
    """Truncate, flip, replace or empty a file: it is read, or refused in one line that names it."""
    root = tmp_path_factory.mktemp(kind)
    path, file = write_source(kind, root)
    file.write_bytes(mangle(data, file.read_bytes()))
    refusal = refusal_of(lambda: [fastlr.open_dataset(path, split, size=8) for split in splits_of(path) or ("train",)])
    assert refusal is None or ("\n" not in refusal and str(root) in refusal)
    shutil.rmtree(root)


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(data=st.data())
def test_a_mangled_model_is_read_or_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("model")
    path, predictions = root / "m.safetensors", []
    fastlr.train(*draw_images(), iterations=2).model.save(path)
    path.write_bytes(mangle(data, path.read_bytes()))
    refusal = refusal_of(lambda: predictions.append(fastlr.load(path).predict_proba(np.zeros((1, 192), np.uint8))))
    assert np.isfinite(predictions).all() if refusal is None else "\n" not in refusal
    shutil.rmtree(root)


def refusal_of(call: Callable[[], object]) -> str | None:
    """Return what the call was refused with, None where it went well; anything but an InputError goes through."""
    try:
        call()
    except fastlr.InputError as error:
        return str(error)
    return None


def mangle(data: st.DataObject, content: bytes) -> bytes:
    kind = data.draw(st.sampled_from(("cut", "flip", "overwrite", "replace")))
    if kind == "cut":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    if kind == "replace":
        return data.draw(st.binary(max_size=200))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, min(len(content), 600) - 1))  # headers are where the sense is
        if kind == "flip":
            changed[position] ^= 1 << data.draw(st.integers(0, 7))
        else:
            chunk = data.draw(st.binary(min_size=1, max_size=8))
            changed[position : position + len(chunk)] = chunk
    return bytes(changed)


def test_a_split_that_is_not_there_and_usage_are_said_with_what_to_do(fastlr_command, tmp_path):
    np.savez(tmp_path / "data.npz", X=np.eye(4), y=np.arange(4) % 2)
    with pytest.raises(fastlr.InputError, match="has no splits; leave out 'valid'"):
        fastlr.open_dataset(tmp_path / "data.npz", "valid")
    for arguments, said in (
        (("train",), "Missing argument 'DATA'; see fastlr train --help"),
        (("train", "x", "--foo"), "see fastlr train --help"),
        (("train", "x", "--lr", "abc"), "'--learning-rate': Input should be a valid number\n"),
    ):
        outcome = fastlr_command(*arguments)
        assert outcome.status == 2
        assert said in outcome.err


def test_what_estimators_and_many_fits_cannot_use_is_said_in_a_line():
    X, y, weights = np.eye(20), np.arange(20) % 2, np.arange(20) % 4 < 2
    halves = [(np.flatnonzero(weights), np.flatnonzero(~weights))]
    for call, said in (
        (lambda: fastlr.LogisticRegressionCV(penalty=None).fit(X, y), "penalty: with None there is no C to choose"),
        (lambda: fastlr.LogisticRegressionCV(cv=halves).fit(X, y, weights), "cv: fold 0 is tested on samples of"),
        (lambda: fastlr.fit_many(X, y, subsets=5), "subsets: 5; a list of subsets is needed"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_what_is_no_path_no_run_and_no_index():
    data = Dataset(np.zeros((4, 2)), np.array([0, 1, 0, 1]), (0, 1), "here")
    for wrong in (5, None, ""):
        with pytest.raises(
            fastlr.InputError, match=rf"^path: {wrong!r}; a file, a folder or a data set of Hugging Face"
        ):
            fastlr.open_dataset(wrong)
        with pytest.raises(fastlr.InputError, match=rf"^path: {wrong!r}; the name of a file is needed$"):
            fastlr.load(wrong)
    for wrong in (None, [None], "run"):
        with pytest.raises(fastlr.InputError, match=r"^report: (None|'r') is no run; give what train, sweep or path"):
            fastlr.report(wrong, "somewhere")
    for indices in ([4], [-5], [0.5], 1, [[0]], ["a"], None, slice(2), [True, False], [True, 2], [[1], [2, 3]]):
        with pytest.raises(fastlr.InputError, match=r"give whole numbers from -4 to 3, or a mask of 4$"):
            data.take(indices)
    for indices, labels in (
        ([3, 0], [1, 0]),
        ((-1, 1), [1, 1]),
        ([], []),
        (np.array([], int), []),
        (np.array([False, True, True, False]), [1, 0]),
    ):
        assert data.take(indices).labels.tolist() == labels


def test_pictures_are_given_in_a_list(tmp_path):
    run = fastlr.train(np.zeros((4, 2, 2, 3), np.uint8), [0, 1, 0, 1], iterations=1)
    with pytest.raises(
        fastlr.InputError, match=r"^files: 'cat.png'; a list of files is needed, such as \['cat.png'\]$"
    ):
        run.model.predict_files("cat.png")
    for wrong in (5, None):
        with pytest.raises(fastlr.InputError, match=rf"^files: {wrong}; a list of files is needed"):
            run.model.predict_files(wrong)
    with pytest.raises(fastlr.InputError, match=r"^files: 5; names of files are needed, or Encoded pictures$"):
        run.model.predict_files([5])
    Image.new("RGB", (2, 2)).save(tmp_path / "cat.png")
    assert run.model.predict_files(tmp_path.glob("*.png")) == run.model.predict_files([tmp_path / "cat.png"])


@pytest.mark.parametrize("more", [{"layers": (3,)}, {"batch_size": 2}, {"optimizer": "adam"}])
def test_a_tol_is_not_for_what_needs_gradient_descent(more):
    with pytest.raises(fastlr.InputError, match=r"^tol: 0.001 has no effect with .*: gradient descent makes all"):
        fastlr.train(np.eye(4), [0, 1, 0, 1], solver="auto", tol=1e-3, **more)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("rate", "iterations", "rises"), [(1e9, 40, True), (1e300, 50, True), (1e-3, 50, False)])
def test_few_iterations_that_lead_up_are_said(classes, rate, iterations, rises):
    """Their last cost is not recorded."""
    X, y = np.random.default_rng(0).normal(size=(300, 20)) * 10, np.arange(300) % classes
    run = fastlr.train(X, y, learning_rate=rate, iterations=iterations)
    assert len(run.costs) == 1
    assert len(run.notes) == rises
    assert all(note.startswith(f"the cost rose from {np.log(classes):.4g} to ") for note in run.notes)


def test_a_rise_on_the_way_is_said():
    X, y = np.arange(1.0, 5)[:, np.newaxis] * 30, [0, 1, 1, 1]
    run = fastlr.train(X, y, learning_rate=0.1, iterations=20, record_every=1)
    assert max(run.costs) > 2 * run.costs[0]
    assert run.notes[0].startswith(f"the cost rose from {run.costs[0]:.4g} to {max(run.costs):.4g}")


def test_one_class_may_count_for_nothing():
    """Classes that are not named count 1."""
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 3
    named = fastlr.train(X, y, solver="auto", l2=1, class_weight={1: 0})
    all_named = fastlr.train(X, y, solver="auto", l2=1, class_weight={0: 1, 1: 0, 2: 1})
    assert named.costs == all_named.costs
    with pytest.raises(fastlr.InputError, match="some samples must count"):
        fastlr.train(X, y, class_weight={0: 0, 1: 0, 2: 0})


def test_what_is_not_used_is_said(tmp_path, caplog):
    X, y = np.arange(8.0).reshape(4, 2), [0, 1, 0, 1]
    run = fastlr.train(X, y, solver="lbfgs", learning_rate=0.1, l2=1)
    assert run.notes[0] == "the learning rate 0.1 was not used: only solver gd has one"
    assert fastlr.train(X, y, solver="lbfgs", l2=1).notes == ()
    with pytest.raises(fastlr.InputError, match=r"^seeds: without hidden layers all models begin at 0"):
        fastlr.sweep(X, y, seeds=[0, 1], iterations=1)
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 8, 8, 3), np.uint8), y=y)
    fastlr.open_dataset(tmp_path / "a.npz", size=8)
    assert caplog.messages == []
    fastlr.open_dataset(tmp_path / "a.npz", size=16)
    assert [text.partition(": ")[2] for text in caplog.messages] == [
        "holds arrays, which keep their shape: size and resample are for picture files"
    ]


def test_whole_numbers_that_look_like_measurements(caplog):
    heights = 2 * (np.arange(600) % 120)
    fastlr.train(np.zeros((600, 1)), heights, iterations=1)
    assert caplog.messages == [
        "data: 120 different numbers are taken for classes, 5.0 samples each on average; if they are measurements, "
        "give classes, such as labels > 118"
    ]
    caplog.clear()
    fastlr.train(np.zeros((1200, 1)), 2 * (np.arange(1200) % 120), iterations=1)
    fastlr.train(np.zeros((600, 1)), np.arange(600) % 120, iterations=1)  # the numbers of classes, without a gap
    assert caplog.messages == []

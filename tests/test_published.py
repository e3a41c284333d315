"""The tutorials' own files give the tutorials' own figures. Runs where FASTLR_DATA names their folder."""

import numpy as np
import pytest
from conftest import first_difference

import fastlr
from fastlr import textbook


def test_cats(real_data, published, fastlr_command):
    files = real_data / "cats" / "train_catvnoncat.h5", real_data / "cats" / "test_catvnoncat.h5"
    run = fastlr_command("train", files[0], "--test", files[1], "--iterations", 2000, "--lr", 0.005, "--json").json
    assert [round(cost, 6) for cost in run["costs"]] == published["cats"]["costs"]
    assert run["recorded_at"] == list(range(0, 2000, 100))
    assert run["train_accuracy"] == published["cats"]["train_accuracy"]
    assert run["test_accuracy"] == published["cats"]["test_accuracy"]
    assert (run["n_train"], run["n_test"], run["n_features"]) == (209, 50, 12288)
    assert run["classes"] == ["non-cat", "cat"]


BIRDS = ("--positive", "bird", "--balance", "--holdout", 164, "--seed", 0)


def test_birds(real_data, published, fastlr_command):
    batch = real_data / "cifar10" / "data_batch_1"
    run = fastlr_command("train", batch, *BIRDS, "--iterations", 2000, "--lr", 0.005, "--json").json
    assert (run["n_train"], run["n_test"]) == (published["birds"]["n_train"], published["birds"]["n_test"])
    assert first_difference(run["costs"], published["birds"]["costs"], 1e-12) is None
    assert run["train_accuracy"] == published["birds"]["train_accuracy"]
    assert run["test_accuracy"] == published["birds"]["test_accuracy"]
    assert run["classes"] == ["not bird", "bird"]


@pytest.mark.parametrize("rate", ["0.01", "0.001", "0.0001"])
def test_birds_at_other_learning_rates(real_data, published, fastlr_command, rate):
    batch = real_data / "cifar10" / "data_batch_1"
    run = fastlr_command("train", batch, *BIRDS, "--lr", rate, "--json").json
    assert [run["train_accuracy"], run["test_accuracy"]] == published["birds"]["sweep"][rate]


def test_textbook_on_cats(real_data, published):
    train = fastlr.open_dataset(real_data / "cats" / "train_catvnoncat.h5")
    test = fastlr.open_dataset(real_data / "cats" / "test_catvnoncat.h5", "test")
    columns = [data.images.reshape(len(data), -1).T / 255 for data in (train, test)]
    d = textbook.model(columns[0], train.labels[None, :], columns[1], test.labels[None, :])
    assert np.round(d["costs"], 6).tolist() == published["cats"]["costs"]
    assert d["train_accuracy"] == published["cats"]["train_accuracy"]
    assert d["test_accuracy"] == published["cats"]["test_accuracy"]


def test_planes_and_bikes_in_photographs(real_data, fastlr_command, tmp_path):
    photos, model = real_data / "photos", tmp_path / "photos.safetensors"
    run = fastlr_command("train", photos, "--model", model, "--iterations", 300, "--lr", 0.002, "--json").json
    assert (run["n_train"], run["n_test"]) == (48, 12)
    assert run["test_accuracy"] == 100.0
    files = sorted(photos.glob("test/*/*.jpg"))
    rows = fastlr_command("predict", model, *files, "--annotate", tmp_path / "out", "--json").json
    assert [row["image"] for row in rows] == [str(file) for file in files]
    assert [row["label"] for row in rows] == [file.parent.name for file in files]
    assert all(0.5 < row["probability"] < 1 for row in rows)
    assert len(list((tmp_path / "out").iterdir())) == 12

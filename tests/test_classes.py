"""Many classes: as good as scikit-learn's converged softmax, and every command speaks of all of them."""

import json

import numpy as np
import pytest
from conftest import write_folder
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import fastlr


def converged(X, labels, l2: float) -> LogisticRegression:
    """The same objective: mean log-loss + l2/2 ‖W‖² is scikit-learn's with C = 1 / (l2 m)."""
    return LogisticRegression(C=1 / (l2 * len(X)), tol=1e-8, max_iter=10_000).fit(X, labels)


def three_classes(count: int = 90, side: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of a bright left, a bright right or a bright middle, under much noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.normal(110, 60, (count, side, side, 3))
    third = side // 3
    for image, label in zip(images, labels, strict=True):
        image[:, label * third : (label + 1) * third] += 12
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def folder(tmp_path):
    names = ("left", "middle", "right")
    write_folder(tmp_path / "data" / "train", *three_classes(150), names=names)
    write_folder(tmp_path / "data" / "test", *three_classes(150, seed=1), names=names)
    return tmp_path / "data"


def test_a_noisy_folder_as_well_as_scikit_learn(folder, fastlr_command):
    l2 = 0.05
    options = ["--size", 12, "--lr", 0.01, "--l2", l2, "--optimizer", "nesterov", "--iterations", 3000, "--json"]
    outcome = fastlr_command("train", folder, *options).json
    train, test = (fastlr.open_dataset(folder, split, size=12) for split in ("train", "test"))
    rows, others = (data.images.reshape(len(data), -1) / 255 for data in (train, test))
    wanted = converged(rows, train.labels, l2)
    assert outcome["classes"] == ["left", "middle", "right"]
    assert outcome["train_accuracy"] == pytest.approx(100 * wanted.score(rows, train.labels), abs=0.5)
    assert outcome["test_accuracy"] == pytest.approx(100 * wanted.score(others, test.labels), abs=0.5)
    assert 60 < outcome["test_accuracy"] < 100, "noise enough that not all is right"


def test_digits_as_well_as_scikit_learn():
    X, labels = load_digits(return_X_y=True)
    X, order, l2 = X / 16, np.random.default_rng(0).permutation(len(labels)), 0.001
    train, test = order[:1300], order[1300:]
    run = fastlr.train(
        X[train], labels[train], test=(X[test], labels[test]), l2=l2, learning_rate=1.0, optimizer="nesterov",
        iterations=2000,
    )  # fmt: skip
    wanted = converged(X[train], labels[train], l2)
    assert run.train_accuracy == pytest.approx(100 * wanted.score(X[train], labels[train]), abs=0.5)
    assert run.test_accuracy == pytest.approx(100 * wanted.score(X[test], labels[test]), abs=0.5)
    np.testing.assert_allclose(run.model.predict_proba(X[test]), wanted.predict_proba(X[test]), atol=2e-3)
    assert run.model.predict(X[test]).dtype == labels.dtype


def test_evaluate_counts_what_was_taken_for_what(folder, tmp_path, fastlr_command):
    file = tmp_path / "m.safetensors"
    outcome = fastlr_command("train", folder, "--size", 12, "--layers", "5", "--model", file, "--iterations", 200)
    assert "hidden layers of 5 units, drawn from seed 0" in outcome.out
    found = fastlr_command("evaluate", file, folder, "--json").json
    model, test = fastlr.load(file), fastlr.open_dataset(folder, "test", size=12)
    predicted = model.predict(test)
    truth = np.array(test.classes)[test.labels]
    matrix = [[int(((truth == true) & (predicted == said)).sum()) for said in test.classes] for true in test.classes]
    assert found["confusion_matrix"] == matrix
    assert found["class_accuracy"] == [100 - (1 - matrix[i][i] / 50) * 100 for i in range(3)]
    assert found["accuracy"] == pytest.approx(100 * np.mean(predicted == truth))
    shown = fastlr_command("evaluate", file, folder).out.splitlines()
    assert shown[1].split() == ["accuracy", "taken", "for", "left", "middle", "right"]
    assert [line.split()[0] for line in shown[2:]] == ["left", "middle", "right"]
    assert [int(number) for number in shown[2].split()[3:]] == matrix[0]


def test_predict_names_any_of_the_classes(folder, tmp_path, fastlr_command):
    file = tmp_path / "m.safetensors"
    fastlr_command("train", folder, "--size", 12, "--model", file, "--iterations", 300, "--lr", 0.02)
    pictures = [sorted((folder / "train" / name).iterdir())[0] for name in ("right", "left", "middle")]
    rows = fastlr_command("predict", file, *pictures, "--json").json
    assert [row["label"] for row in rows] == ["right", "left", "middle"]
    images = fastlr.open_dataset(folder, "train", size=12)
    proba = fastlr.load(file).predict_proba(images)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert rows[1]["probability"] == pytest.approx(proba[0].max(), rel=1e-12)


def test_a_class_without_samples_in_the_test_set(folder, tmp_path, fastlr_command):
    file = tmp_path / "m.safetensors"
    fastlr_command("train", folder, "--size", 12, "--model", file, "--iterations", 10)
    part = tmp_path / "part"
    part.mkdir()
    for name in ("left", "right"):
        (folder / "test" / name).rename(part / name)
    found = fastlr_command("evaluate", file, part, "--json").json
    assert found["class_accuracy"][1] is None
    assert len(found["confusion_matrix"]) == 3
    assert "-" in fastlr_command("evaluate", file, part).out


def test_a_dead_network_is_in_the_summary(folder, fastlr_command):
    options = ["--positive", "left", "--size", 12, "--layers", "4,3,2", "--iterations", 1000, "--lr", 0.001]
    said = {seed: fastlr_command("train", folder, *options, "--seed", seed) for seed in range(12)}
    dead = [seed for seed, outcome in said.items() if "the network is dead" in outcome.out]
    assert 0 < len(dead) < 12
    for seed, outcome in said.items():
        assert outcome.status == 0
        assert (f"the seed was {seed}, try another" in " ".join(outcome.out.split())) == (seed in dead)
    told = fastlr_command("train", folder, *options, "--seed", dead[0], "--json").json
    assert told["seed"] == dead[0]
    assert told["layers"] == [4, 3, 2]
    assert "every ReLU of hidden layer" in told["notes"][0]


def test_notes_on_the_form(folder, fastlr_command):
    said = fastlr_command("train", folder, "--size", 12, "--batch-size", 32, "--optimizer", "adam").out
    note = "note: adam scales each weight by itself and has no Gram form: the primal form was taken"
    assert note in " ".join(said.split()), "it is wrapped"
    assert "primal form" in fastlr_command("train", folder, "--size", 12, "--batch-size", 32).out


@pytest.mark.parametrize("damage", ["outputs", "layers", "inputs", "order", "moments"])
def test_models_of_layers_that_do_not_fit(folder, tmp_path, fastlr_command, refused, damage):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    file = tmp_path / "m.safetensors"
    fastlr_command("train", folder, "--size", 12, "--layers", "4", "--standardize", "--model", file, "--iterations", 10)
    with safe_open(file, framework="numpy") as opened:
        meta = json.loads(opened.metadata()["fastlr"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if damage == "outputs":
        meta["classes"] = ["a", "b", "c", "d"]
    elif damage == "layers":
        meta["layers"] = [4]
    elif damage == "inputs":
        tensors["layers.1.weight"] = tensors["layers.1.weight"][:, :3].copy()
    elif damage == "moments":
        tensors["deviation"] = tensors["mean"][:, 1:].copy()
    else:
        meta["layers"] = [3, 4]
    save_file(tensors, file, {"fastlr": json.dumps(meta)})
    refused("evaluate", file, folder, says=(f"{file}: its description of the model is damaged",))

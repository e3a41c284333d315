import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import draw_images
from PIL import Image
from safetensors import safe_open

import fastlr
from fastlr.data import from_arrays
from fastlr.objectives.network import Layer

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def run():
    images, labels = draw_images(30)
    return fastlr.train(from_arrays("drawn", images, labels, ["dark", "light"]), iterations=200, learning_rate=0.05)


def test_predictions(run):
    images, labels = draw_images(30)
    proba = run.model.predict_proba(images)
    assert proba.shape == (30, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-15)
    names = run.model.predict(images)
    assert names.tolist() == [("dark", "light")[int(p > 0.5)] for p in proba[:, 1]]
    assert run.model.accuracy(from_arrays("x", images, labels, ["dark", "light"])) == run.train_accuracy
    W, b = run.model.layers[0]
    z = W @ (images.reshape(30, -1).T / 255) + b
    np.testing.assert_allclose(proba[:, 1], fastlr.textbook.sigmoid(z)[0], rtol=1e-12)


def test_a_pair_is_judged_as_a_dataset():
    images, labels = draw_images(30)
    data = from_arrays("x", images, labels, [0, 1])
    model = fastlr.train(data, iterations=50).model
    assert model.accuracy((images, labels)) == model.accuracy(data)
    np.testing.assert_array_equal(model.confusion_matrix((images, labels)), model.confusion_matrix(data))
    for judge in (model.accuracy, model.confusion_matrix, model.scores):
        with pytest.raises(fastlr.InputError, match=r"^data: a Dataset or a pair \(samples, labels\) is needed$"):
            judge(images)
        with pytest.raises(fastlr.InputError, match=r"^x: holds no samples; some are needed$"):
            judge(data.take([]))
    with pytest.raises(fastlr.InputError, match="label_results: the model predicts one class for each sample"):
        model.label_results(data)


def test_files_are_predicted_as_arrays_are(run, tmp_path):
    images, _ = draw_images(3)
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file)
    rows = run.model.predict_files(files)
    assert [row["probability"] for row in rows] == run.model.predict_proba(images).max(axis=1).tolist()
    assert [row["label"] for row in rows] == run.model.predict(images).tolist()
    features = fastlr.train(np.eye(2), [0, 1], iterations=1).model
    with pytest.raises(fastlr.InputError, match="trained on features, not on pictures"):
        features.predict_files(files)


def test_float_pictures_are_features_in_prediction_too():
    images = np.random.default_rng(0).normal(size=(20, 4, 4, 3))
    model = fastlr.train(images, np.arange(20) % 2, iterations=5).model
    assert (model.predict_proba(images) == model.predict_proba(images.reshape(20, -1))).all()


def test_no_samples_give_no_predictions(run):
    assert run.model.predict_proba(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 2)
    assert run.model.predict(np.zeros((0, 192), np.uint8)).tolist() == []


def test_features_to_predict_must_be_finite():
    model = fastlr.train(np.eye(2), [0, 1], iterations=1).model
    with pytest.raises(fastlr.InputError, match="images: sample 1 holds nan at feature 0"):
        model.predict([[0.0, 1.0], [np.nan, 1.0]])


def test_one_half_is_class_zero():
    layer = Layer(np.zeros((1, 3)), np.zeros((1, 1)))
    model = fastlr.Model((layer,), ("no", "yes"), scale=1.0)
    assert model.predict(np.ones((2, 3))).tolist() == ["no", "no"]


def test_many_samples_are_predicted_block_by_block(run, monkeypatch):
    images, _ = draw_images(30)
    whole = run.model.predict_proba(images)
    monkeypatch.setattr(fastlr.core, "BLOCK", 7 * run.model.n_features)
    np.testing.assert_allclose(run.model.predict_proba(images), whole, rtol=1e-13)


def test_channels_are_adapted_where_it_is_plain_how(run):
    images, _ = draw_images(4)
    grey = images[..., :1]
    as_rgb = run.model.predict_proba(np.repeat(grey, 3, axis=3))
    assert (run.model.predict_proba(grey) == as_rgb).all()
    assert (run.model.predict_proba(grey[..., 0]) == as_rgb).all()
    alpha = np.concatenate([images, images[..., :1]], axis=3)
    assert (run.model.predict_proba(alpha) == run.model.predict_proba(images)).all()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 9, 8, 3), np.uint8), "images: the samples have shape (2, 9, 8, 3); (m, 8, 8, 3) is needed"),
        (np.zeros((2, 8, 8, 5), np.uint8), "images: the samples have shape (2, 8, 8, 5)"),
        (np.zeros((2, 7), np.uint8), "images: the samples have 7 features each; (m, 8, 8, 3) is needed"),
        (np.zeros(192, np.uint8), "images: the samples have shape (192,)"),
        (np.zeros((2, 192)), "images: the samples are float64, but the model was trained on uint8 pixels"),
        (np.array([["a"]]), "images: the samples are <U1"),
    ],
)
def test_samples_of_another_kind_are_refused(run, images, words):
    with pytest.raises(fastlr.InputError) as error:
        run.model.predict(images)
    assert words in str(error.value)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_save_and_load_in_a_new_process_give_the_same_bits(tmp_path, dtype):
    images, labels = draw_images(30)
    model = fastlr.train(images, labels, iterations=100, dtype=dtype).model
    model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys, numpy as np, fastlr\n"
        "model = fastlr.load(sys.argv[1] + '/m.safetensors')\n"
        "np.save(sys.argv[1] + '/out.npy', model.predict_proba(np.load(sys.argv[1] + '/images.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    there = np.load(tmp_path / "out.npy")
    assert there.dtype == dtype
    assert there.tobytes() == model.predict_proba(images).tobytes()


def test_everything_about_a_model_survives(run, tmp_path):
    run.model.save(tmp_path / "m.safetensors")
    loaded = fastlr.load(tmp_path / "m.safetensors")
    for name, value in vars(run.model).items():
        if name != "layers":
            assert getattr(loaded, name) == value, name
    assert [layer.W.tobytes() for layer in loaded.layers] == [layer.W.tobytes() for layer in run.model.layers]
    assert loaded.settings["learning_rate"] == 0.05
    assert loaded.image_shape == (8, 8, 3)
    with safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        described = json.loads(file.metadata()["fastlr"])
    assert described["classes"] == ["dark", "light"]
    assert described["costs"] == run.costs


def test_numbers_stay_numbers_as_class_names(tmp_path):
    model = fastlr.train(np.array([[0.0], [1.0]]), [3, 7], iterations=2).model
    model.save(tmp_path / "m.safetensors")
    assert fastlr.load(tmp_path / "m.safetensors").classes == (3, 7)


def test_the_same_training_writes_the_same_bytes(tmp_path):
    for name in "ab":
        fastlr.train(*draw_images(30), iterations=150).model.save(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_failed_save_leaves_the_old_file(run, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    path.write_text("old")
    monkeypatch.setattr("safetensors.numpy.save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        run.model.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_text() == "old"


def test_models_of_others_are_refused(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(fastlr.InputError, match=r"none\.safetensors: no such model file"):
        fastlr.load(tmp_path / "none.safetensors")
    save_file({"W": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(fastlr.InputError, match="not one that fastlr saved"):
        fastlr.load(tmp_path / "other.safetensors")


def tampered(run, tmp_path, **changes):
    from safetensors.numpy import load_file, save_file

    run.model.save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        meta = json.loads(file.metadata()["fastlr"])
    save_file(load_file(tmp_path / "m.safetensors"), tmp_path / "m.safetensors", {"fastlr": json.dumps(meta | changes)})
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 99},
        {"classes": ["one"]},
        {"classes": 5},
        {"layers": [2]},
        {"layers": [1, 1]},
        {"layers": []},
        {"image_shape": [8, 8, 4]},
        {"image_shape": [192]},
        {"scale": "x"},
        {"scale": float("nan")},
        {"class_of": {"dark": 0}},
        {"settings": 3},
        {"costs": None},
        {"costs": [1.0], "recorded_at": [10**400]},
        {"classes": "ab"},
        {"classes": ["a" * 1001, "b"]},
        {"resample": "best"},
        {"scale": 10**400},
        {"image_shape": [float("inf"), 8, 3]},
        {"classes": ["a", ["b"]]},
        {"classes": ["a", "a"]},
        {"class_of": [["dark", 2]]},
    ],
)
def test_a_description_that_does_not_fit_is_refused(run, tmp_path, changes):
    with pytest.raises(fastlr.InputError, match=r"m\.safetensors: its description of the model is damaged"):
        fastlr.load(tampered(run, tmp_path, **changes))

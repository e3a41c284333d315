import re
import warnings

import numpy as np
import pytest
from conftest import draw_images, first_difference, textbook_costs
from sklearn.datasets import load_wine

import fastlr
from fastlr import textbook
from fastlr.backends import REGISTRY, choose_backend
from fastlr.data import Dataset
from fastlr.objectives import FORMS

pytestmark = pytest.mark.broad

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pixels_follow_the_textbook(backend, dtype, form):
    images, labels = draw_images(30, side=6)
    settings = {"backend": backend.name, "dtype": dtype, "form": form}
    run = fastlr.train(images, labels, iterations=300, learning_rate=0.05, record_every=1, **settings)
    expected = textbook_costs(images.reshape(30, -1) / 255, labels, 300, 0.05, 1)
    assert first_difference(run.costs, expected, TOLERANCE[dtype]) is None
    assert run.recorded_at == list(range(300))
    assert (run.backend, run.device, run.dtype, run.form) == (backend.name, backend.device, dtype, form)
    W, b = run.model.layers[0]
    assert (W.dtype, W.shape, b.dtype, b.shape) == (dtype, (1, 108), dtype, (1, 1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("m", "n"), [(20, 40), (50, 3), (2, 1)])
def test_random_features_follow_the_textbook(backend, m, n, seed, form):
    rng = np.random.default_rng(seed)
    X, labels = rng.normal(size=(m, n)), np.arange(m) % 2
    run = fastlr.train(X, labels, iterations=200, learning_rate=0.3, record_every=7, backend=backend.name, form=form)
    assert first_difference(run.costs, textbook_costs(X, labels, 200, 0.3, 7), 1e-9) is None
    assert run.recorded_at == list(range(0, 200, 7))


@pytest.mark.parametrize("form", FORMS)
def test_l2_as_differentiated(backend, form):
    rng = np.random.default_rng(5)
    X, labels = rng.normal(size=(15, 4)), np.arange(15) % 2
    settings = {"backend": backend.name, "form": form}
    run = fastlr.train(X, labels, iterations=50, learning_rate=0.2, l2=0.3, record_every=1, **settings)
    w, b = textbook.init_params(4)
    expected = []
    for _ in range(50):
        grads, cost = textbook.propagate(w, b, X.T, labels[None, :].astype(float))
        expected.append(cost)
        w, b = w - 0.2 * (grads["dw"] + 0.3 * w), b - 0.2 * grads["db"]
    assert first_difference(run.costs, expected, 1e-9) is None
    np.testing.assert_allclose(run.model.layers[0].W[0], w[:, 0], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32, bool])
def test_features_of_any_real_type(dtype):
    X = np.array([[0, 1], [1, 0], [1, 1], [0, 0]]).astype(dtype)
    labels = np.array([0, 1, 1, 0])
    run = fastlr.train(X, labels, iterations=100, learning_rate=0.5)
    assert first_difference(run.costs, textbook_costs(X.astype(float), labels, 100, 0.5, 100), 1e-12) is None
    assert run.model.scale == 1.0


def test_inputs_are_left_as_they_are_and_need_not_be_contiguous():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(20, 10))
    X, labels = wide[::2, ::3], np.arange(10) % 2
    assert not X.flags.c_contiguous
    wide.setflags(write=False)
    labels.setflags(write=False)
    before = wide.copy()
    run = fastlr.train(X, labels, iterations=20, record_every=5)
    assert (wide == before).all()
    assert run.costs == fastlr.train(X.copy(), labels.copy(), iterations=20, record_every=5).costs


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("form", ["primal", "gram"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_however_the_input_lies_in_memory_the_bits_are_the_same(dtype, form, backend):
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    X = rng.integers(0, 256, (40, 30)).astype(dtype) if dtype is np.uint8 else rng.normal(size=(40, 30)).astype(dtype)
    strided = np.zeros((80, 60), dtype)[::2, ::2]
    strided[:] = X
    fixed = X.copy()
    fixed.setflags(write=False)
    settings = {"iterations": 50, "form": form, "backend": backend, "record_every": 10}
    expected = fastlr.train(X, labels, **settings).costs
    for laid_out in (strided, fixed, np.asfortranarray(X), X[::-1].copy()[::-1]):
        assert fastlr.train(laid_out, labels, **settings).costs == expected


@pytest.mark.parametrize("form", ["primal", "gram"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_the_smallest_problems(form, backend):
    """One feature, and one sample of each class."""
    for X in (np.array([[10], [250], [20], [200]], np.uint8), np.array([[0.1], [0.9]])):
        labels = np.arange(len(X)) % 2
        scaled = X / 255 if X.dtype == np.uint8 else X
        run = fastlr.train(X, labels, iterations=100, learning_rate=0.5, form=form, backend=backend)
        assert first_difference(run.costs, textbook_costs(scaled, labels, 100, 0.5, 100), 1e-12) is None
    with pytest.raises(fastlr.InputError, match="alone"):
        fastlr.train(np.array([[1.0]]), [1])


def test_labels_of_any_kind_name_the_classes():
    X = np.array([[0.0], [1.0], [0.1], [0.9]])
    for labels in (["no", "yes", "no", "yes"], [3, 7, 3, 7], [False, True, False, True], [[0, 1, 0, 1]]):
        run = fastlr.train(X, labels, iterations=500, learning_rate=1.0)
        names = np.asarray(labels).reshape(-1)
        assert run.model.classes == tuple(np.unique(names).tolist())
        assert run.model.predict(X).tolist() == names.tolist()
        assert run.train_accuracy == 100.0


def test_test_set_may_be_a_pair():
    X, labels = np.array([[0.0], [1.0], [0.1], [0.9]]), ["a", "b", "a", "b"]
    run = fastlr.train(X, labels, test=([[0.2], [0.8], [0.7]], ["a", "b", "a"]), iterations=500, learning_rate=1.0)
    assert run.n_test == 3
    assert run.test_accuracy == pytest.approx(100 * 2 / 3)


def test_callback_sees_each_recorded_cost():
    images, labels = draw_images()
    seen = []
    run = fastlr.train(images, labels, iterations=250, callback=lambda *args: seen.append(args))
    assert seen == list(zip(run.recorded_at, run.costs, strict=True))
    assert run.recorded_at == [0, 100, 200]


def test_costs_do_not_depend_on_how_often_they_are_recorded():
    images, labels = draw_images()
    often = fastlr.train(images, labels, iterations=120, record_every=1)
    seldom = fastlr.train(images, labels, iterations=120, record_every=50)
    assert seldom.costs == [often.costs[i] for i in (0, 50, 100)]
    assert seldom.model.layers[0].W.tolist() == often.model.layers[0].W.tolist()


def test_a_diverging_run_hands_back_its_last_finite_parameters():
    images, labels = draw_images()
    with pytest.warns(fastlr.DivergenceWarning, match=r"at iteration \d+ .* try a learning rate of"):
        run = fastlr.train(images, labels, iterations=10_000, learning_rate=1.0, l2=10.0, record_every=50)
    assert run.warning is not None
    stopped = 50 * len(run.costs)
    assert f"at iteration {stopped} (the parameters of iteration {stopped - 50} are kept)" in run.warning
    assert np.isfinite(run.costs).all()
    assert np.isfinite(run.model.layers[0].W).all()
    suggested = float(run.warning.rsplit(" ", 1)[1])
    again = fastlr.train(images, labels, iterations=2000, learning_rate=suggested, l2=10.0)
    assert again.warning is None
    assert again.costs[-1] <= again.costs[0]


def test_divergence_at_the_very_end_is_seen():
    images, labels = draw_images()
    with pytest.warns(fastlr.DivergenceWarning, match="at iteration 3 "):
        run = fastlr.train(images, labels, iterations=3, learning_rate=1e200, l2=1e200)
    assert run.costs == [pytest.approx(np.log(2))]
    assert not run.model.layers[0].W.any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": -0.1}, "learning rate: -0.1; a positive number"),
        ({"learning_rate": np.float64(-0.1)}, "learning rate: -0.1; a positive number"),
        ({"learning_rate": float("nan")}, "learning rate: nan"),
        ({"learning_rate": "fast"}, "learning rate: 'fast'"),
        ({"l2": -1}, "l2: -1"),
        ({"iterations": 0}, "iterations: 0; a whole number of at least 1"),
        ({"iterations": 2.5}, "iterations: 2.5"),
        ({"record_every": 0}, "record every: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"solver": "adam"}, "solver: 'adam' is not known; choose gd"),
        ({"form": "dual"}, "form: 'dual' is not known; choose auto, primal, gram"),
        ({"layers": (4, 0)}, "layers: 0; a whole number of at least 1"),
        ({"layers": (4, -3)}, "layers: -3"),
        ({"layers": ("four",)}, "layers: 'four'"),
        ({"layers": "4,3"}, "layers: '4,3'; the units of each hidden layer are needed, such as (4, 3, 2)"),
        ({"layers": 4}, "layers: 4; the units"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not known; choose gd, momentum, nesterov, adam"),
        ({"optimizer": "adam", "form": "gram"}, "form: 'gram' is not possible: adam scales each weight by itself"),
        ({"batch_size": 2, "form": "gram"}, "form: 'gram' is not possible: mini-batches have no Gram form"),
        ({"batch_size": 0}, "batch size: 0; a whole number of at least 1"),
        ({"batch_size": 5}, "batch size: 5, but data has 2 samples; take at most as many"),
        ({"backend": "tensorflow"}, "backend: 'tensorflow' is not a backend"),
        ({"device": "cuda:9"}, "device: numba has no device 'cuda:9'"),
        ({"dtype": "float16"}, "dtype: 'float16' is not a working dtype; choose float64 or float32"),
        ({"test": 5}, "test: a Dataset or a pair"),
        (
            {"test": Dataset(np.eye(2)[:0], np.array([], int), (0, 1), "mine")},
            "mine: holds no samples; test needs some",
        ),
        ({"dtype": np.float16}, "dtype: <class 'numpy.float16'> is not a working dtype; choose float64 or float32"),
        ({"dtype": "foo.float32"}, "dtype: 'foo.float32' is not a working dtype"),
        ({"dtype": 3}, "dtype: 3 is not a working dtype"),
        ({"test": (np.ones((2, 5)), [0, 1])}, "test: its samples have 5 features each, those of data have 2"),
        ({"test": (np.ones((2, 2)), [0, 9])}, "test: holds class 9, unknown to the training data"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(fastlr.InputError) as error:
        fastlr.train(np.eye(2), [0, 1], **settings)
    assert words in str(error.value)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_a_dtype_is_a_name_or_one_of_numpys(dtype):
    assert fastlr.train(np.eye(2), [0, 1], iterations=1, dtype=dtype).dtype == "float32"


@pytest.mark.parametrize(
    ("X", "labels", "words"),
    [
        (np.eye(3), None, "labels: they are missing"),
        (np.eye(3), [0, 1], "data: 3 samples and 2 labels; each sample needs one"),
        (np.eye(3), [0, 0, 0], "data: holds class '0' alone; samples of two classes are needed"),
        (np.array([[1.0, np.nan], [0, 1]]), [0, 1], "data: sample 0 holds nan at feature 1"),
        (np.array([[1.0, 2], [-np.inf, 1]], np.float32), [0, 1], "data: sample 1 holds -inf at feature 0"),
        (np.eye(2), [0.0, np.nan], "data: labels hold NaN"),
        (np.eye(2), 2 * np.eye(2), "data: labels: row 0 holds 2.0 in column 0; a table of labels holds zeros and ones"),
        (np.eye(2), np.ones((2, 2, 2)), "data: labels have shape (2, 2, 2)"),
        (np.eye(2), [None, 1], "data: labels are object"),
        (np.zeros((0, 4)), [], "data: holds no samples"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "data: samples have shape (4, 0)"),
        (np.zeros(4), [0, 1, 0, 1], "data: samples have shape (4,)"),
        (np.eye(2) * 1j, [0, 1], "data: samples are complex128"),
        (np.array([["a"], ["b"]]), [0, 1], "data: samples are <U1"),
    ],
)
def test_unusable_arrays_are_named(X, labels, words):
    with pytest.raises(fastlr.InputError) as error:
        fastlr.train(X, labels)
    assert words in str(error.value)


def test_large_finite_features_are_not_taken_for_infinite():
    X = np.array([[1e308, 1e308], [1e308, -1e308]])
    assert fastlr.data.from_arrays("big", X, [0, 1]).images.tolist() == X.tolist()


def test_dataset_brings_its_own_labels():
    images, labels = draw_images()
    data = fastlr.data.from_arrays("drawn", images, labels)
    with pytest.raises(fastlr.InputError, match="labels: a Dataset has its own"):
        fastlr.train(data, labels)


def test_arrays_of_an_unknown_library_are_refused_by_name(monkeypatch):
    import array_api_strict

    monkeypatch.delitem(REGISTRY, "strict")
    with pytest.raises(fastlr.InputError, match=r"arrays of array_api_strict .* numpy\.asarray"):
        fastlr.train(array_api_strict.ones((2, 2)), [0, 1])


def test_environment_chooses_and_an_argument_beats_it(monkeypatch):
    monkeypatch.setenv("FASTLR_DTYPE", "float32")
    monkeypatch.setenv("FASTLR_BACKEND", "numpy")
    assert fastlr.train(np.eye(2), [0, 1], iterations=1).dtype == "float32"
    assert fastlr.train(np.eye(2), [0, 1], iterations=1, dtype="float64").dtype == "float64"
    monkeypatch.setenv("FASTLR_BACKEND", "tensorflow")
    with pytest.raises(fastlr.InputError, match="FASTLR_BACKEND: 'tensorflow' is not a backend"):
        fastlr.train(np.eye(2), [0, 1])
    monkeypatch.setenv("FASTLR_DTYPE", "float16")
    with pytest.raises(fastlr.InputError, match="FASTLR_DTYPE: 'float16'"):
        choose_backend("numpy")


def test_nothing_of_the_users_numpy_settings_changes():
    before = np.geterr()
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        fastlr.train(*draw_images(), iterations=50)
    assert np.geterr() == before


@pytest.mark.parametrize("form", ["primal", "gram"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("layers", [(), (3,)])
def test_costs_on_the_test_set(form, layers, standardize, backend):
    """Those that the textbook's cost has for the model that was trained so far."""
    rng = np.random.default_rng(0)
    X, labels = rng.integers(0, 256, (40, 12), dtype=np.uint8), rng.integers(0, 3, 40)
    test = (X[::2] // 2, labels[::2])
    settings = {"record_every": 5, "form": form, "layers": layers, "standardize": standardize, "backend": backend.name}
    run = fastlr.train(X, labels, test=test, iterations=15, test_costs=True, **settings)
    assert len(run.test_costs) == len(run.costs) == 3
    for i, steps in ((1, 5), (2, 10)):
        model = fastlr.train(X, labels, iterations=steps, **settings).model
        proba = model.predict_proba(test[0])
        assert run.test_costs[i] == pytest.approx(-np.mean(np.log(proba[np.arange(20), test[1]])), rel=1e-9)
    assert run.as_dict()["test_costs"] == run.test_costs
    assert fastlr.train(X, labels, test=test, iterations=1, **settings).test_costs is None


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_pace_of_descent(dtype, backend):
    """Steps and bytes a second fit the time that the run took; what reads no data has none."""
    X, labels = np.random.default_rng(0).integers(0, 256, (40, 12)).astype(dtype), [0, 1] * 20
    run = fastlr.train(X, labels, iterations=50, form="primal", backend=backend.name)
    assert 0 < 50 / run.steps_per_second <= run.seconds - run.compile_seconds
    assert run.bytes_per_second == pytest.approx(run.steps_per_second * X.nbytes)
    half = fastlr.train(X, labels, iterations=50, batch_size=39, backend=backend.name)  # batches of 39 and of 1
    assert half.bytes_per_second == pytest.approx(half.steps_per_second * X.nbytes / 2)
    gram = fastlr.train(X, labels, iterations=50, form="gram", backend=backend.name)
    assert gram.steps_per_second > 0
    assert gram.bytes_per_second is None
    newton = fastlr.train(X, labels, solver="newton", l2=1.0, backend=backend.name)
    assert newton.steps_per_second is None
    assert newton.bytes_per_second is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("scale", [1.0, 0.25, 1 / 255])
def test_a_scale_of_ones_own(scale, dtype, form, tmp_path):
    """It multiplies the training set, the test set and all that the model is given later."""
    X = np.random.default_rng(0).integers(0, 20, (40, 12)).astype(dtype)
    y = (X.astype(float) @ np.linspace(-1, 1, 12) > 0).astype(int)
    settings = {"iterations": 60, "learning_rate": 0.01, "record_every": 20, "form": form}
    run = fastlr.train(X, y, test=(X[:9], y[:9]), scale=scale, test_costs=True, **settings)
    scaled = X.astype(float) * scale
    plain = fastlr.train(scaled, y, test=(scaled[:9], y[:9]), test_costs=True, **settings)
    assert first_difference(run.costs, plain.costs, 1e-9) is None
    assert first_difference(run.test_costs, plain.test_costs, 1e-9) is None
    run.model.save(tmp_path / "m.safetensors")
    model = fastlr.load(tmp_path / "m.safetensors")
    assert (model.scale, model.reads_pixels, model.settings["scale"]) == (scale, dtype is np.uint8, scale)
    np.testing.assert_allclose(model.predict_proba(X), plain.model.predict_proba(scaled), rtol=1e-9)
    with pytest.raises(fastlr.InputError, match="but the model was trained on"):
        model.predict(X.astype(np.float64 if dtype is np.uint8 else np.uint8))


def test_a_scale_that_is_none_is_refused():
    for bad in (0, -1.0, np.inf, "pixel", "0.5", True):
        with pytest.raises(
            fastlr.InputError, match=r"scale: .*; a positive number is needed, or 'auto': 1/255 for uint8"
        ):
            fastlr.train(np.eye(2), [0, 1], scale=bad)


@pytest.mark.parametrize("scale", [np.float32(0.5), np.array(0.5), 1])
def test_a_scale_may_be_any_number(scale, tmp_path):
    run = fastlr.train(np.eye(4), [0, 1, 0, 1], iterations=3, scale=scale)
    run.model.save(tmp_path / "m.safetensors")
    assert fastlr.load(tmp_path / "m.safetensors").settings["scale"] == float(scale)


@pytest.mark.parametrize(("layers", "otherwise"), [((), ", or standardized features, or the solver auto"), ((4,), "")])
def test_a_cost_that_rises_is_named_with_what_to_do(layers, otherwise):
    X, labels = load_wine(return_X_y=True)
    X = X - X.mean(axis=0) if layers else X  # or all ReLUs are off
    (note, *_) = fastlr.train(X, labels, layers=layers, learning_rate=0.02 if layers else 0.005, iterations=200).notes
    assert re.match(r"the cost rose from [\d.]+ to [\d.e+]+: try a learning rate of [\d.e-]+", note)
    assert note.endswith(otherwise)
    better = fastlr.train(X, labels, layers=layers, iterations=200, standardize=True)
    assert not any("rose" in note for note in better.notes)

"""Every backend follows the textbook, takes its library's arrays and gives them back; what it cannot do, it says."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import every_backend, first_difference, textbook_costs

import fastlr
from fastlr import textbook
from fastlr.backends import BUILT_IN, DTYPES, REGISTRY, Entry, choose_backend, survey
from fastlr.backends.shared import is_shared
from fastlr.errors import InputError
from fastlr.namespace import dtype_name, library_of, to_host
from fastlr.objectives import FORMS

pytestmark = pytest.mark.broad

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


def samples(pixels: bool, m: int = 40, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m)
    X = rng.integers(0, 256, (m, n), dtype=np.uint8) if pixels else rng.normal(size=(m, n))
    return X, rng.integers(0, 2, m)


def native(name: str, array: np.ndarray, dtype: str = "float64"):
    """Return the array in the backend's library, on its default device."""
    backend = choose_backend(name, dtype=dtype)
    with backend.scope():
        return backend.asarray(array)


@pytest.fixture(params=every_backend())
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "features"])
def test_many_steps_in_one_call(name, form, dtype, pixels):
    """One step a call is in test_training.py, for every backend too."""
    X, labels = samples(pixels)
    settings = {"iterations": 75, "learning_rate": 0.05, "record_every": 25, "form": form, "dtype": dtype}
    run = fastlr.train(X, labels, backend=name, **settings)
    expected = textbook_costs(X / 255 if pixels else X, labels, 75, 0.05, 25)
    assert first_difference(run.costs, expected, TOLERANCE[dtype]) is None
    chosen = choose_backend(name, dtype=dtype)
    assert (run.backend, run.device, run.dtype, run.form) == (name, chosen.device, dtype, form)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "features"])
@pytest.mark.parametrize("named", [False, True])
def test_arrays_in_arrays_out(name, form, dtype, pixels, named):
    """Weights and probabilities are in the library, the dtype and on the device of the samples."""
    X, labels = samples(pixels)
    given = native(name, X if pixels else X.astype(dtype), dtype)
    asked = {"backend": name} if named else {}
    run = fastlr.train(given, labels, test=(given, labels), iterations=50, form=form, dtype=dtype, **asked)
    if is_shared(given, **asked):
        assert run.backend == "numba", "on the CPU the kernels take what NumPy can read"
    else:
        assert REGISTRY[run.backend].library == REGISTRY[name].library
    place = REGISTRY[name].module().device_of(given)
    assert run.device == place
    proba, answer = run.model.predict_proba(given), run.model.predict(given)
    for array in (*run.model.layers[0], proba):
        assert library_of(array) == library_of(given)
        assert dtype_name(array) == dtype
        assert REGISTRY[name].module().device_of(array) == place
    assert library_of(answer) == library_of(given)
    result = textbook.optimize(*textbook.init_params(30), (X / 255 if pixels else X).T, labels[None], 50, 0.005)[0]
    ones = textbook.sigmoid(result["w"].T @ (X / 255 if pixels else X).T + result["b"])[0]
    proba = to_host(proba)
    np.testing.assert_allclose(proba[:, 1], ones, rtol=1e-9 if dtype == "float64" else 1e-4)
    assert (to_host(answer) == (ones > 0.5)).all()
    assert run.test_accuracy == run.train_accuracy == pytest.approx(100 * np.mean((ones > 0.5) == labels))


def test_a_model_goes_from_one_library_to_another(name, tmp_path):
    X, labels = samples(True)
    there = fastlr.train(native(name, X), labels, iterations=20).model
    here = fastlr.train(X, labels, iterations=20, backend="numpy").model
    there.save(tmp_path / "m.safetensors")
    expected = here.predict_proba(X)
    for proba in (
        fastlr.load(tmp_path / "m.safetensors").predict_proba(X),
        there.predict_proba(X),
        here.predict_proba(native(name, X)),
    ):
        np.testing.assert_allclose(to_host(proba), expected, rtol=1e-9)
    assert isinstance(there.predict_proba(X), np.ndarray)


def test_predictions_run_where_the_environment_says(name, monkeypatch):
    X, labels = samples(True)
    model = fastlr.train(X, labels, iterations=20, backend="numpy").model
    expected = model.predict_proba(X)
    monkeypatch.setenv("FASTLR_BACKEND", name)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-9)
    assert isinstance(model.predict_proba(X), np.ndarray)


def test_what_is_not_finite_is_found_in_every_library(name):
    X, labels = samples(False)
    X[3, 7] = np.inf
    with pytest.raises(InputError, match="sample 3 holds inf at feature 7"):
        fastlr.train(native(name, X), labels)


@pytest.mark.parametrize("name", [one for one in every_backend() if REGISTRY[one.values[0]].library != "numpy"])
def test_mixed_libraries_are_refused_by_name(name):
    X, labels = samples(True)
    given = native(name, X)
    with pytest.raises(InputError, match=rf"test: its samples are of numpy, those of data of {library_of(given)}"):
        fastlr.train(given, labels, test=(X, labels), iterations=1, backend=name)
    if is_shared(given):  # on the CPU both are the same memory to NumPy
        assert fastlr.train(given, labels, test=(X, labels), iterations=1).test_accuracy is not None
    with pytest.raises(InputError, match=rf"arrays of {library_of(given)}, but backend asks for numpy"):
        fastlr.train(given, labels, backend="numpy")
    with pytest.raises(InputError, match=rf"samples of numpy, but labels of {library_of(given)}"):
        fastlr.train(X, native(name, labels))
    assert fastlr.train(given, native(name, labels), iterations=1).costs


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_settings_of_the_library_are_left_as_they_were(name):
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    X, labels = samples(False)
    if name == "torch":
        module.set_float32_matmul_precision("medium")
        fastlr.train(native(name, X), labels, iterations=2)
        assert module.get_float32_matmul_precision() == "medium"
        module.set_float32_matmul_precision("highest")
        assert module.is_grad_enabled()
    else:
        fastlr.train(X, labels, iterations=2, backend="jax")
        assert not module.config.jax_enable_x64
        assert module.numpy.ones(2).dtype == "float32"


def test_a_graph_of_a_step_replays_it(monkeypatch):
    """Without a GPU: what would be captured is called again, on the same buffers."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from functools import partial

    from fastlr.backends import torch as backend

    captured = []
    monkeypatch.setattr(backend, "capture", lambda once: captured.append(once) or (lambda: once()))

    def step(factor, state):
        return (state[0] * factor + 1, (state[1][0] - state[0],))

    graph, factor = backend.Graph(), torch.tensor(1.5)
    state = (torch.arange(3.0), (torch.ones(3),))
    for steps, captures in ((7, 0), (8, 1), (20, 1)):
        for _ in range(2):
            got = graph(partial(step, factor), state, steps)
            expected = backend.loop(partial(step, factor), state, steps)
            assert len(captured) == captures
            assert torch.equal(got[0], expected[0])
            assert torch.equal(got[1][0], expected[1][0])
    assert torch.equal(state[0], torch.arange(3.0))
    assert torch.equal(
        graph(partial(step, torch.tensor(0.5)), state, 9)[0], backend.loop(partial(step, 0.5), state, 9)[0]
    )
    shorter = (state[0][:2], (state[1][0][:2],))
    assert graph(partial(step, factor), shorter, 9)[0].shape == (2,)
    assert len(captured) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"precision": "tf32"}, "precision: tf32 is for float32 on an NVIDIA GPU, but numba works in float64 on cpu"),
        ({"precision": "tf32", "dtype": "float32"}, "numba works in float32 on cpu; leave it out"),
        ({"precision": "bf16"}, "precision: 'bf16' is not known; choose full or tf32"),
    ],
)
def test_precision_is_refused_where_it_would_change_nothing(settings, says):
    with pytest.raises(InputError, match=says):
        fastlr.train(*samples(True), **settings)


def test_precision_is_reported():
    run = fastlr.train(*samples(True), iterations=1)
    assert run.precision == run.as_dict()["precision"] == run.model.settings["precision"] == "full"


def test_what_does_not_run_says_what_would_help(monkeypatch):
    rows = {row["name"]: row for row in survey()}
    assert list(rows) == list(REGISTRY)
    for row in rows.values():
        assert row["runs"] == (row["why_not"] is None) == bool(row["devices"])
    assert "gram_steps" in rows["numba"]["fused"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("cupy", "torch", "jax"):
        monkeypatch.setenv("FASTLR_BACKEND", name)
        with pytest.raises(
            InputError, match=rf"FASTLR_BACKEND: {name} does not run here: {name} is not installed; try"
        ):
            fastlr.train(np.eye(2), [0, 1])


def test_the_page_on_backends_lists_what_the_registry_has():
    from pathlib import Path

    text = (Path(__file__).parents[1] / "docs" / "how-to" / "backends.md").read_text(encoding="utf-8")
    for entry in BUILT_IN:
        fused = ", ".join(entry.module().FUSED) or "none"
        assert f"| `{entry.name}` | `{entry.library}` | {fused} | {entry.help} |" in text


def test_a_device_that_is_not_there(name):
    with pytest.raises(InputError, match=r"device: \w+ has no device 'cuda:9' here; choose "):
        choose_backend(name, device="cuda:9")


def test_other_libraries_are_imported_only_when_they_are_used():
    code = (
        "import json, sys, numpy, fastlr\n"
        "fastlr.train(numpy.eye(4), [0, 1, 0, 1], iterations=3, backend='numpy').model.predict(numpy.eye(4))\n"
        "print(json.dumps([name for name in ('torch', 'jax', 'cupy', 'numba') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_backend_that_cannot_be_imported_is_one_row_that_says_so(monkeypatch):
    monkeypatch.setitem(REGISTRY, "mine", Entry("mine", "minelib", "pip install mine", location="no_such_module"))
    rows = {row["name"]: row for row in survey()}
    assert rows["mine"]["why_not"] == "No module named 'no_such_module'; try pip install mine"
    assert rows["numpy"]["runs"]
    assert rows["strict"]["version"] is not None


def test_an_array_on_several_devices_is_refused():
    pytest.importorskip("jax", reason="jax is not installed")
    from fastlr.backends import jax

    class Sharded:
        @staticmethod
        def devices():
            return {"cpu:0", "cpu:1"}

    with pytest.raises(InputError, match=r"data: an array on 2 devices; bring it to one with jax\.device_put"):
        jax.device_of(Sharded)

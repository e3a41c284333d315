"""All that fastlr does, on arrays of another device: the values are the host's, the dtype and the device are theirs.

array_api_strict's device1 and device2 stand in for GPUs: their arrays do not become NumPy's and do not meet arrays of
another device. dpnp's devices are real ones.
"""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images
from PIL import Image

import fastlr
from fastlr import core
from fastlr.backends import DTYPES, REGISTRY, choose_backend, native_libraries, survey
from fastlr.data import from_arrays
from fastlr.errors import InputError
from fastlr.namespace import dtype_name, library_of, to_host
from fastlr.objectives import FORMS
from fastlr.solvers import SOLVERS
from fastlr.solvers.optimizers import OPTIMIZERS

SOURCES = Path(fastlr.__file__).parent
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}


def every_device() -> list:
    """Return a parameter for each device but the host's of each library whose arrays stay where they are."""
    return [
        pytest.param(row["name"], device, id=f"{row['name']}-{device}")
        for row in survey()
        if REGISTRY[row["name"]].library in native_libraries()
        for device in row["devices"]
        if device.lower() not in ("cpu", "cpu_device")
    ]


class Place:
    """One device of one library."""

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device, self.library = name, device, REGISTRY[name].library

    def __call__(self, array, dtype=None):
        """Return the array there."""
        backend = choose_backend(self.name, self.device, dtype or "float64")
        with backend.scope():
            return backend.asarray(np.asarray(array) if dtype is None else np.asarray(array).astype(dtype))

    def holds(self, *arrays, dtype="float64") -> None:
        """Assert that these arrays are on the device, and of this dtype."""
        for array in arrays:
            assert library_of(array) == self.library
            assert REGISTRY[self.name].module().device_of(array) == self.device
            assert dtype_name(array) == dtype


@pytest.fixture
def there(request):
    return Place(*request.param)


everywhere = pytest.mark.parametrize(
    "there", [pytest.param(one.values, id=one.id) for one in every_device()], indirect=True
)


def samples(classes=2, m=36, n=20, pixels=False):
    rng = np.random.default_rng([classes, m, n])
    X = rng.integers(0, 256, (m, n), dtype=np.uint8) if pixels else rng.normal(size=(m, n))
    y = (X @ rng.normal(size=(n, classes)) * (0.01 if pixels else 1) + rng.gumbel(size=(m, classes))).argmax(axis=1)
    return X, y


def check_run(there, run, reference, X, dtype="float64", tolerance=None):
    """Assert that a run is the reference's, that its model lives there, and that what it predicts does."""
    tolerance = tolerance or TOLERANCE[dtype]
    assert (run.backend, run.device, run.dtype, run.form) == (there.name, there.device, dtype, reference.form)
    np.testing.assert_allclose(run.costs, reference.costs, rtol=tolerance)
    np.testing.assert_allclose(run.fold_accuracies, reference.fold_accuracies)
    for layer, expected in zip(run.model.layers, reference.model.layers, strict=True):
        there.holds(*layer, dtype=dtype)
        for got, wanted in zip(layer, expected, strict=True):
            np.testing.assert_allclose(to_host(got), wanted, rtol=tolerance, atol=tolerance * np.abs(expected.W).max())
    there.holds(*(run.model.moments or ()), dtype=dtype)
    proba = run.model.predict_proba(X)
    there.holds(proba, dtype=dtype)
    np.testing.assert_allclose(to_host(proba).sum(axis=1), 1, rtol=1e-5)
    answer = run.model.predict(X)
    there.holds(answer, dtype="int32")
    assert (to_host(answer) == np.asarray(run.model.classes)[to_host(proba).argmax(axis=1)]).all()
    there.holds(run.model.predict_proba(X[:0, ...]), dtype=dtype)


@everywhere
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "pixels"), [("primal", True), ("gram", True), ("primal", False), ("gram", False)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(there, optimizer, form, pixels, dtype):
    if form == "gram" and not OPTIMIZERS[optimizer].has_gram_form:
        form = "auto"
    X, y = samples(classes=3, pixels=pixels)
    settings = {"iterations": 12, "learning_rate": 0.05, "l2": 0.01, "record_every": 4, "optimizer": optimizer}
    settings |= {"form": form, "dtype": dtype}
    given = there(X) if pixels else there(X, dtype)
    run, reference = fastlr.train(given, y, **settings), fastlr.train(X, y, backend="numpy", **settings)
    if optimizer == "adam" and dtype == "float32":
        # Its first steps are of one length whatever the gradient: where that is all rounding, the sign is, too.
        there.holds(*run.model.layers[0], dtype=dtype)
        np.testing.assert_allclose(run.costs, reference.costs, rtol=TOLERANCE[dtype])
    else:
        check_run(there, run, reference, given, dtype)


@everywhere
@pytest.mark.parametrize(
    "more",
    [
        {"layers": (5, 4)}, {"layers": (5,), "form": "gram"}, {"batch_size": 8}, {"batch_size": 8, "layers": (3,)},
        {"standardize": True, "form": "primal"}, {"standardize": True, "form": "gram"}, {"test_costs": True},
    ],
    ids=str,
)  # fmt: skip
def test_networks_batches_and_standardized_features(there, more):
    X, y = samples()
    settings = {"iterations": 20, "learning_rate": 0.05, "record_every": 5, "l2": 0.1} | more
    given, labels = there(X), there(y)
    run = fastlr.train(given, labels, test=(given[:9, ...], labels[:9]), **settings)
    reference = fastlr.train(X, y, test=(X[:9], y[:9]), backend="numpy", **settings)
    check_run(there, run, reference, given)
    assert run.test_accuracy == reference.test_accuracy
    if "test_costs" in more:
        np.testing.assert_allclose(run.test_costs, reference.test_costs, rtol=1e-9)


@everywhere
@pytest.mark.parametrize(
    ("solver", "form", "classes"),
    [
        (solver, form, classes)
        for solver in SOLVERS
        for form in FORMS
        for classes in (2, 3)
        if SOLVERS[solver].why_not(form, 1 if classes == 2 else classes) is None
    ],
)
@pytest.mark.parametrize("standardize", [False, True], ids=["as it is", "standardized"])
def test_every_solver(there, solver, form, classes, standardize):
    X, y = samples(classes, m=24 if form == "gram" else 60, n=30 if form == "gram" else 8)
    settings = {"l2": 0.1, "solver": solver, "form": form, "tol": 1e-10, "standardize": standardize}
    given = there(X)
    run, reference = fastlr.train(given, y, **settings), fastlr.train(X, y, backend="numpy", **settings)
    assert run.converged
    check_run(there, run, reference, given, tolerance=1e-6)


@everywhere
@pytest.mark.parametrize("form", FORMS)
def test_sweep_and_path(there, form):
    X, y = samples(3, m=30, n=40)
    given, settings = there(X), {"l2": [0.1, 1.0], "folds": 3, "form": form}
    many = {"learning_rates": [0.1, 0.01], "iterations": 20, **settings}
    for run, reference in zip(fastlr.sweep(given, y, **many), fastlr.sweep(X, y, backend="numpy", **many), strict=True):
        check_run(there, run, reference, given)
    found, plain = (
        fastlr.path(given, y, tol=1e-10, **settings),
        fastlr.path(X, y, tol=1e-10, backend="numpy", **settings),
    )
    for run, reference in zip(found.runs, plain.runs, strict=True):
        check_run(there, run, reference, given, tolerance=1e-6)


@everywhere
def test_a_rate_that_diverges(there):
    X, y = samples()
    given = there(1e3 * X)
    with pytest.warns(fastlr.DivergenceWarning, match="diverged: the cost was no longer finite at iteration"):
        run = fastlr.train(given, y, learning_rate=1e307, iterations=9, record_every=1)
    there.holds(*run.model.layers[0])
    assert np.isfinite(to_host(run.model.layers[0].W)).all()


@everywhere
def test_pictures_their_model_file_and_their_report(there, tmp_path):
    images, y = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8), np.arange(20) % 3
    given = there(images)
    run, reference = fastlr.train(given, y, iterations=9), fastlr.train(images, y, iterations=9, backend="numpy")
    check_run(there, run, reference, given)
    run.model.save(tmp_path / "m.safetensors")
    loaded = fastlr.load(tmp_path / "m.safetensors")
    np.testing.assert_allclose(loaded.predict_proba(images), reference.model.predict_proba(images), rtol=1e-9)
    there.holds(loaded.predict_proba(given))
    data = from_arrays("pictures", given, y)
    assert loaded.accuracy(data) == reference.model.accuracy(from_arrays("pictures", images, y))
    part = data.take(np.array([4, 1, 7]))
    there.holds(part.images, dtype="uint8")
    assert (to_host(part.images) == images[[4, 1, 7]]).all()
    train, test = data.holdout(5, seed=0)
    assert fastlr.train(train, test=test, iterations=3).n_test == 5
    assert fastlr.report(run, tmp_path / "report").read_text(encoding="utf-8").count("<img") > 3


@everywhere
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_the_estimator(there, form, classes):
    X, y = samples(classes, m=30, n=40)
    weights = np.random.default_rng(0).uniform(0.5, 2, 30)
    given, labels, counted = there(X), there(y.astype(np.int32)), there(weights)
    clf = fastlr.LogisticRegression(tol=1e-7, form=form, C=0.1, class_weight="balanced").fit(given, labels, counted)
    peer = fastlr.LogisticRegression(tol=1e-7, form=form, C=0.1, class_weight="balanced", backend="numpy")
    peer.fit(X, y.astype(np.int32), weights)
    there.holds(clf.coef_, clf.intercept_)
    there.holds(clf.predict(given), dtype="int32")
    assert (to_host(clf.predict(given)) == peer.predict(X)).all()
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        got = getattr(clf, method)(given)
        there.holds(got)
        np.testing.assert_allclose(to_host(got), getattr(peer, method)(X), rtol=1e-4, atol=1e-6)
    assert clf.score(given, y) == peer.score(X, y)
    again = clf.set_params(warm_start=True).fit(given, labels, counted)
    there.holds(again.coef_)
    if there.library != "dpnp":  # whose arrays do not pickle
        np.testing.assert_allclose(to_host(pickle.loads(pickle.dumps(clf)).coef_), peer.coef_, rtol=1e-4, atol=1e-6)


@everywhere
@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
@pytest.mark.parametrize("refit", [True, False])
def test_the_cross_validated_estimator(there, scoring, refit):
    X, y = samples(3, m=45)
    settings = {"Cs": [0.01, 1.0], "cv": 3, "tol": 1e-9, "scoring": scoring, "refit": refit}
    given = there(X)
    clf = fastlr.LogisticRegressionCV(**settings).fit(given, y)
    peer = fastlr.LogisticRegressionCV(**settings, backend="numpy").fit(X, y)
    there.holds(clf.coef_, clf.intercept_, clf.coefs_paths_)
    np.testing.assert_allclose(clf.scores_, peer.scores_, rtol=1e-7)
    np.testing.assert_allclose(to_host(clf.coef_), peer.coef_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(clf.score(given, y), peer.score(X, y), rtol=1e-7)


@everywhere
def test_the_core(there):
    X, y = samples(pixels=True)
    W, b, Y = np.full((2, 20), 0.1), np.zeros((2, 1)), y[np.newaxis].astype(float)
    given = [there(array) for array in (W, b, X.T, Y)]
    with choose_backend(there.name, there.device).scope():
        found = core.propagate(*given, 1 / 255)
        there.holds(*found)
        for got, expected in zip(found, core.propagate(W, b, X.T, Y, 1 / 255), strict=True):
            np.testing.assert_allclose(to_host(got), expected, rtol=1e-9)
        there.holds(
            core.predict(*given[:3], 1 / 255), core.rows(given[0], [1]), core.gram_matrix(given[2], given[0].dtype)
        )


@everywhere
def test_a_device_is_found_by_the_beginning_of_its_name(there):
    known = REGISTRY[there.name].module().devices()
    short = there.device.rpartition(":")[0] or there.device
    found = choose_backend(there.name, short).device
    assert found == next(device for device in known if device == short or device.startswith(short + ":"))
    with pytest.raises(InputError, match=r"device: \w+ has no device 'quantum:0' here; choose .*" + there.device):
        choose_backend(there.name, "quantum:0")


@pytest.mark.parametrize("backend", [None, "torch"])
def test_tensors_on_the_cpu_and_numpy_arrays_never_set_up_cuda(backend, monkeypatch):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def refuse(*_):
        raise AssertionError("CUDA was asked for")

    for name in (
        "is_available",
        "device_count",
        "init",
        "_lazy_init",
        "current_device",
        "current_stream",
        "synchronize",
    ):
        monkeypatch.setattr(torch.cuda, name, refuse)
    monkeypatch.setattr("fastlr.backends.cupy.devices", refuse)
    X, y = samples()
    for given in (X, torch.asarray(X)):
        if given is X or backend is None:
            run = fastlr.train(given, y, iterations=3, backend=backend)
            assert run.device == "cpu"
            assert run.backend == (backend or "numba")
            run.model.predict(given)
            fastlr.LogisticRegression(backend=backend).fit(given, y).predict(given)
            fastlr.path(given, y, l2=[0.1, 1.0], folds=2, backend=backend)
    assert not torch.cuda.is_initialized()


def test_numpy_arrays_stay_on_the_cpu_where_a_gpu_answers(monkeypatch):
    """Nobody asked for CuPy: neither its devices nor its backend are looked at."""
    from fastlr.backends import cupy

    monkeypatch.setattr(cupy, "devices", lambda: ("cuda:0",))
    monkeypatch.setattr(cupy, "open_backend", lambda *_: pytest.fail("CuPy was taken"))
    assert choose_backend().name == choose_backend(like=np.eye(2)).name == "numba"


CREATES = {"arange", "asarray", "empty", "eye", "full", "from_dlpack", "linspace", "ones", "tril", "triu", "zeros"}


def creations_without_device(source: str) -> list[int]:
    """Return the lines on which an array is made in some library's namespace, and no device is named."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CREATES:
            namespace = ast.unparse(node.func.value)
            in_a_library = namespace == "xp" or namespace.endswith(".xp") or namespace.startswith("array_namespace(")
            if in_a_library and not any(keyword.arg == "device" for keyword in node.keywords):
                found.append(node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "partial" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Attribute) and first.attr in CREATES and ast.unparse(first.value).endswith("xp"):
                found += [] if any(keyword.arg == "device" for keyword in node.keywords) else [node.lineno]
    return found


def test_no_array_is_made_without_a_device():
    seen = 0
    for path in SOURCES.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not (lines := creations_without_device(source)), f"{path}, lines {lines}: name the device"
        seen += source.count("device=device(")
    assert seen >= 8, "the sources were not found"


@pytest.mark.parametrize(
    "call", ["xp.zeros(3)", "backend.xp.eye(2)", "array_namespace(W).ones(3)", "partial(xp.empty)"]
)
def test_what_makes_an_array_is_seen(call):
    assert creations_without_device(f"a = {call}") == [1]
    assert creations_without_device(f"a = {call[:-1]}, device=d)") == []
    assert creations_without_device("np.zeros(3); xp.zeros_like(a)") == []


@everywhere
def test_the_command_line(there, fastlr_command, monkeypatch, tmp_path):
    """FASTLR_BACKEND and FASTLR_DEVICE, and nothing else, send a command to another device."""
    images, labels = draw_images(30)
    np.savez(tmp_path / "d.npz", images=images, labels=labels, test_images=images[:6], test_labels=labels[:6])
    Image.fromarray(images[1]).save(tmp_path / "light.png")
    model, train = tmp_path / "m.safetensors", ("train", tmp_path / "d.npz", "--iterations", 40, "--json")
    here = fastlr_command(*train, "--backend", "numpy").json
    monkeypatch.setenv("FASTLR_BACKEND", there.name)
    monkeypatch.setenv("FASTLR_DEVICE", there.device)
    found = fastlr_command(*train, "--model", model).json
    assert (found["backend"], found["device"]) == (there.name, there.device)
    np.testing.assert_allclose(found["costs"], here["costs"], rtol=1e-9)
    assert found["test_accuracy"] == here["test_accuracy"]
    assert fastlr_command("evaluate", model, tmp_path / "d.npz", "--json").json["accuracy"] == found["train_accuracy"]
    (row,) = fastlr_command("predict", model, tmp_path / "light.png", "--json").json
    assert row["label"] == "1"
    swept = fastlr_command("sweep", tmp_path / "d.npz", "--lr", "0.005,0.001", "--iterations", 40, "--json").json
    np.testing.assert_allclose(swept["runs"][0]["costs"], here["costs"], rtol=1e-9)

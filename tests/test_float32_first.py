"""A fit in float64 that begins in float32, beside one that does not."""

import numpy as np
import pytest

import fastlr
from fastlr.backends import numba
from fastlr.kernels.cpu import arrays
from fastlr.objectives import passes
from fastlr.objectives.streamed import Streamed
from fastlr.training import checkpoint as module
from fastlr.training import minimum

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 10, 3000)
PIXELS = np.clip(RNG.normal(90, 60, (3000, 784)) + 40 * RNG.normal(size=(10, 784))[LABELS], 0, 255).astype(np.uint8)
L2 = 1e-2


@pytest.fixture
def dtypes(monkeypatch):
    """Return the dtypes in which the objective was evaluated, one after another."""
    seen, evaluate = [], Streamed.evaluate

    def watched(self, x):
        found = evaluate(self, x)
        assert {array.dtype for array in (*x[:2], *found.gradient[:2], found.norm)} == {np.dtype(self.backend.dtype)}
        seen.append(self.backend.dtype)
        return found

    monkeypatch.setattr(Streamed, "evaluate", watched)
    return seen


def trained(X=PIXELS, y=LABELS, tol=1e-4, **more):
    return fastlr.train(X, y, **{"solver": "lbfgs", "l2": L2, "tol": tol, "iterations": 500, "dtype": "float64"} | more)


def only_float64(monkeypatch):
    monkeypatch.setattr(Streamed, "is_faster_in_float32", False)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("tol", [1e-4, 1e-10])
def test_it_comes_to_the_same_minimum(monkeypatch, dtypes, dtype, standardize, tol):
    X = PIXELS if dtype == "uint8" else (PIXELS / 255).astype(dtype)
    more = {"sample_weight": np.linspace(0, 2, 3000), "standardize": standardize, "tol": tol}
    first = trained(X, **more)
    number = dtypes.count("float32")
    assert number > 5
    assert dtypes == ["float32"] * number + ["float64"] * (len(dtypes) - number)
    assert len(dtypes) - number <= (2 if tol == 1e-4 else 60)
    assert first.converged
    assert first.notes == ()
    assert first.recorded_at == list(range(len(first.costs)))
    only_float64(monkeypatch)
    alone = trained(X, **more)
    assert alone.converged
    np.testing.assert_allclose(first.costs[-1], alone.costs[-1], rtol=1e-5 if tol == 1e-4 else 1e-8)
    if tol == 1e-10:
        for part, twin in zip(first.model.layers[0], alone.model.layers[0], strict=True):
            np.testing.assert_allclose(part, twin, rtol=0, atol=1e-7)  # tol over the least curvature
        if not standardize:
            assert abs(first.model.layers[0].b.mean()) < 1e-12, "float32's rounding left a shift of all intercepts"


def test_what_float32_cannot_hold_is_fitted_in_float64_alone(monkeypatch):
    X = PIXELS * 1e40
    told = []
    with pytest.warns(fastlr.ConvergenceWarning):
        found = trained(X, iterations=20, callback=lambda iteration, costs: told.append(iteration))
    only_float64(monkeypatch)
    with pytest.warns(fastlr.ConvergenceWarning):
        alone = trained(X, iterations=20)
    assert found.model == alone.model
    assert found.costs == alone.costs
    assert sorted(set(told)) == found.recorded_at


@pytest.mark.parametrize(
    "more", [{"solver": "newton-cg"}, {"dtype": "float32"}, {"y": LABELS % 2}, {"X": PIXELS[:, :60]}]
)
def test_only_where_a_kernel_makes_it_faster(dtypes, more):
    trained(**more)
    assert len(set(dtypes)) <= 1


def test_the_iterations_are_those_of_both(dtypes):
    with pytest.warns(fastlr.ConvergenceWarning):
        short = trained(iterations=6, tol=1e-10)
    assert short.recorded_at == list(range(7))
    assert dtypes[-1] == "float64"
    assert not short.converged
    assert "not converged after 6 iterations" in short.notes[0]


def test_several_models_are_fitted_in_float64_alone(dtypes):
    """They need different numbers of iterations, of which none is to be taken from another."""
    fastlr.path(PIXELS, LABELS, l2=[1e-1, 1e-2], folds=2, solver="lbfgs", dtype="float64")
    assert set(dtypes) == {"float64"}


def test_float32_ends_where_its_gradient_has_few_digits(monkeypatch, dtypes):
    """Features far from 0 and alike leave float32 none at a norm that float64 comes down to."""
    X = 500 + RNG.normal(size=(20_000, 1)) * 100 + RNG.normal(size=(20_000, 120))
    y = (X[:, :3] - X.mean(axis=1, keepdims=True) + [2, 0, 0]).argmax(axis=1)
    numbers = []
    for digits in (minimum.DIGITS, 0.0):
        monkeypatch.setattr(minimum, "DIGITS", digits)
        assert trained(X, y, l2=1e-3, tol=1e-5).converged
        numbers.append(dtypes.count("float32"))
        dtypes.clear()
    assert 0 < numbers[0] < numbers[1]


def test_it_resumes_in_either(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "EVERY", 0.0)
    whole = trained(tol=1e-9)
    files, save = [], module.Checkpoint._save

    def kept(self, path, values):
        save(self, path, values)
        files.append(path.read_bytes())

    monkeypatch.setattr(module.Checkpoint, "_save", kept)
    file = tmp_path / "c"
    trained(tol=1e-9, checkpoint=file)
    assert len(files) > 10
    for content in (*files[:: len(files) // 8], files[-1]):
        file.write_bytes(content)
        again = trained(tol=1e-9, checkpoint=file)
        assert again.model == whole.model
        assert again.costs == whole.costs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_do_not_depend_on_where_the_samples_lie(tmp_path, monkeypatch, dtype):
    """A kernel is given all blocks of an array at once, and those of a file one by one."""
    monkeypatch.setattr(passes, "TOGETHER", 1)
    np.save(tmp_path / "pixels.npy", PIXELS)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    monkeypatch.setattr(numba, "KERNELS", {**numba.KERNELS, "loss_and_gradient": (spy := Spy())})
    here = trained(dtype=dtype, sample_weight=np.linspace(0, 2, 3000))
    assert set(spy.samples) == {3000}
    spy.samples.clear()
    there = trained(mapped, dtype=dtype, sample_weight=np.linspace(0, 2, 3000))
    assert set(spy.samples) == {1320, 360}
    assert here.model == there.model
    assert here.costs == there.costs


class Spy:
    """The kernel, and how many samples it was given."""

    def __init__(self):
        self.samples = []

    def __call__(self, W, b, X, *more):
        self.samples.append(X.shape[1])
        return arrays.loss_and_gradient(W, b, X, *more)

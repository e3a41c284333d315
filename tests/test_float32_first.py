"""A fit in float64 that begins in float32, beside one that does not."""

import copy

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import fastlr
from fastlr.backends import numba
from fastlr.kernels.cpu import arrays
from fastlr.objectives import passes
from fastlr.objectives.streamed import Streamed
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


@pytest.mark.parametrize("scale", ["pixels", None])
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_it_comes_to_the_same_minimum(monkeypatch, dtypes, scale, tol):
    more = {"sample_weight": np.linspace(0, 2, 3000), "scale": scale, "l2": L2 if scale else 1e3, "tol": tol}
    first = trained(**more)
    number = dtypes.count("float32")
    assert number > 5
    assert dtypes == ["float32"] * number + ["float64"] * (len(dtypes) - number)
    assert len(dtypes) - number <= (20 if tol == 1e-6 else 2 if scale else 10)
    assert first.converged
    assert first.notes == ()
    assert first.recorded_at == list(range(len(first.costs)))
    only_float64(monkeypatch)
    alone = trained(**more)
    assert alone.converged
    np.testing.assert_allclose(first.costs[-1], alone.costs[-1], rtol=1e-5)
    if tol == 1e-6:
        for part, twin in zip(first.model.layers[0], alone.model.layers[0], strict=True):
            np.testing.assert_allclose(part, twin, rtol=0, atol=1e-4)  # tol over the least curvature
        assert abs(first.model.layers[0].b.mean()) < 1e-12, "float32's rounding left a shift of all intercepts"


def test_what_float32_cannot_hold_is_fitted_in_float64_alone(monkeypatch, dtypes):
    first = fastlr.LogisticRegression(C=1e-4, solver="lbfgs", warm_start=True, scale="pixels").fit(PIXELS, LABELS)
    first.set_params(max_iter=5).coef_ *= 1e25

    def warm():
        dtypes.clear()
        with pytest.warns(ConvergenceWarning):
            return copy.deepcopy(first).fit(PIXELS, LABELS)

    found = warm()
    assert dtypes[:2] == ["float32", "float64"]
    only_float64(monkeypatch)
    alone = warm()
    assert set(dtypes) == {"float64"}
    assert found.n_iter_ == alone.n_iter_
    np.testing.assert_array_equal(found.coef_, alone.coef_)


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "newton-cg"},
        {"dtype": "float32"},
        {"y": LABELS % 2},
        {"X": PIXELS[:, :60]},
        {"X": PIXELS / 255},
        {"X": PIXELS.astype("float32") / 255},
        {"standardize": True},
        {"l2": 1e-5},
        {"scale": None, "l2": 0.1},
        {"tol": 1e-7},
    ],
)
def test_only_where_a_kernel_makes_it_faster_and_no_digit_is_lost(dtypes, more):
    trained(**more)
    assert len(set(dtypes)) <= 1


@pytest.mark.parametrize("tol", [1e-6, 1e-8])
@pytest.mark.parametrize("standardize", [False, True])
def test_features_of_different_scales_far_from_zero_converge(tol, standardize):
    """Beginning these in float32 left them above tol, or took six times as long."""
    X = RNG.normal(size=(3000, 200)) + (1e5 if standardize else 0)
    y = ((X - X.mean(axis=0)) @ RNG.normal(size=(200, 8))).argmax(axis=1)
    X = X if standardize else X * 10.0 ** RNG.uniform(-4, 4, 200)
    assert trained(X, y, tol=tol, standardize=standardize, solver="auto", iterations=2000).converged


def test_the_iterations_are_those_of_both(dtypes):
    with pytest.warns(fastlr.ConvergenceWarning):
        short = trained(iterations=6, tol=1e-6)
    assert short.recorded_at == list(range(7))
    assert dtypes[-1] == "float64"
    assert not short.converged
    assert "not converged after 6 iterations" in short.notes[0]


def test_several_models_are_fitted_in_float64_alone(dtypes):
    """They need different numbers of iterations, of which none is to be taken from another."""
    fastlr.path(PIXELS, LABELS, l2=[1e-1, 1e-2], folds=2, solver="lbfgs", dtype="float64")
    assert set(dtypes) == {"float64"}


def test_float32_ends_where_its_gradient_has_few_digits(monkeypatch, dtypes):
    numbers = []
    for digits in (minimum.DIGITS, 0.0):
        monkeypatch.setattr(minimum, "DIGITS", digits)
        assert trained(tol=1e-6).converged
        numbers.append(dtypes.count("float32"))
        dtypes.clear()
    assert 0 < numbers[0] < numbers[1]


def test_it_resumes_in_either(tmp_path, every_checkpoint):
    whole = trained(tol=1e-6)
    file, files = tmp_path / "c", every_checkpoint
    trained(tol=1e-6, checkpoint=file)
    assert len(files) > 10
    for content in (*files[:: len(files) // 4], files[-1]):
        file.write_bytes(content)
        again = trained(tol=1e-6, checkpoint=file)
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

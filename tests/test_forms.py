"""The two forms are one trajectory; K is exact; the choice between them is by counted bytes and operations."""

from dataclasses import replace

import array_api_strict
import numpy as np
import pytest

from fastlr import core
from fastlr.backends import choose_backend
from fastlr.objectives import FORMS
from fastlr.objectives.choose import choose_form
from fastlr.objectives.gram import GramForm
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.resident import Resident
from fastlr.solvers import choose_descent
from fastlr.solvers.descent import step
from fastlr.solvers.optimizers import OPTIMIZERS

descent = choose_descent()


pytestmark = pytest.mark.broad

NAMESPACES = {"strict": array_api_strict, "numpy": np}


def host(array) -> np.ndarray:
    return np.from_dlpack(array)


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize(("m", "n"), [(5, 3), (40, 1024), (17, 1025), (8, 5000), (1, 1)])
def test_the_gram_matrix_of_pixels_is_exact(name, m, n):
    pixels = np.random.default_rng(n).integers(0, 256, (m, n), dtype=np.uint8)
    pixels[0] = 255  # the largest sums there are
    K = core.gram_matrix(NAMESPACES[name].asarray(pixels).T, NAMESPACES[name].float64)
    exact = pixels.astype(np.int64) @ pixels.astype(np.int64).T
    assert (host(K) == exact).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16])
def test_the_gram_matrix_of_features(dtype):
    X = np.random.default_rng(0).normal(size=(6, 20)).astype(dtype)
    K = core.gram_matrix(X.T, np.float64)
    np.testing.assert_allclose(K, X.astype(np.float64) @ X.astype(np.float64).T, rtol=1e-13)


def test_products_are_made_tile_by_tile(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (7, 10), dtype=np.uint8)
    C, W = rng.normal(size=(2, 10)), rng.normal(size=(2, 7))
    monkeypatch.setattr(core, "BLOCK", 3 * 7)
    np.testing.assert_allclose(core.combine(C, X, 0.5), C @ (X.T * 0.5), rtol=1e-13)
    np.testing.assert_allclose(core.project(W, X, 0.5), W @ (X * 0.5), rtol=1e-13)
    F = rng.normal(size=(7, 10))
    np.testing.assert_allclose(core.gram_matrix(F, np.float64), F.T @ F, rtol=1e-13)


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("pixels", [True, False])
def test_both_forms_take_the_same_steps_from_any_weights(name, k, pixels):
    """Initial weights, l2 and k models, step by step."""
    xp, rng = NAMESPACES[name], np.random.default_rng(k)
    n, m = 30, 12
    data = rng.integers(0, 256, (m, n), dtype=np.uint8) if pixels else rng.normal(size=(m, n))
    X, W, b = xp.asarray(data).T, xp.asarray(rng.normal(size=(k, 1, n)) * 0.3), xp.asarray(rng.normal(size=(k, 1, 1)))
    Y = xp.asarray(rng.integers(0, 2, (k, 1, m)).astype(np.float64))
    rates, l2 = xp.asarray(rng.uniform(0.05, 0.2, (k, 1, 1))), xp.asarray(rng.uniform(0, 0.2, (k, 1, 1)))
    forms = [form.of(X, W, 1 / 255 if pixels else 1.0) for form in FORMS.values()]
    problems = [Resident(form, Y, rates, l2) for form in forms]
    states = [descent.start(problem, b) for problem in problems]
    for number in range(150):
        costs = [host(core.cost(state.Z, Y)) for state in states]
        np.testing.assert_allclose(costs[1], costs[0], rtol=1e-12, err_msg=f"step {number}")
        states = [step(OPTIMIZERS["gd"], problem, state) for problem, state in zip(problems, states, strict=True)]
    primal, gram = (host(form.weights(state.W)) for form, state in zip(forms, states, strict=True))
    np.testing.assert_allclose(gram, primal, rtol=1e-9, atol=1e-12)
    assert primal.shape == (k, 1, n)


@pytest.mark.parametrize("form", FORMS.values())
def test_rows_of_a_form_are_those_models(form):
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(4, 6)), rng.normal(size=(3, 2, 4))
    whole = form.of(X, W)
    some = whole.rows([2, 0])
    np.testing.assert_allclose(some.weights(some.origin()), W[[2, 0]], rtol=1e-15)
    np.testing.assert_allclose(some.logits(some.origin(), 0.0), (W @ X)[[2, 0]], rtol=1e-13)


@pytest.mark.parametrize(
    ("n", "m", "k", "steps", "expected"),
    [
        (12288, 209, 1, 2000, "gram"),  # cats
        (12288, 1500, 1, 2000, "gram"),  # planes
        (30000, 1034, 1, 2000, "gram"),  # beans
        (3072, 1900, 1, 2000, "gram"),  # birds
        (12288, 1500, 1, 1, "primal"),  # K would cost more than the one step
        (784, 60000, 1, 200, "primal"),  # tall: K would not fit
        (100, 1000, 1, 2000, "primal"),
    ],
)
def test_the_choice(n, m, k, steps, expected):
    for backend in ("numpy", "numba"):
        assert choose_form("auto", n, m, k, steps, choose_backend(backend).costs) == expected


def test_a_form_that_is_named_is_taken():
    costs = choose_backend("numpy").costs
    assert choose_form("primal", 10000, 2, 1, 10**6, costs) == PrimalForm.name
    assert choose_form("gram", 1, 10**6, 1, 1, costs) == GramForm.name


def test_a_step_of_the_gram_form_does_not_read_x():
    backend = choose_backend("numpy")
    X = np.random.default_rng(0).normal(size=(5, 6))
    form = GramForm.of(X, np.zeros((1, 1, 5)))
    blind = replace(form, X=np.full_like(X, np.nan))
    labels, rate = np.array([[[0.0, 1, 0, 1, 0, 1]]]), np.array([[[0.1]]])
    state = descent.start(Resident(blind, labels, rate, rate * 0), np.zeros((1, 1, 1)))
    state = descent.advance(backend, Resident(blind, labels, rate, rate * 0), state, 50)
    assert np.isfinite(state.Z).all()

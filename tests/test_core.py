"""The core against the textbook, step by step, on strict and on plain arrays."""

from types import ModuleType

import array_api_strict
import numpy as np
import pytest

from fastlr import core, textbook

pytestmark = pytest.mark.quick

NAMESPACES = {"strict": array_api_strict, "numpy": np}


def problem(n: int, m: int, k: int, seed: int):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m))
    Y = rng.integers(0, 2, (k, m)).astype(np.float64)
    W, b = rng.normal(size=(k, n)) * 0.1, rng.normal(size=(k, 1)) * 0.1
    rates = rng.uniform(0.01, 0.5, (k, 1))
    for array in (X, Y, W, b, rates):
        array.setflags(write=False)
    return X, Y, W, b, rates


def to_numpy(array) -> np.ndarray:
    return np.from_dlpack(array)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(("n", "m"), [(30, 20), (7, 50), (1, 1)])
@pytest.mark.parametrize("name", NAMESPACES)
def test_200_steps_follow_the_textbook(name: str, n: int, m: int, k: int):
    xp: ModuleType = NAMESPACES[name]
    host = problem(n, m, k, seed=100 * n + k)
    X, Y, W, b, rates = (xp.asarray(array, copy=None) for array in host)
    plain = [(host[2][[i]].T.copy(), float(host[3][i, 0])) for i in range(k)]
    for step in range(200):
        dW, db, cost = core.propagate(W, b, X, Y)
        for i, (w, intercept) in enumerate(plain):
            grads, expected = textbook.propagate(w, intercept, host[0], host[1][[i]])
            got = float(cost[i, 0])
            assert abs(got - expected) <= 1e-12 * expected, f"step {step}, model {i}: {got!r}, not {expected!r}"
            rate = host[4][i, 0]
            plain[i] = (w - rate * grads["dw"], intercept - rate * grads["db"])
        W, b = core.descend(W, dW, rates), core.descend(b, db, rates)
    assert W.shape == (k, n)
    assert W.dtype == xp.float64
    np.testing.assert_allclose(to_numpy(W), np.stack([w[:, 0] for w, _ in plain]), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", NAMESPACES)
def test_one_row_of_labels_serves_all_models(name: str):
    xp = NAMESPACES[name]
    X, Y, W, b, _ = (xp.asarray(array, copy=None) for array in problem(4, 6, 3, seed=1))
    shared = core.propagate(W, b, X, Y[:1, :])
    for row in range(3):
        alone = core.propagate(W[row : row + 1, :], b[row : row + 1, :], X, Y[:1, :])
        for all_models, one_model in zip(shared, alone, strict=True):
            np.testing.assert_allclose(to_numpy(all_models)[[row]], to_numpy(one_model), rtol=1e-13)


@pytest.mark.parametrize("name", NAMESPACES)
def test_scale_is_folded_into_the_arithmetic(name: str):
    xp = NAMESPACES[name]
    host = problem(5, 9, 2, seed=2)
    pixels = np.round(np.abs(host[0]) * 100)
    _, Y, W, b, _ = (xp.asarray(array, copy=None) for array in host)
    folded = core.propagate(W, b, xp.asarray(pixels), Y, scale=1 / 255)
    plain = core.propagate(W, b, xp.asarray(pixels / 255), Y)
    for a, e in zip(folded, plain, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(e), rtol=1e-12)


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cost_is_finite_and_sigmoid_exact_at_the_ends(name: str, dtype: str):
    xp = NAMESPACES[name]
    Z = xp.asarray([[-1e30, -800.0, 0.0, 800.0, 1e30]], dtype=getattr(xp, dtype))
    A = core.sigmoid(Z)
    assert A.dtype == getattr(xp, dtype)
    assert to_numpy(A)[0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    right = core.cost(Z, xp.asarray([[0.0, 0.0, 1.0, 1.0, 1.0]], dtype=getattr(xp, dtype)))
    assert float(right[0, 0]) == pytest.approx(np.log(2) / 5)
    wrong = core.cost(Z, xp.asarray([[1.0, 1.0, 1.0, 0.0, 0.0]], dtype=getattr(xp, dtype)))
    assert np.isfinite(float(wrong[0, 0]))
    assert float(wrong[0, 0]) == pytest.approx(2e30 / 5)


def test_sigmoid_keeps_its_relative_precision():
    Z = np.array([[-700.0, -40.0, -1.0, 1.0, 30.0]])
    np.testing.assert_allclose(core.sigmoid(Z), textbook.sigmoid(Z), rtol=4e-16)


def test_l2_decays_the_weights():
    W, dW = np.array([[2.0, -4.0]]), np.array([[0.5, 0.5]])
    assert core.descend(W, dW, 0.1, 0.3).tolist() == [[2.0 - 0.1 * (0.5 + 0.6), -4.0 - 0.1 * (0.5 - 1.2)]]


def test_a_scale_is_1_where_none_is_given():
    X, _, W, b, _ = problem(6, 9, 2, seed=3)
    D = np.ones((2, 9))
    for scale in ({}, {"scale": 1.0}):
        np.testing.assert_array_equal(core.logits(W, b, X, **scale), W @ X + b)
        np.testing.assert_allclose(core.weight_gradient(D, X, **scale), D @ X.T / 9)
        np.testing.assert_allclose(core.predict(W, b, X, **scale), core.sigmoid(W @ X + b))
    np.testing.assert_allclose(core.predict(W, b, X, 3.0), core.sigmoid(3 * W @ X + b))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("name", NAMESPACES)
def test_moments_are_added_up_in_float64_tile_by_tile(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(core, "BLOCK", 40)  # numbers of a tile: two features of twenty samples
    xp = NAMESPACES[name]
    host = np.random.default_rng(0).integers(0, 256, (5, 20)).astype(dtype)
    host[3] = 7  # a feature that does not vary
    X, exactly = xp.asarray(host), host.astype(float)
    mean, deviation = exactly.mean(axis=1), exactly.std(axis=1)
    deviation[3] = 1
    for scale in (1.0, 0.5):
        for out, rtol in ((xp.float64, 1e-13), (xp.float32, 1e-6)):
            found = core.moments(X, out, scale) if scale != 1 else core.moments(X, out)
            assert all(values.dtype == out and values.shape == (1, 5) for values in found)
            np.testing.assert_allclose(to_numpy(found[0])[0], scale * mean, rtol=rtol)
            varies = np.arange(5) != 3
            np.testing.assert_allclose(to_numpy(found[1])[0], np.where(varies, scale * deviation, 1), rtol=rtol)
    given = [xp.asarray(values[None, :]) for values in (mean, deviation)]
    V = (exactly - mean[:, None]) / deviation[:, None]
    np.testing.assert_allclose(to_numpy(core.standardized_gram_matrix(X, *given)), V.T @ V, atol=1e-12)
    np.testing.assert_allclose(to_numpy(core.second_moments(X, xp.float64)), exactly @ exactly.T / 20, rtol=1e-13)


def test_what_varies_by_rounding_alone_does_not_vary():
    mean = np.array([1.0, 1.0, 0.0, 0.0])
    deviation = np.array([core.ROUNDING, 2 * core.ROUNDING, 0.0, 1e-300])
    found = core.in_moments(mean, deviation, np.float64, 2.0)
    np.testing.assert_array_equal(found[0], 2 * mean[None, :])
    np.testing.assert_array_equal(found[1], [[1, 4 * core.ROUNDING, 1, 2e-300]])

"""Two models, runs or data sets are equal where all that is in them is."""

from dataclasses import replace

import numpy as np
import pytest

import fastlr
from fastlr.backends import choose_backend
from fastlr.data import from_arrays
from fastlr.namespace import same_values

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def drawn():
    return np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8), np.arange(20) % 2


def train(drawn, **settings):
    return fastlr.train(*drawn, iterations=20, record_every=5, backend="numpy", **settings)


def test_runs_and_their_models(drawn, tmp_path):
    run, same, other = train(drawn), train(drawn), train(drawn, learning_rate=0.01)
    assert run == same
    assert run.model == same.model
    assert run != other
    assert run.model != other.model
    assert run != run.model
    assert [other, run].index(same) == 1
    assert replace(run, seconds=-1.0) == run
    assert replace(run, train_accuracy=0.0) != run
    run.model.save(tmp_path / "m.safetensors")
    loaded = fastlr.load(tmp_path / "m.safetensors")
    assert loaded == fastlr.load(tmp_path / "m.safetensors")
    changed = [layer._replace(W=layer.W + 1e-9) for layer in run.model.layers]
    assert replace(run.model, layers=tuple(changed)) != run.model
    assert replace(run.model, classes=("a", "b")) != run.model


def test_paths_and_data(drawn):
    X, y = drawn
    paths = [fastlr.path(X, y, l2=[0.1, 1.0], folds=2, backend="numpy") for _ in range(2)]
    assert paths[0] == paths[1]
    data = from_arrays("drawn", X, y)
    assert data == from_arrays("drawn", X.copy(), y)
    assert data != from_arrays("drawn", X + 1, y)
    assert data != from_arrays("other", X, y)


def test_arrays_of_another_device(drawn):
    backend = choose_backend("strict")
    runs = [fastlr.train(backend.asarray(drawn[0]), drawn[1], iterations=5) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].model != train(drawn).model


def test_values():
    assert same_values((1.0, np.nan, [None]), (1.0, np.nan, [None]))
    assert same_values(np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    assert not same_values(np.array([1.0]), np.array([1.0], np.float32))
    assert not same_values(np.ones(2), np.ones((2, 1)))
    assert not same_values((1,), [1])
    assert not same_values({"a": 1}, {"a": 2})
    assert not same_values({"a": 1}, {"b": 1})
    assert same_values({"a": {"b": (1, "x")}}, {"a": {"b": (1, "x")}})


def test_numbers_that_numpy_has_not():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    X = torch.rand(20, 3).to(torch.bfloat16)
    assert from_arrays("a", X, np.arange(20) % 2) == from_arrays("a", X.clone(), np.arange(20) % 2)
    assert from_arrays("a", X, np.arange(20) % 2) != from_arrays("a", 2 * X, np.arange(20) % 2)

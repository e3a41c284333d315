"""Arrays of PyTorch and JAX on the CPU: the kernels read them where they are, and arrays of the library come back."""

from functools import partial

import numpy as np
import pytest

import fastlr
from fastlr.backends.shared import is_shared, numpy_view, to_library_of
from fastlr.namespace import library_of, to_host

X = np.random.default_rng(0).normal(size=(80, 6))
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


@pytest.fixture(params=["torch", "jax"])
def there(request):
    """Return a function that makes an array of a library on the CPU."""
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    if request.param == "torch":
        return library.asarray

    def make(array):
        with library.enable_x64(True):
            return library.numpy.asarray(array)

    return make


def test_nothing_is_copied(there):
    given = there(X)
    assert is_shared(given)
    assert np.shares_memory(numpy_view(given), numpy_view(given))
    assert library_of(to_library_of(numpy_view(given), given)) == library_of(given)
    assert not is_shared(given, backend="numpy")
    assert not is_shared(given, device="cpu")
    assert not is_shared(X)


def test_who_names_a_backend_gets_it(there, monkeypatch):
    given = there(X)
    monkeypatch.setenv("FASTLR_BACKEND", library_of(given))
    assert not is_shared(given)
    run = fastlr.train(given, Y, iterations=3)
    assert run.backend == library_of(given)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_everything_comes_back_as_it_went(there, dtype, tmp_path):
    given, plain, labels = there(X.astype(dtype)), X.astype(dtype), there(Y)
    home = library_of(given)
    run = fastlr.train(given, labels, test=(given, labels), solver="newton-cg", l2=1e-2)
    expected = fastlr.train(plain, Y, test=(plain, Y), solver="newton-cg", l2=1e-2)
    assert (run.backend, run.costs, run.test_accuracy) == ("numba", expected.costs, expected.test_accuracy)
    for array, other in (
        *zip(run.model.layers[0], expected.model.layers[0], strict=True),
        (run.model.predict_proba(given), expected.model.predict_proba(plain)),
        (run.model.predict(given), expected.model.predict(plain)),
    ):
        assert library_of(array) == home
        np.testing.assert_array_equal(to_host(array), other)
    run.model.save(tmp_path / "m.safetensors")
    assert library_of(fastlr.load(tmp_path / "m.safetensors").predict_proba(given)) == home
    standardized = fastlr.train(given, labels, standardize=True, iterations=3).model
    assert all(library_of(values) == home for values in standardized.moments)
    path = fastlr.path(given, labels, l2=[1e-2, 1.0], folds=(given, labels), scoring=["accuracy", "log_loss"])
    assert library_of(path.model.layers[0].W) == home
    subsets = [np.arange(40), np.arange(40, 80)]
    many, expected = (fastlr.fit_many(*of, subsets=subsets) for of in ((given, labels), (plain, Y)))
    assert library_of(many.coef) == library_of(many.predict_proba(given)) == home
    np.testing.assert_allclose(to_host(many.coef), expected.coef)


@pytest.mark.parametrize("estimator", ["LogisticRegression", "LogisticRegressionCV"])
def test_estimators_give_arrays_of_the_library(there, estimator):
    made = partial(getattr(fastlr, estimator), max_iter=500, **({"cv": 3} if estimator.endswith("CV") else {}))
    given, labels = there(X), there(Y)
    clf, plain = made().fit(given, labels), made().fit(X, Y)
    assert clf.backend_ == "numba"
    for array, other in (
        (clf.coef_, plain.coef_), (clf.intercept_, plain.intercept_), (clf.predict(given), plain.predict(X)),
        (clf.predict_proba(given), plain.predict_proba(X)), (clf.decision_function(given), plain.decision_function(X)),
    ):  # fmt: skip
        assert library_of(array) == library_of(given)
        np.testing.assert_array_equal(to_host(array), other)
    assert clf.score(given, labels) == plain.score(X, Y)
    with pytest.raises(ValueError, match="must use the same namespace"):
        clf.predict(X)
    native = made(backend=library_of(given)).fit(given, labels)
    assert native.backend_ == library_of(given)
    np.testing.assert_allclose(to_host(native.coef_), plain.coef_, atol=1e-3)


def test_tensors_that_ask_for_gradients_or_are_no_numbers_of_numpys():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    wanted = torch.asarray(X, dtype=torch.float32).requires_grad_()
    clf = fastlr.LogisticRegression().fit(wanted, torch.asarray(Y))
    assert clf.backend_ == "numba"
    assert not clf.coef_.requires_grad
    assert not is_shared(torch.zeros(2, dtype=torch.bfloat16))
    assert fastlr.LogisticRegression().fit(wanted.detach().to(torch.bfloat16), torch.asarray(Y)).backend_ == "torch"
    turned = torch.asarray(np.asfortranarray(X))
    np.testing.assert_allclose(
        to_host(fastlr.LogisticRegression().fit(turned, Y).coef_),
        fastlr.LogisticRegression().fit(X, Y).coef_,
        atol=1e-9,
    )

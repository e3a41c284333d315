"""Values that are masked, mixed, too large or too small: the right answer, or one line that says what to do."""

import numpy as np
import pytest

import fastlr
from fastlr.estimators.logistic_regression import LogisticRegression
from fastlr.training import checks

X, Y = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2


def says(words, *arguments, **settings):
    with pytest.raises(fastlr.InputError) as raised:
        fastlr.train(*arguments, iterations=5, **settings)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_masked_values_are_not_taken_for_values():
    masked = np.ma.masked_greater(X, 1.0)
    says("data: samples: 10 values are masked, the first in row", masked, Y)
    says("data: labels: 10 values are masked, the first in row 1", X, np.ma.masked_equal(Y, 1))
    assert fastlr.train(np.ma.array(X), Y, iterations=5) == fastlr.train(X, Y, iterations=5)
    for fit in (lambda: LogisticRegression().fit(masked, Y), lambda: LogisticRegression().fit(X, Y).predict(masked)):
        with pytest.raises(fastlr.InputError, match=r"X: 10 values are masked, .* with \.filled\(\)"):
            fit()
    with pytest.raises(fastlr.InputError, match="values are masked"):
        fastlr.train(X, Y, iterations=5).model.predict(masked)


def test_labels_of_two_kinds_and_labels_that_do_not_fit():
    says("data: labels are text and numbers; give one kind", X[:2], [1, "a"])
    says("labels reach 9223372036854775813; whole numbers of at most", X[:2], np.array([1, 2**63 + 5], np.uint64))
    says("have different lengths", [[1, 2], [3]], [0, 1])
    says("data: labels are text and bytes; give one kind", X[:2], ["a", b"a"])
    says("labels hold 9223372036854775808; whole numbers of at most", X[:2], [-1, 2**63])
    says("a label ends with a zero character", X[:2], ["a", "a\0"])


def test_masked_rows_in_a_list_and_masked_weights():
    masked = np.ma.masked_array(X, X > 1)
    says("data: samples: some values are masked", list(masked), Y)
    with pytest.raises(fastlr.InputError, match="sample_weight: 1 values are masked"):
        LogisticRegression().fit(
            X, Y, sample_weight=np.ma.masked_array(np.ones(len(Y)), [True] + [False] * (len(Y) - 1))
        )
    with pytest.raises(ValueError, match="class_weight: the weights add up to more than float64 holds"):
        LogisticRegression(class_weight={0: 1e308}).fit(X, Y)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("labels", [Y, np.arange(len(Y)) % 3])
def test_a_model_does_not_guess_what_its_dtype_cannot_hold(backend, labels, monkeypatch):
    monkeypatch.setenv("FASTLR_BACKEND", backend)
    model = fastlr.train(X, labels, iterations=3, dtype="float32").model
    for ask in (model.predict, model.predict_proba):
        with pytest.raises(fastlr.InputError, match="images: some features are so large that float32 does not hold"):
            ask(X * 1e300)
    assert np.isfinite(model.predict_proba(X * 1e30)).all()


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("learning_rates: 0.1; a list is needed, such as [0.1]", lambda: fastlr.sweep(X, Y, learning_rates=0.1)),
        ("l2: 1; a list is needed", lambda: fastlr.path(X, Y, l2=1)),
        ("seeds: 5; a list is needed", lambda: fastlr.sweep(X, Y, seeds=5)),
        ("solver: {} is not known", lambda: fastlr.train(X, Y, solver={})),
        ("backend: {} is not a backend", lambda: fastlr.train(X, Y, backend={})),
        ("layers: array(4); the units of each hidden layer", lambda: fastlr.train(X, Y, layers=np.array(4))),
        ("cannot be opened (File name too long)", lambda: fastlr.load("a" * 5000)),
        ("max expansion: a number of", lambda: fastlr.open_dataset(".", max_expansion=10**5000)),
        ("images: its rows have different", lambda: fastlr.train(X, Y, iterations=1).model.predict([[1], [1, 2]])),
        ("holdout: 1.5 of", lambda: fastlr.Dataset(X, Y, (0, 1)).holdout(1.5)),
        ("l2: holds no value; give at least one", lambda: fastlr.path(X, Y, l2=[])),
        ("seeds: holds no value", lambda: fastlr.sweep(X, Y, layers=(2,), seeds=[])),
        ("callback: 5; a function of the iteration and the cost", lambda: fastlr.train(X, Y, callback=5)),
        ("callback: 'bar'; a function", lambda: fastlr.sweep(X, Y, callback="bar")),
        ("l2: 1e+308; a number from 0 to ", lambda: fastlr.train(X, Y, l2=1e308, solver="auto")),
        ("l2: 1e+308; a number from 0 to ", lambda: fastlr.fit_many(X, Y, subsets=[np.arange(20)], l2=[1e308])),
        ("data: labels hold 20 different numbers with fractions for 20 samples", lambda: fastlr.train(X, X[:, 0])),
        ("classes are needed, such as labels > 0.5", lambda: fastlr.path(X, X[:, 0])),
    ],
)
def test_what_a_new_user_types(words, call):
    with pytest.raises(fastlr.InputError) as raised:
        call()
    assert words in str(raised.value)


def test_an_inverse_penalty_too_small_to_compute_with():
    with pytest.raises(ValueError, match="C: 1e-320; a number of at least "):
        LogisticRegression(C=1e-320).fit(X, Y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs", "auto"])
@pytest.mark.parametrize("form", ["auto", "primal"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_largest_l2_gives_weights_of_nearly_nothing(dtype, solver, form, classes):
    """The intercept alone is fitted: the probabilities are the classes' shares."""
    labels = np.arange(20) % classes
    run = fastlr.train(X, labels, l2=checks.MOST_L2, solver=solver, form=form, dtype=dtype, tol=1e-5)
    shares = np.bincount(labels) / 20
    np.testing.assert_allclose(run.model.predict_proba(X), np.tile(shares, (20, 1)), atol=1e-4)
    assert run.converged


def test_predictions_in_float32_of_features_far_from_zero_are_not_silently_rounded():
    settings = {"solver": "auto", "l2": 0.01, "standardize": True}
    says = "a feature's mean is 1e+05 times its standard deviation: predictions in float32 lose digits; take float64"
    assert says in " ".join(fastlr.train((X + 1e5).astype(np.float32), Y, dtype="float32", **settings).notes)
    assert fastlr.train((X + 1e5).astype(np.float32), Y, **settings).notes == ()
    assert fastlr.train((X + 10).astype(np.float32), Y, dtype="float32", **settings).notes == ()


@pytest.mark.parametrize("values", [[0.5, 1.5], [0.25, 0.5, 0.75]])
def test_classes_may_be_numbers_with_fractions(values):
    labels = np.array(values)[np.arange(20) % len(values)]
    assert fastlr.train(X, labels, iterations=3).model.classes == tuple(values)


def test_pictures_of_other_whole_numbers_are_not_silently_large(caplog):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3))
    fastlr.train(pixels, Y, iterations=1, learning_rate=1e-9)
    assert "data: pictures of int64 are taken for features, and not multiplied by 1/255; give uint8" in caplog.text


@pytest.mark.parametrize("weights", [{0: -1}, {0: np.nan}, {0: 0, 1: 0}])
def test_weights_of_classes(weights):
    with pytest.raises(ValueError, match="class_weight: "):
        LogisticRegression(class_weight=weights).fit(X, Y)


@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs", "auto"])
@pytest.mark.parametrize("form", ["primal", "gram"])
def test_features_whose_squares_overflow(solver, form):
    says("whose squares add up to more than float64 holds", X * 1e160, Y, solver=solver, form=form, l2=1.0)
    says(
        "whose squares add up to more than float32 holds",
        X * 1e20,
        Y,
        solver=solver,
        form=form,
        l2=1.0,
        dtype="float32",
    )
    with pytest.raises(fastlr.InputError, match="whose squares add up"):
        LogisticRegression(solver=solver).fit(X * 1e160, Y)


@pytest.mark.parametrize("power", [-300, 300, 160])
def test_features_that_cannot_be_standardized(power):
    says("whose square float64 does not hold", X * 10.0**power, Y, standardize=True)


@pytest.mark.parametrize("power", [-140, 0, 140])
def test_features_that_can_be_standardized(power):
    run = fastlr.train(X * 10.0**power, Y, standardize=True, solver="newton", l2=0.1)
    same = fastlr.train(X, Y, standardize=True, solver="newton", l2=0.1)
    np.testing.assert_allclose(run.costs, same.costs, rtol=1e-9)


def test_a_scale_brings_large_features_back():
    run = fastlr.train(X * 1e140, Y, scale=1e-140, solver="newton", l2=0.1)
    np.testing.assert_allclose(run.costs, fastlr.train(X, Y, solver="newton", l2=0.1).costs, rtol=1e-9)
    says("whose squares add up", X * 1e300, Y, scale=1e-300, solver="newton", l2=0.1)


def test_samples_that_float32_does_not_hold():
    says("features: reach 2.", X * 1e300, Y, dtype="float32", form="primal")
    says("features of test: reach 2.", X, Y, dtype="float32", test=(X * 1e300, Y))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": 10**400}, "learning rate: 1000"),
        ({"learning_rate": 10**5000}, "learning rate: a number of 16,610 bits"),
        ({"optimizer": {}}, "optimizer: {} is not known"),
        ({"solver": {}}, "solver: {} is not known"),
        ({"form": {}}, "form: {} is not known"),
        ({"layers": [2**63]}, "layers: 9223372036854775808; a whole number of at most 1048576"),
        ({"layers": [[2], [3, 4]]}, "layers: [2]; a whole number of at least 1"),
    ],
)
def test_settings_that_are_none(settings, words):
    says(words, X, Y, **settings)

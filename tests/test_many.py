"""Many small problems at once: subsets of one data set, and batches of data of one shape."""

import functools

import numpy as np
import pytest
from conftest import every_backend
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import fastlr
from fastlr.backends import choose_backend
from fastlr.kernels.cpu import arrays
from fastlr.namespace import library_of, to_host
from fastlr.solvers.line_search import RULES

DIGITS, TENS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
FLOWERS, KINDS = load_iris(return_X_y=True)
VALUES = [1e-1, 1e-3]


def few_shot(y, sizes=(1, 3), draws=3, seed=0):
    """Return subsets of so many samples of each class."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(y == one) for one in np.unique(y)]
    return [np.concatenate([rng.permutation(of)[:size] for of in members]) for size in sizes for _ in range(draws)]


def alone(X, y, l2, weights=None, intercept=True):
    """Return scikit-learn's coefficients and intercepts of one problem."""
    total = len(y) if weights is None else weights.sum()
    peer = LogisticRegression(
        C=1 / (l2 * total), tol=1e-11, max_iter=5000, solver="newton-cholesky", fit_intercept=intercept
    )
    peer.fit(X, y, weights)
    return np.column_stack([peer.coef_, peer.intercept_])


def found(many, problem, value):
    coef, intercept = to_host(many.coef), to_host(many.intercept)
    return np.column_stack([coef[problem, value], intercept[problem, value]])


def digits(wide, classes):
    """Return digits of so many classes, 60 features more where they are to be wide, and few-shot subsets."""
    keep = classes > TENS
    X, y = DIGITS[keep], TENS[keep]
    if wide:
        X = np.hstack([X, np.random.default_rng(0).normal(size=(len(X), 60)) / 4])
    return X, y, few_shot(y)


@functools.cache
def by_scikit_learn(wide, classes, intercept):
    """Return what every backend is to find for each subset and value of l2."""
    X, y, subsets = digits(wide, classes)
    return [[alone(X[rows], y[rows], l2, intercept=intercept) for l2 in VALUES] for rows in subsets]


@pytest.mark.parametrize("name", every_backend())
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("intercept", [True, False])
def test_each_subset_has_the_fit_that_it_has_alone(name, wide, classes, intercept):
    """`wide`: more features than samples, which is fitted in coordinates of the Gram matrix."""
    X, y, subsets = digits(wide, classes)
    backend = choose_backend(name)
    with backend.scope():
        given = backend.asarray(X)
    many = fastlr.fit_many(given, y, subsets=subsets, l2=VALUES, tol=1e-10, intercept=intercept, backend=name)
    expected = by_scikit_learn(wide, classes, intercept)
    assert many.converged.all()
    assert library_of(many.coef) == library_of(given)
    assert many.coef.shape == (len(subsets), 2, 1 if classes == 2 else classes, X.shape[1])
    for problem in range(len(subsets)):
        for value in range(len(VALUES)):
            np.testing.assert_allclose(found(many, problem, value), expected[problem][value], atol=2e-6)


@pytest.mark.parametrize("name", ["numba", "numpy"])
@pytest.mark.parametrize("wide", [False, True])
def test_subsets_may_be_masks_weights_or_have_samples_twice(name, wide):
    X = np.hstack([FLOWERS, np.random.default_rng(0).normal(size=(150, 200)) / 10]) if wide else FLOWERS
    rng = np.random.default_rng(1)
    weights = rng.uniform(0, 2, (5, 150)) * (rng.uniform(size=(5, 150)) < 0.5)
    many = fastlr.fit_many(X, KINDS, subsets=weights, l2=VALUES, tol=1e-10, backend=name)
    for problem, row in enumerate(weights):
        expected = alone(X[row > 0], KINDS[row > 0], 1e-3, row[row > 0])
        np.testing.assert_allclose(found(many, problem, 1), expected, atol=2e-6)
    masks = weights > 0
    by_masks = fastlr.fit_many(X, KINDS, subsets=masks, l2=VALUES, tol=1e-10, backend=name)
    by_indices = fastlr.fit_many(
        X, KINDS, subsets=[np.flatnonzero(m) for m in masks], l2=VALUES, tol=1e-10, backend=name
    )
    np.testing.assert_allclose(by_masks.coef, by_indices.coef, atol=1e-7)
    twice = np.concatenate([np.arange(150), np.arange(40, 60)])
    many = fastlr.fit_many(X, KINDS, subsets=[twice], l2=[1e-2], tol=1e-10, backend=name)
    np.testing.assert_allclose(found(many, 0, 0), alone(X[twice], KINDS[twice], 1e-2), atol=2e-6)


@pytest.mark.parametrize("name", every_backend())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_batch_has_a_fit_for_each_problem(name, dtype, classes):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (4, 60))
    means = rng.normal(size=(classes, 9))
    X = (means[labels] + rng.normal(size=(4, 60, 9))).astype(dtype)
    backend = choose_backend(name, dtype=np.dtype(dtype).name)
    with backend.scope():
        given = backend.asarray(X)
    tol, atol = (1e-9, 1e-6) if dtype == np.float64 else (1e-6, 2e-3)
    many = fastlr.fit_many(given, labels, l2=VALUES, tol=tol, backend=name)
    for problem in range(4):
        for value, l2 in enumerate(VALUES):
            expected = alone(X[problem].astype(float), labels[problem], l2)
            np.testing.assert_allclose(found(many, problem, value), expected, atol=atol)
    proba = to_host(many.predict_proba(given))
    assert proba.shape == (4, 2, 60, classes)
    np.testing.assert_allclose(proba.sum(axis=-1), 1, rtol=1e-5)
    accuracy = many.scores(given, labels)["accuracy"]
    np.testing.assert_allclose(accuracy, (many.predict(given) == labels[:, None]).mean(axis=-1))
    same = fastlr.fit_many(given, labels[0], l2=VALUES, tol=tol, backend=name)
    np.testing.assert_allclose(found(same, 0, 1), found(many, 0, 1), atol=atol)


def test_what_it_predicts_is_what_scikit_learn_predicts():
    names = np.array(list("abcdefghij"))[TENS]
    subsets = few_shot(TENS, sizes=(4,))
    many = fastlr.fit_many(DIGITS, names, subsets=subsets, l2=VALUES, tol=1e-9)
    assert many.classes == tuple("abcdefghij")
    scores = many.scores(DIGITS, names, ["accuracy", "log_loss"])
    for problem, rows in enumerate(subsets):
        peer = LogisticRegression(C=1 / (1e-3 * len(rows)), tol=1e-10, max_iter=5000, solver="newton-cg")
        peer.fit(DIGITS[rows], names[rows])
        assert (many.predict(DIGITS)[problem, 1] == peer.predict(DIGITS)).all()
        np.testing.assert_allclose(many.predict_proba(DIGITS)[problem, 1], peer.predict_proba(DIGITS), atol=1e-5)
        assert scores["accuracy"][problem, 1] == peer.score(DIGITS, names)
        assert scores["log_loss"][problem, 1] == pytest.approx(log_loss(names, peer.predict_proba(DIGITS)), abs=1e-4)
    np.testing.assert_allclose(many.scores(DIGITS, names)["accuracy"], scores["accuracy"])


def test_pixels_are_scaled_as_in_training():
    X = (DIGITS * 255).astype(np.uint8)
    subsets = few_shot(TENS, sizes=(4,), draws=1)
    many = fastlr.fit_many(X, TENS, subsets=subsets, l2=[1e-3], tol=1e-9)
    run = fastlr.train(X[subsets[0]], TENS[subsets[0]], l2=1e-3, tol=1e-9, solver="newton-cg")
    np.testing.assert_allclose(many.coef[0, 0], run.model.layers[0].W, atol=1e-5)
    np.testing.assert_allclose(many.predict_proba(X)[0, 0], run.model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("units", [1, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_does_what_its_twin_does(monkeypatch, dtype, units, weighted):
    """In any number of threads, to the bit; its twin goes through the same numbers of steps."""
    rng = np.random.default_rng(units)
    p, m, n = 7, 37, 13
    X = rng.normal(size=(p, m, n)).astype(dtype)
    labels = rng.integers(0, max(2, units), (p, m))
    labels[:, : max(2, units)] = np.arange(max(2, units))
    one_hot = labels[:, None, :] if units == 1 else labels[:, None, :] == np.arange(units)[:, None]
    weights = rng.uniform(0.1, 2, (p, m)) if weighted else None
    weights = None if weights is None else weights / weights.mean(axis=1, keepdims=True)
    rules = (np.array([1e-1, 1e-2]), True, RULES, 1e-4, 200, 5, 10)
    teams = []
    for size in (1, 2, 3):
        monkeypatch.setattr("fastlr.kernels.cpu.starting.size_for", lambda operations, alone=0, size=size: size)
        teams.append(arrays.many_fits(X, one_hot.astype(dtype), weights, *rules))
    for other in teams[1:]:
        assert all((one == two).all() for one, two in zip(teams[0], other, strict=True))
    W, b, ends, _ = teams[0]
    for problem in range(p):
        rows = fastlr.fit_many(
            X[problem], labels[problem], subsets=np.ones((1, m)) if weights is None else weights[problem][None],
            l2=[1e-1, 1e-2], tol=1e-4, backend="numpy", dtype=np.dtype(dtype).name,
        )  # fmt: skip
        np.testing.assert_allclose(W[problem], rows.coef[0], atol=2e-5)
        np.testing.assert_allclose(b[problem], rows.intercept[0], atol=2e-5)
        assert (ends[problem, :, 0] == rows.iterations[0]).all()


@pytest.mark.parametrize(
    ("X", "y", "given", "says"),
    [
        (FLOWERS, KINDS, {}, "subsets: there are none, and X is no batch"),
        (FLOWERS, KINDS, {"subsets": []}, "subsets: there are none; give one or more"),
        (FLOWERS, KINDS, {"subsets": [[0, 60]]}, "subsets: subset 0 has no sample of class 2; each needs all"),
        (
            FLOWERS,
            KINDS,
            {"subsets": [np.arange(150), [0, 60, 150]]},
            "subset 1 names sample 150; there are 150, from 0 to 149",
        ),
        (FLOWERS, KINDS, {"subsets": [np.array([0.5])]}, r"subset 0 is float64 of shape \(1,\); indices, or a mask"),
        (FLOWERS, KINDS, {"subsets": [np.ones(9, bool)]}, r"subset 0 is bool of shape \(9,\); indices, or a mask"),
        (FLOWERS, KINDS, {"subsets": [[]]}, "subsets: subset 0 is empty"),
        (FLOWERS, KINDS, {"subsets": np.ones((2, 150), int)}, "may be weights, or indices; give weights as floats"),
        (FLOWERS, KINDS, {"subsets": np.arange(150)}, r"subsets: it has shape \(150,\); a list of subsets is needed"),
        (FLOWERS, KINDS, {"subsets": -np.ones((1, 150))}, "subset 0 has weights below 0"),
        (FLOWERS, KINDS, {"subsets": [np.arange(150)], "l2": []}, "l2: it is empty"),
        (FLOWERS, KINDS, {"subsets": [np.arange(150)], "l2": [-1]}, "l2: -1; a number of at least 0"),
        (FLOWERS, KINDS, {"subsets": [np.arange(150)], "tol": 0}, "tol: 0; a positive number"),
        (FLOWERS, np.eye(3)[KINDS], {"subsets": [np.arange(150)]}, "y: it is a table of labels"),
        (np.ones((2, 5, 3)), np.zeros(4), {}, r"y: it has shape \(4,\); \(5,\) or \(2, 5\) is needed"),
        (np.ones((2, 3, 1)), np.array([[0, 1, 0], [1, 1, 1]]), {}, "X: problem 1 has no sample of class 0"),
        (np.full((1, 2, 1), np.nan), np.array([0, 1]), {}, "X: sample 0 holds nan"),
    ],
)
def test_what_cannot_be_fitted_is_said(X, y, given, says):
    with pytest.raises(fastlr.InputError, match=says) as error:
        fastlr.fit_many(X, y, **given)
    assert "\n" not in str(error.value)


def test_samples_of_another_shape_are_not_predicted():
    many = fastlr.fit_many(FLOWERS, KINDS, subsets=[np.arange(150)])
    with pytest.raises(fastlr.InputError, match=r"X: it has shape \(5, 3\); \(m, 4\) is needed"):
        many.predict(np.ones((5, 3)))
    batch = fastlr.fit_many(np.stack([FLOWERS, FLOWERS]), KINDS)
    with pytest.raises(fastlr.InputError, match=r"\(2, m, 4\) is needed"):
        batch.predict(FLOWERS)


def test_what_did_not_converge_is_said():
    with pytest.warns(fastlr.ConvergenceWarning, match="1 of 1 fits did not converge in 1 iterations"):
        many = fastlr.fit_many(FLOWERS, KINDS, subsets=[np.arange(150)], iterations=1)
    assert not many.converged.any()
    assert repr(many) == "ManyFits(1 problems of 4 features, 1 values of l2, 0 of 1 converged)"
    with pytest.raises(fastlr.InputError, match="holds class 5, unknown"):
        many.scores(FLOWERS, KINDS + 5)


def test_scores_take_a_label_for_each_sample():
    X, y = load_digits(return_X_y=True)
    fits = fastlr.fit_many(X, y, subsets=[np.arange(500), np.ones(len(X))], l2=[0.1])
    expected = fits.scores(X, y)["accuracy"]
    np.testing.assert_array_equal(fits.scores(X, y[:, None])["accuracy"], expected)
    for labels in (y[:1], y[:, None] == y, y[:4]):  # they were broadcast, and gave scores
        for scoring in ("accuracy", "roc_auc"):
            with pytest.raises(fastlr.InputError, match="a label for each of the 1797 samples is needed"):
                fits.scores(X, labels, scoring)
    with pytest.raises(fastlr.InputError, match="X: sample 1 holds nan at feature 0; finite numbers are needed"):
        fits.predict(np.where(np.arange(3)[:, None] == 1, np.nan, X[:3]))

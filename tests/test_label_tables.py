"""Tables of labels: a model for each column, all fitted in one reading of the samples."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier

import fastlr
from fastlr.backends import REGISTRY, choose_backend, survey
from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError
from fastlr.namespace import library_of, to_host

X, Y = make_multilabel_classification(200, 12, n_classes=5, random_state=0)
X = X.astype(float)
LABELS = Y.shape[1]


def one_by_one(Y, known=None, weights=None, **settings):
    """Return the coefficients of a scikit-learn fit for each column, on its known labels."""
    found = []
    for label in range(Y.shape[1]):
        rows = np.ones(len(X), bool) if known is None else known[:, label]
        fit = LogisticRegression(tol=1e-10, max_iter=1000, solver="newton-cholesky", **settings)
        fit.fit(X[rows], Y[rows, label], None if weights is None else weights[rows])
        found.append(np.concatenate([fit.coef_[0], fit.intercept_]))
    return np.array(found)


def survey_of(name):
    return next(row for row in survey() if row["name"] == name)


def coefficients(fitted):
    return np.column_stack([fitted.coef_, fitted.intercept_])


@pytest.mark.parametrize("solver", ["auto", "newton", "newton-cg", "lbfgs"])
@pytest.mark.parametrize(("form", "streams"), [("primal", False), ("primal", True), ("gram", False)])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1, 1: 3}])
def test_a_table_is_fitted_as_its_columns_are(monkeypatch, solver, form, streams, class_weight):
    if streams:
        if solver == "newton":
            pytest.skip("newton keeps the data in memory")
        monkeypatch.setenv("FASTLR_MEMORY", "1")
    fitted = fastlr.LogisticRegression(tol=1e-10, max_iter=1000, solver=solver, form=form, class_weight=class_weight)
    fitted.fit(X, Y)
    np.testing.assert_allclose(coefficients(fitted), one_by_one(Y, class_weight=class_weight), atol=1e-6)
    assert fitted.n_iter_.shape == (LABELS,)
    assert fitted.classes_.tolist() == list(range(LABELS))


@pytest.mark.parametrize("missing", [-1, np.nan])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_missing_labels_do_not_count(monkeypatch, missing, streams, class_weight):
    if streams:
        monkeypatch.setenv("FASTLR_MEMORY", "1")
    rng = np.random.default_rng(0)
    known, weights = rng.uniform(size=Y.shape) > 0.3, rng.uniform(0.1, 2, len(X))
    given = np.where(known, Y, missing)
    fitted = fastlr.LogisticRegression(tol=1e-10, missing_label=missing, class_weight=class_weight)
    fitted.fit(X, given, weights)
    expected = one_by_one(Y, known, weights, class_weight=class_weight)
    np.testing.assert_allclose(coefficients(fitted), expected, atol=1e-6)


def test_what_it_predicts_is_what_one_vs_rest_predicts():
    fitted = fastlr.LogisticRegression(tol=1e-10).fit(X, Y)
    peer = OneVsRestClassifier(LogisticRegression(tol=1e-10, max_iter=1000, solver="newton-cholesky")).fit(X, Y)
    assert (fitted.predict(X) == peer.predict(X)).all()
    assert fitted.predict(X).dtype == np.int64
    np.testing.assert_allclose(fitted.predict_proba(X), peer.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(fitted.decision_function(X), peer.decision_function(X), atol=1e-7)
    assert fitted.score(X, Y) == peer.score(X, Y)
    there = fitted.to_sklearn()
    np.testing.assert_allclose(there.predict_proba(X), fitted.predict_proba(X), atol=1e-12)
    assert (there.predict(X) == fitted.predict(X)).all()


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 0.5, 2: 2.0}])
def test_classes_one_against_the_rest(class_weight):
    """A model for each class, as scikit-learn has by its wrapper; weights by class are those of the classes."""
    y, names = np.arange(len(X)) % 3, np.array(["ant", "bee", "cat"])
    ours = {"class_weight": class_weight, "one_vs_rest": True, "tol": 1e-10}
    weights = np.ones(len(X)) if not isinstance(class_weight, dict) else np.array(list(class_weight.values()))[y]
    fitted = fastlr.LogisticRegression(**ours).fit(X, y)
    for code in range(3):
        balanced = class_weight if isinstance(class_weight, str) else None
        peer = LogisticRegression(tol=1e-10, max_iter=1000, solver="newton-cholesky", class_weight=balanced)
        peer.fit(X, y == code, weights)
        np.testing.assert_allclose(fitted.coef_[code], peer.coef_[0], atol=1e-7)
        np.testing.assert_allclose(fitted.intercept_[code], peer.intercept_[0], atol=1e-7)
    named = fastlr.LogisticRegression(one_vs_rest=True, tol=1e-10).fit(X, names[y])
    alone = LogisticRegression(tol=1e-10, max_iter=1000, solver="newton-cholesky")
    peer = OneVsRestClassifier(alone).fit(X, names[y])
    assert (named.predict(X) == peer.predict(X)).all()
    np.testing.assert_allclose(named.predict_proba(X), peer.predict_proba(X), atol=1e-7)
    np.testing.assert_allclose(np.exp(named.predict_log_proba(X)), named.predict_proba(X), atol=1e-12)
    assert named.predict_proba(1e6 * X).sum(axis=1) == pytest.approx(1), "where every sigmoid underflows"
    assert not named.multilabel_
    assert named.score(X, names[y]) == peer.score(X, names[y])
    there = named.to_sklearn()
    assert (there.predict(X) == named.predict(X)).all()
    np.testing.assert_allclose(there.predict_proba(X), named.predict_proba(X), atol=1e-12)
    with pytest.raises(ValueError, match="to_onnx: it has no form for one_vs_rest"):
        named.to_onnx()


def test_two_classes_are_one_model_also_one_against_the_rest():
    y = np.arange(len(X)) % 2
    one, other = (fastlr.LogisticRegression(one_vs_rest=flag).fit(X, y) for flag in (True, False))
    assert (one.coef_ == other.coef_).all()
    assert not one.one_vs_rest_
    for name, value in (("one_vs_rest", "yes"), ("fit_intercept", "no"), ("warm_start", 1)):
        with pytest.raises(ValueError, match=f"{name}: .*; True or False is needed"):
            fastlr.LogisticRegression(**{name: value}).fit(X, y)
    with pytest.raises(ValueError, match="verbose: -1; a whole number of at least 0 is needed"):
        fastlr.LogisticRegression(verbose=-1).fit(X, y)


def test_tables_come_as_users_have_them():
    expected = fastlr.LogisticRegression().fit(X, Y).coef_
    assert (fastlr.LogisticRegression().fit(X.tolist(), Y).coef_ == expected).all()
    assert (fastlr.LogisticRegression().fit(X.tolist(), Y.tolist()).coef_ == expected).all()
    with pytest.raises(ValueError, match=r"y: it is sparse; y.toarray\(\)"):
        fastlr.LogisticRegression().fit(X, csr_matrix(Y))
    for given in (Y.astype(bool), Y.astype(float), Y.astype(np.uint8), Y.tolist(), np.asfortranarray(Y)):
        assert (fastlr.LogisticRegression().fit(X, given).coef_ == expected).all()
    with pytest.warns(match="column-vector"):
        single = fastlr.LogisticRegression().fit(X, Y[:, :1])
    assert single.coef_.shape == (1, 12)
    assert not single.multilabel_


def test_a_fit_goes_on_from_the_last_one():
    fitted = fastlr.LogisticRegression(tol=1e-6, warm_start=True, solver="newton-cg").fit(X, Y)
    assert fitted.n_iter_.min() > 0
    assert fitted.fit(X, Y).n_iter_.max() == 0
    with pytest.raises(ValueError, match=r"warm_start: the last fit has coefficients of shape \(5, 12\)"):
        fitted.fit(X, Y[:, :3])


def test_its_curve_is_the_mean_of_the_labels_objectives():
    fitted = fastlr.LogisticRegression(tol=1e-8).fit(X, Y)
    each = [fastlr.LogisticRegression(tol=1e-8).fit(X, column).loss_curve_ for column in Y.T]
    assert len(fitted.loss_curve_) == max(map(len, each))
    np.testing.assert_allclose(fitted.loss_curve_[0], np.log(2))
    np.testing.assert_allclose(fitted.loss_curve_[-1], np.mean([curve[-1] for curve in each]), rtol=1e-9)


@pytest.mark.parametrize("name", REGISTRY)
def test_on_every_backend(name):
    if why_not := survey_of(name)["why_not"]:
        pytest.skip(why_not)
    backend = choose_backend(name)
    with backend.scope():
        given = [backend.asarray(np.asarray(array, dtype=np.float64)) for array in (X, Y)]
    fitted = fastlr.LogisticRegression(tol=1e-9, backend=name).fit(*given)
    np.testing.assert_allclose(to_host(fitted.coef_), one_by_one(Y)[:, :-1], atol=1e-6)
    for answer in (fitted.predict(given[0]), fitted.predict_proba(given[0])):
        assert library_of(answer) == library_of(given[0])
        assert answer.shape == Y.shape


def test_columns_of_one_value_are_said():
    constant = Y.copy()
    constant[:, 1] = 0
    constant[:, 3] = 1
    with pytest.warns(UserWarning, match="2 of its 5 columns hold one value alone, the first is column 1"):
        fitted = fastlr.LogisticRegression().fit(X, constant)
    probabilities = fitted.predict_proba(X)
    assert probabilities[:, 1].max() < 1e-3
    assert probabilities[:, 3].min() > 1 - 1e-3


@pytest.mark.parametrize(
    ("given", "settings", "says"),
    [
        (Y * 2, {}, "row 0 holds 2 in column"),
        (np.where(Y == 1, -1, Y), {}, r"missing_label=-1 \(--missing-label -1\) leaves such labels out"),
        (Y.astype(str), {}, "zeros and ones are needed"),
        (Y[:10], {}, "10 rows of labels for 200 samples"),
        (Y, {"missing_label": 7}, "missing_label: 7; -1 or NaN is needed"),
        (Y[:, 0], {"missing_label": -1}, "y is no table of labels"),
        (np.full_like(Y, -1), {"missing_label": -1}, "no label of column 0 is known"),
        (Y, {"class_weight": {2: 1.0}}, "class_weight: it has the keys"),
    ],
)
@pytest.mark.filterwarnings("ignore:y. . of its 5 columns")
def test_what_is_wrong_with_a_table_is_said(given, settings, says):
    with pytest.raises(ValueError, match=says) as raised:
        fastlr.LogisticRegression(**settings).fit(X, given)
    assert "\n" not in str(raised.value)


def test_cross_validation_refuses_a_table():
    with pytest.raises(ValueError, match=r"it is a table of labels; fastlr\.path"):
        fastlr.LogisticRegressionCV().fit(X, Y)


def test_constant_columns_of_known_labels():
    table = LabelTable.of("y", np.array([[0, 1, -1], [1, 1, 0], [0, -1, 1]]), -1)
    assert table.constant_columns() == [1]
    assert table.codes.tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert LabelTable.of("y", np.array([[-1, 0], [-1, 1]]), -1).constant_columns() == []


def test_missing_labels_do_not_count_in_a_score():
    known = np.random.default_rng(0).uniform(size=Y.shape) > 0.3
    given = np.where(known, Y, -1)
    fitted = fastlr.LogisticRegression(missing_label=-1).fit(X, given)
    right = (fitted.predict(X) == Y) | ~known
    assert fitted.score(X, given) == pytest.approx(right.all(axis=1).mean())
    assert np.isfinite(cross_val_score(fitted, X, given, cv=3)).all()


def test_a_test_set_of_one_sample_has_a_row_of_labels():
    """And not a label for each of several samples, as the tutorials' rows of labels."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 4)), rng.integers(0, 2, (30, 3))
    run = fastlr.train(X, Y, test=(X[:1], Y[:1]), iterations=5)
    assert run.test_accuracy == pytest.approx(100 * (run.model.predict(X[:1]) == Y[:1]).mean())
    with pytest.raises(InputError, match=r"test: 1 sample and 3 labels; each sample needs one"):
        fastlr.train(X, Y, test=(X[:1], Y[0]), iterations=5)

"""The choice of l2: by folds, splitters, groups or a validation set, by any scores, and the model that is left."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer, top_k_accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, PredefinedSplit, ShuffleSplit, StratifiedKFold
from sklearn.preprocessing import StandardScaler

import fastlr
from fastlr.data import from_arrays
from fastlr.training.run import unfinished

DIGITS, TENS = load_digits(return_X_y=True)
DIGITS, TENS = DIGITS[:400] / 16.0, TENS[:400]
TUMOURS, KINDS = load_breast_cancer(return_X_y=True)
TUMOURS = StandardScaler().fit_transform(TUMOURS)
VALUES = [1e-4, 1e-2, 1.0]
SCORES = ["accuracy", "balanced_accuracy", "roc_auc", "log_loss"]
THEIRS = {"roc_auc": "roc_auc_ovr", "log_loss": "neg_log_loss"}


def data(classes):
    return (TUMOURS, KINDS) if classes == 2 else (DIGITS, TENS)


def grid_search(X, y, cv, groups=None):
    """Return the scores `(values, folds)` of scikit-learn's own search, by name; it fits each value on each fold."""
    sizes = [len(train) for train, _ in cv.split(X, y, groups)]
    assert max(sizes) - min(sizes) <= 1, "C stands for one l2 where all folds train on as many samples"
    peer = LogisticRegression(tol=1e-9, max_iter=2000, solver="newton-cholesky")
    scoring = {name: THEIRS.get(name, name) for name in SCORES}
    search = GridSearchCV(peer, {"C": [1 / (l2 * sizes[0]) for l2 in VALUES]}, cv=cv, scoring=scoring, refit=False)
    found = search.fit(X, y, groups=groups).cv_results_
    folds = range(len(sizes))
    each = {name: np.array([found[f"split{fold}_test_{name}"] for fold in folds]).T for name in SCORES}
    return each | {"log_loss": -each["log_loss"]}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "splitter",
    [StratifiedKFold(4), ShuffleSplit(3, test_size=0.25, random_state=0), GroupKFold(4)],
    ids=lambda splitter: type(splitter).__name__,
)
def test_scores_are_those_of_a_grid_search(monkeypatch, splitter, classes, streams):
    if streams:
        monkeypatch.setenv("FASTLR_MEMORY", "1")
    X, y = data(classes)
    X, y = X[y < classes][:160], y[y < classes][:160]
    groups = np.arange(len(y)) // 5 if isinstance(splitter, GroupKFold) else None
    found = fastlr.path(X, y, l2=VALUES, folds=splitter, groups=groups, scoring=SCORES, tol=1e-9)
    expected = grid_search(X, y, splitter, groups)
    for name in SCORES:
        np.testing.assert_allclose(found.scores[name], expected[name], atol=1e-5, err_msg=name)
    assert found.best_l2 == VALUES[expected["accuracy"].mean(axis=1).argmax()]


def test_folds_come_in_every_way():
    fold = np.random.default_rng(0).integers(0, 4, len(TENS))
    pairs = [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(4)]
    masks = [(fold != number, fold == number) for number in range(4)]
    ways = [fold, fold.tolist(), PredefinedSplit(fold), pairs, masks, fold + 7]
    found = [fastlr.path(DIGITS, TENS, l2=VALUES, folds=way).scores["accuracy"] for way in ways]
    for scores in found[1:]:
        np.testing.assert_allclose(scores, found[0])
    one = fastlr.path(DIGITS, TENS, l2=VALUES, folds=pairs[0]).scores["accuracy"]
    np.testing.assert_allclose(one, found[0][:, :1])
    as_they_come = fastlr.path(DIGITS, TENS, l2=VALUES, folds=PredefinedSplit(fold).split()).scores["accuracy"]
    np.testing.assert_allclose(as_they_come, found[0])
    never = np.where(fold == 0, -1, fold)
    three = fastlr.path(DIGITS, TENS, l2=VALUES, folds=never).scores["accuracy"]
    np.testing.assert_allclose(three, found[0][:, 1:])


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("scoring", ["accuracy", ["log_loss", "accuracy"]])
def test_a_validation_set_chooses_and_the_model_is_fitted_to_both(classes, scoring):
    X, y = data(classes)
    train, validation, test = (slice(0, 200), slice(200, 300), slice(300, 400))
    given = (X[train], y[train]), (X[validation], y[validation]), (X[test], y[test])
    found = fastlr.path(
        *given[0], l2=VALUES, folds=given[1], test=given[2], scoring=scoring, refit="train+validation", tol=1e-9
    )
    each = [fastlr.train(*given[0], l2=l2, solver="auto", tol=1e-9).model for l2 in VALUES]
    by_hand = np.array([[model.scores(given[1])["accuracy"]] for model in each])
    np.testing.assert_allclose(found.scores["accuracy"], by_hand)
    if scoring == "accuracy":
        assert found.best_l2 == VALUES[by_hand[:, 0].argmax()]
    else:
        assert found.best_l2 == VALUES[found.scores["log_loss"][:, 0].argmin()]
    both = fastlr.train(
        np.concatenate([X[train], X[validation]]), np.concatenate([y[train], y[validation]]),
        l2=found.best_l2, solver="auto", tol=1e-9,
    ).model  # fmt: skip
    np.testing.assert_allclose(found.model.layers[0].W, both.layers[0].W, atol=1e-6)
    assert found.final.n_train == 300
    assert found.test_scores["accuracy"] == both.scores(given[2])["accuracy"]
    low, high = found.test_intervals()["accuracy"]
    assert low <= found.test_scores["accuracy"] <= high
    assert found.test_intervals() == found.test_intervals()
    as_datasets = fastlr.path(
        from_arrays("train", *given[0]),
        l2=VALUES,
        folds=from_arrays("validation", *given[1]),
        scoring=scoring,
        tol=1e-9,
    )
    np.testing.assert_allclose(as_datasets.scores["accuracy"], found.scores["accuracy"])
    assert as_datasets.final is as_datasets.best


def test_validation_labels_are_matched_by_name():
    names = np.array(["zero", "one", "two"])
    X, y = DIGITS[TENS < 3], TENS[TENS < 3]
    whole = fastlr.path(X, names[y], l2=VALUES, folds=(X[:60], names[y[:60]]))
    part = y[:60] != 0  # whose first class by name is another
    some = fastlr.path(X, names[y], l2=VALUES, folds=(X[:60][part], names[y[:60]][part]))
    assert whole.scores["accuracy"][0, 0] == some.scores["accuracy"][0, 0] == 1
    with pytest.raises(fastlr.InputError, match="validation: holds class 'three', unknown to the training data"):
        fastlr.path(X, names[y], l2=VALUES, folds=(X[:2], np.array(["three", "one"])))


def test_a_score_of_ones_own_chooses():
    def rare(labels, probabilities):
        return float(np.mean(probabilities.argmax(axis=1)[labels == 3] == 3))

    found = fastlr.path(DIGITS, TENS, l2=VALUES, folds=3, scoring=[rare, "top_5"])
    assert set(found.scores) == {"rare", "top_5"}
    assert found.chosen == found.scores["rare"].mean(axis=1).argmax()
    top = make_scorer(top_k_accuracy_score, response_method="predict_proba", k=5, labels=np.arange(10))
    assert top(found.model.to_sklearn(), DIGITS, TENS) == found.model.scores((DIGITS, TENS), "top_5")["top_5"]
    assert (
        get_scorer("accuracy")(found.model.to_sklearn(), DIGITS, TENS) == found.model.scores((DIGITS, TENS))["accuracy"]
    )


def test_results_as_a_table():
    found = fastlr.path(DIGITS, TENS, l2=VALUES, folds=3, scoring=["accuracy", "log_loss"])
    table = found.table()
    assert len(table) == 9
    assert table[4] == {
        "l2": 1e-2, "fold": 1,
        "accuracy": found.scores["accuracy"][1, 1], "log_loss": found.scores["log_loss"][1, 1],
    }  # fmt: skip
    try:
        import pandas as pd
    except ImportError:
        with pytest.raises(fastlr.InputError, match="to_pandas: it needs pandas"):
            found.to_pandas()
        return
    assert found.to_pandas().equals(pd.DataFrame(table))


def test_a_table_of_labels_has_a_path():
    X, Y = make_multilabel_classification(200, 10, n_classes=4, random_state=0)
    X = X / 10
    scoring = ["average_precision", "f1", "roc_auc", "accuracy"]
    fold = np.arange(200) % 4
    found = fastlr.path(X, Y, l2=VALUES, folds=fold, scoring=scoring, test=(X[:50], Y[:50]), tol=1e-9)
    for number, l2 in enumerate(VALUES):
        for out in range(4):
            left = fastlr.train(X[fold != out], Y[fold != out], l2=l2, solver="auto", tol=1e-9).model
            for name, score in left.scores((X[fold == out], Y[fold == out]), scoring).items():
                assert found.scores[name][number, out] == pytest.approx(score, abs=1e-6)
    assert found.chosen == found.scores["average_precision"].mean(axis=1).argmax()
    low, high = found.test_intervals(draws=200)["roc_auc"]
    assert low <= found.test_scores["roc_auc"] <= high
    validated = fastlr.path(
        X[:150], Y[:150], l2=VALUES, folds=(X[150:], Y[150:]), scoring="f1", refit="train+validation"
    )
    assert validated.final.n_train == 200


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"scoring": "mcc"}, "scoring: 'mcc' is not known; choose accuracy, "),
        ({"refit": True}, "refit: True; 'train', 'train\\+validation' or False"),
        ({"refit": "train+validation"}, "refit: 'train\\+validation' needs a validation set"),
        ({"folds": (DIGITS, TENS), "refit": "train+validation", "sample_weight": TENS + 1}, "none for the validation"),
        ({"folds": (DIGITS[:, :3], TENS)}, "validation: its samples have 3 features each"),
        ({"folds": (DIGITS, TENS + 5)}, "validation: holds class 10, unknown to the training data"),
        ({"folds": np.zeros(7, int)}, r"folds: they have shape \(7,\); one for each of the 400 samples"),
        ({"folds": np.zeros(400, int)}, "folds: fold 0 has no samples to train on"),
        ({"folds": TENS - 3}, "or -1 for what is never tested"),
        ({"folds": TENS / 2}, "an array of them holds whole numbers"),
        ({"folds": [(np.arange(9), np.array([999]))]}, "folds: an index is out of range; indices are below"),
        ({"folds": [(np.arange(9),)]}, "folds: one of them has 1 arrays; two are needed"),
        ({"folds": []}, "folds: they have shape"),
        ({"folds": [(np.flatnonzero(TENS == 1), np.arange(9))]}, "folds: fold 0 leaves one class alone"),
        ({"folds": np.arange(400) % 4, "groups": np.arange(400) // 2}, "folds: group 0 is on both sides of fold 0"),
        ({"folds": 5, "groups": TENS}, "folds: 5 deals out single samples, whatever their groups"),
        ({"folds": None, "groups": TENS}, "groups: there are no folds"),
        ({"folds": GroupKFold(3)}, "folds: GroupKFold: The 'groups' parameter should not be None"),
        ({"folds": GroupKFold(3), "groups": TENS[:3]}, r"groups: they have shape \(3,\)"),
        ({"folds": StratifiedKFold(60)}, "folds: StratifiedKFold: n_splits=60 cannot be greater"),
        ({"folds": (TUMOURS[:40], np.ones(40)), "scoring": "roc_auc"}, "scoring: roc_auc has no value, for any l2"),
        ({"scoring": lambda labels, probabilities: "good"}, "scoring: <lambda> returned 'good'; a number is needed"),
        ({"scoring": lambda labels, probabilities: probabilities}, "scoring: <lambda> returned"),
        ({"folds": "five"}, "folds: 'five'; a whole number of at least 2"),
        ({"sample_weight": 1.0 * (np.arange(400) % 4 == 0), "folds": np.arange(400) % 4}, "fold 0 trains on has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(given, says):
    X, y = (TUMOURS, KINDS) if given.get("scoring") == "roc_auc" else (DIGITS, TENS)
    with pytest.raises(fastlr.InputError, match=says) as error:
        fastlr.path(X, y, **{"l2": VALUES} | given)
    assert "\n" not in str(error.value)


def test_without_a_refit_there_is_no_model():
    found = fastlr.path(DIGITS, TENS, l2=VALUES, folds=3, refit=False)
    assert found.best_l2 in VALUES
    with pytest.raises(fastlr.InputError, match="refit: it was False"):
        _ = found.model
    with pytest.raises(fastlr.InputError, match="test: there was none"):
        _ = fastlr.path(DIGITS, TENS, l2=VALUES, folds=3).test_scores


def test_a_fold_without_a_score_does_not_choose():
    """An area needs both classes; the other folds choose, in whatever order the values are."""
    ones = np.flatnonzero(KINDS == 1)
    pairs = [(np.arange(300), ones[ones >= 300][:30]), (np.arange(300), np.arange(300, 569))]
    for values in (VALUES, VALUES[::-1]):
        found = fastlr.path(TUMOURS, KINDS, l2=values, folds=pairs, scoring="roc_auc")
        assert np.isnan(found.scores["roc_auc"][:, 0]).all()
        assert found.best_l2 == values[found.scores["roc_auc"][:, 1].argmax()]
    assert repr(found).startswith("RegularizationPath(3 values of l2, ")
    assert len(repr(found)) < 200


def test_an_area_of_one_class_has_no_interval():
    ones = KINDS == 1
    test, scoring = (TUMOURS[ones], KINDS[ones]), ["accuracy", "roc_auc"]
    found = fastlr.path(TUMOURS, KINDS, l2=VALUES, folds=3, test=test, scoring=scoring)
    assert np.isnan(found.test_scores["roc_auc"])
    assert np.isnan(found.test_intervals()["roc_auc"]).all()


@pytest.mark.parametrize("many", [fastlr.path, fastlr.sweep])
def test_fits_that_do_not_come_to_their_minimum_are_named(many):
    given = {} if many is fastlr.path else {"solver": "lbfgs"}
    with pytest.warns(fastlr.ConvergenceWarning, match="^1 of 2 models: not converged after 3 iterations: .* l2$"):
        found = many(TUMOURS, KINDS, l2=[1e-4, 1e3], folds=3, iterations=3, **given)
    runs = found.runs if many is fastlr.path else found
    assert [run.converged for run in runs] == [False, True]
    assert [run.folds_converged for run in runs] == [(False,) * 3, (True,) * 3]


def test_folds_that_do_not_come_to_their_minimum_are_named_where_all_samples_do():
    (run,) = fastlr.path(TUMOURS, KINDS, l2=[1.0], folds=3).runs
    assert run.folds_converged == (True,) * 3
    assert unfinished([run]) is None
    less = replace(run, folds_converged=(True, False, True))
    assert unfinished([run, less]) == (
        "1 of 2 models: not converged on some of the folds; give more iterations, or a larger tol or l2"
    )


def test_what_rounding_ends_is_no_warning(recwarn):
    """Which float32 cannot come any nearer to: the objective is as low as it gets."""
    given = {"solver": "lbfgs", "form": "primal", "dtype": "float32", "tol": 1e-12}
    (run,) = fastlr.path(TUMOURS, KINDS, l2=[1e-3], folds=3, **given).runs
    assert not run.converged
    assert run.folds_converged == (True,) * 3
    assert unfinished([run], rounded=True).startswith("1 of 1 models: the rounding of the dtype ends it")
    assert not recwarn


def test_balanced_weights_are_those_of_what_a_fold_trains_on():
    """They were those of all samples: labels of the test fold changed them, and classes had other sums."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = (X[:, 0] + 0.5 * rng.normal(size=90) > 0.5).astype(int)
    own = rng.uniform(0.1, 2, 90)
    fold = np.digitize(X[:, 0], [-0.3, 0.6])  # which hold the classes in unlike shares
    for weight in (None, own):
        more = {"l2": [0.1], "class_weight": "balanced", "sample_weight": weight, "tol": 1e-9}
        scores = fastlr.path(X, y, folds=fold, scoring="log_loss", **more).scores["log_loss"][0]
        for number, score in enumerate(scores):
            here, there = fold != number, fold == number
            more["sample_weight"] = None if weight is None else weight[here]
            alone = fastlr.path(X[here], y[here], folds=(X[there], y[there]), scoring="log_loss", **more)
            assert score == pytest.approx(alone.scores["log_loss"][0, 0], rel=1e-6)


def test_a_function_of_ones_own_sees_known_labels_alone():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    Y = (X[:, :3] > 0).astype(int)
    Y[rng.random(Y.shape) < 0.5] = -1

    def share(labels, probabilities):
        return float(((probabilities > 0.5) == labels).mean())

    scores = fastlr.path(X, Y, l2=[1e-2], folds=3, missing_label=-1, scoring=["accuracy", share]).scores
    assert (scores["share"] > 0.9).all()  # half of them were taken for zeros
    model = fastlr.train(X, Y, solver="auto", l2=1e-2, missing_label=-1).model
    assert model.scores((X, Y), share, missing_label=-1)["share"] > 0.9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folds": [np.zeros((20, 2)), np.zeros(20)]}, "folds: a list of 2 parts; give a number, an array"),
        ({"folds": [(np.arange(0.0, 20, 2), np.arange(1, 20, 2))]}, "folds: they are float64; indices are whole"),
        ({"folds": 2, "scoring": get_scorer("accuracy")}, "scoring: scikit-learn's scorers take an estimator"),
        ({"folds": 2, "sample_weight": np.full(20, 1e308)}, "weights: they are too large or too small for float64"),
    ],
)
def test_what_selection_cannot_use_is_said_in_a_line(given, said):
    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(fastlr.InputError, match=said):
        fastlr.path(X, np.arange(20) % 2, l2=[0.1], **given)


@pytest.mark.parametrize("right", [0, 20])
def test_the_interval_of_an_accuracy_of_0_or_100_percent_is_no_point(right):
    X = np.array([[-1.0], [1.0]] * 10)
    y = X[:, 0] > 0
    path = fastlr.path(X, y, l2=[0.1], folds=2, test=(X, y if right else ~y))
    low, high = path.test_intervals()["accuracy"]
    assert (low, high) == pytest.approx((0.8316, 1.0) if right else (0.0, 0.1684), abs=1e-4)  # of a table
    with pytest.raises(fastlr.InputError, match="draws: 0; a whole number of at least 1 is needed"):
        path.test_intervals(0)

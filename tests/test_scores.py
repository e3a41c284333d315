"""Scores are those of scikit-learn's functions."""

import numpy as np
import pytest
from sklearn import metrics

from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError
from fastlr.model.scores import SCORES, check_scoring, interval


def drawn(classes, m=300, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(m, classes))
    if ties:
        logits = np.round(logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in probabilities])
    return labels, probabilities


def theirs(name, labels, probabilities):
    classes = np.arange(probabilities.shape[1])
    two = len(classes) == 2
    chosen = (probabilities[:, 1] > 0.5).astype(int) if two else probabilities.argmax(axis=1)
    each = (labels[:, None] == classes).astype(int)
    return {
        "accuracy": lambda: metrics.accuracy_score(labels, chosen),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(labels, chosen),
        "top_5": lambda: metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=classes),
        "log_loss": lambda: metrics.log_loss(labels, probabilities, labels=classes),
        "f1": lambda: metrics.f1_score(labels, chosen, average="binary" if two else "macro"),
        "roc_auc": lambda: (
            metrics.roc_auc_score(labels, probabilities[:, 1])
            if two
            else metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
        ),
        "average_precision": lambda: (
            metrics.average_precision_score(labels, probabilities[:, 1])
            if two
            else metrics.average_precision_score(each, probabilities)
        ),
    }[name]()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("classes", [2, 3, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_scikit_learns(name, classes, ties):
    labels, probabilities = drawn(classes, ties=ties)
    if name == "top_5":
        if classes < 6:
            assert SCORES[name](labels, probabilities) == 1
            return
        probabilities = probabilities / (1 + np.arange(classes) * 1e-12)  # they warn of ties, and break them by order
    assert SCORES[name](labels, probabilities) == pytest.approx(theirs(name, labels, probabilities), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("roc_auc", metrics.roc_auc_score),
        ("average_precision", metrics.average_precision_score),
        ("f1", lambda Y, P: metrics.f1_score(Y, P > 0.5, average="macro")),
        ("accuracy", lambda Y, P: np.mean((P > 0.5) == Y)),
        ("log_loss", lambda Y, P: np.mean([metrics.log_loss(Y[:, i], P[:, i]) for i in range(Y.shape[1])])),
        (
            "balanced_accuracy",
            lambda Y, P: np.mean([metrics.balanced_accuracy_score(Y[:, i], P[:, i] > 0.5) for i in range(Y.shape[1])]),
        ),
    ],
)
@pytest.mark.parametrize("missing", [False, True])
def test_scores_of_tables_are_means_of_their_columns(name, function, missing):
    rng = np.random.default_rng(1)
    P = rng.uniform(size=(200, 4))
    Y = (rng.uniform(size=P.shape) < P).astype(np.int64)
    scoring = check_scoring(name)
    if not missing:
        assert scoring(LabelTable(Y.astype(np.int8)), P)[name] == pytest.approx(function(Y, P), abs=1e-12)
        return
    known = rng.uniform(size=P.shape) > 0.4
    each = [function(Y[rows, i : i + 1], P[rows, i : i + 1]) for i, rows in enumerate(known.T)]
    if name == "f1":
        each = [metrics.f1_score(Y[rows, i], P[rows, i] > 0.5) for i, rows in enumerate(known.T)]
    table = LabelTable(np.where(known, Y, 0).astype(np.int8), known)
    assert scoring(table, P)[name] == pytest.approx(np.mean(each), abs=1e-12)


def test_a_class_that_is_not_there_is_left_out_of_the_areas():
    labels, probabilities = drawn(4)
    labels[labels == 2] = 1
    three = [metrics.roc_auc_score(labels == one, probabilities[:, one]) for one in (0, 1, 3)]
    assert SCORES["roc_auc"](labels, probabilities) == pytest.approx(np.mean(three))
    assert np.isnan(SCORES["roc_auc"](np.zeros(5, int), np.full((5, 2), 0.5)))


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "balanced_accuracy"])
def test_intervals_hold_what_they_say(name):
    """Of intervals from 200 samples about 95 of 100 hold the score of all samples."""
    labels, probabilities = drawn(2, m=20_000)
    true, rng, held = SCORES[name](labels, probabilities), np.random.default_rng(0), 0
    for trial in range(100):
        which = rng.integers(0, len(labels), 200)
        low, high = interval(SCORES[name], labels[which], probabilities[which], draws=200, seed=trial)
        assert low < high
        held += low <= true <= high
    assert 87 <= held <= 100
    again = [interval(SCORES[name], labels[:200], probabilities[:200], seed=7) for _ in range(2)]
    assert again[0] == again[1]


def test_the_interval_of_an_accuracy_is_that_of_drawn_samples():
    """Its shortcut has the distribution of the plain way."""
    labels, probabilities = drawn(3, m=150)
    low, high = interval(SCORES["accuracy"], labels, probabilities, draws=20_000)
    plain = interval(lambda y, p: SCORES["accuracy"](y, p), labels, probabilities, draws=5_000)
    np.testing.assert_allclose((low, high), plain, atol=0.01)


@pytest.mark.parametrize(
    ("scoring", "says"),
    [
        ("precision", "scoring: 'precision' is not known; choose accuracy, "),
        ([], "scoring: it is empty"),
        (["accuracy", "accuracy"], "has a name twice"),
        (3, "scoring: 3 is not known"),
    ],
)
def test_what_is_no_score_is_said(scoring, says):
    with pytest.raises(InputError, match=says):
        check_scoring(scoring)


def test_a_score_of_ones_own():
    def gain(labels, probabilities):
        return probabilities[np.arange(len(labels)), labels].sum()

    labels, probabilities = drawn(3, m=10)
    found = check_scoring(["accuracy", gain])(labels, probabilities)
    assert found["gain"] == pytest.approx(gain(labels, probabilities))
    assert list(found) == ["accuracy", "gain"]
    with pytest.raises(InputError, match="'top_5' is for one label each"):
        check_scoring("top_5")(LabelTable(np.eye(3, dtype=np.int8)), np.eye(3))

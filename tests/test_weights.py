"""Weights of samples and of classes, and tables of labels, in train, sweep and path."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from sklearn.datasets import load_breast_cancer, load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

import fastlr
from fastlr.objectives import FORMS

X, y = load_breast_cancer(return_X_y=True)
X, y = StandardScaler().fit_transform(X[:120]), y[:120]
FLOWERS, KINDS = load_iris(return_X_y=True)
SETTINGS = {"iterations": 40, "record_every": 10, "learning_rate": 0.1, "l2": 1e-2}
TIMES = np.random.default_rng(0).integers(0, 4, len(X))
TABLE_X, TABLE = make_multilabel_classification(150, 10, n_classes=4, random_state=1)
TABLE_X = TABLE_X / 10.0


def data(classes):
    return (X, y, TIMES) if classes == 2 else (FLOWERS, KINDS, np.random.default_rng(1).integers(0, 4, len(KINDS)))


def streaming(monkeypatch, streams):
    if streams:
        monkeypatch.setenv("FASTLR_MEMORY", "1")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("more", [{}, {"layers": (3,)}, {"optimizer": "momentum"}, {"standardize": True}])
def test_a_whole_weight_is_so_many_samples_on_the_way_down(monkeypatch, form, classes, more, streams):
    if streams and form == "gram":
        pytest.skip("the Gram matrix stays in memory")
    streaming(monkeypatch, streams)
    samples, labels, times = data(classes)
    if "standardize" in more:  # by the moments of the samples, whatever they count
        samples = np.concatenate([samples, -samples])
        labels, times = np.tile(labels, 2), np.tile(times, 2)
        often = samples * 1.0
        copies = fastlr.train(samples, labels, sample_weight=np.full(len(labels), 2.0), form=form, **SETTINGS | more)
        weighted = fastlr.train(often, labels, form=form, **SETTINGS | more)
    else:
        weighted = fastlr.train(samples, labels, sample_weight=times, form=form, **SETTINGS | more)
        copies = fastlr.train(np.repeat(samples, times, axis=0), np.repeat(labels, times), form=form, **SETTINGS | more)
    np.testing.assert_allclose(weighted.costs, copies.costs, rtol=1e-10)
    for one, other in zip(weighted.model.layers, copies.model.layers, strict=True):
        np.testing.assert_allclose(one.W, other.W, atol=1e-9)
        np.testing.assert_allclose(one.b, other.b, atol=1e-9)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs", "auto"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", "each"])
def test_weights_are_scikit_learns_at_the_minimum(monkeypatch, solver, classes, class_weight, streams):
    if streams and solver == "newton":
        pytest.skip("newton keeps the data in memory")
    streaming(monkeypatch, streams)
    samples, labels, times = data(classes)
    weights = np.asarray(times, dtype=float)
    given = {0: 0.5, 1: 2.0, 2: 1.0} if class_weight == "each" else class_weight
    given = {label: given[label] for label in range(classes)} if class_weight == "each" else given
    total = weights
    if given is not None:
        each = given
        if given == "balanced":
            sums = np.bincount(labels, weights)
            each = dict(enumerate(sums.sum() / (classes * sums)))
        total = weights * compute_sample_weight(each, labels)
    run = fastlr.train(
        samples, labels, sample_weight=weights, class_weight=given, solver=solver, l2=1e-2, tol=1e-10, iterations=5000
    )
    peer = LogisticRegression(C=1 / (1e-2 * total.sum()), tol=1e-10, solver="newton-cholesky", max_iter=1000)
    peer.fit(samples, labels, total)
    np.testing.assert_allclose(run.model.predict_proba(samples), peer.predict_proba(samples), atol=2e-6)


@pytest.mark.parametrize("solver", ["gd", "newton-cg", "auto"])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_trained_as_its_columns_are(monkeypatch, solver, form, streams):
    if streams and form == "gram":
        pytest.skip("the Gram matrix stays in memory")
    streaming(monkeypatch, streams)
    settings = SETTINGS | {"solver": solver, "form": form}
    if solver != "gd":
        settings |= {"tol": 1e-9, "iterations": 500}
    told = []
    run = fastlr.train(TABLE_X, TABLE, callback=lambda i, cost: told.append(cost), **settings)
    each = [fastlr.train(TABLE_X, column, **settings) for column in TABLE.T]
    np.testing.assert_allclose(run.model.layers[0].W, np.concatenate([r.model.layers[0].W for r in each]), atol=1e-6)
    np.testing.assert_allclose(run.model.layers[0].b, np.concatenate([r.model.layers[0].b for r in each]), atol=1e-6)
    np.testing.assert_allclose(run.costs[0], np.log(2))
    np.testing.assert_allclose(run.costs[-1], np.mean([r.costs[-1] for r in each]), rtol=1e-9)
    np.testing.assert_allclose(run.train_accuracy, np.mean([r.train_accuracy for r in each]))
    assert told[0] == pytest.approx(np.log(2))
    assert (run.model.predict(TABLE_X) == np.column_stack([r.model.predict(TABLE_X) for r in each])).all()


def test_a_table_goes_through_a_file_and_to_scikit_learn(tmp_path):
    run = fastlr.train(TABLE_X, TABLE, test=(TABLE_X[:20], TABLE[:20]), solver="newton", l2=1e-3)
    run.model.save(tmp_path / "table.safetensors")
    model = fastlr.load(tmp_path / "table.safetensors")
    assert model == run.model
    assert model.multi_label
    P = model.predict_proba(TABLE_X)
    assert P.shape == TABLE.shape
    np.testing.assert_allclose(model.to_sklearn().predict_proba(TABLE_X), P, atol=1e-12)
    assert run.test_accuracy == pytest.approx(100 * np.mean(model.predict(TABLE_X[:20]) == TABLE[:20]))
    found = model.scores((TABLE_X, TABLE), ["roc_auc", "f1", "average_precision"])
    assert all(0.5 < score <= 1 for score in found.values())
    with pytest.raises(fastlr.InputError, match="confusion_matrix: the model predicts a table of labels"):
        model.confusion_matrix(fastlr.train(X, y, iterations=1).train_set)


@pytest.mark.parametrize("solver", ["gd", "auto"])
@pytest.mark.parametrize("missing", [-1, np.nan])
def test_labels_that_are_not_known_do_not_count(solver, missing):
    known = np.random.default_rng(0).uniform(size=TABLE.shape) > 0.3
    weights = np.random.default_rng(1).uniform(0.5, 2, len(TABLE))
    settings = SETTINGS | {"solver": solver}
    if solver != "gd":
        settings |= {"tol": 1e-9}
    given = np.where(known, TABLE, missing)
    run = fastlr.train(
        TABLE_X, given, sample_weight=weights, class_weight="balanced", missing_label=missing, **settings
    )
    right = []  # the share in each column
    for label, (column, rows) in enumerate(zip(TABLE.T, known.T, strict=True)):
        alone = fastlr.train(
            TABLE_X[rows], column[rows], sample_weight=weights[rows], class_weight="balanced", **settings
        )
        np.testing.assert_allclose(run.model.layers[0].W[label], alone.model.layers[0].W[0], atol=1e-6)
        right.append(np.mean(alone.model.predict(TABLE_X[rows]) == column[rows]))
    assert run.train_accuracy == pytest.approx(100 * np.mean(right))
    scores = run.model.scores((TABLE_X, given), missing_label=missing)
    assert run.train_accuracy == pytest.approx(100 * scores["accuracy"])


@pytest.mark.parametrize("solver", ["gd", "auto"])
def test_weights_hold_in_sweeps_and_their_folds(solver):
    fold = np.arange(len(X)) % 3
    settings = {"iterations": 60} if solver == "gd" else {"tol": 1e-9}
    runs = fastlr.sweep(X, y, l2=[1e-2, 1e-1], folds=fold, sample_weight=TIMES + 1, solver=solver, **settings)
    for run, l2 in zip(runs, [1e-2, 1e-1], strict=True):
        alone = fastlr.train(X, y, l2=l2, sample_weight=TIMES + 1, solver=solver, **settings)
        np.testing.assert_allclose(run.model.layers[0].W, alone.model.layers[0].W, atol=1e-7)
        for number, accuracy in enumerate(run.fold_accuracies):
            out = fold == number
            left = fastlr.train(X[~out], y[~out], l2=l2, sample_weight=(TIMES + 1)[~out], solver=solver, **settings)
            assert accuracy == pytest.approx(100 * np.mean(left.model.predict(X[out]) == y[out]))


def test_a_checkpoint_knows_the_weights(tmp_path):
    file = tmp_path / "state"
    run = fastlr.train(X, y, sample_weight=TIMES, checkpoint=file, **SETTINGS)
    assert fastlr.train(X, y, sample_weight=TIMES, checkpoint=file, **SETTINGS) == run
    with pytest.raises(fastlr.InputError, match="weights of the samples"):
        fastlr.train(X, y, sample_weight=TIMES + 1, checkpoint=file, **SETTINGS)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sample_weight": TIMES[:5]}, r"sample_weight: it has shape \(5,\); one number for each of the 120 samples"),
        ({"sample_weight": -1.0 * (TIMES == 2)}, "has -1.0; finite numbers of at least 0 are needed"),
        ({"sample_weight": np.full(len(X), np.nan)}, "sample_weight: sample 0 has nan"),
        ({"sample_weight": 0 * TIMES}, "sample_weight: all are 0"),
        ({"sample_weight": ["a"] * len(X)}, "sample_weight: a number for each sample"),
        ({"class_weight": "even"}, "class weight: 'even'; 'balanced' is needed"),
        ({"class_weight": {}}, "class weight: {}; 'balanced' is needed"),
        ({"class_weight": {0: 1, 5: 2}}, "class_weight: there is no class '5'; there are 0, 1"),
        ({"class_weight": {0: -1}}, "class weight of 0: -1"),
        ({"class_weight": {1: 2.0, "1": 5.0}}, "name a class twice"),
        ({"class_weight": {0: 0, 1: 0}}, "weights: the samples have none above 0"),
        ({"missing_label": -1}, "missing_label: -1, but data has one label for each sample, no table"),
    ],
)
def test_weights_that_cannot_be_used_are_said(given, says):
    with pytest.raises(fastlr.InputError, match=says) as error:
        fastlr.train(X, y, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("labels", "given", "says"),
    [
        (TABLE, {"layers": (3,)}, "layers: a table of labels has a linear model for each of its columns"),
        (TABLE, {"test": (TABLE_X, TABLE[:, 0])}, "both must be tables of labels, or neither"),
        (TABLE, {"test": (TABLE_X, TABLE[:, :3])}, "its table of labels has 3 columns, that of the training data 4"),
        (TABLE, {"missing_label": 2}, "missing_label: 2; -1 or NaN is needed"),
        (TABLE - 1, {}, "row 0 holds -1 in column .; .*missing_label=-1 .* leaves such labels out"),
        (
            np.full_like(TABLE, -1),
            {"missing_label": -1},
            "data: the samples have no known label of weight above 0 in column 0",
        ),
    ],
)
def test_tables_that_cannot_be_used_are_said(labels, given, says):
    with pytest.raises(fastlr.InputError, match=says) as error:
        fastlr.train(TABLE_X, labels, iterations=1, **given)
    assert "\n" not in str(error.value)


def test_the_command_line_weights_classes(fastlr_command, refused, tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=np.where(y == 1, "benign", "malignant"))
    command = ["train", tmp_path / "data.npz", "--iterations", 20, "--json", "--quiet"]

    def costs(*more):
        outcome = fastlr_command(*command, *more)
        assert outcome.status == 0
        return json.loads(outcome.out)["costs"]

    expected = fastlr.train(X, np.where(y == 1, "b", "m"), class_weight="balanced", iterations=20).costs
    np.testing.assert_allclose(costs("--class-weight", "balanced"), expected, rtol=1e-10)
    expected = fastlr.train(X, y, class_weight={1: 3.0}, iterations=20).costs
    np.testing.assert_allclose(costs("--class-weight", "benign=3"), expected, rtol=1e-10)
    for wrong, says in (("benign", "balanced is needed"), ("cat=2", "there is no class 'cat'")):
        refused(*command, "--class-weight", wrong, says=(says,))


@pytest.mark.parametrize("kind", ["npz", "safetensors", "parquet"])
def test_weights_in_the_data_count(fastlr_command, refused, tmp_path, kind):
    file, weights = tmp_path / f"data.{kind}", TIMES + 0.5

    def write(weights):
        if kind == "npz":
            np.savez(file, X=X, y=y, sample_weight=weights)
        elif kind == "safetensors":
            save_file({"X": X, "y": y, "sample_weight": weights}, file)
        else:
            table = {"features": X.tolist(), "label": y.tolist(), "sample_weight": weights.tolist()}
            pq.write_table(pa.table(table), file)

    write(weights)
    outcome = fastlr_command("train", file, "--iterations", 20, "--json", "--quiet")
    expected = fastlr.train(X, y, sample_weight=weights, iterations=20)
    np.testing.assert_allclose(json.loads(outcome.out)["costs"], expected.costs, rtol=1e-10)
    data = fastlr.open_dataset(file)
    np.testing.assert_array_equal(data.take(np.arange(5)).weights, weights[:5])
    given = fastlr.train(data, sample_weight=np.ones(len(X)), iterations=20)  # those that are given come first
    np.testing.assert_allclose(given.costs, fastlr.train(X, y, iterations=20).costs, rtol=1e-10)
    write(np.where(np.arange(len(X)) == 3, -1.0, weights))
    refused("train", file, says=("sample_weight: sample 3 has -1.0",))


@pytest.mark.parametrize("name", ["b.npz", "b.h5"])
def test_weights_go_through_a_conversion(name, fastlr_command, tmp_path):
    weights = {"sample_weight": TIMES + 0.5, "test_sample_weight": TIMES + 1.5}
    np.savez(tmp_path / "a.npz", X=X, y=y, test_X=X, test_y=y, **weights)
    assert fastlr_command("convert", tmp_path / "a.npz", tmp_path / name).status == 0
    for split, added in (("train", 0.5), ("test", 1.5)):
        np.testing.assert_array_equal(fastlr.open_dataset(tmp_path / name, split).weights, TIMES + added)

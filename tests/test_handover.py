"""Models in the form of other libraries, and estimators whose arrays are moved to one."""

import json
import sys

import numpy as np
import pytest
from conftest import draw_images, every_backend
from sklearn import datasets
from sklearn.linear_model import LogisticRegression as Peer

import fastlr
from fastlr.backends import REGISTRY, choose_backend
from fastlr.namespace import library_of, to_host

TOLERANCE = {"float64": 1e-12, "float32": 1e-6}


def probabilities(logits):
    """Return the probabilities for logits `(m, 1)` or `(m, classes)`, in float64."""
    Z = np.concatenate([0 * logits, logits], axis=1) if logits.shape[1] == 1 else logits
    A = np.exp(Z - Z.max(axis=1, keepdims=True))
    return A / A.sum(axis=1, keepdims=True)


def trained(name, dtype):
    """Return a model, and what it predicts for: pixels, standardized features of three classes, or a network."""
    if name == "pixels":
        images, labels = draw_images()
        return fastlr.train(images, labels, iterations=50, dtype=dtype).model, images
    X, y = datasets.load_iris(return_X_y=True)
    more = {"layers": (5,)} if name == "network" else {}
    return fastlr.train(X, y, iterations=200, standardize=True, dtype=dtype, **more).model, X


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["pixels", "features", "network"])
def test_to_torch(name, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, X = trained(name, dtype)
    module = model.to_torch()
    assert {type(part).__module__.partition(".")[0] for part in module.modules()} == {"torch"}
    with torch.no_grad():
        logits = module(torch.from_numpy(X.astype(dtype))).numpy()
    np.testing.assert_allclose(probabilities(logits), model.predict_proba(X), rtol=0, atol=TOLERANCE[dtype])


def run_onnx(model, X):
    """Return the outputs of an ONNX model for floats."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return runtime.InferenceSession(model.SerializeToString()).run(["probabilities", "label"], {"x": X})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["pixels", "features", "network"])
def test_to_onnx(name, dtype):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, X = trained(name, dtype)
    made = model.to_onnx()
    proba, label = run_onnx(made, X.reshape(len(X), -1).astype(dtype))
    assert proba.dtype == dtype
    np.testing.assert_allclose(proba, model.predict_proba(X), rtol=0, atol=TOLERANCE[dtype])
    names = json.loads({one.key: one.value for one in made.metadata_props}["classes"])
    assert [names[i] for i in label] == model.predict(X).tolist()


def test_estimators_go_to_onnx_with_their_tables():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    X, Y = datasets.make_multilabel_classification(60, 6, n_classes=3, random_state=0)
    clf = fastlr.LogisticRegression().fit(X, Y)
    proba, label = run_onnx(clf.to_onnx(), X)
    np.testing.assert_allclose(proba, clf.predict_proba(X), rtol=0, atol=1e-12)
    assert (label == clf.predict(X)).all()
    clf = fastlr.LogisticRegression().fit(X, Y[:, 0])
    proba, label = run_onnx(clf.to_onnx(), X)
    np.testing.assert_allclose(proba, clf.predict_proba(X), rtol=0, atol=1e-12)
    assert (label == clf.predict(X)).all()


def test_without_onnx_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(fastlr.InputError, match=r"to_onnx: it needs ONNX; try pip install '.\[onnx\]'"):
        trained("features", "float64")[0].to_onnx()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["pixels", "features"])
def test_to_scikit_learn(name, dtype):
    model, X = trained(name, dtype)
    made, rows = model.to_sklearn(), X.reshape(len(X), -1).astype(dtype)
    assert type(made) is Peer
    np.testing.assert_allclose(made.predict_proba(rows), model.predict_proba(X), rtol=0, atol=TOLERANCE[dtype])
    assert made.predict(rows).tolist() == model.predict(X).tolist()


def test_a_network_is_no_logistic_regression():
    with pytest.raises(fastlr.InputError, match=r"to_sklearn: the model has 1 hidden layers, .* take to_torch"):
        trained("network", "float64")[0].to_sklearn()


@pytest.mark.parametrize("classes", [2, 3])
def test_estimators_hand_over(classes):
    X, y = datasets.load_iris(return_X_y=True)
    X, y = X[y < classes], np.array(["a", "b", "c"])[y[y < classes]]
    for clf in (fastlr.LogisticRegression(), fastlr.LogisticRegressionCV(Cs=2, cv=2, max_iter=300)):
        clf.fit(X, y)
        made = clf.to_sklearn()
        np.testing.assert_allclose(made.predict_proba(X), clf.predict_proba(X), rtol=0, atol=1e-12)
        assert made.predict(X).tolist() == clf.predict(X).tolist()
        assert made.score(X, y) == clf.score(X, y)
        with pytest.raises(Exception, match="not fitted"):
            type(clf)().to_sklearn()


@pytest.mark.parametrize("name", every_backend())
def test_an_estimator_is_moved(name):
    X, y = datasets.load_iris(return_X_y=True)
    clf = fastlr.LogisticRegression().fit(X, y)
    moved, backend = clf.to(name), choose_backend(name, dtype="float64")
    assert library_of(moved.coef_) == library_of(backend.asarray(X)) == REGISTRY[name].library
    with backend.scope():
        there = backend.asarray(X)
        found = to_host(moved.predict_proba(there))
        assert to_host(moved.predict(there)).tolist() == clf.predict(X).tolist()
    np.testing.assert_allclose(found, clf.predict_proba(X), rtol=0, atol=1e-12)
    back = moved.to("numpy")
    np.testing.assert_array_equal(back.predict_proba(X), clf.predict_proba(X))
    assert type(clf.coef_) is np.ndarray
    if REGISTRY[name].library != "numpy":
        with pytest.raises(ValueError, match=r"to\('numpy'\) returns a copy for them"):
            moved.predict(X)


def test_what_cannot_be_moved_is_refused():
    clf = fastlr.LogisticRegression().fit(*datasets.load_iris(return_X_y=True))
    with pytest.raises(ValueError, match="'pytorch' is not a backend of this version; choose"):
        clf.to("pytorch")

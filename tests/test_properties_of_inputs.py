"""Properties of what is given: its memory, dtype, weights and order, on samples that Hypothesis draws."""

import string

import numpy as np
import pytest
from drawing import (
    FEWER,
    PROPERTY,
    QUIRKS,
    READS,
    classified,
    close,
    fitted,
    forms,
    laid_out,
    layouts,
    libraries,
    parameters_of,
    unconverged,
    weights_of,
)
from hypothesis import assume, example, given
from hypothesis import strategies as st

import fastlr
from fastlr import core
from fastlr.data import Dataset, from_arrays
from fastlr.objectives.network import one_hot
from fastlr.training.splits import assign


@FEWER
@given(
    drawn=classified(),
    dtype=st.sampled_from(["float64", "float32", "float16", "uint8", "int32", "bool"]),
    layout=layouts,
    form=forms,
    hidden=st.sampled_from([(), (2,)]),
    standardize=st.booleans(),
)
def test_what_is_given_is_never_changed_and_may_be_read_only(drawn, dtype, layout, form, hidden, standardize):
    """train, sweep, path, fit and predict leave samples, labels and weights as they are, and need not write to them.

    It finds features that are standardized where they lie.
    """
    X, y = drawn
    assume(dtype != "float16" or form == "gram" or hidden or standardize)  # there is a test for these below
    X = laid_out((np.abs(X) * 90 if dtype == "uint8" else X).astype(dtype), layout)
    y, weights = y.copy(), np.linspace(0.5, 1.5, len(y))
    given_arrays = X, y, weights
    for array in given_arrays:
        array.flags.writeable = False
    before = [array.copy() for array in given_arrays]
    more = {"standardize": standardize, "form": form, "iterations": 3}
    run = fastlr.train(X, y, layers=hidden, test=(X, y), **more)
    with unconverged():
        fastlr.path(X, y, l2=[0.1], folds=None, **more)
        fit = fastlr.LogisticRegression(form=form, scale=0.01, max_iter=3).fit(X, y, weights)
        fastlr.LogisticRegressionCV(Cs=2, cv=[(np.arange(len(y)), np.arange(len(y)))], scale=0.01).fit(X, y, weights)
    for judge in (run.model, fit):
        judge.predict_proba(X)
        judge.predict(X)
    fit.score(X, y, weights)
    for array, kept in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def trains_alike_in(drawn, dtype, more):
    """Assert that whole numbers give the same costs and predictions in this dtype as in float64."""
    X, y = drawn
    X = np.clip(np.round(X), 0 if dtype == "bool" or dtype.startswith("u") else -3, 1 if dtype == "bool" else 3)
    more = {**more, "iterations": 9, "learning_rate": 0.1 / X.shape[1], "record_every": 1, "scale": 0.5}
    got, expected = (fastlr.train(X.astype(kind), y, **more) for kind in (dtype, "float64"))
    np.testing.assert_allclose(got.costs, expected.costs, rtol=1e-12)
    probabilities = got.model.predict_proba(X.astype(dtype))
    np.testing.assert_allclose(probabilities, expected.model.predict_proba(X), rtol=0, atol=1e-12)


dtypes = ["bool", "int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", ">i4"]


trainings = (
    st.fixed_dictionaries(
        {"backend": libraries},
        optional={
            "layers": st.just((3,)),
            "form": forms,
            "batch_size": st.just(2),
            "standardize": st.booleans(),
            "optimizer": st.just("momentum"),
        },
    )
    .filter(lambda more: more.get("form") != "gram" or not {"batch_size", "optimizer"} & more.keys())
    .filter(
        # Rounding leads these anywhere: before a ReLU, the sign of a sample that lies at the mean of all. Adam is not
        # drawn for the same reason: it divides a gradient by its size.
        lambda more: not ("layers" in more and more.get("standardize"))
    )
)


@PROPERTY
@given(drawn=classified(most=20), dtype=st.sampled_from(dtypes), more=trainings)
def test_the_dtype_of_the_samples_is_of_no_account(drawn, dtype, more):
    """The same numbers in another dtype are trained on the same way, if they are exact in it.

    It finds a kernel that is started on a dtype it has not been written for.
    """
    assume(dtype != "float16" or more["backend"] == "numpy" or more.keys() & {"layers", "batch_size", "optimizer"})
    trains_alike_in(drawn, dtype, more)


@PROPERTY
@given(drawn=classified(most=20), dtype=st.sampled_from([">f4", ">f8"]), more=trainings)
@example(drawn=(np.array([[0.0], [1.0]]), np.array([0, 1])), dtype=">f4", more={"form": "gram", "layers": (3,)})
@example(drawn=(np.array([[0.0], [1.0]]), np.array([0, 1])), dtype=">f8", more={"form": "gram", "layers": (3,)})
def test_the_order_of_the_bytes_is_of_no_account(drawn, dtype, more):
    """Numbers from a file that keeps the high byte first are the same numbers.

    It finds a kernel that is started on a dtype it has not been written for.
    """
    trains_alike_in(drawn, dtype, more)


@PROPERTY
@given(drawn=classified(classes=(2, 2)), standardize=st.booleans())
@example(drawn=(np.array([[0.0], [1.0]]), np.array([0, 1])), standardize=False)
def test_float16_is_trained_on_as_float64_is(drawn, standardize):
    """Half precision is a dtype as any other, in the primal form of a single unit too.

    It finds a kernel that is started on a dtype it has not been written for.
    """
    trains_alike_in(drawn, "float16", {"form": "primal", "standardize": standardize})


@PROPERTY
@given(
    drawn=classified(most=20),
    dtype=st.sampled_from(["float64", "float32", "uint8", "int16"]),
    layout=layouts,
    form=forms,
    backend=libraries,
    batch_size=st.sampled_from([None, 2]),
)
def test_the_layout_in_memory_is_of_no_account(drawn, dtype, layout, form, backend, batch_size):
    """The same numbers give the same costs and predictions, however they lie in memory.

    It finds a kernel that reads a sliced array as if it were whole.
    """
    X, y = drawn
    X = (np.abs(X) * 90 if dtype == "uint8" else X * 10 if dtype == "int16" else X).astype(dtype)
    form = "primal" if batch_size else form
    rate = 0.1 / X.shape[1] / (100 if dtype == "int16" else 1)
    more = {"form": form, "backend": backend, "batch_size": batch_size, "iterations": 9, "learning_rate": rate}
    expected = fastlr.train(X, y, record_every=1, **more)
    got = fastlr.train(laid_out(X, layout), laid_out(y, layout), record_every=1, **more)
    np.testing.assert_allclose(got.costs, expected.costs, rtol=1e-12)
    np.testing.assert_allclose(
        got.model.predict_proba(laid_out(X, layout)), expected.model.predict_proba(X), rtol=0, atol=1e-12
    )


@PROPERTY
@given(drawn=classified(), hidden=st.sampled_from([(), (3,)]), backend=libraries, seed=st.integers(0, 99))
def test_a_batch_of_all_samples_is_gradient_descent(drawn, hidden, backend, seed):
    """batch_size=m takes the steps of no batch size at all; the order of the samples is of no account.

    It finds a mean that is divided by something else than the size of the batch.
    """
    X, y = drawn
    more = {"layers": hidden, "backend": backend, "seed": seed, "iterations": 8, "l2": 0.1, "learning_rate": 0.05}
    batches = fastlr.train(X, y, batch_size=len(y), record_every=1, **more)
    whole = fastlr.train(X, y, form="primal", record_every=1, **more)
    np.testing.assert_allclose(batches.costs, whole.costs, rtol=1e-10)
    close(weights_of(batches.model), weights_of(whole.model), 1e-10, least=1e-3)  # a gradient may be rounding alone


@PROPERTY
@given(drawn=classified(), hidden=st.sampled_from([(), (3,)]), size=st.integers(1, 14), seed=st.integers(0, 99))
def test_the_seed_decides_the_batches_on_every_backend(drawn, hidden, size, seed):
    """Twice the same seed gives the same bits; kernels and plain steps see the same samples, each once an epoch.

    It finds an epoch that leaves its last batch out, and recordings that start the epoch anew.
    """
    X, y = drawn
    size = min(size, len(y))
    more = {"batch_size": size, "layers": hidden, "seed": seed, "iterations": 13, "l2": 0.1, "learning_rate": 0.05}
    first, again = (fastlr.train(X, y, record_every=1, **more) for _ in range(2))
    assert first == again
    seldom = fastlr.train(X, y, record_every=13, **more).model
    assert (weights_of(seldom) == weights_of(first.model)).all()
    plain = fastlr.train(X, y, backend="numpy", record_every=1, **more)
    np.testing.assert_allclose(first.costs, plain.costs, rtol=1e-10)
    if not hidden:
        outputs = len(first.model.layers[0].W)
        W, b = np.zeros((outputs, X.shape[1])), np.zeros((outputs, 1))
        each, Y = -(-len(y) // size), one_hot(y, outputs)
        for step in range(13):
            epoch, place = divmod(step, each)
            batch = np.random.default_rng([seed, epoch]).permutation(len(y))[place * size : (place + 1) * size]
            A = W @ X[batch].T + b
            D = (core.sigmoid(A) if outputs == 1 else core.softmax(A)) - Y[:, batch]
            W, b = W - 0.05 * (D @ X[batch] / len(batch) + 0.1 * W), b - 0.05 * D.mean(axis=1, keepdims=True)
        close(weights_of(first.model), np.concatenate([W.ravel(), b.ravel()]), 1e-9, least=1e-3)


@PROPERTY
@given(drawn=classified(quirks=QUIRKS[:-2], magnitudes=(1e-6, 1.0, 1e6)), form=forms, solver=st.booleans())
def test_standardized_features_are_those_standardized_by_hand(drawn, form, solver):
    """`standardize` subtracts the mean of each feature and divides by its deviation, where it has one.

    It finds a constant feature that is divided by the rounding of its deviation.
    """
    X, y = drawn
    deviation = X.std(axis=0)
    varies = deviation > 1e-12 * np.abs(X).max(axis=0)
    by_hand = (X - X.mean(axis=0)) / np.where(varies, deviation, 1.0) * varies
    more = {"solver": "lbfgs", "l2": 0.1, "tol": 1e-12} if solver else {"learning_rate": 0.1}
    with unconverged():
        runs = [
            fastlr.train(A, y, form=form, iterations=20, standardize=A is X, record_every=1, **more)
            for A in (X, by_hand)
        ]
    for i in (0, -1):
        assert runs[0].costs[i] == pytest.approx(runs[1].costs[i], rel=1e-8)
    got, expected = runs[0].model.predict_proba(X), runs[1].model.predict_proba(by_hand)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-7)


@FEWER
@given(drawn=classified(), values=st.lists(st.floats(0.1, 10), min_size=4, max_size=4), balanced=st.booleans())
def test_the_weight_of_a_class_is_that_of_its_samples(drawn, values, balanced):
    """class_weight, a dict or "balanced", is a sample_weight for each sample of the class.

    It finds weights that are looked up by the number of a class and not by its name.
    """
    X, y = drawn
    names = np.array([30, -1, 20, 10])[y]
    if balanced:
        of_class, each = "balanced", len(y) / (y.max() + 1) / np.bincount(y)[y]
    else:
        of_class = dict(zip([30, -1, 20, 10][: y.max() + 1], values, strict=False))
        each = np.array(values)[y]
    by_class, by_sample = fitted(X, names, class_weight=of_class), fitted(X, names, each)
    close(parameters_of(by_class), parameters_of(by_sample), 1e-6)


@PROPERTY
@given(
    labels=st.lists(st.sampled_from(string.ascii_lowercase[:3]), min_size=2, max_size=30),
    dtype=st.sampled_from(READS),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_sample_of_a_data_set_is_lost_or_there_twice(labels, dtype, share, seed):
    """take, holdout, with_positive and balanced keep each sample beside its label, and each at most once.

    It finds images that are shuffled in another order than their labels.
    """
    m = len(labels)
    numbered = np.arange(m)[:, np.newaxis].astype(dtype)
    data = from_arrays("drawn", numbered, np.array(labels))

    def numbers_of(part: Dataset):
        found = part.rows[:, 0].astype(int).tolist()
        assert len(found) == len(part)
        return found

    def has_its_labels(part: Dataset):
        return [part.classes[label] for label in part.labels] == [labels[i] for i in numbers_of(part)]

    order = np.random.default_rng(seed).permutation(m)
    assert numbers_of(data.take(order)) == order.tolist()
    assert has_its_labels(data.take(order))

    count = 1 + int(share * (m - 2))
    train, test = data.holdout(count, seed)
    assert len(test) == count
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(m))
    assert has_its_labels(train)
    assert has_its_labels(test)
    for one, other in zip((train, test), data.holdout(count, seed), strict=True):
        assert one == other

    assume(len(data.classes) > 1)
    positive = labels[0]
    binary = data.with_positive([positive])
    assert numbers_of(binary) == list(range(m))
    assert binary.labels.tolist() == [int(label == positive) for label in labels]
    ones = [i for i in range(m) if labels[i] == positive]
    zeros = [i for i in range(m) if labels[i] != positive]
    assert numbers_of(binary.balanced()) == ones + zeros[: len(ones)]
    assert binary.balanced().labels.tolist() == [1] * len(ones) + [0] * min(len(ones), len(zeros))


@PROPERTY
@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=60), folds=st.integers(2, 6), seed=st.integers(0, 2**32 - 1)
)
def test_folds_are_of_one_size_and_hold_every_class(labels, folds, seed):
    """Each sample is in one fold, and folds differ by one sample at most, of each class too.

    It finds classes that are all dealt out from the first fold on, so that the first folds are too large.
    """
    labels = np.array(labels)
    present, sizes = np.unique(labels, return_counts=True)
    assume(sizes.min() >= folds)
    fold = assign(labels, folds, seed)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for label in present:
        assert np.ptp(np.bincount(fold[labels == label], minlength=folds)) <= 1

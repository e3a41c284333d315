"""Each kernel against its plain twin in the core, on every dtype, alone and in a team."""

import itertools
import threading
import types
from dataclasses import replace

import numpy as np
import pytest

from fastlr import core, textbook
from fastlr.backends import choose_backend
from fastlr.kernels.cpu import arrays, matrix, starting
from fastlr.kernels.cpu import dispatch as steps
from fastlr.objectives import FORMS, gram_factor, preconditioner
from fastlr.objectives.network import Layer, Network, one_hot
from fastlr.objectives.passes import loss_and_gradient
from fastlr.objectives.primal import PrimalForm
from fastlr.objectives.protocol import Vector
from fastlr.objectives.resident import Resident
from fastlr.solvers import choose_descent, minibatch, newton, newton_cg
from fastlr.training.settings import PathSettings
from fastlr.training.warm_start import fit_each

descent = choose_descent()


RTOL = {np.float64: 1e-11, np.float32: 1e-4}
SHAPES = [(1, 1), (7, 3), (8, 64), (9, 100), (66, 65), (130, 2050)]


@pytest.fixture(params=[1, 2, 3], ids=lambda size: f"team of {size}")
def team(request, monkeypatch):
    """Every kernel in a team of this size, however small the work and whatever the machine."""
    for name in ("size_for", "size_that_meets"):
        monkeypatch.setattr(f"fastlr.kernels.cpu.starting.{name}", lambda operations, alone=0: request.param)
    monkeypatch.setattr("fastlr.kernels.cpu.starting.TURN", 100_000)  # many turns of few steps
    monkeypatch.setattr("fastlr.kernels.cpu.starting.parts_for", lambda operations, alone=0: 5)
    return request.param


def samples(m: int, n: int, dtype: type, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([m, n, seed])
    if dtype is np.uint8:
        return rng.integers(0, 256, (m, n), dtype=np.uint8)
    return rng.normal(size=(m, n)).astype(dtype)


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("m", "n"), SHAPES)
@pytest.mark.parametrize("k", [1, 3])
def test_project_and_combine(team, m, n, k, dtype, work):
    X, rng = samples(m, n, dtype).T, np.random.default_rng(k)
    W, C = rng.normal(size=(k, n)).astype(work), rng.normal(size=(k, m)).astype(work)
    for got, expected in (
        (arrays.project(W, X, 0.5), core.project(W.astype(float), X, 0.5)),
        (arrays.combine(C, X, 0.5), core.combine(C.astype(float), X, 0.5)),
    ):
        assert got.dtype == work
        np.testing.assert_allclose(got, expected, rtol=RTOL[work], atol=RTOL[work] * np.abs(expected).max())


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize(("k", "units", "n"), [(1, 1, 1), (2, 3, 9), (1, 10, 130), (9, 8, 20)])
def test_multiply(team, k, units, n, order, work):
    rng = np.random.default_rng(n)
    W, V = rng.normal(size=(k, units, n)).astype(work), rng.normal(size=(n, 2 * n)).astype(work)
    V = V[:, ::2] if order == "strided" else np.asarray(V[:, :n], order=order)
    found, expected = arrays.multiply(W, V), core.multiply(W.astype(float), V.astype(float))
    assert (found.dtype, found.shape) == (work, W.shape)
    np.testing.assert_allclose(found, expected, rtol=RTOL[work], atol=RTOL[work] * np.abs(expected).max())


@pytest.mark.parametrize("few", [True, False])
def test_predict(team, few, monkeypatch):
    if not few:
        monkeypatch.setattr(core, "BLOCK", 0)
    X, rng = samples(30, 40, np.uint8).T, np.random.default_rng(0)
    W, b = rng.normal(size=(1, 40)), rng.normal(size=(1, 1))
    expected = textbook.sigmoid(W @ (X / 255) + b)
    np.testing.assert_allclose(arrays.predict(W, b, X, 1 / 255), expected, rtol=1e-12)


@pytest.mark.parametrize(("m", "n"), [*SHAPES, (70, 33_026)])
def test_the_gram_matrix_of_pixels_is_exact(team, m, n):
    X = samples(m, n, np.uint8).T
    X[:, 0] = 255
    K = matrix.gram_matrix(X, np.float64)
    assert K.upper.dtype == (np.int32 if n <= 33_025 else np.float64)
    exact = X.T.astype(np.float64) @ X.astype(np.float64)
    assert (exact == matrix.gram_product(np.eye(m), K)).all()
    if n == 33_026:
        assert K.diagonal[0] > 2**31


def test_the_largest_int32_gram_matrix():
    X = np.full((matrix.INT32_FEATURES, 2), 255, np.uint8, order="F")
    K = matrix.gram_matrix(X, np.float64)
    assert K.upper.dtype == np.int32
    assert (matrix.gram_product(np.eye(2), K) == matrix.INT32_FEATURES * 255**2).all()


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("m", "n"), [*SHAPES, (1100, 3)])
@pytest.mark.parametrize("k", [1, 4])
def test_the_gram_product(team, m, n, k, dtype, work):
    X = samples(m, n, dtype).T
    C = np.random.default_rng(k).normal(size=(k, m)).astype(work)
    got = matrix.gram_product(C, matrix.gram_matrix(X, work))
    expected = core.gram_product(C.astype(float), core.gram_matrix(X, np.float64))
    assert got.dtype == work
    np.testing.assert_allclose(got, expected, rtol=RTOL[work], atol=RTOL[work] * np.abs(expected).max())


def test_the_numbers_that_are_repeated_are_the_kernels_own():
    from fastlr.kernels.cpu import gram, pixels

    assert (matrix.PANEL, matrix.FEATURES) == (pixels.PANEL, gram.FEATURES)


@pytest.mark.parametrize("work", ["float64", "float32"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (9, 5, 1), (30, 200, 1), (50, 20, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_fused_steps_follow_plain_steps(team, form, m, n, k, dtype, work, weighted):
    """From any weights, with l2, labels and counts of one's own, the state of every step."""
    rng, data = np.random.default_rng(n), samples(m, n, dtype)
    numba, numpy = choose_backend("numba", dtype=work), choose_backend("numpy", dtype="float64")
    W, b = rng.normal(size=(k, 1, n)) * 0.1, rng.normal(size=(k, 1, 1))
    Y = rng.integers(0, 2, (k, 1, m)).astype(float)
    rates, l2 = rng.uniform(0.01, 0.1, (k, 1, 1)), rng.uniform(0, 0.2, (k, 1, 1))
    counts = rng.uniform(0, 2, (1 if dtype is np.uint8 else k, 1, m)) if weighted else None
    mine = {"counts": None if counts is None else numba.floats(counts)}
    scale = 1 / 255 if dtype is np.uint8 else 1.0
    X = data.T if work == "float64" or dtype is np.uint8 else data.astype(work).T
    space = FORMS[form].of(X, numba.floats(W), scale, numba.kernels)
    fused = Resident(space, *map(numba.floats, (Y, rates, l2)), **mine)
    plain = Resident(FORMS[form].of(data.T, W, scale), Y, rates, l2, counts=counts)
    assert fused.steps(descent.start(fused, numba.floats(b)), 1) is not None
    state = descent.start(fused, numba.floats(b))
    expected = descent.start(plain, b)
    tolerance = 1e-10 if work == "float64" else 1e-4
    for step, count in enumerate([1, 1, 1, 10, 37]):
        before = [array.copy() for array in state[:3]]
        advanced = descent.advance(numba, fused, state, count)
        for old, kept in zip(before, state[:3], strict=True):
            assert (old == kept).all(), "a step changes nothing that it is given"
        state, expected = advanced, descent.advance(numpy, plain, expected, count)
        for name, got, wanted in zip(("W", "b", "Z"), state, expected, strict=False):
            assert got.dtype == work
            error = np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-3)
            assert error < tolerance, f"{name} after call {step}: off by {error:.1e}"


@pytest.mark.parametrize("work", ["float64", "float32"])
@pytest.mark.parametrize(("m", "n"), [(3, 1), (2, 15), (5, 17), (270, 40), (1300, 30), (70, 2100)])
def test_steps_in_whole_numbers_follow_plain_steps(team, m, n, work):
    """Ragged ends of rows and columns, more rows than a block, more features than 32 bits could add up."""
    numba, numpy = choose_backend("numba", dtype=work), choose_backend("numpy")
    X, rng = samples(m, n, np.uint8).T, np.random.default_rng(m)
    W, b, Y = rng.normal(size=(2, 1, n)), np.zeros((2, 1, 1)), rng.integers(0, 2, (1, 1, m)).astype(float)
    rates, l2 = np.array([[[1e-2]], [[1e-3]]]), np.array([[[0.0]], [[0.1]]])
    fused = Resident(FORMS["primal"].of(X, numba.floats(W), 1 / 255, numba.kernels), *map(numba.floats, (Y, rates, l2)))
    plain = Resident(FORMS["primal"].of(X, W, 1 / 255), Y, rates, l2)
    state = descent.advance(numba, fused, descent.start(fused, numba.floats(b)), 60)
    expected = descent.advance(numpy, plain, descent.start(plain, b), 60)
    for name, got, wanted in zip(("W", "b", "Z"), state, expected, strict=False):
        error = np.abs(got - wanted).max() / np.abs(wanted).max()
        assert error < (1e-11 if work == "float64" else 1e-4), f"{name}: off by {error:.1e}"


@pytest.mark.parametrize("work", ["float64", "float32"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("form", [*FORMS, "batches"])
@pytest.mark.parametrize(("m", "n", "units"), [(1, 1, (1, 1)), (9, 5, (3,)), (61, 20, (4, 3, 2, 1)), (61, 40, (5, 3))])
@pytest.mark.parametrize("weighted", [False, True])
def test_fused_networks_follow_plain_ones(team, monkeypatch, form, m, n, units, dtype, work, weighted):
    """Two networks from any weights, with l2 and rates of their own: every number of the state, call by call."""
    monkeypatch.setattr(starting, "ALONE", 0)
    monkeypatch.setattr(steps, "BATCH_ROWS", 8)
    rng, data, network = np.random.default_rng(n), samples(m, n, dtype), Network(units[:-1], units[-1])
    numba, numpy = choose_backend("numba", dtype=work), choose_backend("numpy", dtype="float64")
    layers = [[rng.normal(size=(2, *part.shape)) * 0.3 for part in layer] for layer in network.draw(n, 0)]
    scale = 1 / 255 if dtype is np.uint8 else 1.0
    Y = one_hot(rng.integers(0, max(2, units[-1]), m), units[-1])[np.newaxis]
    rates, l2 = rng.uniform(0.01, 0.1, (2, 1, 1)), rng.uniform(0, 0.2, (2, 1, 1))
    states, problems = [], []
    counts = rng.uniform(0, 2, (1 if dtype is np.uint8 else 2, 1, m)) if weighted else None
    for backend in (numba, numpy):
        X = data.T if backend is numpy or dtype is np.uint8 else data.astype(work).T
        first, *deeper = (Layer(*map(backend.floats, layer)) for layer in layers)
        space = FORMS["primal" if form == "batches" else form].of(X, first.W, scale, backend.kernels)
        mine = {"counts": None if counts is None else backend.floats(counts)}
        problems.append(Resident(space, *map(backend.floats, (Y, rates, l2)), network, **mine))
        states.append(descent.start(problems[-1], first.b, tuple(deeper)))
    tolerance = 1e-10 if work == "float64" else 2e-4
    for call, count in enumerate([1, 2, 7, 30]):
        before = [array.copy() for array in (*states[0].parameters, states[0].Z)]
        if form == "batches":
            batches = rng.integers(0, m, (count, 21))
            moved = problems[0].batch_steps(states[0]._replace(t=np.zeros((2, 1, 1))), batches)
            assert (moved.t == count).all()
            wanted = states[1]
            for row in batches:
                wanted = minibatch.step(descent.optimizer, problems[1], row, wanted)
        else:
            moved = descent.advance(numba, problems[0], states[0], count)
            wanted = descent.advance(numpy, problems[1], states[1], count)
        for old, kept in zip(before, (*states[0].parameters, states[0].Z), strict=True):
            assert (old == kept).all(), "a step changes nothing that it is given"
        states = [moved, wanted]
        for i, (got, expected) in enumerate(
            zip((*moved.parameters, moved.Z), (*wanted.parameters, wanted.Z), strict=True)
        ):
            assert got.dtype == work
            assert got.shape == expected.shape
            error = np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-3)
            assert error < tolerance, f"array {i} after call {call}: off by {error:.1e}"


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("weighted", [None, 1, 3])
def test_sigmoid_losses(team, monkeypatch, k, weighted, work):
    """The mean loss and every residual, up to logits at which an exponential overflows."""
    monkeypatch.setattr(arrays, "LOGITS", 0)
    rng = np.random.default_rng(k)
    ends = [0.0, -0.0, 1e-30, -1e-30, 30.0, -30.0, 800.0, -800.0]
    Z = np.concatenate([5 * rng.normal(size=(k, 1, 93)), np.tile(ends, (k, 1, 1))], axis=2).astype(work)
    Y = (rng.uniform(size=(k if weighted else 1, 1, Z.shape[2])) < 0.4).astype(work)
    weights = None if weighted is None else rng.uniform(0, 2, (min(weighted, k), 1, Z.shape[2])).astype(work)
    J, D = arrays.sigmoid_losses(Z, Y, weights)
    exact = [None if array is None else array.astype(float) for array in (Z, Y, weights)]
    expected_J, expected_D = core.losses_and_residuals(*exact)
    assert (J.dtype, D.dtype, J.shape) == (work, work, (k, 1, 1))
    np.testing.assert_allclose(J, expected_J, rtol=RTOL[work])
    np.testing.assert_allclose(D, expected_D, rtol=RTOL[work], atol=RTOL[work])
    small = arrays.sigmoid_losses(np.full((1, 1, 4), -30, work), np.zeros((1, 1, 4), work), None)[0]
    np.testing.assert_allclose(small, np.log1p(np.exp(-30)), rtol=RTOL[work])  # not lost beside 1


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(("k", "units", "m", "n"), [(1, 2, 1, 1), (2, 3, 9, 5), (1, 10, 203, 65), (3, 64, 41, 33)])
def test_loss_and_gradient(monkeypatch, team, k, units, m, n, dtype, work):
    """Also of blocks at once: as many as a kernel is given, and the last one shorter."""
    monkeypatch.setattr(preconditioner, "FEW", 500)  # of more logits one sample in eight is looked at for the curvature
    X, rng = samples(m, n, dtype), np.random.default_rng(m)
    scale = 1 / 255 if dtype is np.uint8 else 2.0
    W, b = (20 * rng.normal(size=shape).astype(work) for shape in ((k, units, n), (k, units, 1)))
    labels, weights = rng.integers(0, units, m), rng.uniform(0, 2, (k, 1, m)).astype(work)
    moments = rng.normal(size=(1, n)).astype(work), rng.uniform(0.5, 2, (1, n)).astype(work)
    for standardized in (None, moments):
        fused = PrimalForm(X.T, W, scale, {"loss_and_gradient": arrays.loss_and_gradient}, standardized)
        exactly = standardized and tuple(values.astype(float) for values in standardized)
        plain = PrimalForm(X.T.astype(float), W.astype(float), scale, {}, exactly)
        for counts in (None, weights, weights[:1]):
            for block in (m, m // 3 + 1):
                exact = (
                    Vector(W.astype(float), b.astype(float)),
                    labels,
                    None if counts is None else counts.astype(float),
                )
                each = list(loss_and_gradient(fused, Vector(W, b), labels, counts, block))
                twins = list(loss_and_gradient(plain, *exact, block))
                assert [here for here, _ in each] == [min(block, m - i) for i in range(0, m, block)]
                for (here, found), (of, expected) in zip(each, twins, strict=True):
                    assert here == of
                    for array, twin in zip(found, expected, strict=True):
                        assert array.dtype == work
                        assert array.shape == twin.shape
                        least = 2 * np.finfo(work).eps if array is found[-1] else 0  # 1 − a has the rounding of 1
                        atol = RTOL[work] * np.abs(twin).max() + least
                        np.testing.assert_allclose(array, twin, rtol=RTOL[work], atol=atol)


def test_a_pass_takes_what_the_kernel_does_not_read_and_keeps_what_is_no_number():
    X, labels = np.asfortranarray(samples(9, 5, np.float64)), np.arange(9) % 3
    x = Vector(np.ones((1, 3, 5)), np.zeros((1, 3, 1)))
    assert arrays.loss_and_gradient(*x[:2], X.T, labels, 1.0, None, 9, 8, 1) is None
    form = PrimalForm(X.T, x.W, 1.0, {"loss_and_gradient": arrays.loss_and_gradient}, None)
    plain = PrimalForm(X.T, x.W, 1.0, {}, None)
    each = (loss_and_gradient(some, x, labels, None, 4) for some in (form, plain))
    for (m, found), (of, expected) in zip(*each, strict=True):
        assert m == of
        for array, twin in zip(found, expected, strict=True):
            np.testing.assert_array_equal(array, twin)
    nothing = np.full((5, 9), np.nan, order="F")
    ((J, dW, db, _),) = arrays.loss_and_gradient(*x[:2], nothing, labels, 1.0, None, 9, 8, 1)
    assert all(np.isnan(array).all() for array in (J, dW, db))


@pytest.mark.parametrize("units", [2, 3, 10, 32])
@pytest.mark.parametrize("spread", [0.0, 3.0, 300.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_axes_of_the_curvature(units, spread, weighted):
    from fastlr.kernels.cpu.many import _axes

    rng = np.random.default_rng(units)
    A = core.softmax(spread * rng.normal(size=(1, units, 500)))
    w = rng.uniform(0, 2, 500) if weighted else np.empty(0)
    U, d = preconditioner.axes_of(preconditioner.class_curvature(A, w if weighted else None))
    exactly = np.mean([(w[i] if weighted else 1) * (np.diag(a) - np.outer(a, a)) for i, a in enumerate(A[0].T)], axis=0)
    exactly += np.trace(exactly) / units**2  # of what shifts all units alike
    C, own, found = (np.empty(shape) for shape in ((units, units), (units, units), units))
    _axes(A[0], w, C, own, found)
    for axes, values in ((U[0], d[0, :, 0]), (own, found)):
        assert (values >= preconditioner.LEAST).all()
        np.testing.assert_allclose(axes.T @ axes, np.eye(units), atol=1e-13)
        np.testing.assert_allclose((axes * values) @ axes.T, exactly, atol=1.01e-6 if spread == 300 else 1e-14)


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize(("k", "units", "m", "n"), [(1, 1, 2, 1), (2, 1, 60, 5), (1, 3, 45, 9), (3, 4, 70, 7)])
@pytest.mark.parametrize("weighted", [False, True])
def test_newton_steps(team, k, units, m, n, dtype, work, weighted):
    X, rng = samples(m, n, dtype), np.random.default_rng(m)
    scale = 1 / 255 if dtype is np.uint8 else 2.0
    Y = one_hot(rng.integers(0, max(2, units), m), units)[np.newaxis].astype(work)
    counts = rng.uniform(0, 2, (k, 1, m)).astype(work) if weighted else None
    l2 = np.geomspace(1e-2, 1, k).reshape(k, 1, 1).astype(work)
    W = 2 * rng.normal(size=(k, units, n)).astype(work)  # so far away that whole steps lead too far for some
    W = W - (units > 1) * W.mean(axis=1, keepdims=True)
    moments = None if dtype is np.uint8 else (X.mean(axis=0)[None, :].astype(work), X.std(axis=0)[None, :].astype(work))
    ends = []
    for kernels, own in (({"newton_steps": arrays.newton_steps}, work), ({}, np.float64)):
        exactly = moments and tuple(values.astype(own) for values in moments)
        form = PrimalForm.of(X.T, W.astype(own), scale, kernels, exactly)
        given = [None if array is None else array.astype(own) for array in (Y, l2, l2, counts)]
        objective = Resident(form, *given[:3], Network((), units), given[3])
        iterate = newton.start(objective, np.zeros((k, units, 1), own), W.astype(own))
        for _ in range(25):
            iterate = newton.step(choose_backend("numpy"), objective, iterate)
        ends.append(iterate.at)
    fused, plain = ends
    least = {np.float64: 1e-9, np.float32: 1e-5}[work]
    for found, expected in ((fused.x, plain.x), (fused.gradient, plain.gradient)):
        for part, twin in zip(found, expected, strict=True):
            if not isinstance(twin, tuple):
                assert part.dtype == work
                # The loss does not see what all intercepts have in common.
                part, twin = (array - (units > 1) * array.mean(axis=1, keepdims=True) for array in (part, twin))
                np.testing.assert_allclose(part, twin, rtol=least, atol=least)
    np.testing.assert_allclose(fused.cost, plain.cost, rtol=least)
    np.testing.assert_allclose(fused.objective, plain.objective, rtol=least)
    assert fused.norm.max() < least


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize(
    ("k", "units", "m", "n"), [(1, 1, 2, 1), (1, 1, 61, 9), (2, 1, 40, 5), (1, 3, 45, 9), (2, 10, 70, 20)]
)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("plain", [True, False], ids=["as it is", "weighted and standardized"])
def test_primal_conjugate_gradients(team, k, units, m, n, dtype, work, intercept, plain, monkeypatch):
    X, rng = samples(m, n, dtype), np.random.default_rng(m)
    Y = one_hot(rng.integers(0, max(2, units), m), units)[np.newaxis]
    counts = None if plain else rng.uniform(0, 2, (k, 1, m))
    moments = None if plain else (X.mean(axis=0)[None, :] / 255, X.std(axis=0)[None, :] / 255)
    l2, W = np.geomspace(1e-2, 1, k).reshape(k, 1, 1), rng.normal(size=(k, units, n)) / n
    monkeypatch.setattr("fastlr.objectives.preconditioner.pays", lambda n, m, units, share=1.0: m % 2 == 0)
    for longest in (1, 2, 5, 100):
        monkeypatch.setattr(newton_cg, "LONGEST", longest)
        monkeypatch.setattr(newton_cg, "SHARE", 0.25 if longest == 100 else 0.0)
        found = []
        for name, own in (("primal_conjugate_gradients", work), ("", np.float64)):
            kernels = {name: getattr(arrays, name)} if name else {}
            exactly = moments and tuple(values.astype(own) for values in moments)
            given = [None if array is None else array.astype(work).astype(own) for array in (Y, l2, l2, counts)]
            form = PrimalForm.of(X.T, W.astype(work).astype(own), 1 / 255, kernels, exactly)
            objective = Resident(form, *given[:3], Network((), units, intercept), given[3]).prepared(k)
            iterate = newton_cg.start(objective, np.zeros((k, units, 1), own))
            at = objective.curved(iterate.at)
            d = objective.conjugate_gradients(at, longest, newton_cg.SHARE)
            assert (d is None) == (not name)
            found.append(newton_cg.direction(choose_backend("numpy"), objective, at) if d is None else d)
        for got, expected in zip(*found, strict=True):
            assert got.dtype == work
            least = (1e-9 if work is np.float64 else 1e-3) * np.abs(expected).max()
            np.testing.assert_allclose(got, expected, rtol=0, atol=least)


@pytest.mark.parametrize(("units", "m", "n"), [(1, 60, 5), (3, 45, 9)])
@pytest.mark.parametrize("tol", [1e-2, 1e-6, 0.0])
def test_newton_steps_in_one_call_are_those_one_by_one(units, m, n, tol):
    X, rng = samples(m, n, np.float64), np.random.default_rng(m)
    Y = one_hot(rng.integers(0, max(2, units), m), units)[np.newaxis]
    form = PrimalForm.of(X.T, np.zeros((1, units, n)), 2.0, {"newton_steps": arrays.newton_steps}, None)
    objective = Resident(form, Y, *(np.full((1, 1, 1), 1e-3),) * 2, Network((), units))
    start = newton.start(objective, np.zeros((1, units, 1)))
    end, passed = newton.steps(objective, start, 40, tol)
    one = start
    for cost, value in passed:
        one = newton.step(choose_backend("numpy"), objective, one)
        assert (one.at.cost.item(), one.at.objective.item()) == (cost, value)
        assert one.at.norm.item() > tol
    one = newton.step(choose_backend("numpy"), objective, one)
    for found, expected in zip((*end.at.x, *end.at.gradient[:2]), (*one.at.x, *one.at.gradient[:2]), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(passed) >= 1
    assert end.at.norm.item() <= max(tol, 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("m", "n", "spectrum"), [(90, 12, False), (90, 12, True), (30, 70, False)])
@pytest.mark.parametrize("more", [{}, {"standardize": True}, {"sample_weight": True}, {"scale": 0.5}])
def test_lbfgs_in_one_call_goes_where_its_steps_go(monkeypatch, m, n, spectrum, classes, more, dtype):
    """A fit whose iterates are measured steps one by one; the same costs on the way, the same minimum.

    With the spectrum of the covariance, without it, and in the coordinates of the Gram matrix's factor.
    """
    monkeypatch.setattr("fastlr.objectives.preconditioner.pays", lambda *_: spectrum)
    monkeypatch.setattr("fastlr.objectives.gram_factor.pays", lambda n, m, units: m < n)
    X, y = samples(m, n, np.dtype(dtype).type), np.arange(m) % classes
    outputs, y = 1 if classes == 2 else classes, y.astype(np.int64)
    own = {"tol": 1e-5, "iterations": 50, "standardize": "standardize" in more}
    settings = PathSettings(solver="lbfgs", form="primal", **own)
    weightings = np.random.default_rng(0).uniform(0.5, 2, (1, m)) if "sample_weight" in more else None
    weightings = None if weightings is None else weightings / weightings.mean()
    backend, scale = choose_backend("numba", dtype=dtype), more.get("scale", 1.0)

    def fitted(settings=settings, **more):
        l2 = np.array([[1e-2]])
        (fit,) = fit_each(backend, X, y, outputs, l2, settings, weightings=weightings, scale=scale, **more)
        return fit

    told = []
    at_once = fitted(watch=lambda numbers, iteration, costs: told.append((iteration, costs[0])))
    watched = fitted(measure=lambda objective: lambda some, state: 0 * some.l2)
    assert told == list(zip(at_once.paths[0].recorded_at, at_once.paths[0].costs, strict=True))
    few = fitted(replace(settings, iterations=2))
    one, other, short = at_once.paths[0], watched.paths[0], few.paths[0]
    rtol = 1e-3 if dtype == "float32" else 1e-6
    assert one.norm <= 1e-5 < short.norm
    assert one.recorded_at == other.recorded_at
    np.testing.assert_allclose(one.costs, other.costs, rtol=rtol)
    np.testing.assert_allclose(one.objectives, other.objectives, rtol=rtol)
    np.testing.assert_allclose(short.costs, other.costs[:3], rtol=rtol)
    np.testing.assert_allclose(at_once.W, watched.W, atol=1e-3)


def test_samples_have_a_factor_unless_one_is_there_twice():
    X = samples(12, 40, np.float64)
    L = gram_factor.of(X)
    np.testing.assert_allclose(L @ L.T, X @ X.T, rtol=1e-12, atol=1e-12)
    W = np.random.default_rng(0).normal(size=(3, 12)) @ X
    np.testing.assert_allclose(gram_factor.back(np.linalg.solve(L, X @ W.T).T, L, X), W, rtol=1e-9, atol=1e-9)
    assert gram_factor.of(X[[*range(12), 5]]) is None
    assert gram_factor.of(np.concatenate([X, X[:1] + 1e-5 * X[1:2]])) is None
    assert gram_factor.of(X[np.newaxis, [0, 1, 1]]) is None
    padded = np.concatenate([X, 0 * X[:2]])
    np.testing.assert_allclose(gram_factor.of(padded), np.pad(L, (0, 2)) + np.diag([0] * 12 + [1] * 2), rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_a_sample_that_is_there_twice_is_fitted_in_its_features(scale):
    """What was added to the factor's diagonal told the two apart: the reported objective was below the minimum."""
    import fastlr

    x = scale * samples(1, 10, np.float64)
    clf = fastlr.LogisticRegression(solver="lbfgs", form="primal", C=1e3, fit_intercept=False, tol=1e-8)
    assert clf.fit(np.concatenate([x, x]), [0, 1]).loss_curve_[-1] == pytest.approx(np.log(2), rel=1e-12)


def test_lbfgs_in_one_call_starts_where_it_is_told_and_ends_where_rounding_does():
    import fastlr

    X, y = samples(60, 9, np.float64), np.arange(60) % 3
    clf = fastlr.LogisticRegression(solver="lbfgs", form="primal", tol=1e-8, warm_start=True).fit(X, y)
    first = clf.coef_
    assert clf.fit(X, y).n_iter_[0] == 0
    np.testing.assert_array_equal(clf.coef_, first)
    wide = fastlr.LogisticRegression(solver="lbfgs", form="primal", tol=1e-8, warm_start=True)
    X = samples(20, 50, np.float64)
    one = wide.fit(X, y[:20]).coef_.copy()
    wide.set_params(C=2.0).fit(X, y[:20])  # from weights, not from zero
    alone = fastlr.LogisticRegression(C=2.0, solver="lbfgs", form="primal", tol=1e-8).fit(X, y[:20])
    np.testing.assert_allclose(wide.coef_, alone.coef_, atol=1e-6)
    assert np.abs(wide.coef_ - one).max() > 1e-3
    endless = fastlr.LogisticRegression(solver="lbfgs", form="primal", tol=1e-18, max_iter=2000).fit(X, y[:20])
    assert endless.n_iter_[0] < 100, "rounding ends it"


def test_newton_steps_leave_a_matrix_without_factors_to_the_plain_way():
    X = np.full((8, 8), np.nan)
    rules = (30, 1e-4, 0.9, 10.0, 0.1)
    V, Y = np.ones((1, 1, 7)), np.ones((1, 1, 8))
    end, _, _, _, steps = arrays.newton_steps(X, Y, np.ones((1, 1, 1)), None, 6, 1e-14, rules, V, 3, 0.0)
    assert steps[0] == 0
    assert (end == V).all()


@pytest.mark.parametrize("work", [np.float64, np.float32])
@pytest.mark.parametrize(("m", "k"), [(3, 1), (16, 2), (37, 3), (530, 1)])
def test_gram_newton_steps_on_the_triangle_that_is_kept(team, m, k, work):
    rng = np.random.default_rng(m)
    h, l2, right = rng.uniform(0, 0.1, (k, 1, m)), rng.uniform(0.1, 1, (k, 1, 1)), rng.normal(size=(k, m, 2))
    given = [array.astype(work) for array in (h, l2, right)]
    for X in (samples(m, 50, np.uint8), samples(m, 50, work)):
        K = matrix.gram_matrix(X.T, work)
        exact = core.gram_matrix(X.T, np.float64)
        np.testing.assert_allclose(matrix.gram_diagonal(K)[:, :m], core.diagonal(exact), rtol=RTOL[work])
        expected = core.gram_solve(exact, *(array.astype(float) for array in given))
        solved = matrix.gram_solve(K, *given)
        assert solved.dtype == work
        error = np.abs(solved - expected).max() / np.abs(expected).max()
        assert error < (1e-9 if work == np.float64 else 3e-3), "its condition is up to 1e4"
    indefinite = matrix.gram_solve(
        matrix.gram_matrix(np.ones((2, 3)), np.float64), np.ones((1, 1, 3)), -3 * l2[:1], right[:1, :3]
    )
    assert np.isfinite(indefinite).all()


@pytest.mark.parametrize("work", ["float64", "float32"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("m", [5, 48, 70])
def test_conjugate_gradients_follow_the_plain_ones(team, m, weighted, intercept, work, monkeypatch):
    """Step by step, and to where they end, from a point on the way to the minimum.

    Without an intercept pixels, all of them positive, would have a condition that takes the digits from both.
    """
    data, rng = samples(m, 300, np.uint8 if intercept else np.float32), np.random.default_rng(m)
    D, Y = rng.normal(size=(1, 1, m)) * 1e-3, rng.integers(0, 2, (1, 1, m)).astype(float)
    weights = rng.uniform(0, 2, (1, 1, m)) if weighted else None
    monkeypatch.setattr(newton_cg, "SHARE", 0.0)
    for longest in (1, 2, 3, 5, 100):
        monkeypatch.setattr(newton_cg, "LONGEST", longest)
        if longest == 100:
            monkeypatch.setattr(newton_cg, "SHARE", 0.25)
        found = []
        for name, dtype in (("numba", work), ("numpy", "float64")):
            backend = choose_backend(name, dtype=dtype)
            form = FORMS["gram"].of(data.T, backend.floats(np.zeros((1, 1, 300))), 1 / 255, backend.kernels)
            counted = None if weights is None else backend.floats(weights)
            l2, network = backend.floats(np.full((1, 1, 1), 0.01)), Network((), 1, intercept)
            objective = Resident(form, backend.floats(Y), l2, l2, network, counts=counted).prepared(1)
            iterate = newton_cg.start(objective, backend.floats(0 * Y[..., :1]), form.gradient(backend.floats(D)))
            d = newton_cg.direction(backend, objective, objective.curved(iterate.at))
            assert d.W.dtype == d.b.dtype == d.Z.dtype == dtype
            assert d.W.shape == (1, 1, m + 1)
            found.append((d.W[..., :-1], d.b, d.Z))
        for got, expected in zip(*found, strict=True):
            assert np.abs(got - expected).max() <= (1e-9 if work == "float64" else 1e-3) * np.abs(expected).max()


def test_where_the_initial_weights_are_not_zero_no_kernel_stands_in(monkeypatch):
    import fastlr

    X, labels = samples(40, 60, np.float64), np.arange(40) % 2
    started, start = [], starting.start
    monkeypatch.setattr(starting, "start", lambda kernel, *rest: (started.append(kernel), start(kernel, *rest)))
    clf = fastlr.LogisticRegression(solver="newton-cg", form="gram", warm_start=True, C=1.0).fit(X, labels)
    assert "gram_conjugate_gradients" in started
    started.clear()
    found = clf.set_params(C=0.1).fit(X, labels).coef_.copy()
    assert started
    assert "gram_conjugate_gradients" not in started
    again = fastlr.LogisticRegression(solver="newton-cg", form="gram", C=0.1, tol=1e-9).fit(X, labels)
    np.testing.assert_allclose(found, again.coef_, rtol=1e-2, atol=1e-4)


def test_large_networks_go_the_plain_way(monkeypatch):
    """Above the first layer, where a BLAS does better."""
    import fastlr

    X, labels = samples(40, 30, np.uint8), np.arange(40) % 3
    started, start = [], starting.start
    monkeypatch.setattr(starting, "start", lambda kernel, *rest: (started.append(kernel), start(kernel, *rest)))
    for more in ({"form": "primal"}, {"form": "gram"}, {"batch_size": 8}):
        for layers, fused in (((64, 64), False), ((64, 2), True)):
            started.clear()
            fastlr.train(X, labels, layers=layers, iterations=3, **more)
            assert any(name.endswith("_steps") for name in started) == fused


def test_processors_without_the_instruction(team, monkeypatch):
    """The plain loops that stand in for it: the Gram matrix, and steps on pixels in floating point."""
    from numba import njit

    from fastlr.kernels.cpu import pixels

    monkeypatch.setattr(pixels, "AVX2", False)
    packed = np.random.default_rng(0).integers(0, 256, (2, 9, 16, 2)).astype(np.int16)
    rows = packed.transpose(0, 2, 1, 3).reshape(32, 18).astype(np.int64)
    sums = np.ones((4, 16), np.int32)
    njit(pixels.products.py_func)(packed, 8, 0, 4, 1, sums)
    assert (sums == rows[4:8, :16] @ rows[16:, :16].T).all()

    monkeypatch.setattr(steps, "_has_vectors", lambda: False)
    X, labels = samples(50, 30, np.uint8), np.arange(50) % 2
    plain, fused = (steps_of(backend, X, labels, 40) for backend in ("numpy", "numba"))
    np.testing.assert_allclose(fused, plain, rtol=1e-12)


def steps_of(backend: str, X: np.ndarray, labels: np.ndarray, steps: int) -> list[float]:
    import fastlr

    return fastlr.train(X, labels, iterations=steps, record_every=1, form="primal", backend=backend).costs


def test_digits_hold_a_number_to_its_unit():
    from fastlr.kernels.cpu import digits

    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(size=500) * 10.0 ** rng.integers(-20, 3, 500), [0.0, -0.0, 1234.5]])
    for count in (2, 3):
        parts, unit = np.empty((count, numbers.size), np.int16), digits.unit_of(digits.peak_of(numbers), count)
        digits.split(numbers, unit, parts)
        kept = unit * sum(part * 65536.0**level for level, part in enumerate(parts))
        assert np.abs(kept - numbers).max() <= unit / 2
    assert digits.unit_of(digits.peak_of(np.zeros(3)), 3) > 0
    edges = np.array([2.0**46, 2.0**31 - 1, 2.0**31, -(2.0**31), 2.0**31 - 2.0**15, 2.0**15, -(2.0**15), -(2.0**46)])
    parts = np.empty((3, edges.size), np.int16)
    digits.split(edges, 1.0, parts)
    assert (sum(part * 65536.0**level for level, part in enumerate(parts)) == edges).all()
    for bad in (np.nan, np.inf, -np.inf):
        assert np.isnan(digits.peak_of(np.array([1.0, bad, 2.0])))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so_in_whole_numbers(team, bad):
    numba = choose_backend("numba")
    X, W = samples(40, 33, np.uint8).T, np.zeros((1, 1, 33))
    W[0, 0, 5] = bad
    problem = Resident(
        FORMS["primal"].of(X, W, 1 / 255, numba.kernels), np.ones((1, 1, 40)), np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    )
    state = descent.advance(numba, problem, descent.start(problem, np.zeros((1, 1, 1))), 2)
    assert not np.isfinite(state.Z).any()


@pytest.mark.parametrize(
    ("form", "more"),
    [*((form, more) for form in FORMS for more in ({}, {"layers": (4, 3)})), ("primal", {"batch_size": 128})],
)
def test_the_bits_do_not_depend_on_the_number_of_threads(form, more, tmp_path, monkeypatch):
    import fastlr

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 15, 15, 3), dtype=np.uint8), np.arange(300) % 2
    monkeypatch.setattr(starting, "ALONE", 0)
    files = []
    for threads in (1, 2, 3, 7):
        for name in ("size_for", "size_that_meets"):
            monkeypatch.setattr(starting, name, lambda operations, threads=threads: threads)
        monkeypatch.setattr(starting, "TURN", 10**9 if threads == 2 else 10**6)
        files.append(tmp_path / f"{threads}.safetensors")
        settings = {"iterations": 120, "form": form, "backend": "numba"} | more
        fastlr.train(images, labels, **settings).model.save(files[-1])
    assert len({file.read_bytes() for file in files}) == 1


def test_the_sigmoid_to_two_units_in_the_last_place():
    from numba import njit

    from fastlr.kernels.cpu import vector

    @njit
    def every(z, out):
        for i in range(z.shape[0]):
            out[i] = vector.sigmoid(z[i])

    z = np.concatenate([np.linspace(-700, 700, 200_001), np.linspace(-1, 1, 100_001), [0.0, -0.0]])
    out = np.empty_like(z)
    every(z, out)
    exact = textbook.sigmoid(z.astype(np.longdouble)).astype(np.longdouble)
    assert np.max(np.abs(out - exact) / exact) < 4.5e-16
    ends = np.array([-np.inf, -1e308, -709.0, 709.0, 1e308, np.inf, np.nan])
    out = np.empty_like(ends)
    every(ends, out)
    assert (out[:3] < 1e-307).all()
    assert (out[3:6] == 1.0).all()
    assert np.isnan(out[6])


def test_a_long_compilation_is_announced(monkeypatch):
    class Slow:
        def compile(self, signature):
            assert done.wait(timeout=30)

    done = threading.Event()
    monkeypatch.setattr(starting, "NOTICE_AFTER", 0.0)
    monkeypatch.setattr(starting.LOG, "warning", lambda text: (messages.append(text), done.set()))
    starting.announce.cache_clear()
    messages: list[str] = []
    starting.compile_now(Slow(), ())
    starting.compile_now(Slow(), ())
    assert messages == ["compiling kernels for data of this kind; they are kept for later runs"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fastlr.ConvergenceWarning")  # of a few iterations
def test_warm_up_compiles_all_that_training_asks_for(fastlr_command, tmp_path, monkeypatch):
    """After it, no training on pixels or floating-point features compiles anything."""
    import fastlr
    from fastlr.kernels.cpu.compiling import KERNELS

    monkeypatch.setenv("FASTLR_CACHE", str(tmp_path / "cache"))
    said = fastlr_command("warmup").out.splitlines()
    assert said[0] == "the kernels are compiled"
    assert "numba, numpy" in said[1]
    assert said[1].endswith(f"; kept in {tmp_path / 'cache' / 'costs.json'}")
    before = {name: len(kernel.overloads) for name, kernel in KERNELS.items()}
    assert {"gram_conjugate_gradients", "primal_conjugate_gradients", "factor", "batch_steps"} < before.keys()
    assert min(before.values()) > 0, "warm-up leaves a kernel out"
    for dtype in ("float64", "float32"):
        for form in FORMS:
            for read in (np.uint8, np.float32, np.float64):
                X, labels = samples(30, 40, read), np.arange(30) % 2
                for layers in ((), (4, 3)):
                    settings = {"l2": [0.1], "iterations": 5, "form": form, "dtype": dtype, "layers": layers}
                    fastlr.sweep(X, labels, learning_rates=[0.1, 0.2], folds=2, **settings)
                for classes in (2, 3):
                    for solver in ("newton", "newton-cg", "lbfgs"):
                        if (solver, form, classes) != ("newton", "gram", 3):
                            settings = {"solver": solver, "form": form, "dtype": dtype, "iterations": 3}
                            fastlr.sweep(X, np.arange(30) % classes, l2=[0.1, 1.0], folds=2, **settings)
                fastlr.train(X, labels, iterations=2, batch_size=8, dtype=dtype)
                fastlr.train(X, labels, iterations=2, standardize=True, form=form, dtype=dtype)
        X = samples(30, 5, np.dtype(dtype).type)
        fastlr.fit_many(X[np.newaxis], np.arange(30) % 3)
        long = samples(70_000, 2, np.dtype(dtype).type)
        fastlr.LogisticRegression(tol=9.0, solver="newton-cg", form="primal").fit(long, long[:, 0] > 0)
        fastlr.fit_many(X, np.arange(30) % 2, subsets=[np.arange(9), np.arange(4)], dtype=dtype)
    wide = samples(4, matrix.INT32_FEATURES + 5, np.uint8)
    fastlr.train(wide, [0, 1, 0, 1], iterations=2, form="gram")
    assert {name: len(kernel.overloads) for name, kernel in KERNELS.items()} == before


def test_two_trainings_at_once_do_not_wait_for_each_other_forever(team):
    import fastlr

    rng = np.random.default_rng(0)
    X, labels = rng.integers(0, 256, (40, 30), dtype=np.uint8), np.arange(40) % 2
    alone = fastlr.train(X, labels, iterations=300, backend="numba").costs
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fastlr.train(X, labels, iterations=300, backend="numba").costs))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [alone] * 4


@pytest.mark.parametrize(
    ("value", "expected"), [("1", 1), (" 1,2", 1), ("", None), ("many", None), ("0", None), ("²", None)]
)
def test_the_team_is_as_large_as_the_blas_would_be(monkeypatch, value, expected):
    from fastlr.kernels.cpu.team import team_size
    from fastlr.machine import usable_cpus

    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert team_size() == (expected or usable_cpus())


def test_what_no_kernel_reads_goes_the_plain_way():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (20, 12)).astype(np.int16)
    W = rng.normal(size=(1, 12))
    np.testing.assert_allclose(arrays.project(W, X.T), W @ X.T, rtol=1e-12)
    strided = rng.normal(size=(40, 24))[::2, ::2].T
    np.testing.assert_allclose(arrays.project(W, strided), W @ strided, rtol=1e-12)


def test_conjugate_gradients_leave_what_the_kernel_does_not_read_to_the_plain_way():
    import fastlr

    X, labels = samples(60, 8, np.float16), np.arange(60) % 2
    plain = fastlr.LogisticRegression(solver="newton-cg", form="primal", tol=1e-9).fit(X.astype(float), labels)
    for given in (X, np.asfortranarray(X.astype(float))):
        found = fastlr.LogisticRegression(solver="newton-cg", form="primal", tol=1e-5).fit(given, labels)
        np.testing.assert_allclose(found.coef_, plain.coef_, rtol=1e-3, atol=1e-4)


def test_what_may_not_be_written_needs_no_kernel_of_its_own():
    import fastlr
    from fastlr.kernels.cpu.compiling import KERNELS

    found, counts = [], []
    X, labels = samples(60, 8, np.float32), np.arange(60) % 3
    for _ in range(2):
        clf = fastlr.LogisticRegression(solver="newton-cg", form="primal").fit(X, labels)
        found.append((clf.coef_, clf.predict_proba(X)))
        counts.append({name: len(kernel.overloads) for name, kernel in KERNELS.items()})
        X.flags.writeable = False
    assert counts[0] == counts[1]
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_loading_the_kernels_counts_as_compiling(monkeypatch):
    """With a clock that goes on by a second per look: it is done once, by whichever asks first."""
    monkeypatch.setattr(starting, "time", types.SimpleNamespace(perf_counter=itertools.count().__next__))
    starting._imported.cache_clear()
    before = starting.seconds_of_compiling()
    assert starting.size_for(starting.ALONE_ONCE) >= 1
    assert starting.seconds_of_compiling() == before + 1
    assert starting.size_for(starting.ALONE_ONCE) >= 1
    assert starting.seconds_of_compiling() == before + 1

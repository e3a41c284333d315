"""Properties of the kernels, on shapes, dtypes and layouts that Hypothesis draws."""

import contextlib
import math

import numpy as np
import pytest
from drawing import (
    PROPERTY,
    READS,
    RTOL,
    close,
    descents,
    forms,
    laid_out,
    layouts,
    libraries,
    numbers,
    seeds,
    started,
)
from hypothesis import given
from hypothesis import strategies as st

from fastlr import core, textbook
from fastlr.kernels.cpu import arrays, matrix, starting
from fastlr.objectives.network import Layer, one_hot
from fastlr.solvers import choose_descent

descent = choose_descent()


@contextlib.contextmanager
def team(size):
    """Let every kernel work in a team of that size, on work cut into several parts, in many turns of few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "size_for", lambda operations, alone=0: size)
        patch.setattr(starting, "size_that_meets", lambda operations: size)
        patch.setattr(starting, "parts_for", lambda operations, alone=0: 1 + 2 * (size > 1))
        patch.setattr(starting, "TURN", 1000)
        yield


@PROPERTY
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 70), st.integers(1, 70)),
    dtype=st.sampled_from([*READS, "float16", "int16", "bool"]),
    work=st.sampled_from(list(RTOL)),
    layout=layouts,
    other=layouts,
    size=st.integers(1, 2),
    seed=seeds,
)
def test_products_with_the_data_are_the_cores_in_any_layout(shape, dtype, work, layout, other, size, seed):
    """project, combine and predict read any dtype and any strides.

    It finds a kernel that takes a sliced or reversed array for a contiguous one, or forgets the last odd columns.
    """
    (k, n, m), rng = shape, np.random.default_rng(seed)
    rows = rng.normal(size=(m, n)) > 0 if dtype == "bool" else 10 * numbers(rng, (m, n), "float64")
    rows = numbers(rng, (m, n), "uint8") if dtype == "uint8" else rows.astype(dtype)
    X = laid_out(rows, layout).T
    W, C = (laid_out(numbers(rng, (k, length), work), other) for length in (n, m))
    b, exact = numbers(rng, (k, 1), work), rows.astype(float).T
    W = W / (50 * math.sqrt(n))  # logits of some size
    with team(size), pytest.MonkeyPatch.context() as patch:
        got = arrays.project(W, X, 0.5), arrays.combine(C, X, 0.5)
        patch.setattr(core, "BLOCK", n)  # a tile is one sample, and predict takes its other way
        tiled = core.project(W, X, 0.5), core.combine(C, X, 0.5)
        probabilities = arrays.predict(W, b, X, 0.5)
    expected = W.astype(float) @ exact / 2, C.astype(float) @ exact.T / 2
    for arrays_of in (got, tiled):
        for one, wanted in zip(arrays_of, expected, strict=True):
            assert one.dtype == work
            close(one, wanted, RTOL[work])
    close(probabilities, textbook.sigmoid(expected[0] + b), RTOL[work])


@PROPERTY
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 70)),
    dtype=st.sampled_from(READS),
    work=st.sampled_from(list(RTOL)),
    layout=layouts,
    size=st.integers(1, 2),
    seed=seeds,
)
def test_the_gram_matrix_and_its_product_are_the_cores(shape, dtype, work, layout, size, seed):
    """XᵀX, kept as a triangle and a diagonal, multiplies as the whole matrix does.

    It finds a triangle of which a block is counted twice or left out at the ragged end.
    """
    (k, n, m), rng = shape, np.random.default_rng(seed)
    rows = numbers(rng, (m, n), dtype)
    X, C = laid_out(rows, layout).T, numbers(rng, (k, m), work)
    exact = rows.astype(float) @ rows.astype(float).T
    with team(size):
        K = matrix.gram_matrix(X, np.dtype(work))
        product, diagonal = matrix.gram_product(laid_out(C, layout), K), matrix.gram_diagonal(K)
    assert product.dtype == diagonal.dtype == work
    close(core.gram_matrix(X, np.dtype(work)), exact, RTOL[work])
    close(product, C.astype(float) @ exact, RTOL[work])
    close(diagonal[:, :m], np.diagonal(exact)[np.newaxis], RTOL[work])
    assert not diagonal[:, m:].any()


@PROPERTY
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(1, 99)),
    magnitude=st.sampled_from([0.0, 1e-6, 1.0, 30.0, 1e6]),
    work=st.sampled_from(list(RTOL)),
    weighted=st.booleans(),
    shared=st.booleans(),
    size=st.integers(1, 2),
    seed=seeds,
)
def test_the_fused_losses_are_the_cores(shape, magnitude, work, weighted, shared, size, seed):
    """Costs and residuals of logits of any size, with weights or without, the samples being unit vectors.

    It finds an exponential that underflows to a wrong value, or weights of another model.
    """
    (k, units, m), rng = shape, np.random.default_rng(seed)
    Z = (numbers(rng, (k, units, m)) * magnitude).astype(work)
    labels = rng.integers(0, units, m)
    weights = rng.integers(0, 3, (1 if shared else k, 1, m)).astype(work) if weighted else None
    before = Z.copy()
    with team(size):
        X = np.eye(m, dtype=work).T
        ((J, D, _, _),) = arrays.loss_and_gradient(Z, 0 * Z[..., :1], X, labels, 1.0, weights, m, 1, 1)
    exact = None if weights is None else weights.astype(float)
    expected_J, expected_D = core.losses_and_residuals(Z.astype(float), one_hot(labels, units)[np.newaxis], exact)
    assert J.dtype == D.dtype == work
    np.testing.assert_array_equal(Z, before)
    close(J, expected_J, RTOL[work], least=1e-290)  # the kernel's exponential ends at 1e-308
    np.testing.assert_allclose(m * D, expected_D, rtol=0, atol=2 * RTOL[work])


@PROPERTY
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 3)),
    rank=st.integers(1, 40),
    dtype=st.sampled_from(READS),
    layout=layouts,
    seed=seeds,
)
def test_positive_systems_are_solved_as_the_core_solves_them(shape, rank, dtype, layout, seed):
    """gram_solve gives H⁻¹ right, where l2 is all that makes H positive too.

    It finds factors that read the padding, or models of a batch that get each other's matrix.
    """
    (k, m, columns), rng = shape, np.random.default_rng(seed)
    rows = numbers(rng, (m, rank), dtype)
    X = laid_out(rows, layout).T
    h, right = rng.uniform(0, 1, (k, 1, m)), numbers(rng, (k, m, columns))
    h = h / 255 if dtype == "uint8" else h
    l2 = rng.uniform(0.1, 1, (k, 1, 1))
    exact = rows.astype(float) @ rows.astype(float).T
    H = core.gram_hessian(exact, h, l2)
    expected = np.linalg.solve(H, right)
    tolerance = 1e-13 * np.linalg.cond(H).max()  # what any solver's rounding may be multiplied by
    tolerance += 1e-5 if dtype == "float32" else 0.0  # BLAS multiplies float32 in float32 where K is to be float64
    K = matrix.gram_matrix(X, np.dtype("float64"))
    close(matrix.gram_solve(K, h, l2, right), expected, tolerance)


def same_state(state, expected, tolerance):
    for got, wanted in zip([*state.parameters, state.Z], [*expected.parameters, expected.Z], strict=True):
        close(got, wanted, tolerance)


@PROPERTY
@given(drawn=descents(), form=forms, work=st.sampled_from(list(RTOL)), steps=st.integers(1, 25), size=st.integers(1, 2))
def test_fused_steps_are_plain_steps(drawn, form, work, steps, size):
    """The numba backend's kernels and the core's functions lead from one state to the same state.

    It finds a kernel that takes l2 from the intercepts, too, or steps with the rate of another model.
    """
    numpy, plain, expected = started("numpy", form, drawn)
    expected = descent.advance(numpy, plain, expected, steps)
    with team(size):
        numba, fused, state = started("numba", form, drawn, work)
        state = descent.advance(numba, fused, state, steps)
    assert all(part.dtype == work for part in state.parameters)
    if work == "float32" and drawn[5].hidden:  # in float32 a unit near 0 may be on in one and off in the other
        return
    same_state(state, expected, {"float64": 1e-10, "float32": 1e-3}[work])


@PROPERTY
@given(drawn=descents(), form=forms, backend=libraries, parts=st.tuples(st.integers(1, 12), st.integers(1, 12)))
def test_steps_may_be_done_in_parts(drawn, form, backend, parts):
    """So many steps at once and the same number in two calls give the same bits, and a call changes no state.

    It finds a kernel that does a step too many at the end of a call, or that writes into the state it was given.
    """
    backend, problem, start = started(backend, form, drawn)
    before = [part.copy() for part in (*start.parameters, start.Z)]
    whole = descent.advance(backend, problem, start, sum(parts))
    half = descent.advance(backend, problem, start, parts[0])
    split = descent.advance(backend, problem, half, parts[1])
    for part, kept in zip((*start.parameters, start.Z), before, strict=True):
        assert (part == kept).all()
    for got, expected in zip((*split.parameters, split.Z), (*whole.parameters, whole.Z), strict=True):
        assert (got == expected).all()


@PROPERTY
@given(drawn=descents(), form=forms, backend=libraries, steps=st.integers(1, 10))
def test_models_side_by_side_do_not_touch_each_other(drawn, form, backend, steps):
    """k models in one pass are those of k passes.

    It finds a kernel that adds one model's gradient to its neighbour's, or reads its neighbour's rate.
    """
    X, Y, layers, rates, l2, network, scale = drawn
    library, problem, state = started(backend, form, drawn)
    together = descent.advance(library, problem, state, steps)
    for i in range(len(rates)):
        own = [Layer(*(part[i : i + 1] for part in layer)) for layer in layers]
        alone = started(backend, form, (X, Y, own, rates[i : i + 1], l2[i : i + 1], network, scale))
        same_state(together.rows([i]), descent.advance(*alone, steps), 1e-10)

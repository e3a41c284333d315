"""What Hypothesis draws for the tests of properties, and how their results are compared."""

import contextlib
import warnings

import numpy as np
import sklearn.exceptions
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import fastlr
from fastlr.backends import choose_backend
from fastlr.objectives import FORMS
from fastlr.objectives.network import Layer, Network, one_hot
from fastlr.objectives.resident import Resident
from fastlr.solvers import SOLVERS, choose_descent

# 30 examples; more with `--hypothesis-profile=thorough`. The same samples in every run. A file that is in the cache of
# the kernels takes its time, which is no failure.
PROPERTY = settings(
    max_examples=settings.default.max_examples * 3 // 10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


FEWER = settings(PROPERTY, max_examples=settings.default.max_examples // 5)


RTOL = {"float64": 1e-11, "float32": 1e-4}  # those of tests/test_kernels.py


READS = ("uint8", "float32", "float64")


QUIRKS = (
    "none",
    "one constant feature",
    "one feature of zeros",
    "one feature twice",
    "one sample twice",
    "all samples alike",
    "whole numbers",
)


LAYOUTS = ("C", "F", "every second", "reversed", "within a larger array", "read-only")


PAIRS = [  # solvers, forms and numbers of classes that go together
    (solver, form, classes)
    for solver in SOLVERS
    for form in FORMS
    for classes in (2, 3, 4)
    if SOLVERS[solver].why_not(form, 1 if classes == 2 else classes) is None
]


seeds = st.integers(0, 2**16)


layouts = st.sampled_from(LAYOUTS)


forms = st.sampled_from(list(FORMS))


libraries = st.sampled_from(["numpy", "numba"])


def laid_out(A, layout):
    """Return an array of the same numbers that lies in memory in another way."""
    if layout == "F":
        return np.asfortranarray(A)
    if layout == "every second":
        wide = np.full([2 * size for size in A.shape], 77, A.dtype)
        within = tuple(slice(None, None, 2) for _ in A.shape)
        wide[within] = A
        return wide[within]
    if layout == "reversed":
        back = tuple(slice(None, None, -1) for _ in A.shape)
        return np.ascontiguousarray(A[back])[back]
    if layout == "within a larger array":
        wide = np.full([size + 3 for size in A.shape], 77, A.dtype)
        within = tuple(slice(1, 1 + size) for size in A.shape)
        wide[within] = A
        return wide[within]
    copy = np.array(A, order="C")
    copy.flags.writeable = layout != "read-only"
    return copy


def numbers(rng, shape, dtype="float64"):
    if dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.normal(size=shape).astype(dtype)


def make_strange(X, quirk):
    """Change samples `(m, n)` in place."""
    if quirk == "one constant feature":
        X[:, 0] = 0.1  # whose mean is not always 0.1 to the last bit
    elif quirk == "one feature of zeros":
        X[:, 0] = 0
    elif quirk == "one feature twice":
        X[:, -1] = X[:, 0]
    elif quirk == "one sample twice":
        X[-1] = X[0]
    elif quirk == "all samples alike":
        X[:] = X[0]
    elif quirk == "whole numbers":
        np.round(X, out=X)


@st.composite
def classified(draw, classes=(2, 4), most=14, magnitudes=(1.0,), quirks=QUIRKS):
    """Draw samples `(m, n)` and labels `(m,)` from 0, each of them at least once."""
    count = draw(st.integers(*classes))
    m, n = draw(st.integers(count, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(seeds))
    X = numbers(rng, (m, n)) * draw(st.sampled_from(magnitudes))
    make_strange(X, draw(st.sampled_from(quirks)))
    return X, rng.permutation(np.concatenate([np.arange(count), rng.integers(0, count, m - count)]))


def close(got, expected, tolerance, least=1e-300):
    """Assert that arrays differ by no more than the tolerance times the largest number that is expected, or `least`."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), least))


@contextlib.contextmanager
def unconverged():
    """Let solvers end where rounding, or the number of iterations, ends them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        warnings.simplefilter("ignore", fastlr.ConvergenceWarning)
        yield


def fitted(X, y, sample_weight=None, **parameters):
    """Return an estimator at its minimum: `tol` is below what rounding allows."""
    with unconverged():
        return fastlr.LogisticRegression(**{"tol": 1e-13, "max_iter": 300, **parameters}).fit(X, y, sample_weight)


def is_determined(X, solver, form):
    """Return whether rounding leaves a solver alone: newton has its own guard, the others need K to be of full rank."""
    return form == "primal" or solver == "newton" or np.linalg.matrix_rank(X, rtol=1e-2) == len(X)


def parameters_of(estimator):
    return np.hstack([estimator.coef_, estimator.intercept_[:, np.newaxis]])


def weights_of(model):
    return np.concatenate([part.ravel() for layer in model.layers for part in layer])


@st.composite
def descents(draw, steepest=0.3):
    """Draw what gradient descent starts from: samples, a form, k models of one shape, and the steps to do."""
    kind = draw(st.sampled_from(["one unit", "softmax", "network"]))
    X, y = draw(classified(classes=(3, 4) if kind == "softmax" else (2, 4), most=20))
    y = y % 2 if kind == "one unit" else y
    rng, k = np.random.default_rng(draw(seeds)), draw(st.integers(1, 3))
    outputs = 1 if y.max() == 1 else y.max() + 1
    hidden = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=2))) if kind == "network" else ()
    network, n = Network(hidden, int(outputs)), X.shape[1]
    pixels = draw(st.booleans())
    X = np.clip(np.abs(X) * 90, 0, 255).astype(np.uint8) if pixels else X / np.sqrt(n)
    layers = [
        Layer(rng.normal(size=(k, units, below)) / np.sqrt(below), rng.normal(size=(k, units, 1)))
        for below, units in zip((n, *network.units), network.units, strict=False)
    ]
    rates, l2 = (rng.uniform(0, most, (k, 1, 1)) for most in (steepest, 0.2))
    l2 = l2 * draw(st.booleans())
    Y = one_hot(y, network.outputs)[np.newaxis]
    return X, Y, layers, rates, l2, network, 1 / 255 if pixels else 1.0


def started(backend, form, drawn, work="float64"):
    """Return the objective on a backend, and the state that it starts from."""
    X, Y, layers, rates, l2, network, scale = drawn
    backend = choose_backend(backend, dtype=work)
    X = X if X.dtype == np.uint8 else X.astype(work)
    first, *deeper = (Layer(*map(backend.floats, layer)) for layer in layers)
    space = FORMS[form].of(backend.asarray(X).T, first.W, scale, backend.kernels)
    objective = Resident(space, *map(backend.floats, (Y, rates, l2)), network)
    return backend, objective, choose_descent().start(objective, first.b, tuple(deeper))

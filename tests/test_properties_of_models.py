"""Properties of models, costs and gradients, on samples that Hypothesis draws."""

import math

import numpy as np
import pytest
from drawing import (
    PAIRS,
    PROPERTY,
    RTOL,
    classified,
    descents,
    fitted,
    forms,
    is_determined,
    laid_out,
    layouts,
    libraries,
    numbers,
    seeds,
    started,
    unconverged,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import fastlr
from fastlr import core, textbook
from fastlr.model.model import Model
from fastlr.objectives.network import Layer, one_hot

# NumPy's text ends before NULs that end it, in the labels too, so that no class can be named so.
texts = st.text(min_size=1, max_size=8).filter(lambda name: not name.endswith("\0"))


@st.composite
def models(draw):
    """Draw a model of any layers, names and scale, as a training might leave it."""
    finite = st.floats(allow_nan=False, allow_infinity=False)
    name = draw(st.sampled_from([texts, st.integers(-(2**63), 2**63 - 1), finite, st.booleans()]))
    count = draw(st.integers(2, 5))
    classes = draw(st.lists(name, min_size=2, max_size=count, unique=True))
    work = draw(st.sampled_from(list(RTOL)))
    rng, n = np.random.default_rng(draw(seeds)), draw(st.integers(1, 9))
    units = (*draw(st.lists(st.integers(1, 4), max_size=3)), 1 if len(classes) == 2 else len(classes))
    magnitude = draw(st.sampled_from([1e-6, 1.0, 1e6]))
    layers = tuple(
        Layer(*(laid_out(magnitude * numbers(rng, shape, work), draw(layouts)) for shape in ((to, below), (to, 1))))
        for below, to in zip((n, *units), units, strict=False)
    )
    costs = draw(st.lists(finite, max_size=4))
    return Model(
        layers=tuple(Layer(*(part.astype(work) for part in layer)) for layer in layers),
        classes=tuple(classes),
        scale=draw(st.floats(1e-300, 1e10)),
        class_of={name: i for i, name in enumerate(classes)},
        settings=draw(st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3)),
        costs=tuple(costs),
        recorded_at=tuple(range(len(costs))),
        moments=(numbers(rng, (1, n), work), abs(numbers(rng, (1, n), work)) + 1) if draw(st.booleans()) else None,
        pixels=draw(st.booleans()),
    )


@PROPERTY
@given(model=models(), seed=seeds)
def test_a_model_file_changes_no_bit(tmp_path_factory, model, seed):
    """A model that was saved and loaded is the same model, predicts the same bits, and is saved as the same bytes.

    It finds a weight that is written in the memory order it happens to have, and names that come back as text.
    """
    folder = tmp_path_factory.mktemp("models")
    model.save(folder / "first.safetensors")
    loaded = fastlr.load(folder / "first.safetensors")
    loaded.save(folder / "second.safetensors")
    assert loaded == model
    assert [type(name) for name in loaded.classes] == [type(name) for name in model.classes]
    assert (folder / "first.safetensors").read_bytes() == (folder / "second.safetensors").read_bytes()
    X = numbers(np.random.default_rng(seed), (5, model.n_features), "uint8" if model.reads_pixels else "float64")
    with np.errstate(all="ignore"):  # a large scale may be too much for the numbers, before and after
        before, after = (one.predict_proba(X) for one in (model, loaded))
        assert before.dtype == after.dtype == model.layers[0].W.dtype
        np.testing.assert_array_equal(after, before)
        names = model.predict(X)
        np.testing.assert_array_equal(loaded.predict(X), names)
    assert set(names.tolist()) <= set(model.classes)


def logits_of_any_size(most):
    return st.integers(2, 4).flatmap(
        lambda count: st.lists(st.lists(st.floats(-most, most), min_size=count, max_size=count), min_size=1, max_size=6)
    )


def estimator_with(W, classes):
    """Return an estimator as it would be after a fit that found these weights."""
    estimator = fastlr.LogisticRegression()
    estimator.coef_, estimator.intercept_ = W, np.zeros(len(W))
    estimator.classes_, estimator.n_features_in_ = np.array(classes), W.shape[1]
    return estimator


@settings(PROPERTY, max_examples=settings.default.max_examples // 2)
@given(Z=logits_of_any_size(8e307))
@example(Z=[[0.0, 0.0], [8e307, -8e307], [1e-320, 0.0]])
def test_probabilities_are_finite_and_add_up_to_one(Z):
    """For logits of any size up to half the largest number, of two classes and of more.

    It finds a softmax without its shift, and a log of a probability that has rounded to 0.
    """
    Z = np.array(Z)
    count = Z.shape[1]
    names = list("dbca"[:count])
    W = np.eye(count) if count > 2 else np.array([[0.0, 1.0]])
    model = Model((Layer(W, np.zeros((len(W), 1))),), tuple(names), 1.0)
    estimator = estimator_with(W, names)
    logs = estimator.predict_log_proba(Z)
    assert np.isfinite(logs).all()
    assert (logs <= 0).all()
    for judge in (model, estimator):
        proba = judge.predict_proba(Z)
        assert ((proba >= 0) & (proba <= 1)).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-15 * count)
        np.testing.assert_allclose(np.exp(logs), proba, rtol=0, atol=1e-14)
        chosen = np.array([names.index(name) for name in judge.predict(Z)])
        assert (proba[np.arange(len(Z)), chosen] == proba.max(axis=1)).all()
    for labels in range(count):
        Y = one_hot(np.full(len(Z), labels), len(W))
        with np.errstate(over="ignore"):  # of the mean of several such losses
            J, D = core.losses_and_residuals((W @ Z.T)[np.newaxis], Y[np.newaxis])
        assert np.isfinite(D).all()
        assert (J >= 0).all()


@PROPERTY
@given(Z=logits_of_any_size(1.7e308))
@example(Z=[[1.7e308, -1.7e308, 0.0]])
def test_the_right_class_costs_nothing_however_large_the_logits(Z):
    """For every finite logit, up to the largest number: the loss of the most probable class is at most log(classes).

    It finds 0 times infinity where a logit that is not the label's overflows.
    """
    Z = np.array(Z).T
    Y = one_hot(Z.argmax(axis=0), len(Z)) if len(Z) > 2 else None
    assume(Y is not None)
    with np.errstate(over="ignore"):  # as it is around all training
        J, D = core.losses_and_residuals(Z[np.newaxis], Y[np.newaxis])
    assert np.isfinite(D).all()
    assert 0 <= J[0, 0, 0] <= math.log(len(Z)) * (1 + 1e-15)


@PROPERTY
@given(drawn=classified(most=20), hidden=st.sampled_from([(), (3,), (2, 2)]), backend=libraries, pixels=st.booleans())
def test_an_sample_is_predicted_alone_as_among_others(drawn, hidden, backend, pixels):
    """What else is asked for changes no prediction, and the probabilities are the textbook's.

    It finds an epilogue that mixes up rows at the end of a tile.
    """
    X, y = drawn
    X = np.clip(np.abs(X) * 90, 0, 255).astype(np.uint8) if pixels else X
    model = fastlr.train(X, y, layers=hidden, iterations=5, learning_rate=0.1, backend=backend).model
    together, alone = model.predict_proba(X), np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, together, rtol=1e-12, atol=1e-14)
    A = textbook_forward(model, X * model.scale)[0]
    np.testing.assert_allclose(together.T if len(A) > 1 else together.T[1:], A, rtol=1e-11, atol=1e-14)


def textbook_forward(model, X):
    """Return the textbook's probabilities `(outputs, m)`, and all that leads to them."""
    parameters = {
        f"{name}{i}": part for i, layer in enumerate(model.layers, 1) for name, part in zip("Wb", layer, strict=True)
    }
    forward = textbook.forward_prop(X.T, parameters)
    return forward[f"A{len(model.layers)}"], forward


@PROPERTY
@given(
    drawn=classified(magnitudes=(1e-6, 1.0, 30.0)),
    hidden=st.sampled_from([(), (3,), (2, 2)]),
    form=forms,
    backend=libraries,
    steps=st.integers(1, 12),
)
def test_the_recorded_cost_is_the_textbooks(drawn, hidden, form, backend, steps):
    """The cost before an update is the mean log-loss of the parameters that so many updates lead to, without l2.

    It finds a cost that is recorded a step late, and one with the l2 term in it.
    """
    X, y = drawn
    more = {"layers": hidden, "form": form, "backend": backend, "l2": 0.1, "learning_rate": 0.05}
    recorded = fastlr.train(X, y, iterations=steps + 1, record_every=1, **more).costs
    model = fastlr.train(X, y, iterations=steps, **more).model
    forward = textbook_forward(model, X)[1]
    assert len(recorded) == steps + 1
    assert recorded[-1] == pytest.approx(textbook.compute_cost(forward, one_hot(y, model.network.outputs)), rel=1e-9)


@PROPERTY
@given(
    drawn=classified(magnitudes=(1e-3, 1.0, 1000.0)),
    pair=st.sampled_from(PAIRS),
    C=st.sampled_from([1e-3, 1.0, 1e3]),
    intercept=st.booleans(),
    weighted=st.booleans(),
)
def test_the_objective_of_a_solver_never_rises(drawn, pair, C, intercept, weighted):
    """From one iteration to the next the objective falls, or stays up to rounding; its last value is the formula's.

    It finds a step that is taken whole where the line search should have shortened it.
    """
    (X, y), (solver, form, classes) = drawn, pair
    y = y % classes
    assume(len(np.unique(y)) == classes and is_determined(X, solver, form))
    weights = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else np.ones(len(y))
    fit = fitted(X, y, weights if weighted else None, solver=solver, form=form, C=C, fit_intercept=intercept)
    curve = np.array(fit.loss_curve_)
    assert (np.diff(curve) <= 2 * core.ROUNDING * np.abs(curve[:-1])).all()  # the line search lets one of these pass
    Z, Y = (X @ fit.coef_.T + fit.intercept_).T, one_hot(y, len(fit.coef_))
    losses = core.losses(Z, Y) if classes == 2 else core.softmax_losses(Z, Y)
    objective = ((weights * losses).sum() + (fit.coef_**2).sum() / (2 * C)) / weights.sum()
    # The Gram form's logits are sums of coefficients, up to C each, times K: what cancels there leaves its rounding.
    largest = C * np.square(X).sum(axis=1).max() if form == "gram" else 0.0
    # A loss close to 0 is log(1 + δ), where rounding 1 + δ leaves an error of up to one ulp of 1.
    assert curve[-1] == pytest.approx(objective, rel=1e-9, abs=np.finfo(float).eps + 1e-16 * largest)


def objective_of(model, X, y, l2):
    """Return the mean loss plus l2/2 ‖W‖² of a linear model, from its weights themselves."""
    Y = one_hot(y, model.network.outputs)
    return textbook.compute_cost(textbook_forward(model, X)[1], Y) + l2 / 2 * np.square(model.layers[0].W).sum()


THREE = np.array([[125.73022], [-132.10486], [640.42265]]), np.array([0, 1, 0])


ALIKE = np.full((4, 1), 1.5), np.array([0, 0, 1, 0])


@PROPERTY
@given(
    drawn=classified(magnitudes=(1.0, 1000.0)),
    pair=st.sampled_from([pair for pair in PAIRS if pair[1] == "gram"]),
    l2=st.sampled_from([0.01, 1.0, 100.0, 1e4]),
    tol=st.sampled_from([None, 1e-10]),
)
@example(drawn=THREE, pair=("lbfgs", "gram", 2), l2=1e4, tol=None)  # says that it converged, at a cost of 9065
@example(drawn=ALIKE, pair=("lbfgs", "gram", 2), l2=10.0, tol=1e-10)  # W of −6144 where 0 is the minimum
def test_a_solver_in_the_gram_form_ends_below_its_start_and_is_right_when_it_says_it_converged(drawn, pair, l2, tol):
    """With any number of samples that are alike: the objective is below that of W = 0, and converged means minimal.

    It finds a norm that is clipped to 0 where rounding has made its square negative.
    """
    (X, y), (solver, form, classes) = drawn, pair
    y = y % classes
    assume(len(np.unique(y)) == classes)
    with unconverged():
        run = fastlr.train(X, y, solver=solver, form=form, l2=l2, tol=tol, iterations=300)
        best = fastlr.train(X, y, solver="newton", form="primal", l2=l2, tol=1e-9, iterations=300)
    found, least = (objective_of(one.model, X, y, l2) for one in (run, best))
    assert found <= math.log(classes) * (1 + 1e-9)
    if run.converged:
        assert found <= least + 1e-3


@PROPERTY
@given(
    drawn=classified(magnitudes=(1e-3, 1.0, 100.0)),
    l2=st.sampled_from([0.01, 1.0, 100.0]),
    standardize=st.booleans(),
)
def test_the_solver_that_is_chosen_ends_at_the_minimum(drawn, l2, standardize):
    """Whatever the data: with "auto" for solver and form, the gradient that is left is no larger than tol.

    It finds a form that is chosen where its rounding is larger than what is asked for.
    """
    X, y = drawn
    run = fastlr.train(X, y, solver="auto", l2=l2, standardize=standardize, iterations=300, tol=1e-6)
    W = run.model.layers[0].W
    A, Y = run.model.predict_proba(X).T, one_hot(y, len(W))
    D = (A[1:] if len(W) == 1 else A) - Y
    rows, deviation = X, 1.0
    if standardize:
        mean, deviation = (part.ravel() for part in run.model.moments)
        rows = (X - mean) / deviation
    gradient = np.hstack([D @ rows / len(y) + l2 * W * deviation, D.mean(axis=1, keepdims=True)])
    assert run.converged
    assert np.linalg.norm(gradient) <= 1e-6 * 1.001  # and what rounding makes of the norm


@PROPERTY
@given(drawn=classified(), k=st.integers(1, 3), scale=st.sampled_from([0.1, 1.0]), seed=seeds)
def test_the_gradient_is_the_derivative_of_the_cost(drawn, k, scale, seed):
    """core.propagate's dW and db are what small changes of W and b make of J.

    It finds a mean over the wrong axis, or a scale that is missing from dW.
    """
    (X, y), rng = drawn, np.random.default_rng(seed)
    W, b, Y = numbers(rng, (k, X.shape[1])), numbers(rng, (k, 1)), (y % 2)[np.newaxis].astype(float)
    dW, db, _ = core.propagate(W, b, X.T, Y, scale)
    V, c, step = numbers(rng, W.shape), numbers(rng, b.shape), 1e-5
    up, down = (core.propagate(W + t * V, b + t * c, X.T, Y, scale)[2] for t in (step, -step))
    slope = (dW * V).sum(axis=1, keepdims=True) + db * c
    # The error is some tens of step² and 1e-16 / step.
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0, atol=1e-7)


@PROPERTY
@given(drawn=descents(), weighted=st.booleans(), seed=seeds)
def test_what_comes_back_through_a_network_is_the_derivative_of_the_cost(drawn, weighted, seed):
    """Network.backward is what small changes of the first logits and of the deeper layers make of the cost.

    It finds a ReLU whose derivative is taken at the layer above, or weights that count twice.
    """
    _, problem, state = started("numpy", "primal", drawn)
    rng, network = np.random.default_rng(seed), problem.network
    hidden = network.logits(state.Z, state.deeper)[:-1]
    step = 1e-6
    assume(all(np.abs(Z).min() > 1e-3 for Z in hidden))  # no unit is turned on or off on the way
    counts = rng.uniform(0, 2, (len(state.b), 1, state.Z.shape[-1])) if weighted else None
    D, gradients = network.backward(state.Z, state.deeper, problem.Y, counts)
    parts = [state.Z, *(part for layer in state.deeper for part in layer)]
    along = [numbers(rng, part.shape) for part in parts]
    along = [v / max(1.0, np.abs(v).max()) for v in along]

    def cost(t):
        Z, *deeper = (part + t * v for part, v in zip(parts, along, strict=True))
        layers = tuple(Layer(*deeper[i : i + 2]) for i in range(0, len(deeper), 2))
        return network.cost(Z, layers, problem.Y, counts)[:, 0, 0]

    derivatives = [D / D.shape[-1], *(part for layer in gradients for part in layer)]
    slope = sum((g * v).sum(axis=(1, 2)) for g, v in zip(derivatives, along, strict=True))
    # The error is some tens of step² and 1e-16 / step.
    np.testing.assert_allclose((cost(step) - cost(-step)) / (2 * step), slope, rtol=1e-6, atol=1e-8)

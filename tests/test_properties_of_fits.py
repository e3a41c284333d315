"""Properties of fits, sweeps, paths and folds, on samples that Hypothesis draws."""

import numpy as np
import pytest
from drawing import (
    FEWER,
    PAIRS,
    PROPERTY,
    classified,
    close,
    fitted,
    forms,
    is_determined,
    libraries,
    parameters_of,
    seeds,
    unconverged,
    weights_of,
)
from hypothesis import assume, example, given
from hypothesis import strategies as st

import fastlr
from fastlr.solvers import SOLVERS
from fastlr.training.splits import assign


def converged(X, y, **more):
    with unconverged():
        return fastlr.train(X, y, **{"solver": "auto", "tol": 1e-13, "iterations": 300, **more})


@PROPERTY
@given(
    drawn=classified(magnitudes=(1e-6, 1.0, 10.0)),
    counts=st.lists(st.integers(0, 3), min_size=14, max_size=14),
    C=st.sampled_from([0.01, 1.0, 100.0]),
    pair=st.sampled_from([("auto", "auto"), *PAIRS]),
    intercept=st.booleans(),
)
def test_a_weight_is_a_number_of_copies(drawn, counts, C, pair, intercept):
    """A sample of weight 2 counts as two, one of weight 0 as none.

    It finds a mean over all samples where one over those that count is meant, or an l2 of the wrong total.
    """
    X, y = drawn
    counts = np.array(counts[: len(y)])
    counts[np.unique(y, return_index=True)[1]] += 1  # no class is left out
    assume(len(pair) == 2 or (pair[2] == y.max() + 1 and is_determined(X, *pair[:2])))
    more = {"C": C, "fit_intercept": intercept}
    weighted = fitted(X, y, counts, solver=pair[0], form=pair[1], **more)
    copied = fitted(np.repeat(X, counts, axis=0), np.repeat(y, counts), **more)
    close(parameters_of(weighted), parameters_of(copied), 1e-6)


@PROPERTY
@given(
    drawn=classified(), C=st.sampled_from([0.01, 1.0, 100.0]), seed=seeds, solver=st.sampled_from([*SOLVERS, "auto"])
)
def test_the_order_of_samples_features_and_classes_is_of_no_account(drawn, C, seed, solver):
    """Samples may be permuted; coefficients go where their features and their classes go.

    It finds classes that are named in the order in which they first occur, or a sign that is the first class's.
    """
    (X, y), rng = drawn, np.random.default_rng(seed)
    m, n, count = *X.shape, y.max() + 1
    samples, features, names = rng.permutation(m), rng.permutation(n), rng.permutation(count)
    given_order = fitted(X, y, C=C, solver=solver)
    other = fitted(X[samples][:, features], np.array(list("dbca"))[:count][names[y]][samples], C=C, solver=solver)
    expected = np.hstack([given_order.coef_[:, features], given_order.intercept_[:, np.newaxis]])
    place = np.argsort(np.array(list("dbca"))[:count][names])  # which class has the first name, and so on
    reordered = expected[place] if count > 2 else expected * (1 if place[0] == 0 else -1)
    assert list(other.classes_) == sorted("dbca"[:count])
    close(parameters_of(other), reordered, 1e-6)


@PROPERTY
@given(
    drawn=classified(),
    pair=st.sampled_from(PAIRS),
    factor=st.sampled_from([1e-6, 0.1, 3.0, 1e6]),
)
def test_a_factor_of_the_data_divides_the_weights(drawn, pair, factor):
    """The minimum for c X with l2 c² is W / c, and b stays.

    It finds a tolerance or a ridge that is absolute where it must be relative to the data.
    """
    (X, y), (solver, form, classes) = drawn, pair
    y = y % classes
    assume(len(np.unique(y)) == classes and is_determined(X, solver, form))
    # lbfgs knows the objective's values alone, whose rounding hides W where its curvature is 1e-12 of the intercept's.
    assume(solver != "lbfgs" or 0.01 < factor < 100)
    plain = converged(X, y, solver=solver, form=form, l2=0.01).model
    # The gradient of the weights is c times as large, so that for a small c the tolerance is, too, smaller.
    more = {"tol": 1e-13 * min(1.0, factor)}
    scaled = converged(X * factor, y, solver=solver, form=form, l2=0.01 * factor**2, **more).model
    close(factor * scaled.layers[0].W, plain.layers[0].W, 1e-6, least=1e-3)
    close(scaled.layers[0].b, plain.layers[0].b, 1e-6, least=1.0)


@PROPERTY
@given(drawn=classified(most=20), factor=st.sampled_from([1e-3, 1 / 255, 0.5, 3.0]), form=forms, backend=libraries)
def test_scale_is_a_factor_of_the_data(drawn, factor, form, backend):
    """`scale=c` on X is no scale on c X: the same costs, weights and probabilities, for pixels and features.

    It finds a form that squares the factor where it must not, or a prediction that applies it twice.
    """
    X, y = drawn
    pixels = np.clip(np.abs(X) * 90, 0, 255).astype(np.uint8)
    for samples, size in ((X, 1.0), (pixels, 90.0)):
        rate = 0.1 / (1 + (factor * size) ** 2 * X.shape[1])
        more = {"learning_rate": rate, "iterations": 8, "record_every": 1, "form": form, "backend": backend}
        scaled = fastlr.train(samples, y, scale=factor, **more)
        plain = fastlr.train(samples.astype(float) * factor, y, **more)
        np.testing.assert_allclose(scaled.costs, plain.costs, rtol=1e-10)
        close(weights_of(scaled.model), weights_of(plain.model), 1e-9, least=1e-3 * rate)  # it may be rounding alone
        np.testing.assert_allclose(
            scaled.model.predict_proba(samples), plain.model.predict_proba(samples * factor), rtol=0, atol=1e-10
        )


@PROPERTY
@given(drawn=classified(), shift=st.sampled_from([0.1, 10.0, 1000.0]), pair=st.sampled_from(PAIRS), seed=seeds)
def test_a_shift_of_the_features_is_taken_up_by_the_intercept(drawn, shift, pair, seed):
    """Constants that are added to the features change no coefficient, and the intercept by −W shift.

    It finds an l2 on the intercept, or a Hessian without its row for the intercept.
    """
    (X, y), (solver, form, classes) = drawn, pair
    y = y % classes
    assume(len(np.unique(y)) == classes and is_determined(X, solver, form))
    by = shift * np.random.default_rng(seed).normal(size=X.shape[1])
    plain, shifted = (fitted(A, y, solver=solver, form=form) for A in (X, X + by))
    # A shift of 1000 multiplies the condition of the problem by 10⁶, and the rounding of the minimum with it.
    tolerance = 1e-7 * max(1.0, shift**2) / 10
    np.testing.assert_allclose(shifted.coef_, plain.coef_, rtol=0, atol=tolerance)
    moved = plain.intercept_ - plain.coef_ @ by
    np.testing.assert_allclose(shifted.intercept_, moved, rtol=0, atol=tolerance * max(1.0, shift))


@PROPERTY
@given(
    drawn=classified(), l2=st.sampled_from([0.0, 0.1]), hidden=st.sampled_from([(), (3,), (2, 2)]), backend=libraries
)
def test_both_forms_of_the_data_give_the_same_costs(drawn, l2, hidden, backend):
    """Gradient descent in the primal and in the Gram form records the same costs and ends at the same weights.

    It finds initial weights that l2 does not shrink in the Gram form.
    """
    X, y = drawn
    more = {"l2": l2, "layers": hidden, "learning_rate": 0.05, "iterations": 20, "record_every": 1, "backend": backend}
    primal, gram = (fastlr.train(X, y, form=form, **more) for form in ("primal", "gram"))
    np.testing.assert_allclose(gram.costs, primal.costs, rtol=1e-10)
    assert (gram.form, primal.form) == ("gram", "primal")
    close(weights_of(gram.model), weights_of(primal.model), 1e-9, least=1e-3)  # a gradient may be rounding alone


@PROPERTY
@given(drawn=classified(), l2=st.sampled_from([1e-3, 0.1, 10.0]), backend=libraries, standardize=st.booleans())
def test_every_solver_in_every_form_finds_the_same_minimum(drawn, l2, backend, standardize):
    """The objective has one minimum, whichever way leads there.

    It finds a solver that stops early, and a form whose gradient lacks a part.
    """
    X, y = drawn
    by_hand = X - X.mean(axis=0)
    found = [
        converged(X, y, solver=solver, form=form, l2=l2, backend=backend, standardize=standardize).model
        for solver, form, classes in PAIRS
        if classes == y.max() + 1 and is_determined(by_hand if standardize else X, solver, form)
    ]
    for model in found[1:]:
        close(weights_of(model), weights_of(found[0]), 1e-6, least=1e-3)


@FEWER
@given(
    drawn=classified(),
    rates=st.lists(st.sampled_from([0.01, 0.05, 0.2]), min_size=1, max_size=3, unique=True),
    l2=st.lists(st.sampled_from([0.0, 0.01, 0.3]), min_size=1, max_size=3, unique=True),
    hidden=st.sampled_from([(), (3,)]),
    batch_size=st.sampled_from([None, 1]),
)
def test_a_sweep_is_each_of_its_models_alone(drawn, rates, l2, hidden, batch_size):
    """Models that share one pass over the data end as they do when each is trained by itself.

    It finds runs that are handed back in another order than they were asked for.
    """
    X, y = drawn
    more = {"layers": hidden, "iterations": 11, "record_every": 4, "batch_size": batch_size}
    runs = fastlr.sweep(X, y, learning_rates=rates, l2=l2, **more)
    settings_of = [(rate, penalty) for rate in rates for penalty in l2]
    for run, (rate, penalty) in zip(runs, settings_of, strict=True):
        alone = fastlr.train(X, y, learning_rate=rate, l2=penalty, **more)
        assert (run.model.settings["learning_rate"], run.model.settings["l2"]) == (rate, penalty)
        assert run.recorded_at == alone.recorded_at == [0, 4, 8]
        np.testing.assert_allclose(run.costs, alone.costs, rtol=1e-10)
        close(weights_of(run.model), weights_of(alone.model), 1e-9, least=1e-3)  # a gradient may be rounding alone


@FEWER
@given(
    drawn=classified(),
    l2=st.lists(st.sampled_from([1e-3, 0.01, 0.1, 1.0, 10.0]), min_size=1, max_size=5, unique=True),
    solver=st.sampled_from([*SOLVERS, "auto"]),
)
def test_a_path_is_each_of_its_models_alone(drawn, l2, solver):
    """A fit that starts from its neighbour's minimum ends at the same minimum, in the order that was asked for.

    It finds runs sorted by l2, and a start that takes the neighbour's weights for its own without a step.
    """
    X, y = drawn
    with unconverged():
        path = fastlr.path(X, y, l2=l2, folds=None, solver=solver, tol=1e-13)
    assert path.l2.tolist() == l2
    for run, penalty in zip(path.runs, l2, strict=True):
        close(weights_of(run.model), weights_of(converged(X, y, l2=penalty).model), 1e-6)


@FEWER
@given(
    drawn=classified(),
    folds=st.lists(st.integers(-1, 2), min_size=14, max_size=14),
    Cs=st.lists(st.sampled_from([0.01, 1.0, 100.0]), min_size=1, max_size=3, unique=True),
    form=st.sampled_from(["auto", "primal"]),
    weighted=st.booleans(),
    seed=seeds,
)
def test_a_model_without_a_fold_is_one_of_the_other_samples(drawn, folds, Cs, form, weighted, seed):
    """Cross-validation's coefficients for a fold are those of a fit to the samples outside it alone.

    It finds an l2 that is divided by the number of all samples, and a left-out sample that still counts.
    """
    (X, y), fold = drawn, np.array(folds[: len(drawn[1])])
    fold[np.unique(y, return_index=True)[1]] = -1  # these are in every training part
    assume((fold >= 0).any())
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(y)) if weighted else None
    splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in np.unique(fold[fold >= 0])]
    searched = fastlr.LogisticRegressionCV(Cs=Cs, cv=splits, tol=1e-13, max_iter=300, form=form)
    with unconverged():
        searched.fit(X, y, weights)
    for part, coefficients, scores in zip(splits, searched.coefs_paths_[:, 0], searched.scores_[:, 0], strict=True):
        train, test = part
        for C, found, score in zip(Cs, coefficients, scores, strict=True):
            own = None if weights is None else weights[train]
            alone = fitted(X[train], y[train], own, C=C)
            close(found, parameters_of(alone), 1e-6)
            logits = np.sort(np.atleast_2d(alone.decision_function(X[test]).T), axis=0)
            margins = np.abs(logits[-1] - (logits[-2] if len(logits) > 1 else 0))
            if margins.min() > 1e-6:  # else rounding decides
                assert score == pytest.approx(alone.score(X[test], y[test], None if own is None else weights[test]))
    best = fitted(X, y, weights, C=searched.C_)
    close(parameters_of(searched), parameters_of(best), 1e-6)


@FEWER
@given(drawn=classified(classes=(2, 2)), more=st.lists(st.integers(0, 13), min_size=1, max_size=9))
@example(drawn=(np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 0])), more=[0])
def test_an_sample_that_a_split_names_twice_counts_twice(drawn, more):
    """A split may draw with replacement, as bootstraps do: the fit is that to X[train], as scikit-learn's is.

    It finds a set of indices where their number was meant.
    """
    X, y = drawn
    train = np.concatenate([np.unique(y, return_index=True)[1], np.array(more) % len(y)])
    with unconverged():
        searched = fastlr.LogisticRegressionCV(Cs=[1.0], cv=[(train, np.arange(len(y)))], tol=1e-13).fit(X, y)
    close(searched.coefs_paths_[0, 0, 0], parameters_of(fitted(X[train], y[train], C=1.0)), 1e-6)


@FEWER
@given(drawn=classified(quirks=["none"], classes=(2, 3)), hidden=st.sampled_from([(), (3,)]), seed=st.integers(0, 50))
def test_the_accuracy_of_a_fold_is_that_of_a_model_that_never_saw_it(drawn, hidden, seed):
    """A sweep's fold accuracies are those of gradient descent on the other samples alone.

    It finds a fold that is tested on the samples that it was trained on.
    """
    X, y = drawn
    smallest = int(np.bincount(y).min())
    assume(smallest >= 2)
    more = {"iterations": 9, "learning_rate": 0.1, "layers": hidden, "seed": seed}
    (run,) = fastlr.sweep(X, y, learning_rates=[0.1], folds=2, **{k: more[k] for k in more if k != "learning_rate"})
    fold = assign(y, 2, seed)
    assert len(run.fold_accuracies) == 2
    for i, accuracy in enumerate(run.fold_accuracies):
        alone = fastlr.train(X[fold != i], y[fold != i], **more).model
        ranked = np.sort(alone.predict_proba(X[fold == i]), axis=1)
        assume((ranked[:, -1] - ranked[:, -2]).min() > 1e-9)  # else rounding decides
        assert accuracy == pytest.approx(100 * np.mean(alone.predict(X[fold == i]) == y[fold == i]))

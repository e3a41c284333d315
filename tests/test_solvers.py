"""Solvers that converge: the derivatives they rest on, where they end, and what they say on the way."""

import warnings
from typing import ClassVar

import array_api_strict
import numpy as np
import pytest
from conftest import every_backend
from sklearn.datasets import make_low_rank_matrix
from sklearn.linear_model import LogisticRegression

import fastlr
from fastlr import core
from fastlr.backends import choose_backend
from fastlr.backends.record import loop
from fastlr.objectives import FORMS, preconditioner
from fastlr.objectives.choose import Size, choose_solver_and_form
from fastlr.objectives.network import Network, one_hot
from fastlr.objectives.protocol import Evaluation, Vector, plus
from fastlr.objectives.resident import Resident
from fastlr.solvers import SOLVERS
from fastlr.solvers.iterate import Iterate
from fastlr.solvers.line_search import arrived, search

pytestmark = pytest.mark.broad


class Host:
    """The part of a backend that solvers use, with no kernels."""

    kernels: ClassVar[dict] = {}
    ahead = 1
    repeat = staticmethod(loop)


def classified(m, n, classes, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(m, n)) * rng.uniform(0.3, 2, n) + rng.normal(size=n)
    scores = X @ rng.normal(size=(n, classes)) / np.sqrt(n) + rng.gumbel(size=(m, classes))
    return X, scores.argmax(axis=1)


def problem_of(form, X, y, l2=0.01, weights=None, intercept=True, W=None, xp=np, moments=None):
    outputs = 1 if y.max() == 1 else y.max() + 1
    W = np.zeros((np.size(l2), outputs, X.shape[1])) if W is None else W
    space = FORMS[form].of(xp.asarray(X).T, xp.asarray(W), moments=moments)
    Y = xp.asarray(one_hot(y, outputs)[np.newaxis])
    penalties = xp.asarray(np.reshape(np.asarray(l2, dtype=float), (-1, 1, 1)))
    weights = None if weights is None else xp.asarray(weights)
    return Resident(space, Y, penalties, penalties, Network((), outputs, intercept), counts=weights)


def minimum(solver, problem, tol=1e-9, iterations=300, xp=np):
    """Return the iterate at which a solver ends, and the objectives on the way."""
    problem, module = problem.prepared(problem.l2.shape[0]), SOLVERS[solver]
    k, outputs = problem.l2.shape[0], problem.network.outputs
    iterate, objectives = module.start(problem, xp.zeros((k, outputs, 1), dtype=xp.float64)), []
    for _ in range(iterations):
        objectives.append(np.from_dlpack(iterate.at.objective).ravel())
        if bool(xp.all((iterate.at.norm <= tol) | (iterate.stalled > 2))):
            return iterate, np.array(objectives)
        iterate = module.step(Host, problem, iterate)
    raise AssertionError(f"the gradient's norm is {iterate.at.norm} after {iterations} iterations")


def combinations():
    return [
        (solver, form, classes)
        for solver in SOLVERS
        for form in FORMS
        for classes in (2, 3)
        if SOLVERS[solver].why_not(form, 1 if classes == 2 else classes) is None
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_adjoint_and_the_inner_product_are_those_of_the_weights(form):
    rng = np.random.default_rng(0)
    X, y = classified(9, 14, 3)
    W = rng.normal(size=(2, 3, 14))
    space = problem_of(form, X, y, l2=[0.1, 0.1], W=W).form
    D = rng.normal(size=(2, 3, 9))
    u, v = (space.gradient(rng.normal(size=(2, 3, 9))) + t * space.origin() for t in (0.3, -0.7))
    np.testing.assert_allclose((space.logits(u, 0.0) * D).sum(-1) / 9, (space.weights(u) * (D @ X / 9)).sum(-1))
    np.testing.assert_allclose(space.weights(space.gradient(D)), D @ X / 9, rtol=1e-12)
    b = rng.normal(size=(2, 3, 1))
    dots = space.dot(u, Vector(v, b, space.logits(v, b)))
    np.testing.assert_allclose(dots[..., 0], (space.weights(u) * space.weights(v)).sum(-1), rtol=1e-11)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_gradient_and_curvature_are_the_differences_of_the_objective(form, weighted, classes):
    rng = np.random.default_rng(1)
    X, y = classified(11, 5, classes)
    weights = rng.uniform(0, 2, (1, 1, 11)) if weighted else None
    problem = problem_of(form, X, y, weights=weights)
    outputs = problem.network.outputs
    place, way = (
        (problem.form.gradient(rng.normal(size=(1, outputs, 11)) * 5), rng.normal(size=(1, outputs, 1))) for _ in "12"
    )

    def at(t):
        return problem.evaluate(plus(point, t, direction))

    step = 1e-5
    point, direction = (problem.complete(Vector(*vector)) for vector in (place, way))
    here, before, after = at(0.0), at(-step), at(step)
    slope = (after.objective - before.objective) / (2 * step)
    np.testing.assert_allclose(problem.inner(here.gradient, direction), slope, rtol=1e-7)
    line = problem.along(here, direction)
    np.testing.assert_allclose(line.slope, slope, rtol=1e-7)
    np.testing.assert_allclose(line.at(0 * here.cost + step)[0], after.objective, rtol=1e-12)
    np.testing.assert_allclose(line.arrive(after.objective).gradient.W, after.gradient.W, rtol=1e-9, atol=1e-12)
    product = problem.product(problem.curved(here), direction)
    for got, high, low in zip(product[:2], after.gradient, before.gradient, strict=False):
        np.testing.assert_allclose(got, (high - low) / (2 * step), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(here.cost, problem.network.cost(point.Z, (), problem.Y, weights), rtol=1e-13)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("solver", "form", "classes"), combinations())
def test_every_solver_ends_where_scikit_learn_does(solver, form, classes, weighted, intercept):
    X, y = classified(60, 25, classes)
    weights = np.random.default_rng(2).uniform(0, 2, 60) * (np.arange(60) % 7 > 0) if weighted else np.ones(60)
    l2 = 0.02
    peer = LogisticRegression(C=1 / (l2 * weights.sum()), solver="newton-cholesky", tol=1e-12, fit_intercept=intercept)
    peer.fit(X, y, weights)
    counted = (weights / weights.mean()).reshape(1, 1, -1) if weighted else None
    problem = problem_of(form, X, y, l2, counted, intercept)
    iterate, objectives = minimum(solver, problem)
    np.testing.assert_allclose(problem.form.weights(iterate.at.x.W)[0], peer.coef_, rtol=1e-6, atol=1e-7)
    b, theirs = iterate.at.x.b[0, :, 0], peer.intercept_
    if classes > 2:  # all may be shifted alike
        b, theirs = b - b.mean(), theirs - theirs.mean()
    np.testing.assert_allclose(b, theirs, atol=1e-6)
    assert (np.diff(objectives[:, 0]) <= 1e-14).all(), "the objective rose"
    assert intercept or (iterate.at.x.b == 0).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
def test_both_forms_take_the_same_steps(solver, classes, monkeypatch):
    """The Gram form's geometry is the primal form's, where neither knows the spectrum."""
    monkeypatch.setattr(preconditioner, "PASSES", 0)
    X, y = classified(20, 40, classes)
    primal, gram = (minimum(solver, problem_of(form, X, y), tol=1e-7)[1] for form in FORMS)
    np.testing.assert_allclose(gram[:6], primal[:6], rtol=1e-9)
    np.testing.assert_allclose(gram[-1], primal[-1], rtol=1e-12)


@pytest.mark.parametrize(("solver", "form", "classes"), combinations())
def test_models_side_by_side_end_where_each_does_alone(solver, form, classes):
    X, y = classified(40, 12, classes)
    l2 = [1e-3, 0.1, 10.0]
    together, _ = minimum(solver, problem_of(form, X, y, l2), tol=1e-8)
    for i, penalty in enumerate(l2):
        alone, _ = minimum(solver, problem_of(form, X, y, penalty), tol=1e-8)
        np.testing.assert_allclose(together.at.x.Z[i], alone.at.x.Z[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(together.at.objective[i], alone.at.objective[0], rtol=1e-12)


@pytest.mark.parametrize(("solver", "form", "classes"), combinations())
def test_initial_weights_do_not_move_the_minimum(solver, form, classes):
    X, y = classified(40, 12, classes)
    cold = problem_of(form, X, y)
    start = np.random.default_rng(5).normal(size=cold.form.W.shape)
    warm = problem_of(form, X, y, W=start - start.mean(axis=1, keepdims=True) * (classes > 2))
    ends = [problem.form.weights(minimum(solver, problem)[0].at.x.W) for problem in (cold, warm)]
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_steps_done_ahead_change_nothing(form, monkeypatch):
    X, y = classified(40, 12, 3)
    alone = minimum("newton-cg", problem_of(form, X, y, [1e-3, 1.0]))[1]
    monkeypatch.setattr(Host, "ahead", 4)
    ahead = minimum("newton-cg", problem_of(form, X, y, [1e-3, 1.0]))[1]
    np.testing.assert_allclose(ahead, alone, rtol=1e-12)


@pytest.mark.parametrize(("solver", "form", "classes"), combinations())
def test_solvers_keep_to_the_standard(solver, form, classes):
    X, y = classified(25, 8, classes)
    ends = [minimum(solver, problem_of(form, X, y, xp=xp), xp=xp)[0] for xp in (np, array_api_strict)]
    np.testing.assert_allclose(np.from_dlpack(ends[1].at.x.Z), ends[0].at.x.Z, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", every_backend())
def test_every_backend_ends_at_the_same_weights(name, dtype, solver, form):
    X, y = classified(30, 20, 2)
    X = X.astype(dtype)
    tol = {"float64": 1e-10, "float32": 1e-4}[dtype]
    run = fastlr.train(X, y, solver=solver, form=form, l2=0.05, tol=tol, backend=name, dtype=dtype)
    plain = fastlr.train(X, y, solver="newton", form="primal", l2=0.05, tol=1e-12, backend="numpy", dtype="float64")
    close = {"float64": 1e-7, "float32": 1e-3}[dtype]
    ours, theirs = run.model.layers[0], plain.model.layers[0]
    assert np.abs(ours.W - theirs.W).max() <= close * np.abs(theirs.W).max()
    assert np.abs(ours.b - theirs.b).max() <= close
    assert run.converged
    assert run.solver == solver
    assert ours.W.dtype == dtype
    assert len(run.costs) == len(run.recorded_at) == run.recorded_at[-1] + 1


@pytest.mark.parametrize("classes", [2, 3])
def test_standardized_features(classes):
    X, y = classified(50, 10, classes)
    moved = X * np.logspace(-3, 3, 10) + 5
    scaled = (moved - moved.mean(axis=0)) / moved.std(axis=0)
    peer = LogisticRegression(C=1 / (0.01 * 50), solver="newton-cholesky", tol=1e-12).fit(scaled, y)
    for solver, form, count in combinations():
        if count == classes:
            run = fastlr.train(moved, y, solver=solver, form=form, l2=0.01, standardize=True, tol=1e-9)
            np.testing.assert_allclose(run.model.predict_proba(moved), peer.predict_proba(scaled), atol=1e-7)


def test_pixels_are_read_as_they_are():
    rng = np.random.default_rng(0)
    pixels, y = rng.integers(0, 256, (50, 6, 6, 3), dtype=np.uint8), rng.integers(0, 2, 50)
    for solver in SOLVERS:
        for form in FORMS:
            run = fastlr.train(pixels, y, solver=solver, form=form, l2=0.02, tol=1e-9)
            peer = LogisticRegression(C=1 / (0.02 * 50), tol=1e-12, solver="newton-cholesky")
            peer.fit(pixels.reshape(50, -1) / 255, y)
            np.testing.assert_allclose(run.model.layers[0].W, peer.coef_, rtol=1e-5, atol=1e-7)


def test_folds_are_left_out():
    X, y = classified(60, 8, 2)
    runs = fastlr.sweep(X, y, l2=[0.01, 1.0], folds=3, solver="auto", tol=1e-9)
    assert [run.converged for run in runs] == [True, True]
    assert all(len(run.fold_accuracies) == 3 for run in runs)
    long = fastlr.sweep(X, y, l2=[0.01, 1.0], folds=3, learning_rates=[0.3], iterations=20000)
    assert [run.fold_accuracies for run in runs] == [run.fold_accuracies for run in long]
    for one, other in zip(runs, long, strict=True):
        np.testing.assert_allclose(one.model.layers[0].W, other.model.layers[0].W, rtol=1e-5, atol=1e-6)


def test_separable_classes_without_l2_are_said():
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    for solver in SOLVERS:
        run = fastlr.train(X, [0, 0, 1, 1], solver=solver)
        assert run.notes[0].startswith("the classes are separable and l2 is 0"), solver
        assert run.form == "primal"
    three = fastlr.train(np.eye(3), [0, 1, 2], solver="newton-cg")
    assert three.notes[0].startswith("the classes are separable and l2 is 0")
    assert fastlr.train(X, [0, 0, 1, 1], solver="newton", l2=0.1).notes == ()
    assert fastlr.train(X, [0, 1, 0, 1], solver="newton").notes == ()


@pytest.mark.parametrize("form", FORMS)
def test_features_that_say_the_same_have_a_minimum_all_the_same(form):
    X, y = classified(40, 4, 2)
    twice = np.concatenate([X, X, X[:, :1] + X[:, 1:2]], axis=1)
    for l2 in (0.0, 1e-9) if form == "primal" else (1e-9,):
        plain = fastlr.train(X, y, solver="newton", form="primal", l2=0, tol=1e-10)
        for solver in SOLVERS:
            run = fastlr.train(twice, y, solver=solver, form=form, l2=l2, tol=1e-8)
            np.testing.assert_allclose(run.costs[-1], plain.costs[-1], rtol=1e-7)
            constant = fastlr.train(0 * X, y, solver=solver, form=form, l2=l2, tol=1e-8)
            np.testing.assert_allclose(constant.costs[-1], -np.mean(np.log(np.where(y, y.mean(), 1 - y.mean()))))


def test_what_did_not_converge_says_how_far_it_came():
    X, y = classified(50, 10, 2)
    with pytest.warns(fastlr.ConvergenceWarning, match=r"not converged after 2 iterations: the gradient's norm is "):
        run = fastlr.train(X, y, solver="lbfgs", iterations=2)
    assert run.converged is False
    assert run.warning is None
    assert run.recorded_at == [0, 1, 2]
    with pytest.warns(fastlr.ConvergenceWarning, match=r"the rounding of the dtype ends it: .* take a larger tol"):
        fastlr.train(X.astype(np.float32), y, solver="newton-cg", l2=0.1, tol=1e-12, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastlr.train(X, y, solver="lbfgs", iterations=200)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "sgd"}, "solver: 'sgd' is not known; choose gd, newton, "),
        ({"solver": "newton", "layers": (3,)}, "solver: 'newton' is not for hidden layers; leave it out, or take 'gd'"),
        ({"solver": "lbfgs", "batch_size": 5}, "solver: 'lbfgs' is not for mini-batches"),
        ({"solver": "lbfgs", "optimizer": "adam"}, "solver: 'lbfgs' is not for the optimizer adam"),
        ({"tol": 1e-4}, "tol: 0.0001, but 'gd' always makes all its iterations; take another solver"),
        ({"solver": "newton", "tol": -1}, "tol: -1; a positive number is needed"),
        ({"solver": "lbfgs", "form": "gram"}, "solver: without l2 the Gram form does not determine its coefficients"),
        ({"solver": "newton", "form": "gram", "l2": 1}, "solver: newton has no Gram form for more than two classes"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    X, y = classified(20, 3, 3)
    with pytest.raises(fastlr.InputError) as raised:
        fastlr.train(X, y, **settings)
    assert str(raised.value).startswith(message)


def test_auto_follows_descent_where_nothing_else_can():
    X, y = classified(20, 3, 2)
    assert fastlr.train(X, y, solver="auto", layers=(3,), iterations=2, seed=3).solver == "gd"
    assert fastlr.train(X, y, solver="auto").solver == "newton"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Size(12288, 209, 1, 1), ("newton", "gram")),
        (Size(12288, 1500, 1, 1), ("newton-cg", "gram")),
        (Size(3072, 1900, 1, 1), ("newton-cg", "gram")),
        (Size(12288, 209, 40, 1), ("newton", "gram")),
        (Size(768, 5000, 40, 1), ("newton-cg", "primal")),
        (Size(30, 569, 1, 1), ("newton", "primal")),
        (Size(512, 50_000, 1, 10), ("newton-cg", "primal")),
        (Size(784, 60_000, 1, 1), ("newton-cg", "primal")),
        (Size(30_000, 100_000, 1, 1), ("newton-cg", "primal")),
        # Compiled whole, as measured: iris and breast cancer alike by both, digits 3 and 8 and 2000 × 50 by half.
        (Size(4, 150, 1, 3, compiled=("newton", "lbfgs")), ("newton", "primal")),
        (Size(30, 569, 1, 1, compiled=("newton", "lbfgs")), ("newton", "primal")),
        (Size(64, 357, 1, 1, compiled=("newton", "lbfgs")), ("lbfgs", "primal")),
        (Size(50, 2000, 1, 1, compiled=("newton", "lbfgs")), ("lbfgs", "primal")),
    ],
)
def test_the_choice_is_by_counted_work(shape, expected):
    assert choose_solver_and_form("auto", "auto", shape, choose_backend("numba").costs) == expected


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("streamed", [False, True])
def test_rounding_does_not_shift_all_intercepts_alike(solver, backend, streamed, monkeypatch):
    """Where all is rounding, newton-cg took steps of 1e7 that the loss does not see."""
    if streamed and solver == "newton":
        solver = "auto"
    monkeypatch.setenv("FASTLR_MEMORY", "1000" if streamed else "1G")
    X, y = np.zeros((3, 1)), np.array([2, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastlr.ConvergenceWarning)
        run = fastlr.train(X, y, solver=solver, form="primal", l2=1e-14, tol=1e-19, iterations=300, backend=backend)
    np.testing.assert_allclose(run.model.layers[0].b, 0, atol=1e-12)


@pytest.mark.parametrize("n", [120, 200])
@pytest.mark.parametrize("l2", [1e-4, 1e-2])
def test_features_of_many_scales_with_as_many_samples(n, l2):
    """Products with the second derivatives do not suffice: newton-cg was not done after 1000 iterations."""
    deviation = 10.0 ** np.random.default_rng(0).uniform(-4, 4, 200)
    samples = (make_low_rank_matrix(200, 200, effective_rank=40, random_state=0) * 10 * deviation)[:, :n]
    labels = (samples[:, np.abs(samples).max(0).argsort()[n // 4]] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fastlr.train(samples, labels, solver="auto", l2=l2, iterations=1000)
    exact = fastlr.train(samples, labels, solver="newton", l2=l2, tol=1e-6)
    assert found.costs[-1] == pytest.approx(exact.costs[-1], rel=1e-3)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_steep_features_in_float32_reach_the_minimum_of_float64(solver):
    """Variances from 1 to 2e-6, which float32 still tells from nothing, and an l2 that is too small to matter."""
    rng = np.random.default_rng(0)
    deviation = np.geomspace(1, 1.4e-3, 64)
    turn, _ = np.linalg.qr(rng.normal(size=(64, 64)))
    plain = rng.normal(size=(20_000, 64)) * deviation
    weights = rng.normal(size=(64, 10)) / deviation[:, None] / 8
    y = (plain @ weights + rng.gumbel(size=(20_000, 10))).argmax(axis=1)
    X = (plain @ turn).astype(np.float32)
    more = {"solver": solver, "l2": 1e-9, "form": "primal"}
    single = fastlr.train(X, y, dtype="float32", tol=1e-3, **more)
    double = fastlr.train(X.astype(float), y, tol=1e-6, **more)
    assert single.costs[-1] == pytest.approx(double.costs[-1], rel=2e-5)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize(
    ("weigh", "most"),
    [(lambda i: i % 2, 60), (lambda i: i % 8 > 0, 60), (lambda i: i % 9 > 0, 60), (lambda i: i < 40, 250)],
)
def test_weights_that_repeat_do_not_hide_the_curvature(weigh, most, backend, monkeypatch):
    """Of blocks, some samples alone are looked at for it: folds i % 2 left out all of them, and L-BFGS ended early."""
    monkeypatch.setenv("FASTLR_MEMORY", "1")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 40))
    y = (0.5 * X @ rng.normal(size=(40, 6)) + rng.gumbel(size=(3000, 6))).argmax(axis=1)
    X = X * np.geomspace(0.01, 10, 40)
    more = {"l2": 1e-4, "tol": 1e-5, "form": "primal", "backend": backend}
    weights = weigh(np.arange(3000)).astype(float)
    runs = [fastlr.train(X, y, solver=solver, sample_weight=weights, **more) for solver in ("newton-cg", "lbfgs")]
    exact, found = (run.costs[-1] + 1e-4 / 2 * (run.model.layers[0].W ** 2).sum() for run in runs)
    assert found == pytest.approx(exact, rel=1e-5)
    assert runs[1].converged
    assert len(runs[1].costs) < most


def test_an_eigenvalue_that_rounding_hides_is_negative():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5000, 20)).astype(np.float32) * np.float32(0.01)
    X = np.concatenate([A, A, 1 + rng.normal(size=(5000, 1)).astype(np.float32)], axis=1)  # 20 directions have nothing
    mean = X.mean(axis=0, keepdims=True)
    for centred in (False, True):
        _, eigenvalues = preconditioner.eigen(X.T @ X / np.float32(5000), mean, np.ones((1, 1)), None, centred)
        np.testing.assert_array_equal(eigenvalues < 0, np.arange(41) < 20)
        one = np.ones((1, 1, 1), np.float32)
        for l2, hidden in ((0, eigenvalues[-1]), (1, 1)):  # the largest stands for them without l2, else l2 alone
            found = preconditioner.curvatures(eigenvalues, one, one * np.float32(l2))[0, 0]
            np.testing.assert_allclose(found[:20], hidden, rtol=1e-4)
            np.testing.assert_allclose(found[20:], eigenvalues[20:] + l2, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("mean", [100, 1000])
def test_compiled_newton_is_as_exact_in_float32_as_its_features(mean, classes):
    """Its sums are float64: a ridge of float32's rounding made 26 to 159 steps of 6, and stopped above the minimum."""
    X, y = classified(500, 10, classes)
    X = (mean + 0.1 * X).astype(np.float32)
    run = fastlr.train(X, y, solver="newton", form="primal", l2=1e-4, dtype="float32", backend="numba")
    assert run.converged
    assert len(run.costs) <= 8
    centred = X.astype(float) - X.astype(float).mean(axis=0)  # which the free intercept makes the same problem
    exact = fastlr.train(centred, y, solver="newton", form="primal", l2=1e-4, tol=1e-10)
    f, best = (one.costs[-1] + 1e-4 / 2 * (one.model.layers[0].W.astype(float) ** 2).sum() for one in (run, exact))
    assert f == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("scale", [10, 100, 1000])
@pytest.mark.parametrize("classes", [2, 3])
def test_lbfgs_starts_on_features_that_are_not_scaled(scale, classes, backend):
    """Its first direction is far too long: the line search came back by a tenth each time, and not far enough."""
    X, y = classified(40, 400, classes)
    given = {"l2": 1 / 40, "form": "primal", "backend": backend}
    run = fastlr.train(scale * X, y, solver="lbfgs", **given)
    exact = fastlr.train(scale * X, y, solver="newton-cg", **given)
    assert run.converged
    assert run.costs[-1] == pytest.approx(exact.costs[-1], abs=1e-5)


class Drawn:
    """A line φ on which steps are to be found; it counts the trials."""

    def __init__(self, phi, slope):
        self.phi, self.of, self.slope, self.trials = phi, slope, np.reshape(slope(0.0), (1, 1, 1)), 0

    def along(self, at, d):
        return self

    def at(self, t):
        self.trials, self.t = self.trials + 1, float(t[0, 0, 0])
        return np.reshape(self.phi(self.t), (1, 1, 1)), np.reshape(self.of(self.t), (1, 1, 1))

    def arrive(self, f):
        nothing = Vector(f, f)
        return Evaluation(nothing, f, f, nothing, f)


@pytest.mark.parametrize("right", [0.05, 1.0])
@pytest.mark.parametrize("corner", [1e-9, 1e-4, 0.03, 0.5, 1.0, 7.0, 3e4])
def test_the_line_search_finds_where_a_line_turns(corner, right):
    """φ falls as a line and rises as another, as a loss does whose features are large."""
    wide = corner / 20  # of the turn
    line = Drawn(
        lambda t: -t + (1 + right) * wide * np.logaddexp(0, (t - corner) / wide),
        lambda t: -1 + (1 + right) * np.exp(-np.logaddexp(0, -(t - corner) / wide)),
    )
    zero = np.zeros((1, 1, 1))
    begun = Evaluation(Vector(zero, zero), zero, zero + line.phi(0.0), Vector(zero, zero), zero)
    found = search(line, Iterate(begun, zero, zero, begun.objective), Vector(zero, zero))
    assert found.at.objective < begun.objective
    assert abs(line.of(line.t)) <= 0.9
    assert line.trials <= 15


@pytest.mark.parametrize("every", [2, 6, 8, 13])
def test_samples_that_stand_for_all_follow_no_period(every):
    indices = preconditioner.some_of(100_000, every)
    np.testing.assert_array_equal(indices // every, np.arange(len(indices)))  # one of each
    assert indices[-1] < 100_000
    for period in range(2, 65):
        share = np.bincount(indices % period, minlength=period) * period / len(indices)
        assert share.min() > 0.5, period
    np.testing.assert_array_equal(preconditioner.some_of(7, 1), np.arange(7))
    assert len(preconditioner.some_of(0, every)) == 0


def iterations_of(X, y, weights, solver, **more):
    given = {"form": "primal", "solver": solver, "l2": 1e-4, "iterations": 300} | more
    run = fastlr.train(X, y, sample_weight=weights, **given)
    return len(run.costs) - 1, run.costs[-1]


@pytest.mark.parametrize("memory", [None, "1"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_samples_that_do_not_count_are_not_in_the_covariance(solver, backend, memory, monkeypatch):
    if memory:
        monkeypatch.setenv("FASTLR_MEMORY", memory)
    X, y = classified(2000, 30, 5)
    X = X * np.geomspace(0.1, 10, 30)
    far = np.random.default_rng(0).normal(size=(200, 30)) * 1e3 * (np.arange(30) < 15)
    weights = np.repeat([1.0, 0.0], [2000, 200])
    alone, cost = iterations_of(X, y, None, solver, backend=backend)
    beside, same = iterations_of(np.concatenate([X, far]), np.append(y, y[:200]), weights, solver, backend=backend)
    assert beside <= 1.5 * alone
    assert same == pytest.approx(cost, rel=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_the_covariance_is_not_taken_from_rows_that_repeat(solver, monkeypatch):
    """Each sixth row says nothing, and one of each six is looked at."""
    monkeypatch.setattr(preconditioner, "every", lambda n, m, units: 6)
    X, y = classified(3000, 40, 3)
    X = X * np.geomspace(0.01, 1, 40)
    X[::6] = 1.0
    mixed = np.random.default_rng(0).permutation(3000)
    in_order, cost = iterations_of(X, y, None, solver, backend="numpy", l2=1e-5)
    shuffled, same = iterations_of(X[mixed], y[mixed], None, solver, backend="numpy", l2=1e-5)
    assert in_order <= 1.5 * shuffled
    assert cost == pytest.approx(same, rel=1e-4)


@pytest.mark.parametrize("few", [0, preconditioner.FEW])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_little_weight_on_what_is_looked_at_is_not_little_curvature(backend, few, monkeypatch):
    """It was taken for it: a first step a million times too long, after which the gradient was 0."""
    monkeypatch.setenv("FASTLR_MEMORY", "1")
    monkeypatch.setattr(preconditioner, "FEW", few)
    X, y = np.random.default_rng(0).normal(size=(400, 2)), np.zeros(400, int)
    y[-17:] = np.arange(17) % 4 + 1
    weights = np.full(400, 1e-6)
    weights[[1, 2, 3, 5, 6]] = 1  # none of which is looked at
    assert not set(preconditioner.some_of(400, 8)) & {1, 2, 3, 5, 6}
    given = {"backend": backend, "l2": 0.01, "tol": 1e-7, "iterations": 400}
    (_, exact), (steps, found) = (iterations_of(X, y, weights, solver, **given) for solver in ("newton-cg", "lbfgs"))
    assert found == pytest.approx(exact, rel=1e-2)
    assert steps < 100


def test_where_rounding_hides_all_directions_the_curvature_is_positive():
    found = preconditioner.curvatures(np.full(3, -1e-9), np.ones((1, 1, 1)), np.zeros((1, 1, 1)))
    assert (found > 0).all()


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("m", [300, 20_000])  # of 20,000 a part is looked at for the covariance
def test_scales_that_differ_end_at_the_minimum_in_float32(m, unseen, solver, backend):
    """Eigenvectors in float32 mixed features of 10⁻³ and 10³, and fits ended up to 35 % above the minimum."""
    rng = np.random.default_rng(0)
    X, y = classified(m, 20, 3)
    X = (X * 10 ** rng.uniform(-3, 3, 20)).astype(np.float32)
    if unseen:  # features of one value, or seen in few samples: their variance is of the rounding's size
        rare = X[:, :3] * (np.arange(m) % (m // 5) == 1)[:, None]
        X = np.concatenate([X, rare, np.zeros((m, 2), np.float32), np.ones((m, 1), np.float32)], axis=1)
    more = {"l2": 1e-5, "form": "primal"}
    exact = fastlr.train(X.astype(float), y, solver="newton", tol=1e-10, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastlr.ConvergenceWarning)  # the gradient of rare features of 10³ is rounded
        run = fastlr.train(X, y, solver=solver, dtype="float32", backend=backend, **more)
    assert run.converged or unseen
    assert len(run.costs) <= 40
    f, best = (one.costs[-1] + 1e-5 / 2 * (one.model.layers[0].W.astype(float) ** 2).sum() for one in (run, exact))
    assert f == pytest.approx(best, rel=1e-5)


def test_a_solver_goes_on_while_the_objective_falls_little_by_little():
    """Each step brought less than rounding was thought to hide, and five of them were taken for the end."""
    zero, one = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    little = 0.4 * core.rounding(one.dtype)

    def at(f):
        return Evaluation(Vector(zero, zero), one * f, one * f, Vector(zero, zero), one)

    falling = Iterate(at(1.0), zero, one, one)
    flat = falling
    for step in range(1, 21):
        falling = arrived(falling, at(1 - step * little), one > 0)
        flat = arrived(flat, at(1 - little), one > 0)
    assert falling.stalled[0, 0, 0] < 3
    assert flat.stalled[0, 0, 0] == 20

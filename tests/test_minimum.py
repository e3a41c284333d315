"""One solver that takes over from another."""

import warnings

import numpy as np
import pytest

import fastlr
from fastlr.backends import choose_backend
from fastlr.training.settings import PathSettings
from fastlr.training.warm_start import fit_each

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 40)) * np.geomspace(1, 30, 40)
Y = (X @ (RNG.normal(size=(40, 3)) / np.geomspace(1, 30, 40)[:, None]) + RNG.gumbel(size=(200, 3))).argmax(axis=1)


@pytest.fixture(autouse=True, params=["newton", "newton-cg"])
def then(request, monkeypatch):
    """Return which solver takes over from L-BFGS, which is hard pressed without the spectrum."""
    monkeypatch.setattr("fastlr.objectives.preconditioner.PASSES", 0)
    if request.param == "newton-cg":
        monkeypatch.setattr("fastlr.training.warm_start.FORMED", 0)
    return request.param


def fitted(solver="auto", iterations=100, tol=1e-7, **more):
    settings = PathSettings(solver=solver, form="primal", iterations=iterations, tol=tol)
    (fit,) = fit_each(choose_backend("numba"), X, Y, 3, np.array([[1e-2]]), settings, **more)
    return fit


def test_what_lbfgs_leaves_unfinished_another_ends(then):
    told = []
    auto, alone = fitted(watch=lambda numbers, i, costs: told.append((i, costs[0]))), fitted("lbfgs")
    path = auto.paths[0]
    assert (auto.solver, alone.solver) == (then, "lbfgs")
    assert not alone.paths[0].norm <= 1e-7
    assert path.norm <= 1e-7
    assert path.costs[:81] == alone.paths[0].costs[:81]
    assert path.recorded_at == list(range(len(path.costs)))
    assert len(path.objectives) == len(path.costs) <= 101
    assert told == list(zip(path.recorded_at, path.costs, strict=True))
    assert auto.notes == [[]]


def test_it_takes_over_nothing_that_is_done():
    assert fitted(iterations=10_000, tol=1e-2).solver == "lbfgs"
    short = fitted(iterations=4)
    assert short.paths[0].recorded_at == [0, 1, 2, 3, 4]
    assert short.solver == "lbfgs", "a fifth of four iterations is none"


def test_the_same_where_each_iterate_is_measured(then):
    auto = fitted()
    watched = fitted(measure=lambda objective: lambda some, state: 0 * some.l2)
    assert watched.solver == then
    assert len(watched.paths[0].test_costs) == len(watched.paths[0].costs)
    assert watched.paths[0].norm <= 1e-7
    np.testing.assert_allclose(watched.W, auto.W, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("tested", [False, True])
def test_it_resumes_in_either_of_the_two(tmp_path, every_checkpoint, tested, then):
    settings = {"solver": "auto", "form": "primal", "iterations": 100, "tol": 1e-7, "l2": 1e-2}
    more = {"test": (X, Y), "test_costs": True} if tested else {}
    whole = fastlr.train(X, Y, **settings, **more)
    assert whole.solver == then
    file, files = tmp_path / "c", every_checkpoint
    fastlr.train(X, Y, **settings, **more, checkpoint=file)
    assert files
    for content in files[:: max(1, len(files) // 4)]:
        file.write_bytes(content)
        again = fastlr.train(X, Y, **settings, **more, checkpoint=file)
        assert again.model == whole.model
        assert again.costs == whole.costs
        assert again.test_costs == whole.test_costs


def test_the_estimator_says_which_solver_ended_it(then):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fastlr.LogisticRegression(C=1 / (1e-2 * len(X)), tol=1e-7, form="primal").fit(X, Y)
    assert found.solver_ == then
    assert 80 < found.n_iter_[0] <= 100

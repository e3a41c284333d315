import numpy as np
import pytest
from conftest import draw_images, first_difference

import fastlr
from fastlr.data import from_arrays
from fastlr.objectives import FORMS
from fastlr.training.run import best_of
from fastlr.training.splits import assign, make_splits
from fastlr.training.weights import weightings_of

pytestmark = pytest.mark.broad

RATES, L2 = [0.1, 0.01, 0.001], [0.0, 0.05]


@pytest.mark.parametrize("form", FORMS)
def test_a_sweep_is_the_same_as_one_training_after_another(backend, form):
    images, labels = draw_images(20, side=5)
    test = draw_images(10, side=5, seed=1)
    settings = {"iterations": 250, "record_every": 20, "form": form, "backend": backend.name, "test": test}
    runs = fastlr.sweep(images, labels, learning_rates=RATES, l2=L2, **settings)
    assert len(runs) == len(RATES) * len(L2)
    for run, (rate, l2) in zip(runs, [(rate, l2) for rate in RATES for l2 in L2], strict=True):
        alone = fastlr.train(images, labels, learning_rate=rate, l2=l2, **settings)
        assert first_difference(run.costs, alone.costs, 1e-12) is None
        assert (run.train_accuracy, run.test_accuracy) == (alone.train_accuracy, alone.test_accuracy)
        assert (run.model.settings["learning_rate"], run.model.settings["l2"]) == (rate, l2)
        np.testing.assert_allclose(run.model.layers[0].W, alone.model.layers[0].W, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_a_rate_that_diverges_does_not_disturb_the_others(backend, form):
    images, labels = draw_images(20, side=5)
    settings = {"iterations": 600, "record_every": 50, "form": form, "backend": backend.name}
    bad, good, worse = fastlr.sweep(images, labels, learning_rates=[1.0, 0.01, 1e200], l2=[10.0], **settings)
    alone = fastlr.train(images, labels, learning_rate=0.01, l2=10.0, **settings)
    assert good.warning is None
    assert first_difference(good.costs, alone.costs, 1e-12) is None
    for run, longest in ((bad, 11), (worse, 1)):
        assert "diverged" in run.warning
        assert "try a learning rate of" in run.warning
        assert 0 < len(run.costs) <= longest
        assert np.isfinite(run.costs).all()
        assert np.isfinite(run.model.layers[0].W).all()


def test_an_empty_sweep_is_refused():
    with pytest.raises(fastlr.InputError, match="learning_rates: holds no value; give at least one"):
        fastlr.sweep(*draw_images(), learning_rates=[])
    with pytest.raises(fastlr.InputError, match=r"learning rate: -1\.0; a positive number"):
        fastlr.sweep(*draw_images(), learning_rates=[0.1, -1.0])


def test_seeds_are_networks_of_their_own(backend):
    images, labels = draw_images(20, side=5)
    settings = {"layers": (4, 3), "iterations": 60, "record_every": 10, "backend": backend.name}
    runs = fastlr.sweep(images, labels, learning_rates=[0.01, 0.1], seeds=range(3), **settings)
    assert [(run.model.settings["learning_rate"], run.seed) for run in runs] == [
        (rate, seed) for rate in (0.01, 0.1) for seed in range(3)
    ]
    for run in runs:
        rate = run.model.settings["learning_rate"]
        alone = fastlr.train(images, labels, learning_rate=rate, seed=run.seed, **settings)
        assert first_difference(run.costs, alone.costs, 1e-11) is None
        assert run.notes == alone.notes
        np.testing.assert_allclose(run.model.layers[0].W, alone.model.layers[0].W, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("layers", [(), (3,)])
@pytest.mark.parametrize("form", FORMS)
def test_folds_are_trainings_without_their_samples(backend, form, layers):
    """Against as many trainings on copies; the models themselves are as if there were no folds."""
    images, labels = draw_images(23, side=5)
    settings = {"iterations": 80, "record_every": 10, "form": form, "backend": backend.name, "layers": layers}
    rates = [0.1, 0.001]
    runs = fastlr.sweep(images, labels, learning_rates=rates, folds=4, seed=3, **settings)
    plain = fastlr.sweep(images, labels, learning_rates=rates, seed=3, **settings)
    fold = assign(labels, 4, 3)
    for run, without, rate in zip(runs, plain, rates, strict=True):
        assert first_difference(run.costs, without.costs, 1e-11) is None
        np.testing.assert_allclose(run.model.layers[0].W, without.model.layers[0].W, rtol=1e-9, atol=1e-14)
        expected = []
        for number in range(4):
            kept = fold != number
            rest = (images[~kept], labels[~kept])
            alone = fastlr.train(images[kept], labels[kept], test=rest, learning_rate=rate, seed=3, **settings)
            expected.append(alone.test_accuracy)
        assert run.fold_accuracies == pytest.approx(expected)
        assert without.fold_accuracies == ()
    assert best_of(runs).score[0] == max(np.mean(run.fold_accuracies) for run in runs)


def test_folds_are_alike():
    labels = np.array([0] * 31 + [1] * 17 + [2] * 9)
    fold = assign(labels, 5, 0)
    assert set(np.bincount(fold)) == {11, 12}
    for label in range(3):
        counts = np.bincount(fold[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert (fold == assign(labels, 5, 0)).all()
    assert (fold != assign(labels, 5, 1)).any()
    data = from_arrays("data", np.ones((57, 1)), labels)
    splits = make_splits(labels, 5, None, 0)
    assert all((np.flatnonzero(fold == number) == test).all() for number, test in enumerate(splits.tests))
    values, of, column_of = weightings_of(data, None, None, splits)
    assert values.shape == (6, 57)
    np.testing.assert_allclose(values.mean(axis=1), 1)
    assert (values[0] == 1).all()
    assert ((values[1 + 3] == 0) == (fold == 3)).all()
    assert of.tolist() == [0, 1, 2, 3, 4, 5]
    assert column_of is None


def test_folds_with_mini_batches_of_many_classes():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    X[np.arange(60), labels] += 2
    settings = {"iterations": 200, "batch_size": 16, "learning_rates": [0.1], "folds": 3}
    (run,) = fastlr.sweep(X, labels, **settings)
    assert len(run.fold_accuracies) == 3
    assert np.mean(run.fold_accuracies) > 70


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"folds": 1}, "folds: 1; a whole number of at least 2"),
        ({"folds": 7}, "folds: 7, but the smallest class has 6 samples"),
        ({"seeds": [0, -1]}, "seed: -1"),
        ({"seeds": []}, "seeds: holds no value; give at least one"),
        ({"seeds": np.array([1, 2]), "solver": "newton"}, "seeds: solver 'newton' uses none"),
        ({"seeds": iter((1, 2)), "solver": "newton"}, "seeds: solver 'newton' uses none"),
    ],
)
def test_wrong_folds_and_seeds(settings, says):
    with pytest.raises(fastlr.InputError, match=says):
        fastlr.sweep(*draw_images(12), **settings)


def test_the_callback_sees_every_cost():
    images, labels = draw_images(20, side=5)
    seen = []
    runs = fastlr.sweep(
        images, labels, learning_rates=[0.01, 1e200], l2=[10.0], iterations=30, record_every=10, folds=2,
        callback=lambda iteration, costs: seen.append((iteration, costs)),
    )  # fmt: skip
    assert [iteration for iteration, _ in seen] == [0, 10, 20]
    assert [costs[0] for _, costs in seen] == runs[0].costs
    assert [np.isfinite(costs[1]) for _, costs in seen] == [True, False, False]
    assert all(len(costs) == 2 for _, costs in seen)
    assert best_of(runs) is runs[0]
    assert runs[1].score == (-np.inf,) * 3


def test_runs_too_short_for_a_second_cost_are_ranked_by_what_they_learned():
    """The cost of the initial weights is all that is recorded, and the first run was the best."""
    X = np.random.default_rng(0).normal(size=(200, 3))
    runs = fastlr.sweep(X, X[:, 0] > 0, learning_rates=[1e-7, 0.5], iterations=100)
    assert runs[0].costs == runs[1].costs
    assert best_of(runs) is runs[1]

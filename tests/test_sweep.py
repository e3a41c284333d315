import numpy as np
import pytest
from conftest import draw_images, first_difference

import fastlr
from fastlr.forms import FORMS

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
    settings = {"iterations": 3000, "record_every": 50, "form": form, "backend": backend.name}
    bad, good, worse = fastlr.sweep(images, labels, learning_rates=[1.0, 0.01, 1e200], l2=[10.0], **settings)
    alone = fastlr.train(images, labels, learning_rate=0.01, l2=10.0, **settings)
    assert good.warning is None
    assert first_difference(good.costs, alone.costs, 1e-12) is None
    for run, longest in ((bad, 59), (worse, 1)):
        assert "diverged" in run.warning
        assert "try a learning rate of" in run.warning
        assert 0 < len(run.costs) <= longest
        assert np.isfinite(run.costs).all()
        assert np.isfinite(run.model.layers[0].W).all()


def test_an_empty_sweep_is_refused():
    with pytest.raises(fastlr.InputError, match="at least one learning rate"):
        fastlr.sweep(*draw_images(), learning_rates=[])
    with pytest.raises(fastlr.InputError, match=r"learning rate: -1\.0; a positive number"):
        fastlr.sweep(*draw_images(), learning_rates=[0.1, -1.0])

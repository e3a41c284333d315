import json

import numpy as np
import pytest
from conftest import GOLDEN, first_difference

from fastlr import textbook

pytestmark = pytest.mark.quick


def arrays_of(sample: dict, *names: str) -> list[np.ndarray]:
    return [np.array(sample[name], dtype=np.float64) for name in names]


def test_sigmoid_as_printed(published):
    sample = published["functions"]["sigmoid"]
    assert textbook.sigmoid(sample["z"]).round(8).tolist() == sample["a"]


def test_propagate_as_printed(published):
    sample = published["functions"]["propagate"]
    w, X, Y = arrays_of(sample, "w", "X", "Y")
    grads, cost = textbook.propagate(w, sample["b"], X, Y)
    assert grads["dw"].round(8).tolist() == sample["dw"]
    assert grads["db"] == sample["db"]
    # The exact value is 0.159005377076924080…: the logits form rounds it to the nearest double, and the printed
    # figure, computed through log(A), is the double before.
    assert cost in (sample["cost"], np.nextafter(sample["cost"], 1))


def test_predict_as_printed(published):
    sample = published["functions"]["predict"]
    w, X = arrays_of(sample, "w", "X")
    assert textbook.predict(w, sample["b"], X).tolist() == sample["predictions"]


@pytest.mark.parametrize("units", [(5, 1), (5, 4, 3, 1), (5, 3), (5, 4, 3)])
def test_gradients_of_networks_are_those_of_the_cost(units):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(5, 9)), rng.integers(0, max(2, units[-1]), 9)
    Y = labels[np.newaxis] if units[-1] == 1 else (labels == np.arange(units[-1])[:, np.newaxis])
    drawn = textbook.initialise_parameters(units, seed=4)
    # Not at a kink: with biases of 0, a unit above others that are all off is exactly 0.
    parameters = {name: values + rng.normal(0, 0.1, values.shape) for name, values in drawn.items()}
    grads = textbook.back_prop(textbook.forward_prop(X, parameters), parameters, Y)
    h = 1e-6
    for name, values in parameters.items():
        for index in np.ndindex(values.shape):
            costs = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * h
                costs.append(textbook.compute_cost(textbook.forward_prop(X, parameters | {name: moved}), Y))
            assert abs((costs[0] - costs[1]) / (2 * h) - grads[f"d{name}"][index]) < 1e-8, (name, index)


def test_initial_weights_are_he_and_its_namesakes():
    parameters = textbook.initialise_parameters([2000, 300, 1], seed=1)
    assert [values.shape for values in parameters.values()] == [(300, 2000), (300, 1), (1, 300), (1, 1)]
    assert parameters["W1"].var() == pytest.approx(2 / 2000, rel=0.01)
    assert not parameters["b1"].any()
    assert (parameters["W1"] == textbook.initialise_parameters([2000, 300, 1], seed=1)["W1"]).all()


def test_networks_learn_and_count_what_they_get_right():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 200))
    Y = (X[0] * X[1] > 0)[np.newaxis]  # no line parts these two
    parameters, costs = textbook.train_network(X, Y, textbook.initialise_parameters([2, 8, 1], 1), 1500, 0.5)
    A = textbook.forward_prop(X, parameters)["A2"]
    assert costs[-1] < costs[0] / 4
    assert textbook.accuracy(A, Y) == 100 - 100 * np.mean((A[0] > 0.5) != Y[0]) > 90
    three = np.array([[0.2, 0.5], [0.3, 0.1], [0.5, 0.4]])
    assert textbook.accuracy(three, np.array([[0, 0], [0, 0], [1, 1]])) == 50


def test_gradients_are_those_of_the_cost():
    rng = np.random.default_rng(0)
    w, X, Y = rng.normal(size=(5, 1)), rng.normal(size=(5, 7)), rng.integers(0, 2, (1, 7)).astype(float)
    grads, _ = textbook.propagate(w, 0.3, X, Y)
    h = 1e-6
    for i in range(5):
        up, down = (textbook.propagate(w + sign * h * np.eye(5)[:, [i]], 0.3, X, Y)[1] for sign in (1, -1))
        assert grads["dw"][i, 0] == pytest.approx((up - down) / (2 * h), abs=1e-9)
    up, down = (textbook.propagate(w, 0.3 + sign * h, X, Y)[1] for sign in (1, -1))
    assert grads["db"] == pytest.approx((up - down) / (2 * h), abs=1e-9)


def test_sigmoid_and_cost_at_the_ends():
    assert textbook.sigmoid([-1e4, 0.0, 1e4]).tolist() == [0.0, 0.5, 1.0]
    _, cost = textbook.propagate(np.array([[1e4]]), 0.0, np.array([[1.0]]), np.array([[0.0]]))
    assert cost == 1e4


def test_model_follows_the_golden_costs():
    golden = json.loads((GOLDEN / "drawn.json").read_text())
    draw = np.random.RandomState(golden["seed"])
    X = draw.randint(0, 256, (golden["m"], golden["n"])).T / 255
    Y = draw.randint(0, 2, golden["m"])[np.newaxis]
    d = textbook.model(X, Y, X, Y, golden["iterations"], golden["learning_rate"])
    assert first_difference(d["costs"], golden["costs"], 1e-13) is None
    assert d["b"] == pytest.approx(golden["b"], rel=1e-12)
    assert d["w"][:5, 0].tolist() == pytest.approx(golden["w_first"], rel=1e-12)
    assert d["train_accuracy"] == d["test_accuracy"] == 100 * np.mean(d["Y_prediction_train"] == Y)


def test_optimize_prints_its_costs(capsys):
    w, b = textbook.init_params(2)
    X, Y = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.0, 0.0]])
    params, _, costs = textbook.optimize(w, b, X, Y, 101, 0.1, print_cost=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"Cost after iteration {100 * i}: {cost:f}" for i, cost in enumerate(costs)]
    assert w.tolist() == [[0.0], [0.0]], "the weights given are left as they were"
    assert params["w"].shape == (2, 1)


def test_predict_image_scales_pixels():
    w, b = np.array([[2.0], [-1.0]]), 0.0
    assert textbook.predict_image(w, b, np.array([[255, 0]], dtype=np.uint8)) == 1
    assert textbook.predict_image(w, b, np.array([[0, 255]], dtype=np.uint8)) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, bool])
def test_labels_of_any_whole_type_cost_the_same(dtype):
    X = np.random.default_rng(0).normal(size=(5, 20))
    Y = np.arange(20)[None] % 2
    w, b = textbook.init_params(5)
    expected = textbook.optimize(w, b, X, Y.astype(float), 200, 0.5)[2]
    assert textbook.optimize(w, b, X, Y.astype(dtype), 200, 0.5)[2] == expected

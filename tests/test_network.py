"""Networks, softmax, optimizers, mini-batches, standardized features: every backend against the textbook."""

import os
import subprocess
import sys
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
from conftest import every_backend, first_difference

import fastlr
from fastlr import core, textbook
from fastlr.backends import DTYPES, choose_backend
from fastlr.data import from_arrays
from fastlr.namespace import dtype_name, library_of, to_host
from fastlr.objectives import FORMS
from fastlr.objectives.network import Layer, Network, one_hot
from fastlr.objectives.resident import Resident
from fastlr.solvers import choose_descent, minibatch
from fastlr.solvers.descent import step
from fastlr.solvers.optimizers import OPTIMIZERS
from fastlr.training.inputs import set_up
from fastlr.training.settings import Candidate, Settings

descent = choose_descent()


TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


@pytest.fixture(params=every_backend())
def name(request) -> str:
    return request.param


def samples(classes: int = 2, pixels: bool = True, m: int = 40, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m)
    X = rng.integers(0, 256, (m, n), dtype=np.uint8) if pixels else rng.normal(size=(m, n))
    return X, np.arange(m) % classes


def textbook_run(X, labels, classes, layers, steps, rate, every=1, seed=0):
    """Return the textbook's parameters and costs for the same start."""
    outputs = 1 if classes == 2 else classes
    units = [X.shape[1], *layers, outputs]
    parameters = textbook.initialise_parameters(units, seed)
    if not layers:
        parameters = {name: value * 0 for name, value in parameters.items()}
    scaled = (X / 255 if X.dtype == np.uint8 else X).T
    return textbook.train_network(scaled, one_hot(labels, outputs), parameters, steps, rate, every)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "features"])
@pytest.mark.parametrize(("classes", "layers"), [(2, (4, 3, 2)), (3, ()), (3, (5,))])
def test_the_costs_are_the_textbooks(name, classes, layers, pixels, form, dtype):
    X, labels = samples(classes, pixels)
    settings = {"iterations": 60, "learning_rate": 0.05, "layers": layers, "form": form, "dtype": dtype, "seed": 3}
    run = fastlr.train(X, labels, backend=name, record_every=1, **settings)
    _, costs = textbook_run(X, labels, classes, layers, 60, 0.05, seed=3)
    assert first_difference(run.costs, costs, TOLERANCE[dtype]) is None
    assert (run.backend, run.form, run.dtype, run.layers, run.seed) == (name, form, dtype, layers, 3)
    many = fastlr.train(X, labels, backend=name, record_every=20, **settings)
    assert first_difference(many.costs, costs[::20], TOLERANCE[dtype]) is None


@pytest.mark.parametrize(("classes", "layers"), [(2, (4, 3, 2)), (3, ())])
def test_the_model_is_the_textbooks(name, classes, layers, tmp_path):
    """Weights, probabilities, classes and accuracy; the same from a file."""
    X, labels = samples(classes)
    run = fastlr.train(X, labels, test=(X, labels), iterations=50, learning_rate=0.05, layers=layers, backend=name)
    parameters, _ = textbook_run(X, labels, classes, layers, 50, 0.05)
    for i, layer in enumerate(run.model.layers, start=1):
        np.testing.assert_allclose(layer.W, parameters[f"W{i}"], rtol=1e-8, atol=1e-11)
        np.testing.assert_allclose(layer.b, parameters[f"b{i}"], rtol=1e-8, atol=1e-11)
    A = list(textbook.forward_prop(X.T / 255, parameters).values())[-1]
    expected = np.concatenate([1 - A, A]).T if classes == 2 else A.T
    run.model.save(tmp_path / "m.safetensors")
    loaded = fastlr.load(tmp_path / "m.safetensors")
    for model in (run.model, loaded):
        proba = model.predict_proba(X)
        assert proba.dtype == np.float64
        np.testing.assert_allclose(proba, expected, rtol=1e-8)
        assert (model.predict(X) == expected.argmax(axis=1)).all()
    assert (loaded.predict_proba(X) == run.model.predict_proba(X)).all()
    assert loaded.predict_proba(X[:0]).shape == (0, classes)
    wanted = textbook.accuracy(A, one_hot(labels, len(A)))
    assert run.train_accuracy == run.test_accuracy == pytest.approx(wanted)


def test_arrays_in_arrays_out(name):
    backend = choose_backend(name)
    X, labels = samples(3)
    with backend.scope():
        given = backend.asarray(X)
    run = fastlr.train(given, labels, layers=(4,), iterations=5, standardize=True)
    for array in (*run.model.layers[0], *run.model.layers[1], *run.model.moments, run.model.predict_proba(given)):
        assert (library_of(array), dtype_name(array)) == (library_of(given), "float64")
    answer = run.model.predict(given)
    assert library_of(answer) == library_of(given)
    assert to_host(answer).tolist() == run.model.predict(X).tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("classes", "layers"), [(2, ()), (2, (4, 3)), (3, ()), (3, (5, 4))])
@pytest.mark.parametrize("standardize", [False, True])
def test_gradients_are_those_of_the_cost(form, classes, layers, standardize):
    """Central differences, each weight and intercept of each layer."""
    X, labels = samples(classes, m=12, n=6)
    backend = choose_backend("numpy")
    settings = Settings(layers=layers, form=form, standardize=standardize, seed=1)
    problem, state = set_up(backend, from_arrays("data", X, labels), settings, [Candidate(0.1)])
    state = descent.advance(backend, problem, state, 3)
    D, _ = problem.network.backward(state.Z, state.deeper, problem.Y)
    space, gradients = problem.form, problem.gradients(state)
    # In the Gram form a coordinate's derivative is that of the cost by C: the gradient through K.
    if form == "gram":
        through = space.logits(np.concatenate([D / D.shape[-1], 0 * D[..., :1]], axis=-1), 0.0)
        gradients[0] = np.concatenate([through, np.sum(D * space.Z, axis=-1, keepdims=True) / D.shape[-1]], axis=-1)

    def cost_of(parameters):
        Z = space.logits(parameters[0], parameters[1])
        layers = tuple(type(layer)(*parameters[2 + 2 * i : 4 + 2 * i]) for i, layer in enumerate(state.deeper))
        return float(problem.network.cost(Z, layers, problem.Y)[0, 0, 0])

    h = 1e-5
    for place, (parameter, gradient) in enumerate(zip(state.parameters, gradients, strict=True)):
        for index in np.ndindex(parameter.shape):
            costs = []
            for sign in (1, -1):
                moved = [p.copy() for p in state.parameters]
                moved[place][index] += sign * h
                costs.append(cost_of(moved))
            slope = (costs[0] - costs[1]) / (2 * h)
            assert abs(slope - gradient[index]) < 1e-7, f"parameter {place} at {index}: {slope} and {gradient[index]}"


def plain_rule(optimizer: str):
    """Return p, g, t → p as a loop over numbers would have it."""
    kept: dict = {}

    def move(key, p, g, rate, t):
        v, u = kept.get(key, (0.0, 0.0))
        if optimizer == "gd":
            return p - rate * g
        if optimizer == "adam":
            u, v = 0.9 * u + 0.1 * g, 0.999 * v + 0.001 * g**2
            kept[key] = (v, u)
            return p - rate * (u / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        v = 0.9 * v + g
        kept[key] = (v, u)
        return p - rate * (v if optimizer == "momentum" else g + 0.9 * v)

    return move


def plain_costs(X, labels, classes, layers, steps, rate, optimizer="gd", l2=0.0, batches=None, seed=0):
    """Return the cost before each step, of a loop over the textbook's gradients."""
    Y = one_hot(labels, 1 if classes == 2 else classes)
    X = (X / 255 if X.dtype == np.uint8 else X).T
    parameters = textbook.initialise_parameters([len(X), *layers, len(Y)], seed)
    if not layers:
        parameters = {name: value * 0 for name, value in parameters.items()}
    move, costs = plain_rule(optimizer), []
    for t in range(1, steps + 1):
        costs.append(textbook.compute_cost(textbook.forward_prop(X, parameters), Y))
        some = slice(None) if batches is None else batches[(t - 1) % len(batches)]
        forward = textbook.forward_prop(X[:, some], parameters)
        grads = textbook.back_prop(forward, parameters, Y[:, some])
        for key, p in parameters.items():
            g = grads[f"d{key}"] + (l2 * p if key.startswith("W") else 0)
            parameters[key] = move(key, p, g, rate, t)
    return costs


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layers", [(), (4, 3)])
def test_optimizers_follow_their_formulas(name, optimizer, form, layers):
    if form == "gram" and not OPTIMIZERS[optimizer].has_gram_form:
        with pytest.raises(fastlr.InputError, match="adam scales each weight by itself and has no Gram form"):
            fastlr.train(*samples(), optimizer=optimizer, form=form, backend=name)
        return
    X, labels = samples(3)
    run = fastlr.train(
        X, labels, iterations=25, learning_rate=0.01, l2=0.1, optimizer=optimizer, form=form, layers=layers,
        backend=name, record_every=1,
    )  # fmt: skip
    expected = plain_costs(X, labels, 3, layers, 25, 0.01, optimizer, 0.1)
    assert first_difference(run.costs, expected, 1e-9) is None


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
@pytest.mark.parametrize(("classes", "layers"), [(2, ()), (3, (4,))])
@pytest.mark.parametrize("size", [16, 13, 10, 40])
def test_mini_batches_follow_a_plain_loop(name, size, classes, layers, optimizer):
    """Three epochs, each in an order of its own, the last batch shorter; recorded off their rhythm too."""
    X, labels = samples(classes)
    each = -(-40 // size)
    order = [np.random.default_rng([5, epoch]).permutation(40) for epoch in range(3)]
    batches = [part[i : i + size] for part in order for i in range(0, 40, size)]
    settings = {"learning_rate": 0.02, "optimizer": optimizer, "layers": layers, "batch_size": size, "backend": name}
    run = fastlr.train(X, labels, iterations=3 * each, record_every=1, seed=5, **settings)
    expected = plain_costs(X, labels, classes, layers, 3 * each, 0.02, optimizer, batches=batches, seed=5)
    assert first_difference(run.costs, expected, 1e-9) is None
    few = fastlr.train(X, labels, iterations=3 * each, record_every=2, seed=5, **settings)
    assert first_difference(few.costs, expected[::2], 1e-9) is None
    assert few.form == "primal"
    assert few.notes == ("mini-batches have no Gram form: the primal form was taken",) or optimizer == "adam"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pixels", [True, False], ids=["pixels", "features"])
@pytest.mark.parametrize(("classes", "layers"), [(2, ()), (3, (4,))])
def test_standardized_features(name, classes, layers, pixels, form, dtype, tmp_path):
    """As the textbook trains on features that were standardized before; the model takes them as they are."""
    X, labels = samples(classes, pixels)
    X[:, 7] = X[0, 7]  # one that does not vary
    X[:, 3] = X[:, 3] // 4 + 11
    scaled = X / 255 if pixels else X
    deviation = scaled.std(axis=0)
    deviation[7] = 1
    standard = (scaled - scaled.mean(axis=0)) / deviation
    settings = {"iterations": 40, "learning_rate": 0.05, "layers": layers, "dtype": dtype, "form": form}
    run = fastlr.train(X, labels, backend=name, record_every=1, standardize=True, **settings)
    parameters, costs = textbook_run(standard, labels, classes, layers, 40, 0.05)
    assert first_difference(run.costs, costs, TOLERANCE[dtype]) is None
    A = list(textbook.forward_prop(standard.T, parameters).values())[-1]
    run.model.save(tmp_path / "m.safetensors")
    for model in (run.model, fastlr.load(tmp_path / "m.safetensors")):
        proba = model.predict_proba(X)[:, -1]
        np.testing.assert_allclose(proba, A[-1], rtol=1e-8 if dtype == "float64" else 1e-3)
        np.testing.assert_allclose(model.moments[0][0], scaled.mean(axis=0), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(model.moments[1][0], deviation, rtol=1e-5)


def test_standardizing_with_batches_and_adam():
    X, labels = samples(3, pixels=False)
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    settings = {"iterations": 30, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01, "record_every": 1}
    whole = fastlr.train(X, labels, standardize=True, **settings)
    expected = fastlr.train(standard, labels, **settings)
    assert first_difference(whole.costs, expected.costs, 1e-9) is None


def test_many_networks_share_a_reading():
    """A sweep's runs are those of one network each."""
    X, labels = samples(3)
    settings = {"layers": (4, 3), "iterations": 30, "seed": 2, "record_every": 5}
    for more in ({}, {"optimizer": "momentum"}, {"batch_size": 16}, {"form": "gram"}):
        runs = fastlr.sweep(X, labels, learning_rates=[0.01, 0.1], l2=[0.0, 0.1], **settings, **more)
        for run, (rate, l2) in zip(runs, [(0.01, 0.0), (0.01, 0.1), (0.1, 0.0), (0.1, 0.1)], strict=True):
            alone = fastlr.train(X, labels, learning_rate=rate, l2=l2, **settings, **more)
            assert first_difference(run.costs, alone.costs, 1e-9) is None
            np.testing.assert_allclose(run.model.layers[1].W, alone.model.layers[1].W, rtol=1e-8)


def test_a_network_that_diverges_does_not_disturb_the_others():
    X, labels = samples(3, pixels=False)
    X *= 1e3
    runs = fastlr.sweep(X, labels, learning_rates=[1e200, 1e-6], layers=(4,), iterations=40, record_every=10)
    assert "diverged" in runs[0].warning
    assert "try a learning rate of 1e+199" in runs[0].warning
    assert runs[1].warning is None
    assert len(runs[1].costs) == 4
    assert np.isfinite(runs[0].model.predict_proba(X)).all()


def test_a_dead_network_says_so():
    X, labels = samples(2)
    seeds = [seed for seed in range(40) if is_dead_from_the_start(X, seed)]
    assert seeds
    run = fastlr.train(X, labels, layers=(2, 1), iterations=5, seed=seeds[0])
    assert len(run.notes) == 1
    assert "the network is dead: every ReLU of hidden layer" in run.notes[0]
    assert f"the seed was {seeds[0]}, try another" in run.notes[0]
    alive = next(seed for seed in range(40) if seed not in seeds)
    assert fastlr.train(X, labels, layers=(2, 1), iterations=5, seed=alive).notes == ()


def is_dead_from_the_start(X, seed) -> bool:
    forward = textbook.forward_prop(X.T / 255, textbook.initialise_parameters([30, 2, 1, 1], seed))
    return not (forward["A1"].any() and forward["A2"].any())


def test_initial_weights_are_the_same_everywhere(name):
    """Drawn on the host: after no step at all, so to speak, a model has the textbook's weights."""
    X, labels = samples(3)
    run = fastlr.train(X, labels, layers=(4,), iterations=1, learning_rate=1e-300, seed=9, backend=name)
    drawn = textbook.initialise_parameters([30, 4, 3], 9)
    assert (drawn["W1"] == run.model.layers[0].W).all()
    assert (drawn["W2"] == run.model.layers[1].W).all()


def test_a_model_with_layers_goes_elsewhere(name, tmp_path):
    """Saved, loaded, on another backend: 1e-9; on its own in another process: the same bits."""
    X, labels = samples(3)
    run = fastlr.train(X, labels, layers=(5, 4), iterations=30, learning_rate=0.05, backend=name)
    run.model.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "X.npy", X)
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import conftest, numpy, fastlr\n"
        f"proba = fastlr.load({str(tmp_path / 'm.safetensors')!r}).predict_proba(numpy.load(sys.argv[1]))\n"
        "sys.stdout.buffer.write(proba.tobytes())"
    )
    proba = {}
    for where in (name, "numpy"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "X.npy"], capture_output=True, check=True,
            env=os.environ | {"FASTLR_BACKEND": where},
        )  # fmt: skip
        proba[where] = np.frombuffer(done.stdout).reshape(40, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTLR_BACKEND", name)
        assert (run.model.predict_proba(X) == proba[name]).all()
    np.testing.assert_allclose(proba[name], proba["numpy"], rtol=1e-9)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_strict_arrays_take_the_same_steps(form, optimizer, outputs):
    """Nothing outside the Array API standard: k networks, each optimizer, whole passes and batches."""
    k, n, m, network = 2, 6, 10, Network((4, 3), outputs)
    rng = np.random.default_rng(0)
    drawn = [[rng.normal(size=(k, *part.shape)) for part in layer] for layer in network.draw(n, 0)]
    X, labels = rng.integers(0, 256, (m, n), dtype=np.uint8), rng.integers(0, 3 if outputs == 3 else 2, m)
    rates, l2 = rng.uniform(0.01, 0.1, (k, 1, 1)), rng.uniform(0, 0.2, (k, 1, 1))
    states = []
    for xp in (array_api_strict, np):
        layers = [Layer(*map(xp.asarray, layer)) for layer in drawn]
        data = xp.asarray(X).T
        space = FORMS[form].of(data, layers[0].W, 1 / 255, moments=core.moments(data, xp.float64, 1 / 255))
        Y = xp.asarray(one_hot(labels, outputs)[None])
        problem = Resident(space, Y, *map(xp.asarray, (rates, l2)), network)
        state = minibatch.MiniBatches(5, 0, OPTIMIZERS[optimizer]).start(problem, layers[0].b, tuple(layers[1:]))
        for i in range(30):
            if form == "primal" and i % 3 == 0:
                state = minibatch.turn(
                    OPTIMIZERS[optimizer], problem, xp.asarray(np.arange(10).reshape(2, 5)), 0, 2, state
                )
            state = step(OPTIMIZERS[optimizer], problem, state)
        states.append([np.from_dlpack(array) for array in (*state.parameters, state.Z)])
        assert network.dead_layers(state.Z, state.deeper) == set()
    for got, wanted in zip(*states, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)

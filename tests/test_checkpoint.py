"""A run that was ended at any moment goes on from its checkpoint, to the bits of one that was not."""

import contextlib
import itertools
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from conftest import every_backend

import fastlr
from fastlr.backends import choose_backend
from fastlr.errors import InputError
from fastlr.namespace import same_values
from fastlr.training import checkpoint as module
from fastlr.training import follow
from fastlr.training.packing import pack, unpack

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (90, 6, 5, 3), dtype=np.uint8)
FEATURES = RNG.normal(size=(120, 7))
TWO, THREE = RNG.integers(0, 2, 120), RNG.integers(0, 3, 120)


class Ended(Exception):
    """What ends a run in these tests."""


@pytest.fixture(autouse=True)
def _every_offer(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "SHARE", 1e9)


def ended_at(call, moments, path, data, **settings):
    """Return what a call comes to that is ended at so many callbacks, begun anew each time."""
    for moment in moments:
        calls = 0

        def count(*_, last=moment):
            nonlocal calls
            calls += 1
            if calls > last:
                raise Ended

        with pytest.raises(Ended):
            call(*data, checkpoint=path, callback=count, **settings)
    return call(*data, checkpoint=path, **settings)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert a == b
        for mine, theirs in zip(a.model.layers, b.model.layers, strict=True):
            assert same_values(tuple(mine), tuple(theirs))


DESCENTS: list[dict] = [  # of two classes and of three in turn
    {"form": "primal"},
    {"form": "primal"},
    {"form": "gram"},
    {"form": "gram", "optimizer": "nesterov", "standardize": True},
    {"batch_size": 16},
    {"optimizer": "adam", "batch_size": 16},
    {"layers": (4, 3), "form": "primal"},
    {"layers": (4,), "optimizer": "adam", "batch_size": 50},
]


@pytest.mark.parametrize("backend", every_backend())
@pytest.mark.parametrize("number", range(len(DESCENTS)))
def test_descent(tmp_path, backend, number):
    settings, labels = DESCENTS[number], (TWO, THREE)[number % 2]
    data = (FEATURES, labels)
    settings = {"iterations": 95, "record_every": 10, "learning_rate": 0.1, "backend": backend, **settings}
    whole = fastlr.train(*data, **settings)
    again = ended_at(fastlr.train, (1, 0, 6), tmp_path / "c", data, **settings)
    same([again], [whole])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    same([fastlr.train(*data, checkpoint=tmp_path / "c", **settings)], [whole])


def test_the_pace_is_that_of_the_steps_made_here(tmp_path, monkeypatch):
    """A resumed run has made some of its steps before; with a clock that goes on by a second per look they count."""
    monkeypatch.setattr(follow, "time", types.SimpleNamespace(perf_counter=itertools.count().__next__))
    data, settings = (PIXELS, THREE[:90]), {"iterations": 95, "record_every": 10, "backend": "numpy"}
    assert fastlr.train(*data, form="primal", **settings).steps_per_second == 95
    settings |= {"batch_size": 16}
    again = ended_at(fastlr.train, (7,), tmp_path / "c", data, **settings)  # ended when it tells of the 70th step
    assert (again.steps_per_second, again.bytes_per_second) == (25, 25 * 15 * 90)  # batches of 15 samples, on average
    done = fastlr.train(*data, checkpoint=tmp_path / "c", **settings)
    assert done.steps_per_second is None
    assert done.bytes_per_second is None


@pytest.mark.parametrize("backend", every_backend())
@pytest.mark.parametrize(("solver", "form"), [("newton", "primal"), ("newton-cg", "gram"), ("lbfgs", "primal")])
def test_convergence(tmp_path, backend, solver, form):
    data = (PIXELS, TWO[:90])
    settings = {"solver": solver, "form": form, "l2": 1e-3, "backend": backend, "iterations": 60, "tol": 1e-4}
    whole = fastlr.train(*data, **settings)
    same([ended_at(fastlr.train, (1, 2), tmp_path / "c", data, **settings)], [whole])


@pytest.mark.parametrize(("memory", "moments"), [("1G", (2, 3, 0, 1)), ("1000", (4, 2, 0, 1))])
def test_path(tmp_path, memory, moments, monkeypatch):
    monkeypatch.setenv("FASTLR_MEMORY", memory)
    settings = {"l2": np.geomspace(1e-4, 10, 11), "folds": 3, "iterations": 60, "tol": 1e-5}
    data = (FEATURES, THREE)
    whole = fastlr.path(*data, **settings)
    again = ended_at(fastlr.path, moments, tmp_path / "c", data, **settings)
    same(again.runs, whole.runs)


@pytest.mark.parametrize("name", every_backend())
def test_arrays_lie_in_memory_as_they_did(name):
    """Or sums of them are rounded otherwise."""
    backend = choose_backend(name)
    xp = backend.xp
    whole = backend.asarray(RNG.normal(size=(3, 4, 5)))
    turned = [(0, 2, 1), (2, 0, 1)]
    views = [whole, whole[1:, :, ::2], *(xp.permute_dims(whole, axes) for axes in turned)]
    views += [xp.broadcast_to(whole[:1, ...], (3, 4, 5))]
    views += [xp.permute_dims(xp.broadcast_to(whole[:, :1, :], (3, 4, 5)), axes) for axes in turned]
    description, arrays = pack(views, backend.to_host)
    for view, again in zip(views, unpack(description, arrays, backend), strict=True):
        np.testing.assert_array_equal(backend.to_host(again), backend.to_host(view))
        if isinstance(view, np.ndarray):
            order, kept = (sorted(range(3), key=lambda axis: -some.strides[axis]) for some in (view, again))
            assert order == kept
            assert [stride == 0 for stride in view.strides] == [stride == 0 for stride in again.strides]


@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
@pytest.mark.parametrize("memory", ["1G", "1000"])
def test_each_state_leads_to_the_next(tmp_path, monkeypatch, solver, memory):
    monkeypatch.setenv("FASTLR_MEMORY", memory)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 24))
    y = (X @ rng.normal(size=(24, 8)) + 5 * rng.normal(size=(300, 8))).argmax(axis=1)
    settings = {"l2": np.geomspace(1e-5, 10, 16), "folds": 3, "solver": solver, "checkpoint": tmp_path / "c"}
    files: list[bytes] = []
    save = module.Checkpoint._save

    def kept(self, path, values):
        save(self, path, values)
        files.append(path.read_bytes())

    monkeypatch.setattr(module.Checkpoint, "_save", kept)
    fastlr.path(X, y, **settings)
    states = list(dict.fromkeys(files))
    assert len(states) > 5
    for number in [0, 1, 2, 3, *range(4, len(states) - 1, len(states) // 3)]:
        (tmp_path / "c").write_bytes(states[number])
        files.clear()

        def until_two(*_):
            if len(files) >= 2:
                raise Ended

        with contextlib.suppress(Ended):
            fastlr.path(X, y, callback=until_two, **settings)
        assert files[0] == states[number]
        assert files[1] == states[number + 1], f"state {number} of {len(states)}"


def test_a_sweep_some_of_which_diverge(tmp_path):
    data = (FEATURES * 40, TWO)
    test = (FEATURES[:20] * 40, TWO[:20])
    settings = {"learning_rates": [1e-4, 1e300, 1e-3], "iterations": 60, "record_every": 10, "folds": 2}
    settings |= {"test": test, "test_costs": True, "seeds": [1], "l2": [0.0, 1e-2]}
    whole = fastlr.sweep(*data, **settings)
    assert any(run.warning for run in whole)
    same(ended_at(fastlr.sweep, (2, 1, 2), tmp_path / "c", data, **settings), whole)


def test_between_recordings(tmp_path, monkeypatch):
    """Where it is long until the next recording it is written before that, after steps that take as long as allowed."""
    monkeypatch.setattr(module, "EVERY", 0.002)
    data = (RNG.normal(size=(2000, 40)), RNG.integers(0, 2, 2000))
    settings = {"iterations": 400, "record_every": 400, "form": "primal", "backend": "numpy"}
    whole = fastlr.train(*data, **settings)
    written = []
    save = module.Checkpoint._save

    def watched(self, path, values):
        save(self, path, values)
        written.append(values["descent"][2])
        if len(written) % 5 == 0:
            raise Ended

    monkeypatch.setattr(module.Checkpoint, "_save", watched)
    again = None
    while again is None:
        with contextlib.suppress(Ended):
            again = fastlr.train(*data, checkpoint=tmp_path / "c", **settings)
    assert len({done for done in written if 0 < done < 400}) > 3
    same([again], [whole])


def test_the_choice_stays_when_the_memory_is_another(tmp_path, monkeypatch):
    data, settings = (FEATURES, THREE), {"solver": "newton-cg", "iterations": 60, "l2": 1e-3, "tol": 1e-4}
    whole = fastlr.train(*data, **settings)
    assert whole.logits == "kept"

    def end(*_):
        raise Ended

    with pytest.raises(Ended):
        fastlr.train(*data, checkpoint=tmp_path / "c", callback=end, **settings)
    monkeypatch.setenv("FASTLR_MEMORY", "1000")
    assert fastlr.train(*data, **settings).logits == "recomputed"
    same([fastlr.train(*data, checkpoint=tmp_path / "c", **settings)], [whole])


OTHERS = {
    "learning rate [0.005], not [0.01]": {"learning_rate": 0.01},
    "iterations 20, not 30": {"iterations": 30},
    "l2 [0.0], not [0.5]": {"l2": 0.5},
    "seed": {"seed": 3},
    'optimizer "gd", not "adam"': {"optimizer": "adam"},
    'backend "numba", not "numpy"': {"backend": "numpy"},
    'dtype "float64", not "float32"': {"dtype": "float32"},
    "other test data": {"test": (FEATURES[:9], TWO[:9])},
}


@pytest.mark.parametrize("differs", OTHERS, ids=str)
def test_other_arguments_are_refused(tmp_path, differs):
    fastlr.train(FEATURES, TWO, iterations=20, backend="numba", checkpoint=tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(InputError) as refused:
        fastlr.train(
            FEATURES, TWO, **{"iterations": 20, "backend": "numba", "checkpoint": tmp_path / "c", **OTHERS[differs]}
        )
    assert differs in str(refused.value)
    assert (tmp_path / "c").read_bytes() == before


@pytest.mark.parametrize("what", ["samples", "labels", "dtype", "order", "classes"])
def test_other_data_are_refused(tmp_path, what):
    fastlr.train(FEATURES, TWO, iterations=20, checkpoint=tmp_path / "c")
    X, y = FEATURES.copy(), TWO.copy()
    if what == "samples":
        X[-1, -1] += 1e-9
    elif what == "labels":
        y[7] = 1 - y[7]
    elif what == "dtype":
        X = X.astype(np.float32)
    elif what == "order":
        X, y = X[::-1], y[::-1]
    else:
        y = y + 5
    with pytest.raises(InputError, match="is the checkpoint of a run with other data"):
        fastlr.train(X, y, iterations=20, checkpoint=tmp_path / "c")


def test_what_is_no_checkpoint_is_kept(tmp_path):
    run = fastlr.train(FEATURES, TWO, iterations=20, checkpoint=tmp_path / "c")
    run.model.save(tmp_path / "m.safetensors")
    (tmp_path / "text").write_text("precious")
    (tmp_path / "folder").mkdir()
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "short").write_bytes(content[: len(content) // 2])
    (tmp_path / "turned").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for name, said in [
        ("m.safetensors", "is no checkpoint"),
        ("text", "cannot be read as a checkpoint"),
        ("folder", "is a folder"),
        ("nowhere/c", "there is no folder"),
        ("short", "cannot be read as a checkpoint"),
        ("turned", "the checkpoint is damaged"),
    ]:
        there = (tmp_path / name).read_bytes() if (tmp_path / name).is_file() else None
        with pytest.raises(InputError, match=said) as refused:
            fastlr.train(FEATURES, TWO, iterations=20, checkpoint=tmp_path / name)
        assert str(refused.value).startswith(f"{tmp_path / name}: ")
        assert there is None or (tmp_path / name).read_bytes() == there


def test_a_checkpoint_is_no_model_and_no_data(tmp_path):
    fastlr.train(FEATURES, TWO, iterations=20, checkpoint=tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="not one that fastlr saved"):
        fastlr.load(tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="is a checkpoint"):
        fastlr.open_dataset(tmp_path / "c.safetensors")


def test_a_file_that_cannot_be_written_does_not_end_the_training(tmp_path, caplog):
    place = tmp_path / "folder"
    place.mkdir()

    def lose(iteration, cost):
        if place.exists():
            shutil.rmtree(place)

    run = fastlr.train(FEATURES, TWO, iterations=300, checkpoint=place / "c", callback=lose)
    assert len(run.costs) == 3
    assert "there is no folder" in caplog.text
    assert "the training goes on" in caplog.text
    assert caplog.text.count("the training goes on") == 1, "it is said once"
    assert caplog.records[-1].levelname == "ERROR", "also where --quiet leaves warnings out"


def test_a_file_that_another_run_writes_is_left_to_it(tmp_path, caplog):
    def other(iteration, cost):
        if iteration == 100:
            fastlr.train(FEATURES, THREE, iterations=9, checkpoint=tmp_path / "d")
            (tmp_path / "d").replace(tmp_path / "c")

    run = fastlr.train(FEATURES, TWO, iterations=300, checkpoint=tmp_path / "c", callback=other)
    assert len(run.costs) == 3
    assert "another run writes this file too" in caplog.text
    fastlr.train(FEATURES, THREE, iterations=9, checkpoint=tmp_path / "c")


def test_numbers_of_numpy_are_plain_in_the_file(tmp_path):
    for _ in range(2):
        fastlr.sweep(FEATURES, TWO, iterations=9, folds=np.int64(3), seed=np.int64(3), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("name", [5, True, [], b"x", ""])
def test_what_is_no_name_of_a_file(name):
    with pytest.raises(InputError, match=r"checkpoint: .*; the name of a file is needed"):
        fastlr.train(FEATURES, TWO, checkpoint=name)


ENDS = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated"), "SIGKILL": (-9, "")}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Return what starts the same training, with its files in another folder; one has run to its end in "whole"."""
    root, rng = tmp_path_factory.mktemp("ended"), np.random.default_rng(1)
    np.savez(root / "x.npz", X=rng.normal(size=(1000, 50)), y=rng.integers(0, 2, 1000))

    def start(folder):
        (root / folder).mkdir(exist_ok=True)
        line = ["train", "x.npz", "--iterations", "20000", "--record-every", "20000", "--form", "primal", "--quiet"]
        line += ["--model", f"{folder}/m.safetensors", "--checkpoint", f"{folder}/c"]
        return subprocess.Popen([sys.executable, "-m", "fastlr", *line], cwd=root, stderr=subprocess.PIPE, text=True)

    whole = start("whole")
    assert (whole.communicate(timeout=100)[1], whole.returncode) == ("", 0)
    start.root = root
    return start


@pytest.mark.parametrize("name", ENDS)
def test_a_process_that_is_ended(command, name):
    """It goes on when it is started again, ends with the same bytes, and leaves nothing else behind."""
    folder = command.root / name
    struck = command(name)
    while not (folder / "c").exists():
        assert struck.poll() is None
        time.sleep(0.005)
    struck.send_signal(getattr(signal, name))
    said, (status, word) = struck.communicate(timeout=100)[1], ENDS[name]
    assert struck.returncode == status
    assert said == (f"fastlr: {word}; the same command goes on from {name}/c\n" if word else "")
    assert not (folder / "m.safetensors").exists()
    again = command(name)
    assert (again.communicate(timeout=100)[1], again.returncode) == ("", 0)
    assert {path.name for path in folder.iterdir()} == {"m.safetensors", "c"}
    assert (folder / "m.safetensors").read_bytes() == (command.root / "whole" / "m.safetensors").read_bytes()


def test_the_command_keeps_files_apart(tmp_path, fastlr_command):
    data = tmp_path / "x.npz"
    np.savez(data, X=FEATURES, y=TWO)
    model = tmp_path / "m.safetensors"
    same = fastlr_command("train", data, "--model", model, "--checkpoint", model)
    assert (same.status, same.err) == (
        2, f"fastlr: {model}: is the name of the model too; give --checkpoint another\n",
    )  # fmt: skip
    for folder in ("pics", "rep"):
        (tmp_path / folder).mkdir()
    inside = fastlr_command("train", tmp_path / "pics", "--checkpoint", tmp_path / "pics" / "c")
    assert (inside.status, inside.err) == (
        2, f"fastlr: {tmp_path / 'pics' / 'c'}: lies within {tmp_path / 'pics'}; give --checkpoint another place\n",
    )  # fmt: skip
    report = ("--report", tmp_path / "rep", "--checkpoint", tmp_path / "rep" / "report.html")
    assert "lies within" in fastlr_command("train", data, *report).err
    read = fastlr_command("train", data, "--checkpoint", data)
    assert read.status == 2
    assert "is read by this command and would be lost" in read.err
    for command in ("train", "sweep"):
        place = tmp_path / command
        for seed, status in ((0, 0), (0, 0), (1, 2)):
            said = fastlr_command(command, data, "--iterations", 9, "--checkpoint", place, "--seed", seed)
            assert said.status == status, said.err
    assert "is the checkpoint of a run with seed [0], not [1]" in said.err
    several = fastlr_command("sweep", data, "--iterations", 9, "--checkpoint", tmp_path / "sweep", "--lr", "0.1,0.2")
    assert "with learning rate [0.005], not [0.1, 0.2]" in several.err

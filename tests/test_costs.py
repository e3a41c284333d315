"""What work costs on this machine: measured, kept, read again, and what is done where that cannot be."""

import json

import numpy as np
import pytest
from conftest import every_backend

import fastlr
from fastlr.backends import Costs, choose_backend, costs
from fastlr.errors import InputError
from fastlr.training.calibrate import measure


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return a function that keeps costs of a backend in a folder of this test, and the file."""
    monkeypatch.setenv("FASTLR_CACHE", str(tmp_path / "cache"))
    costs._read.cache_clear()
    yield lambda backend, found: costs.keep([(backend, found)])
    costs._read.cache_clear()


@pytest.mark.parametrize("name", every_backend())
def test_each_backend_is_measured(name):
    for dtype in ("float64", "float32"):
        found = measure(choose_backend(name, dtype=dtype), 64, 128, 32)
        assert all(np.isfinite(value) and value > 0 for value in found)


def test_what_was_measured_decides_what_auto_takes(kept):
    X, y = np.random.default_rng(0).normal(size=(40, 50)), np.arange(40) % 2
    settings = {"iterations": 500, "backend": "numpy", "dtype": "float64"}
    backend = choose_backend("numpy", dtype="float64")
    for found, form in ((Costs(1.0, 1e-6, 1e-6), "gram"), (Costs(1e-6, 1.0, 1.0), "primal")):
        file = kept(backend, found)
        assert choose_backend("numpy", dtype="float64").costs == found
        assert choose_backend("numpy", dtype="float32").costs == backend.costs
        assert fastlr.train(X, y, **settings).form == form
    kept(choose_backend("numpy", dtype="float32"), Costs(2.0, 2.0, 2.0))
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 200_000, '{"%s": {}}', '{"%s": {"primal": "x"}}', '{"%s": [1]}', '{"%s": %s}']
)
def test_a_damaged_file_is_as_none(kept, text):
    backend = choose_backend("numpy")
    file = kept(backend, Costs(1.0, 1.0, 1.0))
    wrong = json.dumps({**Costs(1.0, 1.0, 1.0)._asdict(), "dense": float("nan")})
    file.write_text(text.replace("%s", costs._key(backend), 1).replace("%s", wrong))
    costs._read.cache_clear()
    assert choose_backend("numpy").costs == backend.costs


def test_a_folder_in_the_place_of_the_file_is_left_alone(kept, tmp_path):
    (tmp_path / "cache" / costs.FILE).mkdir(parents=True)
    assert choose_backend("numpy").costs
    with pytest.raises(InputError, match=r"costs\.json"):
        kept(choose_backend("numpy"), Costs(1.0, 1.0, 1.0))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [costs.FILE]


def test_where_nothing_can_be_kept_warm_up_says_so(kept, tmp_path, monkeypatch, fastlr_command):
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setattr("fastlr.training.warm_up.warm_up", lambda: None)
    monkeypatch.setattr("fastlr.training.calibrate.survey", lambda: [{"name": "numpy", "runs": True}])
    said = fastlr_command("warmup").out.splitlines()
    assert said[1].startswith(f"measured, for OMP_NUM_THREADS={costs.threads()}: numpy; not kept (")
    assert said[1].endswith("): name a folder that can be written with FASTLR_CACHE")
    assert (tmp_path / "cache").read_text() == "no folder"

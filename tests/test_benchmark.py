"""What does not follow the textbook is not timed; what is timed says what it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fastlr import core
from fastlr.backends import DTYPES, choose_backend, survey
from fastlr.benchmark import cases as problems
from fastlr.benchmark import check as trajectory
from fastlr.benchmark import measure


@pytest.fixture
def small(monkeypatch):
    """Problems that take no time."""
    monkeypatch.delenv("FASTLR_DATA", raising=False)
    monkeypatch.setitem(problems.SHAPES, "cats", problems.Shape(30, 50, 40, 0.01))
    for name, value in (("PAUSE", 0.0), ("TURN", 0.001), ("COPIED", 2**16)):
        monkeypatch.setattr(measure, name, value)
    return problems.open_problem("cats")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", ["primal", "gram"])
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_a_right_trajectory_is_let_through(small, backend, form, dtype):
    worst = trajectory.check(small, choose_backend(backend, dtype=dtype), form, 20)
    assert 0 <= worst <= trajectory.TOLERANCE[dtype]


def test_the_first_bad_step_is_named():
    wanted = [0.6, 0.5, 0.4, 0.3]
    assert trajectory.check_costs([0.6, 0.5, 0.4 + 1e-11, 0.3], wanted, "float64") < 1e-10
    with pytest.raises(trajectory.MismatchError, match=r"^step 20: the cost is 0.41, the textbook's is 0.4$"):
        trajectory.check_costs([0.6, 0.5, 0.41, 0.2], wanted, "float64", every=10)
    with pytest.raises(trajectory.MismatchError, match="step 1: the cost is nan"):
        trajectory.check_costs([0.6, float("nan"), 0.4, 0.3], wanted, "float32")
    with pytest.raises(trajectory.MismatchError, match="3 costs, the textbook has 4"):
        trajectory.check_costs(wanted[:3], wanted, "float64")


def test_the_command_times_every_form(small, fastlr_command):
    done = fastlr_command("bench", "--backends", "numpy,numba", "--json")
    assert done.status == 0
    answer = json.loads(done.out)
    assert answer["machine"]["threads"] >= 1
    rows = [(row["backend"], row["form"]) for row in answer["rows"]]
    assert rows == [("numpy", "primal"), ("numpy", "gram"), ("numba", "primal"), ("numba", "gram")]
    for row in answer["rows"]:
        assert row["bytes_per_step"] > 0
        assert row["bandwidth_share"] > 0
        assert row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"]
    assert fastlr_command("bench", "--backends", "numba").out.startswith("cats: 30 samples of 50 drawn pixels")


def test_a_wrong_backend_is_not_timed(small, fastlr_command, monkeypatch):
    monkeypatch.setattr(core, "residuals", lambda Z, Y: core.sigmoid(Z) - 0.99 * Y)
    done = fastlr_command("bench", "--backends", "numpy", "--json")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("fastlr: not timed: numpy, float64, primal form: step 1: the cost is")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--problem", "dogs"], "--problem: 'dogs'"), (["--backends", "tensorflow"], "'tensorflow'")],
)
def test_unknown_problems_and_backends_are_refused(fastlr_command, arguments, said):
    done = fastlr_command("bench", *arguments)
    assert done.status == 2
    assert said in done.err


def test_the_gpu_checks_run_on_any_device(tmp_path):
    """On the CPU, and small: that the script itself works where there is no GPU to try it on."""
    script = Path(__file__).parents[1] / "scripts" / "run_gpu_checks"
    arguments = [sys.executable, script, "--small", "--device", "cpu", "--out", tmp_path / "found.json"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    runs = [row["name"] for row in survey() if "cpu" in row["devices"]]
    assert [(row["backend"], row["dtype"], row["form"]) for row in found["parity"]] == [
        (name, dtype, form) for name in runs for dtype in ("float64", "float32") for form in ("primal", "gram")
    ]
    timed = {row["what"] for row in found["rows"]}
    assert {f"{what} {name}" for name in runs for what in ("copy", "launch", "sweep", "tall")} <= timed
    predicted = [row for row in found["rows"] if row["what"].startswith("predict ")]
    assert [row["what"] for row in predicted] == [f"predict {name} {one}" for name in runs for one in DTYPES]
    assert all(row["share_of_copy"] > 0 for row in predicted)
    left_out = {row["what"]: row["reason"] for row in found["not_run"]}
    assert "cupy" in left_out
    assert all(left_out.values())
    done = subprocess.run([*arguments, "--device", "cuda:7"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        2,
        "no backend here runs on cuda:7; see `fastlr backends`",
    )


def test_the_bytes_of_a_step_are_counted(small):
    m, n = small.shape.m, small.shape.n
    counted = {
        (backend, form): measure.Job(small, choose_backend(backend), form, 8).bytes_per_step
        for backend in ("numpy", "numba")
        for form in ("primal", "gram")
    }
    assert counted["numba", "primal"] == m * n  # uint8, once
    assert counted["numpy", "primal"] == 2 * 8 * m * n  # float64, twice
    assert counted["numpy", "gram"] == 8 * m * m
    assert counted["numba", "gram"] == 4 * 32 * 32 / 2  # int32, padded to 16, half of it


def test_the_probe_says_what_its_fits_took():
    sizes = {"--samples": 400, "--features": 12, "--classes": 4, "--values": 3}
    arguments = [str(word) for pair in sizes.items() for word in pair]
    script = Path(__file__).parents[1] / "bench" / "probe.py"
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["fit"]["gap"] <= 1e-4
    assert result["fit"]["seconds"] > 0
    assert result["path"]["converged"] == 3
    assert result["host_bytes"] > 0

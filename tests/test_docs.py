"""The programs in docs/ run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastlr

DOCS = Path(__file__).parent.parent / "docs"
PRINTED = {
    "clip_linear_probe.py": r"Accuracy = (\d+\.\d{3})\n",
    "dinov2_log_regression.py": r"C = .*, validation accuracy 0\.\d{4}\n"
    r"test accuracy (0\.\d{4}), 95 % interval 0\.\d{4} to 0\.\d{4}\ntest top_5 1\.0000, .*\n",
    "setfit_head.py": r"one label each: accuracy (0\.\d{3})\nmany labels: 0\.\d{3} of the labels are right\n",
    "mteb_classification.py": r"accuracy: (0\.\d{4}), deviation .*\nf1: .*\naverage_precision: .*\n",
}


@pytest.fixture
def run(tmp_path):
    """Run a program of docs/scripts in an empty folder and return what it prints."""

    def run(name):
        own = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, DOCS / "scripts" / name]
        done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("name", PRINTED)
def test_the_programs_run(run, tmp_path, name):
    found = re.fullmatch(PRINTED[name], run(name))
    assert found
    chance, accuracy = 0.2, float(found.group(1))
    assert (accuracy / 100 if accuracy > 1 else accuracy) > 2 * chance
    if name.startswith("dinov2"):
        assert fastlr.load(tmp_path / "probe.safetensors").predict(np.ones((2, 64), np.float32)).shape == (2,)


def test_no_program_is_left_out():
    assert {path.name for path in (DOCS / "scripts").glob("*.py")} == {*PRINTED, "drawn.py"}
    page = (DOCS / "probes.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((scripts/[^)]*)\)", page):
        assert (DOCS / name).is_file(), name
    assert all(name in page for name in PRINTED)

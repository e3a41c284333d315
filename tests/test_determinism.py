"""Which trainings give the same bits whatever the cache, the threads and the processor.

That is the table of docs/explanation/numerics.md.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts" / "check_determinism"


def test_every_promise_of_the_table_is_kept():
    """The kernels are compiled anew twice: into an empty cache, and for the plainest processor."""
    command = [sys.executable, SCRIPT, "--json", "--cold", "2", "--threads", "1,2,4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) >= 20
    assert [row for row in rows if not row["kept"]] == []
    assert done.returncode == 0
    promised = [row for row in rows if row["threads promised"] == "same bits"]
    assert len(promised) >= 8
    assert all(row["cold and warm"] and row["threads"] for row in promised)

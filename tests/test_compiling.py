"""Where compiled kernels are kept: whose sources they are of, and what happens where they cannot be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastlr

pytestmark = pytest.mark.slow

# One kernel, small to compile, that takes an exponential from another file.
WORK = """
import sys, numpy as np
from fastlr.kernels.cpu import starting
from fastlr.kernels.cpu.compiling import KERNELS, cache_folder
W, b, labels, weights = np.zeros((1, 2, 1)), np.array([[2.0, 0.0]]), np.zeros(1, np.int64), np.empty((1, 0))
sums = [np.empty(shape) for shape in ((1, 1, 2, 1), (1, 1, 2), (1, 1), (1, 1, 1, 1))]
starting.run("loss_and_gradient", 0, np.ones((1, 1)), 1.0, W, b, labels, weights, 1, 1, *sums)
stats = KERNELS["loss_and_gradient"].stats
print(sums[1][0, 0, 1], cache_folder(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
PROBABILITY = 0.11920292202211755
NOT_KEPT = "compiling the kernels, which cannot be kept: no cache folder is writable; set NUMBA_CACHE_DIR to one\n"

HARDENED = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    # It may read what root may, so that it finds this Python; it may write nothing.
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    *("--bounding-set=-all,+dac_read_search", "prlimit", "--nproc=40"),
)
HARDENED_RUNS = bool(
    hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("setpriv") and shutil.which("prlimit")
)


@pytest.fixture
def copied(tmp_path):
    """Return a function that runs WORK on a copy of the package, with nothing compiled yet, in an environment."""
    root = tmp_path / "site"
    shutil.copytree(Path(fastlr.__file__).parent, root / "fastlr", ignore=shutil.ignore_patterns("__pycache__"))
    return Copied(root, tmp_path / "home")


class Copied:
    """A copy of the package, and processes that use it."""

    def __init__(self, root, home):
        self.root, self.home = root, home
        self.kernels = root / "fastlr" / "kernels" / "cpu"
        home.mkdir()

    def start(self, **environment):
        own = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
        own |= {"PYTHONPATH": str(self.root), "HOME": str(self.home), "OMP_NUM_THREADS": "1"} | environment
        return subprocess.Popen(
            [sys.executable, "-c", WORK],
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        value, folder, hits, misses = out.split()
        return float(value), Path(folder), int(hits), int(misses), err.replace(COMPILING, "")

    def __call__(self, **environment):
        return self.finish(self.start(**environment))


COMPILING = "compiling kernels for data of this kind; they are kept for later runs\n"


def test_a_change_in_any_file_of_the_kernels_is_a_change_of_all(copied):
    value, folder, hits, misses, said = copied()
    assert (value, hits, misses, said) == (PROBABILITY, 0, 1, "")
    assert folder.parent == copied.kernels / "__pycache__"
    assert copied()[:4] == (PROBABILITY, folder, 1, 0)
    path = copied.kernels / "vector.py"
    source, stamp = path.read_text(encoding="utf-8"), path.stat()
    changed = source.replace("series = series * r + 1.0\n    return", "series = series * r + 2.0\n    return")
    assert changed != source
    path.write_text(changed, encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    value, other, hits, misses, _ = copied()
    assert value != PROBABILITY
    assert (hits, misses) == (0, 1)
    assert other != folder
    assert not folder.exists(), "what no process will take any more is removed"


def test_settings_of_numba_that_change_the_code_are_in_the_key(copied):
    folder = copied()[1]
    assert copied(NUMBA_OPT="1")[1] != folder
    assert folder.exists(), "another setting is no other version"


def test_processes_that_compile_at_once_all_get_it(copied):
    found = [copied.finish(process) for process in [copied.start() for _ in range(4)]]
    assert {value for value, *_ in found} == {PROBABILITY}
    assert {said for *_, said in found} == {""}
    assert copied()[2:4] == (1, 0)


def test_a_package_that_cannot_be_written_has_its_kernels_in_the_users_cache(copied):
    (copied.kernels / "__pycache__").write_text("no folder")
    value, folder, _, misses, said = copied()
    assert (value, misses, said) == (PROBABILITY, 1, "")
    assert folder.is_relative_to(copied.home)
    assert copied()[2:4] == (1, 0)
    assert copied(XDG_CACHE_HOME=str(copied.home / "other"))[1].parent == copied.home / "other" / "fastlr"


def test_kernels_compiled_at_installation_are_taken_from_a_package_that_cannot_be_written(copied):
    folder = copied()[1]
    outside = copied.home / "kept"
    outside.mkdir()
    (outside / "fastlr-0123").mkdir()
    code = "from fastlr.kernels.cpu import compiling; compiling._copy(compiling.cache_folder(), compiling.Path('{}'))"
    target = copied.home / ".cache" / "fastlr" / folder.name
    for _ in range(2):  # the second finds it there
        subprocess.run(
            [sys.executable, "-c", code.format(target)], env=os.environ | {"PYTHONPATH": str(copied.root)},
            check=True, cwd=copied.home,
        )  # fmt: skip
    assert len(list(target.rglob("*"))) == len(list(folder.rglob("*")))
    assert [path.name for path in target.parent.iterdir()] == [folder.name], "no copy is left half done"
    shutil.rmtree(copied.kernels / "__pycache__")
    (copied.kernels / "__pycache__").write_text("no folder")
    assert copied()[1:4] == (target, 1, 0)


def test_they_are_taken_where_nothing_can_be_written(copied):
    """By way of a temporary folder, which goes with the process; a user without rights, as root may write anywhere."""
    if not HARDENED_RUNS:
        pytest.skip("needs root, setpriv and prlimit, to become a user without rights")
    folder = copied()[1]
    for path in (*copied.root.rglob("*"), copied.root):
        path.chmod(0o555)
    own = {"PYTHONPATH": str(copied.root), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*HARDENED, sys.executable, "-c", WORK], env=own, capture_output=True, text=True, check=False, cwd="/"
    )
    value, used, hits, misses = done.stdout.split()
    assert (float(value), hits, misses, done.stderr) == (PROBABILITY, "1", "0", "")
    assert Path(used).name == folder.name
    assert not Path(used).exists()


def test_where_nothing_can_be_written_it_is_said_in_one_line(copied):
    (copied.kernels / "__pycache__").write_text("no folder")
    value, folder, hits, _, said = copied(HOME="/dev/null")
    assert (value, folder, hits) == (PROBABILITY, Path("None"), 0)
    assert said == NOT_KEPT


def test_a_cache_that_fills_up_is_said_and_the_kernel_runs(copied):
    """The folder can be written when it is looked for, and not when the kernel is to be kept."""
    folder = copied()[1]
    (inner,) = folder.iterdir()
    shutil.rmtree(inner)
    inner.mkdir()
    script = WORK.replace("import sys, numpy as np\n", "import sys, numpy as np, numba.core.caching as c\n" + FULL)
    own = os.environ | {"PYTHONPATH": str(copied.root)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=own, capture_output=True, text=True, check=True, cwd=copied.home
    )
    assert float(done.stdout.split()[0]) == PROBABILITY
    assert done.stderr.replace(COMPILING, "") == NOT_KEPT


FULL = """
def full(*_):
    raise OSError(28, "No space left on device")
c.IndexDataCacheFile.save = full
"""


def test_numbas_own_setting_is_respected_and_left_as_it_was(copied, tmp_path):
    given = tmp_path / "given"
    assert copied(NUMBA_CACHE_DIR=str(given))[1].parent == given
    code = "import numba, fastlr.kernels.cpu.products; print(numba.config.CACHE_DIR == '')"
    own = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    assert done.stdout == "True\n"


def test_a_user_without_rights_or_home_and_with_few_processes(copied):
    """Trains, says one line, and does not hang."""
    if not HARDENED_RUNS:
        pytest.skip("needs root, setpriv and prlimit, to become a user without rights")
    for path in (*copied.root.rglob("*"), copied.root):
        path.chmod(0o555)
    code = (
        "import os, numpy as np, fastlr\n"
        "X = np.random.default_rng(0).integers(0, 256, (200, 600), dtype=np.uint8)\n"
        "print(os.getuid(), fastlr.train(X, np.arange(200) % 2, iterations=300, form='gram').costs[-1] < 0.69)"
    )
    done = subprocess.run(
        [*HARDENED, sys.executable, "-c", code], env={"PYTHONPATH": str(copied.root), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=120, check=False, cwd="/",
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("65534 True\n", NOT_KEPT)

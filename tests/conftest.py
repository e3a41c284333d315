"""What the tests share: every backend, the real data where it is, and small data of every format."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import pickle
import re
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# What somebody measured here would change what "auto" takes. The folder is there only once something is kept.
os.environ["FASTLR_CACHE"] = os.path.join(tempfile.gettempdir(), f"fastlr-tests-{os.getpid()}")
# Before SciPy is imported: scikit-learn's checks with arrays of other libraries ask for it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from strict_backend import ENTRY as STRICT
from threadpoolctl import threadpool_limits

from fastlr import textbook
from fastlr.backends import choose_backend, register, survey
from fastlr.cli import app as cli
from fastlr.data import arrays, from_arrays, hdf5
from fastlr.training import checkpoint

if "PYTEST_XDIST_WORKER" in os.environ:
    # As many workers as cores, each with as many threads of its BLAS, would wait for each other; so would the processes
    # that the tests start.
    threadpool_limits(1)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

settings.register_profile("thorough", max_examples=300)  # the properties are tried on more: .ci/slow does
register(STRICT)  # all tests that go through the backends go through this one too

GOLDEN = Path(__file__).parent / "golden"


def pytest_configure(config: pytest.Config) -> None:
    """End at once where FASTLR_REQUIRE names a backend that does not run here, or a module that is not there.

    Its tests would be skipped, and a run in which they are the point would pass.
    """
    rows = {row["name"]: row for row in survey()}
    for name in filter(None, os.environ.get("FASTLR_REQUIRE", "").split(",")):
        why_not = rows[name]["why_not"] if name in rows else None
        if name not in rows and importlib.util.find_spec(name) is None:
            why_not = "there is no such module"
        if why_not:
            raise pytest.UsageError(f"FASTLR_REQUIRE: {name}: {why_not}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick` open only the files that have such tests: to collect all takes longer than to run these."""
    if config.option.markexpr != "quick" or not collection_path.name.startswith("test_"):
        return None
    return "mark.quick" not in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests, and say so, unless `-m` says which tests are wanted.

    The tests of the kernel that compiles longest come first. Other files use it too: later, two workers would compile
    it at the same time.
    """
    items.sort(key=lambda item: item.path.name != "test_many.py")
    # scikit-learn asks whether PyTorch was built for CUDA, not whether there is a GPU.
    on_cuda = [item for item in items if re.search(r"\btorch\b.*\bcuda\b", item.name)]
    if on_cuda and importlib.util.find_spec("torch") and not importlib.import_module("torch").cuda.is_available():
        for item in on_cuda:
            item.add_marker(pytest.mark.skip(reason="PyTorch finds no NVIDIA GPU"))
    if not config.option.markexpr:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="it compiles the kernels anew: pytest -m slow runs it"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Give each worker files of its own, so that not all of them compile the same kernels at the same time."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's settings out of the tests."""
    for variable in ("FASTLR_BACKEND", "FASTLR_DEVICE", "FASTLR_DTYPE", "FASTLR_MEMORY", "FASTLR_CLUSTER"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Save a checkpoint whenever one may be saved, and return what they held, one after another."""
    found: list[bytes] = []
    save = checkpoint.Checkpoint._save

    def kept(self, path, values):
        save(self, path, values)
        found.append(path.read_bytes())

    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint.Checkpoint, "_save", kept)
    return found


def every_backend() -> list:
    """Return a parameter for each backend of the registry; what does not run here is skipped with its reason."""
    return [
        pytest.param(row["name"], marks=[] if row["runs"] else [pytest.mark.skip(reason=row["why_not"])])
        for row in survey()
    ]


@pytest.fixture(params=every_backend())
def backend(request):
    """Every backend of the registry, in its default dtype."""
    return choose_backend(request.param)


@pytest.fixture(scope="session")
def published() -> dict:
    return json.loads((GOLDEN / "published.json").read_text())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of the tutorials' own files, which FASTLR_DATA names."""
    folder = os.environ.get("FASTLR_DATA")
    if not folder:
        pytest.skip("FASTLR_DATA does not name the folder with the tutorials' files")
    return Path(folder).absolute()


@dataclass
class Outcome:
    """What one command line came to."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def fastlr_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def refused(fastlr_command):
    """Run a command line that must be refused: status 2, nothing on standard output, one line that says these words."""

    def run(*arguments: object, says: tuple[str, ...]) -> None:
        outcome = fastlr_command(*arguments)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.startswith("fastlr: ")
        assert outcome.err.count("\n") == 1, outcome.err
        for words in says:
            assert words in outcome.err

    return run


def draw_images(count: int = 12, side: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pictures (count, side, side, 3) and labels 0, 1, 0, 1, …: the ones are the brighter."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 156, (count, side, side, 3)) + 100 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


def write_folder(root: Path, images: np.ndarray, labels: np.ndarray, names=("dark", "light"), suffix="png") -> Path:
    """Write pictures as a folder of class folders."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = root / names[label] / f"picture_{i:03d}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return root


def write_source(kind: str, root: Path) -> tuple[Path, Path]:
    """Write a small data set of that format; return the DATA path and the one file in it to be damaged."""
    images, labels = draw_images()
    data = from_arrays("drawn", images, labels, ["dark", "light"])
    if kind in ("png", "jpg", "gif", "bmp", "tiff", "webp"):
        write_folder(root, images, labels, suffix=kind)
        return root, root / "dark" / f"picture_000.{kind}"
    if kind == "hdf5":
        hdf5.write(root / "data.h5", {"train": data, "test": data})
        return root / "data.h5", root / "data.h5"
    if kind == "npz":
        arrays.write(root / "data.npz", {"train": data, "test": data})
        return root / "data.npz", root / "data.npz"
    if kind == "npy":
        np.save(root / "X.npy", images)
        np.save(root / "labels.npy", labels)
        return root / "X.npy", root / "X.npy"
    if kind == "cifar":
        rows = np.zeros((6, 3072), np.uint8)
        batch = {b"data": rows, b"labels": [0, 1, 2, 3, 4, 5]}
        (root / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
        return root / "data_batch_1", root / "data_batch_1"
    assert kind == "idx"
    write_idx(root, images[..., 0], labels)
    return root, root / "train-images-idx3-ubyte.gz"


def write_idx(root: Path, images: np.ndarray, labels: np.ndarray, name: str = "train") -> None:
    """Write grey pictures (m, h, w) and their labels as IDX files, the pictures compressed."""
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", *images.shape)
    (root / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    header = bytes((0, 0, 8, 1)) + struct.pack(">I", len(labels))
    (root / f"{name}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())


SOURCES = ("png", "jpg", "gif", "bmp", "tiff", "webp", "hdf5", "npz", "npy", "cifar", "idx")


def textbook_costs(rows: np.ndarray, labels: np.ndarray, iterations: int, rate: float, every: int) -> list[float]:
    """Return the textbook's costs at every `every`-th of so many steps."""
    w, b = textbook.init_params(rows.shape[1])
    return textbook.optimize(w, b, rows.T, labels[None, :].astype(float), iterations, rate, record_every=every)[2]


def first_difference(costs, expected, tolerance: float) -> str | None:
    """Return the first step where two lists of costs differ by more than `tolerance`, relative; None if nowhere."""
    assert len(costs) == len(expected)
    for i, (a, e) in enumerate(zip(costs, expected, strict=True)):
        if not abs(a - e) <= tolerance * abs(e):
            return f"recording {i}: {a!r} where {e!r} is expected, off by {abs(a - e) / abs(e):.2e}"
    return None

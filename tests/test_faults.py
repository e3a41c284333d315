"""Signals, streams, limits and damaged caches: one line, nothing lost, nothing half-written, nothing left behind."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import draw_images, write_folder
from safetensors.numpy import load_file, save_file

import fastlr
from fastlr import files, machine
from fastlr.cli import signals
from fastlr.data import hdf5_opener

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals and limits")
COMMAND = [sys.executable, "-m", "fastlr"]


@pytest.fixture
def features(tmp_path):
    """A file of features on which a training takes long."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2000, 300)), np.arange(2000) % 2
    np.savez(tmp_path / "x.npz", X=X, y=y)
    fastlr.train(X, y, iterations=1, form="primal")  # so that the process finds its kernel compiled
    return tmp_path / "x.npz"


@pytest.fixture
def pictures(tmp_path):
    return write_folder(tmp_path / "pictures", *draw_images())


def parts(folder):
    return [path.name for path in folder.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize(("name", "status", "says"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_ends_a_training_at_once(features, tmp_path, name, status, says):
    model = tmp_path / "m.safetensors"
    model.write_text("old")
    # One kernel does all these steps, and Python's own handlers would wait for it.
    settings = ["--form", "primal", "--record-every", "1000000", "--iterations", "1000000"]
    command = [*COMMAND, "train", str(features), "--model", str(model), *settings]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith("Cost after iteration 0: ")
        time.sleep(0.5)
        sent = time.perf_counter()
        process.send_signal(getattr(signal, name))
        assert (process.wait(20), process.stderr.read()) == (status, f"fastlr: {says}\n")
        assert time.perf_counter() - sent < 2
    assert model.read_text() == "old"
    assert parts(tmp_path) == []


def test_what_is_half_written_goes_when_a_signal_comes(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from fastlr.files import whole_file
from fastlr.cli.signals import listen
listen()
with whole_file(Path(sys.argv[1])) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), signal.SIGTERM)
    while True: pass
"""
    outcome = subprocess.run([sys.executable, "-c", code, tmp_path / "x"], capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr) == (143, "fastlr: terminated\n")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead = tmp_path / f".{files._machine()}-{ended.pid}-0123456789abcdef.part"
    none = tmp_path / f".{files._machine()}-{10**30}-0123456789abcdef.part"
    alive = tmp_path / f".{files._machine()}-{os.getppid()}-0123456789abcdef.part"
    recent = tmp_path / f".00000000-{ended.pid}-0123456789abcdef.part"
    old = tmp_path / f".00000001-{ended.pid}-0123456789abcdef.part"
    other = tmp_path / ".somebodys.part"
    for path in (dead, none, alive, recent, old, other):
        path.touch()
    os.utime(old, (0, 0))
    fastlr.train(*draw_images(), iterations=2).model.save(tmp_path / "m.safetensors")
    assert sorted(tmp_path.iterdir()) == sorted([alive, recent, other, tmp_path / "m.safetensors"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_private_file_stays_private(tmp_path):
    path = tmp_path / "x"
    path.touch(mode=0o600)
    with files.whole_file(path) as beside:
        beside.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


def test_too_few_open_files_are_no_damage(refused, pictures, monkeypatch):
    def too_many(file):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("PIL.Image.open", too_many)
    refused(
        "train", pictures, "--skip-bad", "--size", 8,
        says=(".png: cannot be read, too few open files are allowed, see `ulimit -n`",),
    )  # fmt: skip


def test_an_output_is_no_input(refused, pictures, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"features": np.eye(4), "labels": np.array([0, 1, 0, 1])}, path)
    os.link(path, tmp_path / "hard.safetensors")
    (tmp_path / "soft.safetensors").symlink_to(path)
    np.savez(tmp_path / "x.npz", X=np.eye(4), y=[0, 1, 0, 1], other=[1, 2, 3])
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    for name in ("x", "hard", "soft"):
        model = tmp_path / f"{name}.safetensors"
        refused("train", path, "--model", model, says=(f"{name}.safetensors: is read by this command",))
        refused("sweep", pictures, "--test", path, "--model", model, says=("is read by this command",))
    refused("convert", tmp_path / "x.npz", tmp_path / "x.npz", says=("x.npz: is read by this command",))
    read = pictures / "dark" / "picture_000.npz"  # Pillow looks at its content
    (pictures / "dark" / "picture_000.png").rename(read)
    before[read] = read.read_bytes()
    refused("convert", pictures, read, says=("picture_000.npz: is read by this command",))
    inside = pictures / "dark" / "out"
    refused("train", pictures, "--report", inside, says=("out: lies within", "give another folder with --report"))
    assert {file: file.read_bytes() for file in before} == before
    assert {file for file in tmp_path.iterdir() if file.is_file()} == before.keys() - {read}
    assert not inside.exists()


def test_annotating_does_not_follow_a_hard_link_to_a_picture(refused, pictures, tmp_path):
    fastlr.train(fastlr.open_dataset(pictures, size=8), iterations=2).model.save(tmp_path / "m.safetensors")
    picture = pictures / "dark" / "picture_000.png"
    (tmp_path / "out").mkdir()
    os.link(picture, tmp_path / "out" / "picture_000.jpg")
    before = picture.read_bytes()
    refused("predict", tmp_path / "m.safetensors", picture, "--annotate", tmp_path / "out", says=("would be lost",))
    assert picture.read_bytes() == before


def test_closed_and_full_streams(pictures, tmp_path):
    model = tmp_path / "m.safetensors"
    command = f"{sys.executable} -m fastlr train {pictures} --size 8 --iterations 2 --model {model}"
    for redirection, status, says in (
        ("1>&-", 0, "Cost after iteration 0"),
        ("2>&-", 0, ""),
        ("1>&- 2>&-", 0, ""),
        (">/dev/full", 1, "fastlr: standard output: cannot be written (No space left on device)\n"),
    ):
        outcome = subprocess.run(["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True)
        assert outcome.returncode == status, redirection
        assert says in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert fastlr.load(model).classes == ("dark", "light")
        model.unlink()


@pytest.mark.parametrize("name", ["x.h5", "x.npz"])
def test_a_limit_of_the_size_of_files(pictures, tmp_path, name):
    (tmp_path / name).write_text("old")
    command = f"ulimit -f 8; {sys.executable} -m fastlr convert {pictures} {tmp_path / name} --size 64"
    outcome = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"fastlr: {tmp_path / name}: could not be written (")
    assert outcome.stderr.count("\n") == 1
    assert (tmp_path / name).read_text() == "old"
    assert parts(tmp_path) == []


def test_a_report_that_fails_leaves_nothing(pictures, tmp_path, monkeypatch):
    fitted = fastlr.train(fastlr.open_dataset(pictures, size=8), iterations=2)
    written = type(tmp_path).write_bytes

    def full(path, content):
        if len(parts(tmp_path / "out")) == 3:
            raise OSError(28, "No space left on device")
        return written(path, content)

    monkeypatch.setattr(type(tmp_path), "write_bytes", full)
    with pytest.raises(OSError, match=r"could not be written \(No space left on device\)"):
        fastlr.report(fitted, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_damaged_kernel_cache_is_made_anew(tmp_path, damage):
    code = """
import logging, numpy as np
from fastlr.kernels.cpu import arrays
logging.basicConfig(format="%(message)s")
print(arrays.project(np.ones((1, 3)), np.eye(3, dtype=np.uint8).T, 1.0).sum())
"""

    def combine():
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        outcome = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert (outcome.returncode, outcome.stdout) == (0, "3.0\n"), outcome.stderr
        return outcome.stderr

    combine()
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert kept
    for path in kept:
        path.write_bytes(damage(path.read_bytes()))
    # On a slow machine a line that kernels are compiled may stand beside it.
    assert "the compiled kernels in the cache are damaged; they are compiled again\n" in combine()
    assert "damaged" not in combine()


def test_work_goes_on_where_no_thread_can_be_started(pictures, monkeypatch):
    expected = fastlr.open_dataset(pictures, size=8, threads=4)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert fastlr.open_dataset(pictures, size=8, threads=4) == expected


def test_threads_do_all_and_the_first_that_fails_is_raised():
    assert machine.in_threads(lambda i: i * i, 1000, 8) == [i * i for i in range(1000)]
    assert machine.in_threads(str, 0, 8) == []

    def work(index):
        if index % 10 == 7:
            raise ValueError(index)

    for _ in range(50):
        with pytest.raises(ValueError, match=r"^7$"):
            machine.in_threads(work, 100, 8)


def test_hdf5_where_no_process_can_be_started(tmp_path, monkeypatch):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = draw_images()
    hdf5_opener.opener().end()

    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(hdf5_opener, "_start", refuse)
    with pytest.raises(fastlr.InputError, match=r"x\.h5: no process can be started to open it"):
        fastlr.open_dataset(tmp_path / "x.h5")


def test_what_c_libraries_print_stays_away(capfd):
    with signals.only_our_lines():
        os.write(2, b"JPEGLib: Bogus Huffman table definition.\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_an_interruption_is_said_while_what_c_libraries_print_stays_away():
    code = """
import os, signal, time
from fastlr.cli import signals
signals.listen()
with signals.only_our_lines():
    os.write(2, b"JPEGLib: Bogus Huffman table definition.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (143, "fastlr: terminated\n")


def test_a_thousand_kinds_of_metadata(tmp_path):
    """Each damaged value in a model file is refused in one line; what loads can be saved and used."""
    path, odd = tmp_path / "m.safetensors", tmp_path / "odd.safetensors"
    fastlr.train(*draw_images(), iterations=2).model.save(path)
    tensors = load_file(path)
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        meta = json.loads(file.metadata()["fastlr"])
    values = [
        None, -1, 0, 1, 2**63, 10**400, 1e999, float("nan"), True, "", "text", [], [[]], {}, [None], [-4, -4, 3],
        [0.5, 16, 12], [float("inf")], ["a", "a"], ["a", float("nan")], [["a", 5]], [["a", -1], ["b", 0]],
    ]  # fmt: skip
    loaded = 0
    for key in meta:
        for value in values:
            save_file(tensors, odd, {"fastlr": json.dumps(meta | {key: value})})
            try:
                model = fastlr.load(odd)
            except fastlr.InputError as error:
                assert "\n" not in str(error)  # noqa: PT017 (most are refused, some are not)
                continue
            loaded += 1
            model.save(odd)
            sample = np.zeros((1, 192), np.uint8 if model.reads_pixels else np.float64)
            assert np.isfinite(model.predict_proba(sample)).all(), (key, value)
    assert 0 < loaded < 40


def test_an_annotated_picture_on_a_full_disk(pictures, tmp_path):
    fastlr.train(fastlr.open_dataset(pictures, size=8), iterations=2).model.save(tmp_path / "m.safetensors")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "picture_000.jpg").write_text("old")
    picture = pictures / "dark" / "picture_000.png"
    command = f"{sys.executable} -m fastlr predict {tmp_path}/m.safetensors {picture} --annotate {tmp_path}/out"
    outcome = subprocess.run(["sh", "-c", f"ulimit -f 4; {command}"], capture_output=True, text=True)
    assert outcome.returncode == 1
    assert outcome.stderr == (
        f"fastlr: {tmp_path}/out/picture_000.jpg: could not be written (File too large); nothing was changed there\n"
    )
    assert (tmp_path / "out" / "picture_000.jpg").read_text() == "old"
    assert len(list((tmp_path / "out").iterdir())) == 1
    command = command.replace(f"{tmp_path}/out", f"{tmp_path}/new/inner")
    outcome = subprocess.run(["sh", "-c", f"ulimit -f 4; {command}"], capture_output=True, text=True)
    assert (outcome.returncode, "could not be written" in outcome.stderr) == (1, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("can_start", [True, False])
@pytest.mark.parametrize("limit", [7, 100_000, -1])
def test_a_blas_that_cannot_start_its_threads_is_told_to_start_none(monkeypatch, limit, can_start):
    """OpenBLAS sends SIGINT to its own process where one cannot be started."""
    import resource
    import threading

    from fastlr.__main__ import allow_for_few_threads

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.setattr(resource, "getrlimit", lambda what: (limit, limit))
    if not can_start:
        monkeypatch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("none left")))
    before = threading.active_count()
    allow_for_few_threads()
    assert os.environ["OPENBLAS_NUM_THREADS"] == ("1" if limit == 7 and not can_start else "2")
    assert threading.active_count() == before

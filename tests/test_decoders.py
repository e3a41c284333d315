"""Small pictures that processes decode, against the same in one thread."""

import os
import sys

import numpy as np
import pytest
from PIL import Image

from fastlr import InputError
from fastlr.data import decoders, decoding
from fastlr.data.decoders import Decoders
from fastlr.data.format import Pictures
from fastlr.data.picture import Encoded


@pytest.fixture(autouse=True)
def two_processes(monkeypatch):
    """Have a few pictures count as many; return the processes that were started."""
    started, popen = [], decoders.subprocess.Popen
    monkeypatch.setattr(decoding, "MANY", 30)
    monkeypatch.setattr(decoding, "PART", 7)
    monkeypatch.setattr(decoding, "usable_cpus", lambda: 2)
    monkeypatch.setattr(
        decoders.subprocess, "Popen", lambda *args, **kw: started.append(popen(*args, **kw)) or started[-1]
    )
    return started


def write(folder, count, mode="L"):
    """Return files of small pictures of many sizes and formats."""
    files = []
    for i in range(count):
        values = np.random.default_rng(i).integers(0, 256, (9 + i % 5, 11, 3), np.uint8)
        files.append(folder / f"{i:03}.{('png', 'bmp', 'jpg')[i % 3]}")
        Image.fromarray(values).convert(mode).save(files[-1])
    return files


def read(files, threads=None, **settings):
    """Return what decode_samples makes of them."""
    return decoding.decode_samples("folder", [files], len(files), Pictures((8, 8, 3), threads=threads, **settings))


def test_the_pixels_are_those_of_one_thread(tmp_path, two_processes):
    files = write(tmp_path, 60, "RGB")
    images, kept, problems = read(files)
    assert 1 <= len(two_processes) <= 2
    np.testing.assert_array_equal(images, read(files, threads=1)[0])
    assert kept.all()
    assert problems == ()
    assert all(process.returncode is not None for process in two_processes)


def test_fewer_pictures_start_no_process(tmp_path, two_processes):
    read(write(tmp_path, 29))
    assert two_processes == []


def test_bad_and_large_pictures_among_them(tmp_path, two_processes):
    files = write(tmp_path, 50)
    files[20].write_text("no picture")
    files[41] = tmp_path / "nothing.png"
    Image.new("RGB", (900, 700), (1, 2, 3)).save(files[30])  # more than a process takes
    images, kept, problems = read(files, skip_bad=True)
    assert len(two_processes) >= 1
    assert np.flatnonzero(~kept).tolist() == [20, 41]
    assert [problem.split(": ")[1] for problem in problems] == ["not a picture that can be read", "no such file"]
    np.testing.assert_array_equal(images, read(files, threads=1, skip_bad=True)[0])
    with pytest.raises(
        InputError, match=r"020\.jpg: not a picture that can be read; remove it, or give skip_bad \(--skip-bad\)"
    ):
        read(files)


def test_grey_pictures_with_one_that_has_colours(tmp_path):
    files = write(tmp_path, 40)
    assert read(files, grey=True)[0].shape == (40, 8, 8, 1)
    Image.new("RGB", (8, 8), (200, 30, 10)).save(files[33])
    images = read(files, grey=True)[0]
    assert images[33, 0, 0].tolist() != [images[33, 0, 0, 0]] * 3
    np.testing.assert_array_equal(images, read(files, threads=1)[0])


def test_batches_of_bytes_share_the_processes(tmp_path, two_processes):
    files = write(tmp_path, 60)
    batches = [[Encoded(str(file), file.read_bytes()) for file in files[start : start + 20]] for start in (0, 20, 40)]
    images, _, _ = decoding.decode_samples("table", batches, 60, Pictures((8, 8, 3)))
    np.testing.assert_array_equal(images, read(files, threads=1)[0])
    assert 1 <= len(two_processes) <= 2


@pytest.mark.parametrize("banner", ["welcome", "welcome" * 1000])
def test_what_a_process_prints_is_not_taken_for_pixels(banner, tmp_path, monkeypatch):
    """Some machines print a banner wherever Python starts."""
    files = write(tmp_path, 40)
    expected = read(files, threads=1)[0]
    monkeypatch.setattr(decoders, "START", f"print({banner!r}, flush=True); {decoders.START}")
    np.testing.assert_array_equal(read(files)[0], expected)
    monkeypatch.setattr(
        decoders, "START", decoders.START.replace("serve(", f"print({banner!r}, flush=True); serve(", 1)
    )
    np.testing.assert_array_equal(read(files)[0], expected)


def test_nothing_is_imported_from_the_working_directory(tmp_path, monkeypatch, two_processes):
    """There the data of strangers may be."""
    files = write(tmp_path, 40)
    for name in ("json", "pickle", "signal", "numpy", "PIL"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w').close()")
    monkeypatch.chdir(tmp_path)
    assert "" not in sys.path
    np.testing.assert_array_equal(read(files)[0], read(files, threads=1)[0])
    assert two_processes
    assert not (tmp_path / "imported").exists()


def test_a_process_that_does_not_answer_is_ended(tmp_path, monkeypatch, two_processes):
    files = write(tmp_path, 40)
    monkeypatch.setattr(decoders, "START", "import time; time.sleep(600)")
    monkeypatch.setattr(decoders, "LONGEST", 0.5)
    np.testing.assert_array_equal(read(files)[0], read(files, threads=1)[0])
    assert all(process.returncode is not None for process in two_processes)


@pytest.mark.parametrize(
    ("what", "value"),
    [("START", "raise SystemExit"), ("START", "import os; os.write(1, b'1')"), ("executable", "/nothing")],
)
def test_without_processes_it_is_done_in_this_one(what, value, tmp_path, monkeypatch, two_processes):
    files = write(tmp_path, 40)
    monkeypatch.setattr(sys if what == "executable" else decoders, what, value)
    np.testing.assert_array_equal(read(files)[0], read(files, threads=1)[0])
    assert len(two_processes) <= 2


def test_a_frozen_program_does_not_start_itself(tmp_path, monkeypatch, two_processes):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    files = write(tmp_path, 40)
    np.testing.assert_array_equal(read(files)[0], read(files, threads=1)[0])
    assert two_processes == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_process_that_is_killed_loses_nothing(tmp_path, two_processes):
    files = write(tmp_path, 20)
    out = np.zeros((20, 8, 8, 3), np.uint8)
    with Decoders(2) as pool:
        assert pool.decode(files, Pictures((8, 8, 3)), out).all()
        two_processes[0].kill()
        two_processes[0].wait()
        assert not pool.decode(files, Pictures((8, 8, 3)), out).any()
    assert [process.returncode is None for process in two_processes] == [False]

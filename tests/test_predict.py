"""predict: whatever somebody calls a picture gets an answer or one line that says why not."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image
from pseudo import on_a_terminal

import fastlr
from fastlr.data.picture import Encoded
from fastlr.model import pictures as predictions
from fastlr.model.pictures import predict_pictures

pytestmark = pytest.mark.broad


@pytest.fixture
def model(tmp_path):
    images, labels = draw_images(30)
    run = fastlr.train(write_and_open(tmp_path / "learned", images, labels), iterations=600, learning_rate=0.05)
    run.model.save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def many_classes(tmp_path):
    """A model of five classes: pictures of one grey each."""
    images = np.repeat(np.arange(5, dtype=np.uint8) * 50, 8 * 8 * 3 * 4).reshape(20, 8, 8, 3)
    labels = np.repeat(np.arange(5), 4)
    names = ["black", "dark", "grey", "light", "white"]
    data = write_and_open(tmp_path / "greys", images, labels, names)
    fastlr.train(data, iterations=300, learning_rate=0.1).model.save(tmp_path / "greys.safetensors")
    return tmp_path / "greys.safetensors"


def write_and_open(root, images, labels, names=("dark", "light")):
    return fastlr.open_dataset(write_folder(root, images, labels, names=names), size=8)


def encoded(size=(40, 30), colour=(250, 250, 250), kind="PNG", mode="RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def bomb(side=50_000) -> bytes:
    """A PNG of that many grey pixels a side, of which it holds the first few."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def piped(content: bytes, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "fastlr", "predict", *map(str, arguments)]
    return subprocess.run(command, input=content, capture_output=True, check=False)


def test_pictures_of_any_size_and_format_in_the_order_given(fastlr_command, model, tmp_path):
    files = []
    for i, (size, kind) in enumerate([((1, 1), "png"), ((3000, 7), "jpeg"), ((9, 800), "gif"), ((64, 64), "webp")]):
        files.append(tmp_path / f"{9 - i}.{kind}")
        files[-1].write_bytes(encoded(size, (250,) * 3 if i % 2 else (0,) * 3, kind))
    rows = fastlr_command("predict", model, *files, "--json").json
    assert [row["image"] for row in rows] == [str(file) for file in files]
    assert [row["label"] for row in rows] == ["dark", "light", "dark", "light"]
    assert all(row.keys() == {"image", "label", "probability"} for row in rows)


def test_from_standard_input(model):
    for colour, label in ((0, "dark"), (250, "light")):
        done = piped(encoded((1, 1), (colour,) * 3), model, "-", "--json")
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)
        assert (row["image"], row["label"]) == ("-", label)
    assert piped(encoded(), model, "-").stdout.decode().startswith("-  light  0.9")


def test_standard_input_among_files(model, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(colour=(0, 0, 0)))
    done = piped(encoded(), model, tmp_path / "a.png", "-", "--annotate", tmp_path / "out", "--json", "-q")
    assert [row["label"] for row in json.loads(done.stdout)] == ["dark", "light"]
    assert done.stderr == b""
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.jpg", "standard-input.jpg"]
    with Image.open(tmp_path / "out" / "standard-input.jpg") as image:
        assert image.getpixel((image.width // 2, 10)) > (240, 240, 240)


def test_standard_inputs_annotated_picture_takes_no_ones_place(model, tmp_path):
    (tmp_path / "standard-input.png").write_bytes(encoded(colour=(0, 0, 0)))
    done = piped(encoded(), model, tmp_path / "standard-input.png", "-", "--annotate", tmp_path / "out")
    assert done.returncode == 0
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["standard-input-2.jpg", "standard-input.jpg"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "-: standard input is empty; a picture is needed"),
        (b"# a list of things\n- one\n" * 50, "-: not a picture that can be read"),
        (bomb(), "-: refused, it is too large a picture"),
        (encoded((300, 300), kind="JPEG")[:-200], "-: cannot be read as a picture"),
        (encoded((300, 300))[:-40], "-: cannot be read as a picture"),
    ],
)
def test_what_is_no_picture_gets_one_line(model, tmp_path, content, says):
    (tmp_path / "given").write_bytes(content)
    from_file = piped(b"", model, tmp_path / "given", "--json")
    from_stream = piped(content, model, "-", "--json")
    for done in (from_file, from_stream):
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.count(b"\n") == 1
    assert from_stream.stderr.decode().startswith(f"fastlr: {says}")


def test_standard_input_once_and_not_of_a_terminal_or_a_closed_one(refused, model, monkeypatch):
    refused("predict", model, "-", "-", says=("-: given more than once; standard input holds one picture",))
    monkeypatch.setattr("sys.stdin", None)
    refused("predict", model, "-", says=("-: standard input is closed",))
    ours, theirs = os.openpty()
    with open(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        refused("predict", model, "-", says=("-: standard input is a terminal",))
    os.close(ours)


def test_more_than_any_picture_on_standard_input(model, refused, monkeypatch):
    monkeypatch.setattr("fastlr.data.named.MOST_BYTES", 1000)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(1001))))
    refused("predict", model, "-", says=("-: standard input holds more than 1000 bytes",))


@pytest.fixture
def folder(tmp_path):
    """Two pictures, a folder of one and of a text, a folder below that, and what is hidden."""
    root = tmp_path / "mine"
    for place in ("b.png", "a.jpg", "sub/c.png", "sub/deeper/d.png", ".hidden/e.png", ".f.png", "sub/.g.png"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(encoded(kind="JPEG" if place.endswith("jpg") else "PNG"))
    (root / "sub" / "notes.txt").write_text("not a picture")
    (root / "cut.png").write_bytes(encoded((300, 300))[:-40])
    return root


def test_a_folder_stands_for_its_pictures(fastlr_command, model, folder):
    outcome = fastlr_command("predict", model, folder, "--json")
    assert outcome.status == 0
    assert [row["image"] for row in outcome.json] == [str(folder / name) for name in ("a.jpg", "b.png", "sub/c.png")]
    lines = outcome.err.splitlines()
    assert lines[0].startswith(f"skipped {folder / 'cut.png'}: cannot be read as a picture")
    assert lines[1] == f"skipped {folder / 'sub' / 'notes.txt'}: not a picture that can be read"
    assert lines[-1] == "skipped 2 of 5 files"
    quiet = fastlr_command("predict", model, folder, "--quiet")
    assert quiet.err.splitlines() == [*lines[:2], lines[-1]], "what is wrong is said even so"
    assert len(quiet.out.splitlines()) == 3


def test_folders_and_files_keep_their_order(fastlr_command, model, folder):
    rows = fastlr_command("predict", model, folder / "b.png", folder / "sub", folder / "a.jpg", "--json").json
    names = ("b.png", "sub/c.png", "sub/deeper/d.png", "a.jpg")
    assert [row["image"] for row in rows] == [str(folder / name) for name in names]


def test_annotating_a_folder_leaves_out_what_is_no_picture(fastlr_command, model, folder, tmp_path):
    assert fastlr_command("predict", model, folder, "--annotate", tmp_path / "out").status == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.jpg", "b.jpg", "sub-c.jpg"]


def test_a_bad_file_that_was_named_is_refused_beside_a_folder(refused, model, folder):
    refused("predict", model, folder, folder / "cut.png", says=("cut.png: cannot be read as a picture",))


def test_bad_files_that_were_named_can_be_passed_over(fastlr_command, refused, model, folder):
    outcome = fastlr_command("predict", model, folder / "cut.png", folder / "b.png", "--skip-bad", "--json")
    assert (outcome.status, [row["image"] for row in outcome.json]) == (0, [str(folder / "b.png")])
    assert outcome.err.startswith(f"skipped {folder / 'cut.png'}: cannot be read as a picture")
    refused(
        "predict", model, folder / "cut.png", "--skip-bad", says=("none of the files is a picture that can be read",)
    )
    refused("predict", model, folder, "--out", folder / "x", "--skip-bad", says=("--out: it goes with one folder of",))


def test_a_name_that_leads_nowhere_is_never_passed_over(refused, model, folder):
    refused("predict", model, folder / "b.png", folder / "no.png", "--skip-bad", says=("no.png: no such file",))
    refused("predict", model, folder / "b.png", "", "--skip-bad", says=("b.png: it is empty; give a value",))


def test_folders_without_pictures(refused, model, tmp_path):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden.png").write_bytes(encoded())
    refused("predict", model, tmp_path / "empty", says=("empty: holds no pictures, nor do its folders",))
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    (tmp_path / "empty" / "gone.png").symlink_to(tmp_path / "nowhere")
    says = ("empty: none of its files is a picture that can be read; the first: ", "gone.png: no such file")
    refused("predict", model, tmp_path / "empty", says=says)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read any folder")
def test_a_folder_that_may_not_be_read(refused, model, tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    refused("predict", model, tmp_path / "closed", says=("closed: cannot be read (Permission denied)",))


def test_a_name_that_no_system_takes(refused, model):
    refused("predict", model, "x" * 5000, says=("File name too long",))
    refused("predict", model, "a\0b", says=("a\\x00b: cannot be read as a picture",))


def test_top(fastlr_command, many_classes, tmp_path):
    (tmp_path / "p.png").write_bytes(encoded(colour=(255, 255, 255)))
    classifier = fastlr.load(many_classes)
    proba = classifier.predict_proba(np.full((1, 8, 8, 3), 255, np.uint8))[0]
    wanted = [classifier.classes[i] for i in np.argsort(-proba)]
    plain = fastlr_command("predict", many_classes, tmp_path / "p.png", "--json").json[0]
    for top in (1, 3, 5, 99):
        (row,) = fastlr_command("predict", many_classes, tmp_path / "p.png", "--top", top, "--json").json
        assert list(row) == ["image", "label", "probability", "top"]
        assert {key: row[key] for key in plain} == plain
        assert [one["label"] for one in row["top"]] == wanted[:top]
        assert [one["probability"] for one in row["top"]] == sorted(proba.tolist(), reverse=True)[:top]
    assert row["top"][0] == {"label": plain["label"], "probability": plain["probability"]}
    assert classifier.predict_files([tmp_path / "p.png"], top=99) == [row]
    (line,) = fastlr_command("predict", many_classes, tmp_path / "p.png", "--top", 2).out.splitlines()
    assert line.split("  ")[1::2] == wanted[:2]


@pytest.mark.parametrize("top", [0, -3])
def test_a_top_of_nothing(refused, many_classes, tmp_path, top):
    refused("predict", many_classes, tmp_path / "none.png", "--top", top, says=(f"--top: {top}; a whole number",))
    with pytest.raises(fastlr.InputError, match=f"top: {top}; a whole number of at least 1"):
        fastlr.load(many_classes).predict_files([], top=top)


def test_a_top_that_is_no_number(refused, many_classes, tmp_path):
    refused("predict", many_classes, tmp_path / "none.png", "--top", "all", says=("Invalid value for '--top'",))


def test_bytes_in_python(model, tmp_path):
    (tmp_path / "p.png").write_bytes(encoded())
    classifier = fastlr.load(model)
    rows = classifier.predict_files([str(tmp_path / "p.png"), Encoded("from the net", encoded()), tmp_path / "p.png"])
    assert [row["image"] for row in rows] == [str(tmp_path / "p.png"), "from the net", str(tmp_path / "p.png")]
    # Each by itself: a BLAS may add up the rows of one product in different orders, by their places in it.
    pictures = (tmp_path / "p.png", Encoded("from the net", encoded()))
    from_file, from_bytes = (classifier.predict_files([picture])[0]["probability"] for picture in pictures)
    assert from_file == from_bytes
    with pytest.raises(fastlr.InputError, match="from the net: not a picture"):
        classifier.predict_files([Encoded("from the net", b"hello")])
    assert classifier.predict_files([]) == []


def test_many_pictures_are_decoded_a_few_at_a_time(model, tmp_path, monkeypatch):
    files = [*sorted((tmp_path / "learned").rglob("*.png")), tmp_path / "none.png"]
    whole = predict_pictures(fastlr.load(model), files, may_skip=[True] * 31)
    sizes, decode_all = [], predictions.decode_all

    def counted(pictures, *rest):
        sizes.append(len(pictures))
        return decode_all(pictures, *rest)

    monkeypatch.setattr(predictions, "decode_all", counted)
    for name, value in (("AT_ONCE", 7), ("BYTES_AT_ONCE", 8 * 8 * 3 * 7)):
        with monkeypatch.context() as patched:
            patched.setattr(predictions, name, value)
            sizes.clear()
            found = predict_pictures(fastlr.load(model), files, may_skip=[True] * 31)
        assert sizes == [7, 7, 7, 7, 3]
        assert (found.pictures, found.skipped) == (whole.pictures, whole.skipped)
        assert [row["label"] for row in found.rows] == [row["label"] for row in whole.rows]
        np.testing.assert_allclose(*([row["probability"] for row in one.rows] for one in (found, whole)), rtol=1e-12)
    assert whole.skipped == [f"{tmp_path / 'none.png'}: no such file"]


def test_a_table_with_bars_on_a_terminal(many_classes, tmp_path):
    (tmp_path / "p.png").write_bytes(encoded(colour=(255, 255, 255)))
    seen = on_a_terminal("predict", many_classes, "p.png", "--top", 3, cwd=tmp_path)
    rows = fastlr.load(many_classes).predict_files([tmp_path / "p.png"], top=3)[0]["top"]
    for line, row in zip(seen.lines, rows, strict=True):
        words = line.replace("p.png", "").split()
        assert words[:2] == [row["label"], f"{row['probability']:.4f}"]
        assert (words[2].count("█") if len(words) > 2 else 0) == round(row["probability"] * 160) // 8
    assert seen.lines[0].startswith("p.png  white  ")
    assert seen.lines[1].startswith("       light  ")
    plain = on_a_terminal("predict", many_classes, "p.png", "--top", 3, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert plain.text.isascii()
    assert plain.lines[0].count("#") == round(rows[0]["probability"] * 20)

"""What people see: lines that fit, text from files that does nothing, a curve, and quiet where it is asked for."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image
from pseudo import on_a_terminal

import fastlr
from fastlr.cli.render import tables, terminal, text
from fastlr.cli.render.curve import draw_curve
from fastlr.errors import escaped
from fastlr.model.evaluation import Results

HEBREW, ARABIC, EMOJI = "שלום", "مرحبا", "cat 🐈"
HOSTILE = ["<script>alert('x')</script>".replace("/", "∕"), "quote \" and '", EMOJI, HEBREW, ARABIC, "red\x1b[31m\x07"]
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e]")  # all but the end of a line


class Screen(io.StringIO):
    """A stream that takes itself for a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


# The curve


def test_a_curve_in_braille():
    costs, at = [0.7, 0.4, 0.2, 0.1, 0.1], [0, 100, 200, 300, 400]
    assert draw_curve(costs, at, 40, 4) == [
        "0.700000 │⠑⠢⡀",
        "         │  ⠈⠑⠤⣀",
        "         │      ⠑⠒⢄⣀",
        "         │          ⠉⠒⠒⠤⠤⣀⣀⣀⣀⣀⣀ 0.100000",
        "          0   iterations    400",
    ]


def test_a_curve_in_ascii():
    costs, at = [0.7, 0.4, 0.2, 0.1, 0.1], [0, 100, 200, 300, 400]
    drawn = draw_curve(costs, at, 40, 4, unicode=False)
    assert drawn == [
        "0.700000 |***",
        "         |   *****",
        "         |        *****",
        "         |             ******** 0.100000",
        "          0   iterations    400",
    ]
    assert "".join(drawn).isascii()


def test_a_curve_that_climbs_again_has_its_costs_beside_its_ends():
    assert draw_curve([1.0, 0.0, 0.5], [0, 5, 10], 30, 3, unicode=False) == [
        "1.000000 |**",
        "         |  **    *** 0.500000",
        "         |    ****",
        "          0        10",
    ]


def test_a_flat_curve_and_a_huge_one():
    assert draw_curve([0.5, 0.5, 0.5], [0, 1, 2], 30, 2, unicode=False)[:2] == [
        "0.500000 |*********** 0.500000",
        "         |",
    ]
    huge = draw_curve([1e300, 1e308, 3.0], [0, 1, 2], 40, 3)
    assert huge[2].startswith("1e+300 │")
    assert huge[2].endswith(" 3.000000")
    assert max(map(text.cells, huge)) <= 40


def test_no_curve_where_there_is_no_room():
    assert draw_curve([1.0, 0.5, 0.25], [0, 100, 200], 23, 3) == []
    assert draw_curve([1.0, 0.5, 0.25], [0, 100, 200], 24, 3)[-1] == "          0 200"


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("count", [3, 20, 5000])
@pytest.mark.parametrize("width", [30, 79, 80])
def test_every_curve_fits_and_shows_every_extreme(unicode, count, width):
    costs = np.random.default_rng(count).uniform(0.1, 0.9, count).tolist()
    drawn = draw_curve(costs, [7 * i for i in range(count)], width, 6, unicode)
    assert len(drawn) == 7
    assert all(text.cells(line) <= width for line in drawn)
    assert sum(text.short_cost(costs[0]) in line for line in drawn) == 1
    assert sum(line.endswith(f" {text.short_cost(costs[-1])}") for line in drawn) == 1
    assert drawn[-1].split()[0] == "0"
    assert drawn[-1].split()[-1] == str(7 * (count - 1))
    for line in (drawn[0], drawn[-2]):  # the highest and the lowest cost
        assert re.search("[⠁-⣿]" if unicode else r"\*", line)


@pytest.fixture
def pictures(tmp_path):
    images, labels = draw_images(30)
    write_folder(tmp_path / "pictures" / "train", images[:20], labels[:20])
    return write_folder(tmp_path / "pictures" / "test", images[20:], labels[20:]).parent


def has_curve(shown: str) -> bool:
    return "│" in shown or bool(re.search(r"\|.*\*", shown))


def test_train_draws_the_curve_on_a_terminal_alone(pictures, fastlr_command):
    options = ("train", pictures, "--size", 8, "--iterations", 300)
    seen = on_a_terminal(*options)
    assert seen.status == 0
    run = fastlr_command(*options, "--json")
    costs = [f"{cost:f}" for cost in run.json["costs"]]
    (first,) = (line for line in seen.lines if line.startswith(f"{costs[0]} │"))
    assert seen.lines[seen.lines.index(first) + 5].endswith(costs[-1])
    assert seen.lines[-1].split() == ["0", "iterations", "200"]
    assert all(text.cells(line) <= 80 for line in seen.lines)
    assert has_curve(on_a_terminal(*options, PYTHONUTF8="0", PYTHONIOENCODING="ascii").text)
    assert not has_curve(fastlr_command(*options).out)
    assert not has_curve(run.err)
    assert not has_curve(on_a_terminal(*options, "--json").text)
    assert not has_curve(on_a_terminal("train", pictures, "--size", 8, "--iterations", 200).text), "two costs"
    assert on_a_terminal(*options, "--quiet", errors_there=True).text == ""
    narrow = on_a_terminal(*options, columns=50)
    assert max(text.cells(line) for line in narrow.lines if "│" in line) <= 50
    assert has_curve(narrow.text)


# Lines that fit


def long_names(count: int = 40) -> list[str]:
    return [f"species {i:02d} of the very long list of birds 鳥 of all the world's islands" for i in range(count)]


@pytest.mark.parametrize("names", [long_names(), long_names(2), [str(i) for i in range(1000)], ["", "x" * 1000]])
@pytest.mark.parametrize("stream", [io.StringIO, Screen])
def test_the_summary_fits_80_columns(monkeypatch, tmp_path, names, stream):
    monkeypatch.setattr(sys, "stdout", stream())
    images, _ = draw_images(len(names))
    data = replace(
        fastlr.data.from_arrays("x", images, np.arange(len(names)), names),
        source=str(tmp_path / ("a folder of a long name " * 8) / "train"),
    )
    run = fastlr.train(data, iterations=2, layers=(2,) * 40)
    run = replace(run, notes=("a note that goes on and on, " * 20,))
    lines = tables.summary(data, run).splitlines()
    assert all(text.cells(line) <= 80 for line in lines)
    assert re.match(r"/.*….*/train: \d+ samples of 192 features$", lines[0])
    listed = lines[1 : next(i for i, line in enumerate(lines) if line.startswith("hidden layers"))]
    assert listed[0].startswith("classes")
    assert len(listed) <= 3
    if len(names) > 2:
        left = int(re.search(r"and (\d+) more$", listed[-1])[1])
        assert len(" ".join(listed).split(",")) - 1 + left == len(names)
    else:
        assert "more" not in listed[-1]


def test_a_short_summary_is_as_it_was(pictures, fastlr_command, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    said = fastlr_command("train", "pictures", "--size", 8, "--iterations", 2).out.splitlines()
    assert said[0] == "pictures/train: 20 samples of 192 features; classes dark, light"


@pytest.mark.parametrize(
    ("count", "lines", "expected"),
    [
        (3, 1, ["of aa0, aa1, aa2"]),
        (4, 1, ["of aa0, and 3 more"]),
        (4, 2, ["of aa0, aa1, aa2,", "  aa3"]),
        (9, 2, ["of aa0, aa1, aa2,", "  aa3, and 5 more"]),
    ],
)
def test_lists_count_what_they_leave_out(count, lines, expected):
    assert text.listed("of", [f"aa{i}" for i in range(count)], 18, lines) == expected


@pytest.mark.parametrize(
    ("given", "room", "expected"),
    [
        ("photos/train", 12, "photos/train"),
        ("photos/train", 9, "phot…rain"),
        ("写真写真写真", 12, "写真写真写真"),
        ("写真写真写真", 10, "写真…写真"),
        ("🐈🐈🐈🐈", 4, "…🐈"),
        ("e" + "\u0301" * 10_000, 4, "e" + "\u0301" * 10_000),
    ],
)
def test_long_text_is_broken_in_the_middle(given, room, expected):
    shorter = text.shortened(given, room)
    assert text.cells(shorter) <= room
    assert shorter == expected


def test_long_model_paths_and_the_confusion_of_many_classes(fastlr_command, tmp_path):
    names = [f"{i:02d} {'kind' * 12}" for i in range(40)]
    images, _ = draw_images(80)
    write_folder(tmp_path / "many", images, np.arange(80) % 40, names=names)
    model = tmp_path / "m.safetensors"
    seen = on_a_terminal("train", tmp_path / "many", "--size", 8, "--iterations", 3, "--model", model)
    assert all(text.cells(line) <= 80 for line in seen.lines)
    assert any(re.search(r"and \d+ more$", line) for line in seen.lines)
    seen = on_a_terminal("evaluate", model, tmp_path / "many")
    assert seen.status == 0
    assert all(text.cells(line) <= 80 for line in seen.lines)
    matrix = fastlr_command("evaluate", model, tmp_path / "many", "--json").json["confusion_matrix"]
    told = [line for line in seen.lines if re.match(r"\d\d kind", line)]
    assert len(told) == 40
    assert [" taken for " in line for line in told] == [sum(row) > row[i] for i, row in enumerate(matrix)]
    plain = fastlr_command("evaluate", model, tmp_path / "many").out.splitlines()
    assert [int(count) for count in plain[2].split()[4:]] == matrix[0], "a pipe gets the matrix"


# Colour, dumb terminals, quiet


def test_no_color_and_dumb_terminals(pictures):
    options = ("train", pictures, "--size", 8, "--iterations", 300)
    colour = re.compile(r"\x1b\[[0-9;]*m")
    assert colour.search(on_a_terminal(*options, errors_there=True).text)
    plain = on_a_terminal(*options, errors_there=True, NO_COLOR="1").text
    assert not colour.search(plain)
    assert "300/300" in plain
    dumb = on_a_terminal(*options, errors_there=True, TERM="dumb").text
    assert "\x1b" not in dumb
    assert "Cost after iteration 200: " in dumb


def test_quiet(fastlr_command, pictures, tmp_path):
    model = tmp_path / "m.safetensors"
    trained = fastlr_command("train", pictures, "--size", 8, "--iterations", 101, "--model", model, "-q")
    assert (trained.status, trained.out, trained.err) == (0, "", "")
    assert model.is_file()
    picture = pictures / "test" / "dark" / "picture_000.png"
    assert fastlr_command("predict", model, picture, "--quiet").out == fastlr_command("predict", model, picture).out
    asked = fastlr_command("predict", model, picture, "--quiet", "--json")
    assert (len(asked.json), asked.err) == (1, "")
    evaluated = fastlr_command("evaluate", model, pictures, "-q")
    assert re.fullmatch(r"accuracy: [\d.]+ % of 10 samples\n", evaluated.out)
    asked = fastlr_command("evaluate", model, pictures, "-q", "--json")
    assert (asked.json["n"], asked.err) == (10, "")
    converted = fastlr_command("convert", pictures, tmp_path / "x.npz", "-q")
    assert (converted.status, converted.out, converted.err) == (0, "", "")
    assert (tmp_path / "x.npz").is_file()


def test_quiet_keeps_what_is_wrong(fastlr_command, refused, pictures, tmp_path):
    refused("train", tmp_path / "none", "-q", says=("none: no such file or folder",))
    (pictures / "train" / "dark" / "notes.txt").write_text("hello")
    (pictures / "test" / "dark" / "notes.txt").write_text("hello")
    for command in (
        ("train", pictures, "--lr", 1, "--l2", 10, "--iterations", 5000),
        ("convert", pictures, tmp_path / "x.h5"),
    ):
        outcome = fastlr_command(*command, "--size", 8, "--skip-bad", "-q")
        assert outcome.out == ""
        assert "skipped" in outcome.err
        assert ("fastlr: diverged" in outcome.err) == (command[0] == "train") == (outcome.status == 1)


def test_quiet_hides_that_kernels_are_compiled(fastlr_command, pictures):
    import logging

    log = logging.getLogger("fastlr")
    fastlr_command("train", pictures, "--size", 8, "--iterations", 2, "-q")
    assert not log.isEnabledFor(logging.WARNING)
    fastlr_command("train", pictures, "--size", 8, "--iterations", 2)
    assert log.isEnabledFor(logging.WARNING)


# Completion


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completes_commands_and_options(tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "fastlr").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fastlr "$@"\n')
    (bin_folder / "fastlr").chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_folder}:{os.environ['PATH']}"}

    def completed(*words: str) -> list[str]:
        script = (
            'eval "$(_FASTLR_COMPLETE=source_bash fastlr)"\n'
            f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
            "$(complete -p fastlr | sed 's/.*-F \\([^ ]*\\).*/\\1/') fastlr\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
        return run.stdout.split()

    assert completed("fastlr", "ev") == ["evaluate"]
    assert {"train", "predict", "evaluate", "convert", "backends", "bench", "warmup", "demo"} <= set(
        completed("fastlr", "")
    )
    assert completed("fastlr", "predict", "--to") == ["--top"]


def test_the_completion_script_is_shown(fastlr_command):
    run = subprocess.run(
        [sys.executable, "-m", "fastlr", "--show-completion", "bash"],
        env=os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o default -F _fastlr_completion fastlr" in run.stdout
    assert "--show-completion" in fastlr_command("--help").out


# Text from files


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("gpj.\u202etxt", "gpj.\\u202etxt"),
        (
            "\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069",
            "\\u202a\\u202b\\u202c\\u202d\\u2066\\u2067\\u2068\\u2069",
        ),
        ("\u200e\u200f\u061c\u2028\udcff", "\\u200e\\u200f\\u061c\\u2028\\udcff"),
        (f"{HEBREW} {ARABIC} {EMOJI} é 写真 <b>'\"", f"{HEBREW} {ARABIC} {EMOJI} é 写真 <b>'\""),
    ],
)
def test_what_acts_is_written_out(given, expected):
    assert terminal.shown(given, stream=io.StringIO()) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("left", "left"),
        (HEBREW, f"\u2068{HEBREW}\u2069"),
        (f"{HEBREW} 2 {ARABIC}.jpg", f"\u2068{HEBREW} 2 {ARABIC}\u2069.jpg"),
        (f"{HEBREW}/{ARABIC}.jpg: no", f"\u2068{HEBREW}\u2069/\u2068{ARABIC}\u2069.jpg: no"),
    ],
)
def test_right_to_left_text_keeps_to_its_place_on_a_terminal(given, expected):
    assert terminal.shown(given, stream=Screen()) == expected
    assert terminal.shown(given, stream=io.StringIO()) == given
    assert text.cells(terminal.shown(given, stream=Screen())) == text.cells(given)


@pytest.fixture
def hostile(tmp_path):
    images = np.repeat(np.arange(6, dtype=np.uint8) * 40, 8 * 8 * 3 * 3).reshape(18, 8, 8, 3)
    return write_folder(tmp_path / "hostile", images, np.repeat(np.arange(6), 3), names=HOSTILE)


def test_hostile_names_through_every_command(fastlr_command, hostile, tmp_path):
    model = tmp_path / "m.safetensors"
    nasty = hostile / HOSTILE[-1] / "new\nline\u202egpj.png"
    Image.new("RGB", (8, 8)).save(nasty)
    (hostile / HOSTILE[-1] / "bad\x1b]0;title\x07.png").write_text("no picture")
    trained = fastlr_command("train", hostile, "--size", 8, "--skip-bad", "--iterations", 300, "--model", model)
    assert trained.status == 0
    listed = " ".join(trained.out.split())
    assert all(escaped(name) in listed for name in HOSTILE)
    outcomes = [
        trained,
        fastlr_command("evaluate", model, hostile, "--skip-bad"),
        fastlr_command("predict", model, hostile, nasty, "--annotate", tmp_path / "out"),
        fastlr_command("convert", hostile, tmp_path / "x.npz", "--skip-bad"),
        fastlr_command("predict", model, hostile / HOSTILE[-1] / "bad\x1b]0;title\x07.png"),
        fastlr_command("train", hostile / "no\x1bne"),
    ]
    assert [outcome.status for outcome in outcomes] == [0, 0, 0, 0, 2, 2]
    for outcome in outcomes:
        assert not ACTING.search(outcome.out)
        assert not ACTING.search(outcome.err)
    assert "bad\\x1b]0;title\\x07.png: not a picture" in outcomes[4].err
    assert outcomes[4].err.count("\n") == outcomes[5].err.count("\n") == 1
    assert "red\\x1b[31m\\x07/new\\nline\\u202egpj.png" in outcomes[2].out
    assert len(outcomes[2].out.splitlines()) == 20
    rows = fastlr_command("predict", model, nasty, "--json").json
    assert rows[0]["image"] == str(nasty), "JSON holds the names as they are"
    assert fastlr_command("evaluate", model, hostile, "--skip-bad", "--json").json["classes"] == sorted(HOSTILE)


def test_columns_line_up_whatever_the_names(hostile, tmp_path, fastlr_command):
    model = tmp_path / "m.safetensors"
    fastlr_command("train", hostile, "--size", 8, "--iterations", 300, "--lr", 0.1, "--model", model)
    files = [f"{name}/picture_{3 * i:03d}.png" for i, name in enumerate(HOSTILE)]
    seen = on_a_terminal("predict", model, *files, cwd=hostile)
    starts = [
        text.cells(line[: line.index(match[0])]) for line in seen.lines if (match := re.search(r"\d\.\d{4}", line))
    ]
    assert len(starts) == 6
    assert len(set(starts)) == 1
    assert f"\u2068{HEBREW}\u2069" in seen.text
    assert not ACTING.search(seen.text.replace("\r\n", "\n"))
    assert all(text.cells(line) <= 80 for line in seen.lines)
    plain = fastlr_command("evaluate", model, hostile).out.splitlines()[1:]
    assert len({text.cells(line) for line in plain}) == 1, "the matrix has one right edge"


def test_an_error_on_a_terminal_is_one_harmless_line(tmp_path):
    seen = on_a_terminal("train", f"{HEBREW}\x1b[2J\u202e.h5", errors_there=True, cwd=tmp_path)
    assert seen.status == 2
    assert seen.lines == [f"fastlr: \u2068{HEBREW}\u2069\\x1b[2J\\u202e.h5: no such file or folder"]


def test_the_matrix_on_a_wide_enough_terminal(monkeypatch):
    results = Results(np.array([[3, 1], [0, 2]]))
    for columns, expected in (
        (60, ["    accuracy taken for      cat      dog", "cat   75.0 %                  3        1"]),
        (30, ["cat   75.0 % taken for dog 1", "dog  100.0 %"]),
    ):
        screen = Screen()
        monkeypatch.setenv("COLUMNS", str(columns))
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", screen)
            tables.print_confusion(["cat", "dog"], results, False)
        lines = screen.getvalue().splitlines()
        assert [line.rstrip() for line in lines[:2]] == [line.rstrip() for line in expected]


@pytest.mark.parametrize(
    ("share", "blocks", "expected"),
    [(0, True, ""), (1, True, "█" * 4), (0.5, True, "██"), (0.53, True, "██▏"), (0.5, False, "##"), (0.1, False, "")],
)
def test_bars(share, blocks, expected):
    assert tables.draw_bar(share, 4, blocks) == expected


def test_bars_grow_with_the_share():
    widths = [8 * bar.count("█") + " ▏▎▍▌▋▊▉".find(bar.strip("█") or " ") for bar in bars_of(161)]
    assert all(b - a == 1 for a, b in pairwise(widths))


def bars_of(count: int) -> list[str]:
    return [tables.draw_bar(i / (count - 1), 20, True) for i in range(count)]


def test_how_far_a_pass_has_come():
    assert text.reading(2_500_000_000, 12_300_000_000, 2.0) == "2.50 of 12.30 GB, 1.25 GB/s"
    assert text.reading(2_500_000, 12_300_000, 2.0) == "2.50 of 12.30 MB, 1.25 MB/s"
    assert text.reading(10**6, 10**7, 0.001) == "", "ten such take no second"


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_pass_over_large_data_is_shown(tmp_path, command):
    """What is read in blocks that take long is shown on a terminal, with bytes a second."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", X=rng.normal(size=(300, 4)), y=rng.integers(0, 2, 300))
    code = """
import sys, time
from fastlr.data import blocks
from fastlr.training import inputs
inputs.FEWEST, inputs.BLOCK = 100, 20
each = blocks.Blocks._blocks
def slowly(self):
    for found in each(self):
        time.sleep(0.1)
        yield found
blocks.Blocks._blocks = slowly
from fastlr.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
    script = tmp_path / "slow.py"
    script.write_text(code)
    options = (command, tmp_path / "x.npz", "--iterations", 1)
    seen = on_a_terminal(*options, columns=120, errors_there=True, script=script, FASTLR_MEMORY="1000")
    assert seen.status == 0
    assert re.search(r"0\.0\d of 0\.01 MB, 0\.\d+ MB/s", seen.text)

"""The documentation runs as it stands: programs, Python blocks, the tutorials' commands, references, links."""

import ast
import doctest
import inspect
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image

import fastlr
from fastlr.backends import REGISTRY
from fastlr.data import reading
from fastlr.objectives import FORMS
from fastlr.solvers import SOLVERS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TUTORIALS = ("cats", "birds", "photos", "beans")
ELSEWHERE = ('.to("cuda")',)  # lines that need what is not on every machine
PRINTED = {
    "clip_linear_probe.py": r"Accuracy = (\d+\.\d{3})\n",
    "dinov2_log_regression.py": r"C = .*, validation accuracy 0\.\d{4}\n"
    r"test accuracy (0\.\d{4}), 95 % interval 0\.\d{4} to 0\.\d{4}\ntest top_5 1\.0000, .*\n",
    "setfit_head.py": r"one label each: accuracy (0\.\d{3})\nmany labels: 0\.\d{3} of the labels are right\n",
    "mteb_classification.py": r"accuracy: (0\.\d{4}), deviation .*\nf1: .*\naverage_precision: .*\n",
}


def blocks(page, kind):
    """Return the blocks of code of a page, of one language."""
    return [text for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) if language == kind]


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
    page = (DOCS / "how-to" / "probes.md").read_text(encoding="utf-8")
    assert all(name in page for name in PRINTED)


@pytest.fixture
def registries(monkeypatch):
    """Leave the registries as they were."""
    for registry in (REGISTRY, SOLVERS, FORMS):
        kept = dict(registry)
        for name in kept:
            monkeypatch.setitem(registry, name, kept[name])
    before = {id(registry): set(registry) for registry in (REGISTRY, SOLVERS, FORMS)}
    readers = list(reading.READERS)
    yield
    for registry in (REGISTRY, SOLVERS, FORMS):
        for name in set(registry) - before[id(registry)]:
            del registry[name]
    reading.READERS[:] = readers


def draw_data(folder):
    """Write small data under the names that the pages use."""
    rng = np.random.default_rng(0)
    (folder / "cats").mkdir()
    for split, count in (("train", 30), ("test", 10)):
        images, labels = draw_images(count, 64)
        with h5py.File(folder / "cats" / f"{split}_catvnoncat.h5", "w") as file:
            file[f"{split}_set_x"], file[f"{split}_set_y"] = images, labels
            file["list_classes"] = np.array([b"non-cat", b"cat"])
    (folder / "cifar10").mkdir()
    batch = {b"data": rng.integers(0, 256, (2400, 3072), dtype=np.uint8), b"labels": (np.arange(2400) % 10).tolist()}
    (folder / "cifar10" / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    for split in ("train", "test"):
        write_folder(folder / "photos" / split, *draw_images(24, 16), names=("airplane", "bike"))
    images, _ = draw_images(30, 16)
    names = ("angular_leaf_spot", "bean_rust", "healthy")
    for split in ("train", "validation"):
        write_folder(folder / "beans" / split, images, np.arange(30) % 3, names)
    Image.fromarray(images[0]).save(folder / "my-cat.jpg")


def link_data(folder, real):
    """Put the tutorials' own files under these names; what is not there is drawn."""
    draw_data(folder)
    for name in ("cats", "cifar10", "photos"):
        if (real / name).is_dir():
            (folder / name).rename(folder / f"drawn-{name}")
            (folder / name).symlink_to(real / name)


def prelude(page):
    """Return names that a page takes from its reader."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(120, 8)).astype(np.float32), np.arange(120) % 3
    names = {"features": features, "labels": labels, "test_features": features[:20], "test_labels": labels[:20]}
    if page == "README.md":
        names["images"], names["labels"] = draw_images(120, 8)[0], labels
    return names


def run_blocks(page, monkeypatch, compare):
    """Run the Python blocks of a page, one after another; `compare` values with the comments behind them."""
    module = types.ModuleType(f"page_{re.sub('[^a-z]', '_', page)}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(prelude(page))
    for text in blocks(page, "python"):
        if any(words in text for words in ELSEWHERE):
            continue
        if "__name__ ==" in text:
            compile(text, page, "exec")  # starts processes: tests/test_cluster.py does
            continue
        tree, lines = ast.parse(text), text.splitlines()
        for statement in tree.body:
            one = ast.Module([statement], [])
            if not isinstance(statement, ast.Expr):
                exec(compile(one, page, "exec"), vars(module))
                continue
            value = eval(compile(ast.Expression(statement.value), page, "eval"), vars(module))
            _, found, comment = lines[statement.end_lineno - 1].rpartition("  # ")
            if compare and found and (expected := literal(comment)) is not None:
                assert value == expected, f"{page}: {lines[statement.end_lineno - 1]}"


def literal(text):
    """Return the value of a comment that is one, else None."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return None


ON_REAL_FILES = ("cats", "birds", "photos")  # tutorials; below, where their files are
RUN_THERE = {f"docs/tutorials/{name}.md" for name in ON_REAL_FILES if os.environ.get("FASTLR_DATA")}
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page not in RUN_THERE]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch, registries):
    draw_data(tmp_path)
    if page == "docs/getting-started.md":  # a folder without splits
        shutil.rmtree(tmp_path / "photos")
        write_folder(tmp_path / "photos", *draw_images(48, 16), names=("airplane", "bike"))
        shutil.copy(tmp_path / "photos" / "bike" / "picture_001.png", tmp_path / "photos" / "bike" / "c.jpg")
    monkeypatch.chdir(tmp_path)
    run_blocks(page, monkeypatch, compare=not page.startswith("docs/tutorials"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ON_REAL_FILES)
def test_a_tutorial_prints_what_its_page_says(name, real_data, tmp_path, monkeypatch, fastlr_command):
    link_data(tmp_path, real_data)
    monkeypatch.chdir(tmp_path)
    page = f"docs/tutorials/{name}.md"
    run_blocks(page, monkeypatch, compare=True)
    for text in blocks(page, ""):
        for command, printed in commands(text):
            outcome = fastlr_command(*shlex.split(command)[1:])
            assert outcome.status == 0, outcome.err
            left = (outcome.out + outcome.err).splitlines()
            for line in printed:
                assert line in left, f"{page}: {line!r} is not printed by {command!r}: {left}"
                left = left[left.index(line) + 1 :] if not line.startswith("Cost") else left


def commands(text):
    """Return each command of a block, with the lines that it prints."""
    found = []
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and line != "…":
            found[-1][1].append(line)
    return found


def options_of_commands():
    """Return the options of each command, from the reference."""
    text = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    parts = re.split(r"^## fastlr (\w+)$", text, flags=re.MULTILINE)[1:]
    return {name: set(re.findall(r"`(-[-a-z0-9]+)`", part)) for name, part in zip(parts[::2], parts[1::2], strict=True)}


def test_every_option_of_a_command_in_the_pages_is_known():
    known, seen = options_of_commands(), 0
    for page in PAGES:
        for text in blocks(page, ""):
            for command, _ in commands(text):
                words = shlex.split(command.rpartition("| ")[2], comments=True)
                words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
                if words[0] == "fastlr":
                    options = {word for word in words[2:] if re.match("--?[a-z]", word)}
                    assert options <= known[words[1]], f"{page}: {command}"
                    seen += 1
    assert seen > 30


def test_links_lead_somewhere():
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text)):
            if not target.startswith(("http:", "https:", "#")):
                assert ((ROOT / page).parent / target.partition("#")[0]).exists(), f"{page}: {target}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_the_reference_is_what_the_commands_say():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_reference", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_json_is_what_the_schema_says(tmp_path, fastlr_command):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; try pip install jsonschema")
    schema = json.loads((DOCS / "reference" / "json.schema.json").read_text(encoding="utf-8"))
    photos = write_folder(tmp_path / "photos", *draw_images(24, 16), names=("airplane", "bike"))
    rng = np.random.default_rng(0)
    X, table = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 2, (60, 3))
    np.savez(tmp_path / "table.npz", X=X, y=table)
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts" / "part-0.npy", X)
    model, features = tmp_path / "m.safetensors", tmp_path / "table.safetensors"
    for command, arguments in (
        ("train", (photos, "--holdout", 6, "--iterations", 50, "--model", model, "--report", tmp_path / "report")),
        ("train", (photos, "--solver", "auto", "--l2", "0.1")),
        ("train", (tmp_path / "table.npz", "--iterations", 50, "--model", features)),
        ("sweep", (photos, "--lr", "0.01,0.001", "--folds", 2, "--iterations", 20)),
        ("probe", (photos, "--l2", "0.1,1", "--folds", 2, "--holdout", 6)),
        ("predict", (model, photos, "--top", 2)),
        ("predict", (features, tmp_path / "parts", "--out", tmp_path / "out")),
        ("evaluate", (model, photos)),
        ("evaluate", (features, tmp_path / "table.npz")),
        ("backends", ()),
    ):
        outcome = fastlr_command(command, *arguments, "--json")
        assert outcome.status == 0, outcome.err
        jsonschema.validate(outcome.json, {**schema, "$ref": f"#/$defs/{command}"})


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((DOCS / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["path"].test_scores["accuracy"] > 0.9
    assert "fastlr report" in names["text"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in fastlr.__all__ if name not in ("core", "textbook", "__version__")])
def test_docstrings_have_examples_that_run(name):
    """And the sections of NumPy's style: a function says what it takes, returns and raises."""
    public = getattr(fastlr, name)
    assert public.__doc__
    for method in vars(public) if isinstance(public, type) else ():
        if not method.startswith("_") and callable(getattr(public, method)):
            assert getattr(public, method).__doc__, f"{name}.{method}"
    if isinstance(public, types.FunctionType):
        for heading in ("Parameters", "Returns", "Raises"):
            assert f"\n{heading}\n---" in inspect.cleandoc(public.__doc__), heading
    found = doctest.DocTestParser().get_doctest(public.__doc__, {}, name, None, 0)
    result = doctest.DocTestRunner().run(found)
    assert result.failed == 0
    if name in ("train", "sweep", "path", "fit_many", "LogisticRegression", "LogisticRegressionCV"):
        assert result.attempted >= 3


def test_settings_are_part_of_the_docstrings():
    for function in (fastlr.train, fastlr.sweep, fastlr.path):
        for name in inspect.signature(function).parameters:
            assert re.search(rf"^[\w, ]*\b{name}\b[\w, ]*( :.*)?$", function.__doc__, re.MULTILINE), name

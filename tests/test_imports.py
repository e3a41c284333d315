"""What an import brings along, in a process of its own."""

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastlr

pytestmark = pytest.mark.quick

OPTIONAL = ("cupy", "torch", "jax", "dask", "array_api_strict", "pyarrow", "datasets")
HEAVY = ("numba", "matplotlib", "h5py", "safetensors", "PIL", "numpy", "rich", "typer", *OPTIONAL)


def modules_after(code: str) -> set[str]:
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_fastlr_loads_nothing_heavy():
    assert not modules_after("import fastlr; fastlr.__version__") & set(HEAVY)


def test_training_on_numpy_loads_no_other_array_library():
    code = "import numpy, fastlr\nfastlr.train(numpy.eye(4), [0, 1, 0, 1], iterations=3, backend='numpy')"
    loaded = modules_after(code)
    assert "fastlr" in loaded
    assert not loaded & {"numba", "matplotlib", "h5py", *OPTIONAL}


def test_help_loads_no_numpy():
    code = (
        "import contextlib, io, fastlr.cli.app\n"
        "with contextlib.redirect_stdout(io.StringIO()): fastlr.cli.app.main(['--help'])"
    )
    assert not modules_after(code) & {"numpy", "numba", "matplotlib", "h5py", "PIL"}


def test_the_estimators_say_what_they_need():
    code = """
import sys
from pathlib import Path
sys.modules["sklearn"] = None
import fastlr
try:
    fastlr.LogisticRegression
except ImportError as error:
    print(error, file=sys.stderr)
fastlr.train
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "fastlr.LogisticRegression needs scikit-learn; try pip install '.[sklearn]'\n"


def test_public_names():
    import fastlr

    for name in fastlr.__all__:
        assert getattr(fastlr, name) is not None
    assert set(dir(fastlr)) == set(fastlr.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = fastlr.trian


# Who may import whom (DESIGN §1): a module of one line imports from its own and from those below, never from above.
LAYERS = (
    {"cli", "estimators", "reporting", "benchmark", "__main__", "__init__"},
    {"training"},
    {"model"},
    {"objectives", "solvers"},
    {"backends"},
    {"kernels"},
    {"data"},
    {"core", "textbook"},
    {"files", "machine", "namespace", "errors"},
)
# What a method opens when it is called: the figures of a notebook, the file that a model is saved in.
OPENED_WHEN_CALLED = {
    ("model.model", "reporting.notebook"),
    ("training.run", "reporting.notebook"),
    ("model.model", "model.file"),
    ("model.model", "model.pictures"),
}


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Return the source of a module, without what is imported for types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    return tree


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return the modules of the package, without "fastlr.", and those of it that each imports."""
    root = Path(fastlr.__file__).parent
    names = {".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")}
    found = {}
    for name in names:
        tree = parsed(root / f"{name.replace('.', '/')}.py")
        mine = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fastlr":
                source = node.module.partition(".")[2]
                for alias in node.names:
                    whole = f"{source}.{alias.name}".lstrip(".")
                    package = f"{source}.__init__".lstrip(".")
                    mine.add(
                        next(module for module in (whole, f"{whole}.__init__", source, package) if module in names)
                    )
        found[name] = mine
    return found


def test_no_import_runs_upward():
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    for module, imported in imports().items():
        for other in imported:
            if (module, other) not in OPENED_WHEN_CALLED:
                assert level[module.partition(".")[0]] <= level[other.partition(".")[0]], f"{module} imports {other}"


def test_no_circle_of_imports():
    left = {
        module: {o for o in others if (module, o) not in OPENED_WHEN_CALLED} for module, others in imports().items()
    }
    while leaves := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in leaves}
    assert not left, f"these import each other: {sorted(left)}"


def test_only_the_layers_are_at_the_top():
    """What is there is named in DESIGN §1, but for `machine`: CPUs, memory, threads, processes, below all else."""
    known = {name for names in LAYERS for name in names} | {"py"}
    assert {entry.name.partition(".")[0] for entry in Path(fastlr.__file__).parent.iterdir()} - known <= {"__pycache__"}


@pytest.mark.parametrize(
    ("library", "place"),
    [
        ("sklearn", "estimators"),
        ("matplotlib", "reporting"),
        ("jinja2", "reporting"),
        ("typer", "cli"),
        ("rich", "cli"),
    ],
)
def test_who_imports_a_library(library, place):
    """Each in its place; but for `model/handover.py`, which makes models of other libraries."""
    root = Path(fastlr.__file__).parent
    for path in root.rglob("*.py"):
        modules = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
        names = {alias.name for n in modules if isinstance(n, ast.Import) for alias in n.names}
        names |= {n.module or "" for n in modules if isinstance(n, ast.ImportFrom)}
        if library in {name.partition(".")[0] for name in names}:
            assert path.relative_to(root).parts[0] == place or path == root / "model" / "handover.py", path


def test_modules_are_short():
    """At most 300 lines each, and the first line says what it is for."""
    for path in Path(fastlr.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        assert text.startswith('"""'), path

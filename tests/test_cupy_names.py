"""What is used of CuPy is there: every name and every argument, as far as the package shows without a GPU."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import fastlr

SOURCES = Path(fastlr.__file__).parent


def cupy_names(source: str) -> dict[str, list[ast.Call]]:
    """Return the dotted names under `cupy` that a source uses, each with the calls that are made of it."""
    if "cupy" not in source:
        return {}
    tree, local = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            local |= {alias.name: alias.name for alias in node.names if alias.name == "cupy"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cupy":
            local |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    found: dict[str, list[ast.Call]] = {name: [] for name in local.values() if name != "cupy"}
    for node in ast.walk(tree):
        call = node if isinstance(node, ast.Call) else None
        name = ast.unparse(call.func if call else node) if isinstance(node, ast.Call | ast.Attribute) else ""
        first, _, rest = name.partition(".")
        if first in local and re.fullmatch(r"[\w.]*", rest):
            found.setdefault(f"{local[first]}.{rest}".rstrip("."), []).extend([call] if call else [])
    return found


def resolve(name: str):
    """Return the object of a dotted name; what is no attribute of its module is a module."""
    module, *rest = name.split(".")
    value = importlib.import_module(module)
    for part in rest:
        module += f".{part}"
        value = getattr(value, part) if hasattr(value, part) else importlib.import_module(module)
    return value


def signature_of(function) -> inspect.Signature | None:
    """Return the parameters of a function; those of compiled ones stand at the beginning of their docstring."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        listed = re.match(r"\w+\((.*?)\)(\s*->.*)?$", (function.__doc__ or "").split("\n")[0])
    if listed is None:
        return None
    names = [part.strip().split("=")[0].split()[-1].lstrip("*\\") for part in listed[1].split(",") if part.strip()]
    # Which of them have defaults is written in too many ways: names and number are what is held against a call.
    named = [name for name in names if name.isidentifier()]
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in named])


USES = sorted({(path, name) for path in SOURCES.rglob("*.py") for name in cupy_names(path.read_text(encoding="utf-8"))})


def test_the_uses_are_found():
    assert {"cupy.asarray", "cupy.cuda.cublas.gemmEx", "cupy._core.set_compute_type"} <= {name for _, name in USES}
    assert cupy_names("import cupy\ncupy.nothing(1, out=2)")["cupy.nothing"][0].keywords[0].arg == "out"


@pytest.mark.parametrize(("path", "name"), USES, ids=[f"{path.stem}-{name}" for path, name in USES])
def test_cupy_has_the_name_and_the_parameters(path, name):
    pytest.importorskip("cupy", reason="CuPy is not installed: pip install '.[cuda-check]'")
    value = resolve(name)
    for call in cupy_names(path.read_text(encoding="utf-8"))[name]:
        signature = signature_of(value)
        assert signature is not None, f"{name} is called, and its parameters are not to be found"
        given = {keyword.arg for keyword in call.keywords}
        parameters = signature.parameters
        assert given <= set(parameters), f"{name} has no {given - set(parameters)}"
        assert len(call.args) + len(given) <= len(parameters), f"{name} takes {list(parameters)}"


def test_cupys_namespace_has_what_the_array_api_is_used_for():
    xp = pytest.importorskip("array_api_compat.cupy", reason="CuPy is not installed: pip install '.[cuda-check]'")
    used = set()
    for path in SOURCES.rglob("*.py"):
        used |= set(
            re.findall(r"\b(?:xp|array_namespace\(\w+\))\.((?:linalg\.)?[a-z_0-9]+)", path.read_text(encoding="utf-8"))
        )
    assert {"sum", "linalg.solve", "permute_dims"} <= used
    missing = []
    for name in sorted(used):
        value = xp
        for part in name.split("."):
            value = getattr(value, part, None)
        missing += [name] if value is None else []
    assert missing == []

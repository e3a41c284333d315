"""What an import brings along, in a process of its own."""

import json
import subprocess
import sys

import pytest

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
        "import contextlib, io, fastlr.cli\nwith contextlib.redirect_stdout(io.StringIO()): fastlr.cli.main(['--help'])"
    )
    assert not modules_after(code) & {"numpy", "numba", "matplotlib", "h5py", "PIL"}


def test_the_estimators_say_what_they_need():
    code = """
import sys
sys.modules["sklearn"] = None
import fastlr
try:
    fastlr.LogisticRegression
except ImportError as error:
    print(error, file=sys.stderr)
fastlr.train
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "fastlr.LogisticRegression needs scikit-learn; try pip install 'fastlr[sklearn]'\n"


def test_public_names():
    import fastlr

    for name in fastlr.__all__:
        assert getattr(fastlr, name) is not None
    assert set(dir(fastlr)) == set(fastlr.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = fastlr.trian

"""A setting is defined once."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastlr
from fastlr.errors import InputError
from fastlr.training.settings import Settings

FIELD = """
    patience: int = setting(3, "How often to try again.", at_least(1))
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """Return the folder of a copy of the package with one field more in its settings."""
    folder = tmp_path_factory.mktemp("edited")
    shutil.copytree(Path(fastlr.__file__).parent, folder / "fastlr", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "fastlr" / "training" / "settings.py"
    text, last = (
        file.read_text(),
        '    form: str = setting(AUTO, "primal (weights), gram (products of samples), or auto (the faster).", _form)\n',
    )
    assert text.count(last) == 1
    file.write_text(text.replace(last, last + FIELD.lstrip("\n")))
    np.savez(folder / "data.npz", X=np.eye(4), y=np.array([0, 1, 0, 1]))
    return folder


def run(edited, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(edited), "FASTLR_BACKEND": "numpy"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=edited, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_new_setting_is_an_option_of_both_commands(edited, command):
    said = run(edited, "-m", "fastlr", command, "--help").stdout
    for part in ("--patience <int>", "How often to try again.", "[default: 3]"):
        assert part in said
    wrong = run(edited, "-m", "fastlr", command, "data.npz", "--patience", "0")
    assert wrong.returncode == 2
    assert wrong.stderr == "fastlr: patience: 0; a whole number of at least 1 is needed\n"


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_new_setting_is_in_the_model_file(edited, command):
    made = run(edited, "-m", "fastlr", command, "data.npz", "--patience", "7", "--model", "m.safetensors", "-q")
    assert made.returncode == 0, made.stderr
    header = (edited / "m.safetensors").read_bytes()
    size = int.from_bytes(header[:8], "little")
    kept = json.loads(json.loads(header[8 : 8 + size])["__metadata__"]["fastlr"])
    assert kept["settings"]["patience"] == 7


def test_a_new_setting_is_an_argument_in_python(edited):
    code = """
import inspect, numpy as np, fastlr
X, y = np.eye(4), [0, 1, 0, 1]
print(inspect.signature(fastlr.train).parameters["patience"], "patience : int, default 3" in fastlr.train.__doc__)
print(fastlr.train(X, y, iterations=2, patience=5).model.settings["patience"])
print(fastlr.sweep(X, y, iterations=2)[0].model.settings["patience"])
print(fastlr.path(X, y, l2=[1.0], folds=2, patience=6).model.settings["patience"])
for call in (fastlr.train, fastlr.sweep, fastlr.path):
    try:
        call(X, y, patience=0)
    except fastlr.InputError as error:
        print(error)
"""
    done = run(edited, "-c", code)
    assert done.returncode == 0, done.stderr
    wrong = "patience: 0; a whole number of at least 1 is needed"
    assert done.stdout.splitlines() == ["patience: int = 3 True", "5", "3", "6", wrong, wrong, wrong]


@pytest.mark.quick
def test_the_settings_are_in_signature_and_documentation():
    for function in (fastlr.train, fastlr.sweep):
        parameters = inspect.signature(function).parameters
        assert parameters["iterations"].default == 2000
        assert "settings" not in parameters
        for name in ("batch_size", "backend", "record_every"):
            assert f"\n{name} : " in (function.__doc__ or "")


@pytest.mark.quick
def test_what_is_no_setting_is_a_type_error():
    with pytest.raises(TypeError, match=r"train.*unexpected keyword argument 'iteratons'"):
        fastlr.train(np.eye(4), [0, 1, 0, 1], iteratons=3)


@pytest.mark.quick
@pytest.mark.parametrize("value", ["no", 1, None, [True]])
def test_what_is_neither_true_nor_false(value):
    with pytest.raises(InputError, match=r"standardize: .*; True or False is needed"):
        fastlr.train(np.eye(4), [0, 1, 0, 1], standardize=value)


@pytest.mark.quick
@pytest.mark.parametrize("settings", [{"layers": (2,)}, {"batch_size": 4}, {"optimizer": "adam"}], ids=str)
def test_a_path_goes_to_the_minimum(settings):
    with pytest.raises(InputError, match=r"path: goes to the minimum, which is not for "):
        fastlr.path(np.eye(4), [0, 1, 0, 1], settings=Settings(solver="gd", **settings))
    with pytest.raises(TypeError, match=f"path.* unexpected keyword argument '{next(iter(settings))}'"):
        fastlr.path(np.eye(4), [0, 1, 0, 1], **settings)


@pytest.mark.quick
def test_a_path_names_its_settings():
    parameters = inspect.signature(fastlr.path).parameters
    assert (parameters["iterations"].default, parameters["solver"].default) == (200, "auto")
    with pytest.raises(TypeError, match=r"path.* unexpected keyword argument 'lr'"):
        fastlr.path(np.eye(4), [0, 1, 0, 1], lr=0.1)


@pytest.mark.quick
@pytest.mark.parametrize("values", ["0.1,0.2", 0.1], ids=str)
def test_a_list_is_no_text(values):
    for name in ("learning_rates", "l2"):
        with pytest.raises(InputError, match=f"{name}: .*; a list is needed"):
            fastlr.sweep(np.eye(4), [0, 1, 0, 1], **{name: values})
    assert len(fastlr.sweep(np.eye(4), [0, 1, 0, 1], l2=(10.0**-i for i in range(3)), solver="lbfgs")) == 3

"""What a backend's work costs on this machine, where `fastlr warmup` has measured it; else its constants hold.

What was measured is kept in one JSON file, in FASTLR_CACHE where that is set, else in the user's cache folder.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fastlr.backends.record import Backend, Costs
from fastlr.files import whole_file
from fastlr.machine import USERS_VARIABLES, usable_cpus, user_folders

FILE = "costs.json"


def file_of_costs() -> Path | None:
    """Return the file; None where there is no user with a cache folder."""
    return _file_of_costs(tuple(map(os.environ.get, ("FASTLR_CACHE", *USERS_VARIABLES))))


@functools.cache
def _file_of_costs(variables: tuple[str | None, ...]) -> Path | None:
    folders = [Path(variables[0])] if variables[0] else user_folders()
    return next((folder / FILE for folder in folders), None)


def with_measured(backend: Backend) -> Backend:
    """Return the backend with the costs that were measured for it, or as it is."""
    file = file_of_costs()
    found = _read(file).get(_key(backend)) if file else None
    return replace(backend, costs=found) if found else backend


def keep(measured: Iterable[tuple[Backend, Costs]]) -> Path:
    """Write what was measured, beside what is kept of other backends; return the file.

    Raises OSError or InputError where it cannot be written.
    """
    file = file_of_costs()
    if file is None:
        raise FileNotFoundError("there is no cache folder")
    _read.cache_clear()
    kept = _read(file) | {_key(backend): costs for backend, costs in measured}
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as beside:
        beside.write_text(json.dumps({key: costs._asdict() for key, costs in kept.items()}, indent=1) + "\n")
    _read.cache_clear()
    return file


def _key(backend: Backend) -> str:
    return f"{backend.name} {backend.device} {backend.dtype}, threads: {threads()}"


def threads() -> str:
    """Return how many threads the libraries use here: what was measured with others does not hold."""
    return os.environ.get("OMP_NUM_THREADS") or str(usable_cpus())


@functools.cache
def _read(file: Path) -> dict[str, Costs]:
    """Return the costs in the file, by backend; entries that are not five positive numbers are left out."""
    try:
        entries = json.loads(file.read_text()).items() if file.is_file() else ()
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return {key: Costs(**values) for key, values in entries if _are_costs(values)}


def _are_costs(values: object) -> bool:
    return (
        isinstance(values, dict)
        and values.keys() == set(Costs._fields)
        and all(type(value) is float and 0 < value < math.inf for value in values.values())
    )

"""Where a training is, as arrays and a description of how they belong together, and back.

The values are nested tuples, lists and dictionaries of plain values and arrays, and of the classes that are named here:
nothing that is read can make anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend
from fastlr.objectives.network import Layer
from fastlr.objectives.protocol import Evaluation, State, Vector
from fastlr.solvers.iterate import Iterate

C = TypeVar("C", bound=type)

CLASSES: dict[str, type] = {one.__name__: one for one in (Layer, State, Vector, Evaluation, Iterate)}


def packable(one: C) -> C:
    """Let a dataclass be packed: a decorator."""
    CLASSES[one.__name__] = one
    return one


def pack(value: Any, to_host: Callable[[Any], NDArray[Any]]) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return a description of the value that JSON can hold, and the arrays that it names, on the host."""
    arrays: dict[str, NDArray[Any]] = {}
    seen: dict[int, tuple[dict[str, Any], Any]] = {}  # the same array is kept once

    def keep(array: Any) -> dict[str, Any]:
        if id(array) not in seen:
            name = str(len(arrays))
            there = array if isinstance(array, np.ndarray) else to_host(array)
            layout, arrays[name] = _in_order(there)
            seen[id(array)] = {"array": name} | layout, array  # which keeps its number from another array
        return seen[id(array)][0]

    def walk(some: Any) -> Any:
        if some is None or isinstance(some, bool | int | float | str):
            return some
        if isinstance(some, np.bool_ | np.integer):
            return some.item()
        if isinstance(some, list):
            for kind, dtype in ((float, np.float64), (int, np.int64)):  # long lists of costs
                if some and all(type(one) is kind for one in some):
                    return {"list": keep(np.array(some, dtype))}
            return [walk(one) for one in some]
        if isinstance(some, Mapping):
            return {"pairs": [[walk(key), walk(one)] for key, one in some.items()]}
        if type(some).__name__ in CLASSES:
            names = [one.name for one in fields(some)] if is_dataclass(some) else some._fields
            return {"class": type(some).__name__, "fields": {name: walk(getattr(some, name)) for name in names}}
        if isinstance(some, tuple):
            return {"tuple": [walk(one) for one in some]}
        return keep(some)

    return walk(value), arrays


def _in_order(array: NDArray[Any]) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return how an array lies in memory, and its numbers in that order: sums of it are rounded by that order."""
    if array.flags.c_contiguous:
        return {}, array.copy()
    once = array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]
    axes = np.argsort([-abs(stride) for stride in array.strides], kind="stable").tolist()
    return {"axes": axes, "shape": list(array.shape)}, np.array(once.transpose(axes), order="C")


def unpack(description: Any, arrays: Mapping[str, NDArray[Any]], backend: Backend) -> Any:
    """Return what was packed, its arrays on a backend's device."""
    made: dict[str, Any] = {}

    def take(some: dict[str, Any]) -> Any:
        name = some["array"]
        if name not in made:
            array = backend.asarray(arrays[name])
            if "axes" in some:
                array = backend.xp.permute_dims(array, tuple(np.argsort(some["axes"]).tolist()))
                array = backend.xp.broadcast_to(array, tuple(some["shape"]))
            made[name] = array
        return made[name]

    def walk(some: Any) -> Any:
        if isinstance(some, list):
            return [walk(one) for one in some]
        if not isinstance(some, dict):
            return some
        ((kind, content),) = (
            (name, some[name]) for name in ("array", "list", "pairs", "class", "tuple") if name in some
        )
        if kind == "array":
            return take(some)
        if kind == "list":
            return arrays[content["array"]].tolist()
        if kind == "pairs":
            return {walk(key): walk(one) for key, one in content}
        if kind == "tuple":
            return tuple(walk(one) for one in content)
        return CLASSES[content](**{name: walk(one) for name, one in some["fields"].items()})

    return walk(description)

"""JAX: steps are one compiled `fori_loop`. Its float64 is switched on around our calls only."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

from fastlr.backends.record import AHEAD, Backend, Costs, S, Step, UnavailableError
from fastlr.core import Array
from fastlr.errors import InputError
from fastlr.machine import free_memory

FUSED: tuple[str, ...] = ()
MATMUL_PRECISION = {"full": "highest", "tf32": "tensorfloat32"}


def default_device() -> str:
    """Return JAX's own default device."""
    return devices()[0]


def devices() -> tuple[str, ...]:
    """Return the devices that JAX runs on, its default first."""
    if importlib.util.find_spec("jax") is None:
        raise UnavailableError("jax is not installed")
    return tuple(_devices())


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    place, *more = array.devices()
    if more:
        raise InputError(f"data: an array on {1 + len(more)} devices; bring it to one with jax.device_put")
    return next(name for name, device in _devices().items() if device == place)


def to_host(array: Array) -> Any:
    """Return an array as NumPy's."""
    return np.asarray(array)


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return JAX's record for this device and working dtype."""
    if dtype == "float64" and device.startswith(("tpu", "metal")):
        raise InputError(f"dtype: jax has no float64 on {device}; set FASTLR_DTYPE=float32, or FASTLR_DEVICE=cpu")
    import jax
    import jax.numpy as xp

    place = _devices()[device]
    return Backend(
        name="jax",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=xp,
        asarray=lambda array: jax.device_put(array, place),
        to_host=to_host,
        repeat=repeat,
        synchronize=jax.block_until_ready,
        scope=functools.partial(_scope, place, MATMUL_PRECISION[precision]),
        ahead=1 if device == "cpu" else AHEAD,
        costs=Costs(primal=0.5, gram=0.2, product=0.018),
        free_memory=functools.partial(_free_memory, place),
    )


def _free_memory(place: Any) -> int:
    """Return what the device's own allocator has left; the CPU has none, and takes what the machine has."""
    known = place.memory_stats() or {}
    return int(known["bytes_limit"] - known["bytes_in_use"]) if "bytes_limit" in known else free_memory()


def repeat(step: Step[S], state: S, steps: int) -> S:
    """Apply `step`, a function or a partial one of arrays, that many times in one compiled loop."""
    whole = step if isinstance(step, functools.partial) else functools.partial(step)
    for argument in whole.args:
        _register(argument)
    advanced: S = _loop(whole.func)(whole.args, state, steps)
    return advanced


@functools.lru_cache(maxsize=8)
def _loop(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    def run(arguments: tuple[Any, ...], state: Any, steps: int) -> Any:
        return jax.lax.fori_loop(0, steps, lambda _, now: function(*arguments, now), state)

    compiled: Callable[..., Any] = jax.jit(run)
    return compiled


def _devices() -> dict[str, Any]:
    """Return JAX's devices by the names that users write."""
    import jax

    found = {}
    for platform in dict.fromkeys((jax.default_backend(), "cpu")):
        devices = jax.devices(platform)
        for device in devices:
            name = "cuda" if device.platform == "gpu" else device.platform
            found["cpu" if name == "cpu" and len(devices) == 1 else f"{name}:{device.id}"] = device
    return found


@contextlib.contextmanager
def _scope(device: Any, precision: str) -> Iterator[None]:
    """Switch float64 on, products to this precision, and new arrays to this device; all is as before afterwards."""
    import jax

    with jax.enable_x64(True), jax.default_matmul_precision(precision), jax.default_device(device):
        yield


_registered: set[type] = set()


def _register(value: Any) -> None:
    """Let a step's arguments pass through compiled functions, dataclasses too.

    One says in `arrays` which of its fields hold arrays: they are inputs, all else is part of the code.
    """
    import jax

    if isinstance(value, tuple):
        for part in value:
            _register(part)
    elif dataclasses.is_dataclass(value):
        kind: Any = type(value)
        arrays = getattr(kind, "arrays", ())
        for name in arrays:
            _register(getattr(value, name))
        if kind in _registered:
            return
        _registered.add(kind)
        others = tuple(field.name for field in dataclasses.fields(kind) if field.name not in arrays)

        def flatten(value: Any) -> tuple[list[Any], tuple[_Same, ...]]:
            return [getattr(value, name) for name in arrays], tuple(_Same(getattr(value, name)) for name in others)

        def unflatten(fixed: tuple[_Same, ...], values: Any) -> Any:
            kept = {name: same.value for name, same in zip(others, fixed, strict=True)}
            return kind(**dict(zip(arrays, values, strict=True)), **kept)

        jax.tree_util.register_pytree_node(kind, flatten, unflatten)


class _Same:
    """A value that JAX compares: by what it is where it has a hash, else, as a mapping, by itself."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = value if isinstance(value, Hashable) else id(value)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

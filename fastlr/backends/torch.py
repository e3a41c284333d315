"""PyTorch: the CPU, CUDA devices, and Apple's GPUs in float32. Steps on CUDA are captured once and replayed."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from fastlr.backends.record import AHEAD, Backend, Costs, S, Step, UnavailableError, loop
from fastlr.core import Array
from fastlr.errors import InputError
from fastlr.machine import free_memory

FUSED: tuple[str, ...] = ()
MATMUL_PRECISION = {"full": "highest", "tf32": "high"}
CAPTURE_FROM = 8  # steps; fewer are done before a graph is captured


def default_device() -> str:
    """Return PyTorch's default device: the CPU, unless the user has set another."""
    torch = _torch()
    return _name(torch.get_default_device())


def devices() -> tuple[str, ...]:
    """Return the devices that PyTorch runs on, those first that are not the CPU. This sets up CUDA where there is one.

    PyTorch's own default is the CPU.
    """
    torch = _torch()
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return (*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu")


def device_of(array: Array) -> str:
    """Return the device that holds this array."""
    return _name(array.device)


def to_host(array: Array) -> Any:
    """Return a tensor as NumPy's array."""
    import torch

    array = array.detach().cpu()
    return (array.float() if array.dtype == torch.bfloat16 else array).numpy()  # NumPy has no bfloat16


def _name(place: Any) -> str:
    return place.type if place.type in ("cpu", "mps") else f"{place.type}:{place.index or 0}"


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError("torch is not installed")
    import torch

    return torch


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return PyTorch's record for this device and working dtype."""
    if device == "mps" and dtype == "float64":
        raise InputError("dtype: torch has no float64 on mps; set FASTLR_DTYPE=float32, or FASTLR_DEVICE=cpu")
    import array_api_compat.torch as xp
    import numpy as np
    import torch

    place = torch.device(device)

    def asarray(array: Any) -> Array:
        if isinstance(array, torch.Tensor):
            return array.to(place)
        # PyTorch shares memory only with arrays that may be written to.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(place)

    def synchronize(_: Any) -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        elif place.type == "mps":
            torch.mps.synchronize()

    return Backend(
        name="torch",
        device=device,
        dtype=dtype,
        precision=precision,
        xp=xp,
        asarray=asarray,
        to_host=to_host,
        repeat=Graph() if place.type == "cuda" else loop,
        synchronize=synchronize,
        scope=functools.partial(_scope, place, MATMUL_PRECISION[precision]),
        ahead=1 if device == "cpu" else AHEAD,
        costs=Costs(primal=0.7, gram=0.36, product=0.022),
        free_memory=(lambda: int(torch.cuda.mem_get_info(place)[0])) if place.type == "cuda" else free_memory,
    )


class Graph:
    """Repeats a step as a CUDA graph, which is captured when a step is first given and replayed from then on."""

    def __init__(self) -> None:
        """Start without a graph."""
        self.step: functools.partial[Any] | None = None
        self.buffers: Any = None
        self.replay: Callable[[], object] = lambda: None

    def __call__(self, step: Step[S], state: S, steps: int) -> S:
        """Apply `step` that many times."""
        if steps < CAPTURE_FROM:
            return loop(step, state, steps)
        whole = step if isinstance(step, functools.partial) else functools.partial(step)
        if not self._is_captured(whole, state):
            self.step, self.buffers = whole, _copy(state)
            self.replay = capture(lambda: _overwrite(self.buffers, whole(self.buffers)))
        _overwrite(self.buffers, state)
        for _ in range(steps):
            self.replay()
        advanced: S = _copy(self.buffers)
        return advanced

    def _is_captured(self, step: functools.partial[Any], state: Any) -> bool:
        """Return whether it is the same function of the very same arrays, and a state of the same shapes."""
        if self.step is None or step.func is not self.step.func or len(step.args) != len(self.step.args):
            return False
        same = all(one is other for one, other in zip(step.args, self.step.args, strict=True))
        return same and [t.shape for t in _tensors(state)] == [t.shape for t in _tensors(self.buffers)]


def capture(once: Callable[[], object]) -> Callable[[], object]:
    """Return what replays the CUDA work of `once`, which reads and writes the same tensors each time."""
    import torch

    # Libraries set themselves up in a first call, which must not be captured, nor run on the default stream.
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        once()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()
    replay: Callable[[], object] = graph.replay
    return replay


def _tensors(state: Any) -> list[Any]:
    """Return the tensors of a state, tuples within it opened."""
    return [t for part in state for t in _tensors(part)] if isinstance(state, tuple) else [state]


def _copy(state: Any) -> Any:
    if not isinstance(state, tuple):
        return state.clone()
    parts = [_copy(part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _overwrite(buffers: Any, state: Any) -> None:
    for buffer, tensor in zip(_tensors(buffers), _tensors(state), strict=True):
        buffer.copy_(tensor)


@contextlib.contextmanager
def _scope(place: Any, precision: str) -> Iterator[None]:
    """Make this the device of new work, and float32 products as precise as asked; leave all as it was."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.no_grad(), torch.cuda.device(place) if place.type == "cuda" else contextlib.nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)

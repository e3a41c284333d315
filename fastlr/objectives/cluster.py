"""The objective of samples on the workers of a cluster: each evaluation is a task for each part of them.

Each worker has a `Streamed` objective of its part and returns sums over it, which are added up here in float64. The
solver, l2 and the preconditioner work as for `Streamed`, in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.backends import Backend, choose_backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks, Pass, watching
from fastlr.data.placed import Placed, name_of
from fastlr.errors import InputError
from fastlr.objectives.moments import first_moment, in_working_dtype, second_moment
from fastlr.objectives.network import Network
from fastlr.objectives.protocol import State, each, joined
from fastlr.objectives.resident import Resident
from fastlr.objectives.sample_weight import SampleWeight
from fastlr.objectives.streamed import Streamed


@dataclass(frozen=True)
class Clustered(Streamed):
    """k models to fit to samples on workers; `blocks` has the labels, and the rows as `Placed`."""

    parts: tuple[Any, ...] = ()  # the future of each part's objective of all models
    models: tuple[int, ...] | None = None  # which of these models are here; None is all

    @property
    def placed(self) -> Placed:
        """Return the samples."""
        rows: Placed = self.blocks.rows
        return rows

    @property
    def is_faster_in_float32(self) -> bool:
        """Return False: the workers have their own copies of what would change."""
        return False

    def rows(self, models: Sequence[int]) -> Clustered:
        """Return the objective of some of the models."""
        of_all = tuple(models) if self.models is None else tuple(self.models[model] for model in models)
        some = super().rows(models)
        assert isinstance(some, Clustered)
        return replace(some, models=of_all)

    def sums(self, name: str, *at: Any) -> tuple[Array, ...]:
        """Return sums over the parts, each times its share of the samples: a task for each of them."""
        tell, began = watching.get(), time.monotonic()
        totals = self.placed.cluster.sums(self._tasks(_sums, self.m, name, self._on_host(at)))
        if tell is not None:
            size = self.m * self.placed.shape[1] * self.placed.dtype.itemsize
            tell(Pass(size, size, time.monotonic() - began))
        return tuple(self.backend.floats(total) for total in totals)

    def _tasks(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return the futures of a function of each part's objective of these models, and of these arguments."""
        cluster = self.placed.cluster
        shared = cluster.share(arguments)
        return [
            cluster.submit(name_of(part), _of_models, rows, objective, self.models, function, shared)
            for rows, objective, part in self._each()
        ]

    def _each(self) -> Iterator[tuple[Any, Any, slice]]:
        """Give the futures of each part's rows and of its objective, and which samples they are."""
        return zip(self.placed.futures, self.parts, self.placed.slices, strict=True)

    def _over_parts(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        return self.placed.cluster.results(self._tasks(function, *arguments))

    def _on_host(self, value: Any) -> Any:
        """Return points and states with their arrays on the host, without what an optimizer remembers."""
        bare = tuple(part._replace(memory=(), t=()) if isinstance(part, State) else part for part in value)
        return each(lambda array: self.backend.to_host(array) if hasattr(array, "shape") else array, bare)

    def batch(self, samples: Array) -> Resident:
        """Raise InputError: every step would have to fetch its samples."""
        raise InputError("batch size: mini-batches are not for a cluster; leave it out")

    def stable_rate(self) -> float:
        """Return a learning rate that diverges on none of the parts, or nan where none was found."""
        return float(np.min(self._over_parts(Streamed.stable_rate)))

    def predicted(self, states: Sequence[State]) -> NDArray[Any]:
        """Return the most probable class of each sample by models `(k, m)`, a state each."""
        return np.concatenate(self._over_parts(_predicted, *self._on_host((joined(states),))), axis=1)

    def probabilities(self, states: Sequence[State], which: Sequence[NDArray[np.intp]]) -> list[NDArray[Any]]:
        """Return, for each of these models' states, the probabilities of some samples."""
        cluster = self.placed.cluster
        (state,) = self._on_host((joined(states),))
        shared, tasks, inside = cluster.share((state,)), [], []
        for rows, objective, part in self._each():
            mine = [np.flatnonzero((some >= part.start) & (some < part.stop)) for some in which]
            own = [some[here] - part.start for some, here in zip(which, mine, strict=True)]
            tasks.append(cluster.submit(name_of(part), _probabilities, rows, objective, shared, own))
            inside.append(mine)
        found = [np.empty((len(some), self.network.outputs), self.backend.dtype) for some in which]
        for mine, answers in zip(inside, cluster.results(tasks), strict=True):
            for answer, here, probabilities in zip(found, mine, answers, strict=True):
                answer[here] = probabilities
        return found

    def dead_layers(self, state: State) -> set[int]:
        """Return the hidden layers, from 1, of one network whose units are off for every sample."""
        if not state.deeper:
            return set()
        return set.intersection(*self._over_parts(_dead_layers, *self._on_host((state,))))

    def on(self, blocks: Blocks) -> Streamed:
        """Return the objective on other samples, which are here."""
        plain = {name: getattr(self, name) for name in Streamed.__dataclass_fields__}
        return Streamed(**plain | {"blocks": blocks, "sample_weight": None})


def clustered(
    backend: Backend, blocks: Blocks, W: Array, scale: float, standardize: bool, rate: Array, l2: Array,
    network: Network, sample_weight: SampleWeight | None, column_of: NDArray[np.int64] | None,
) -> Clustered:  # fmt: skip
    """Return the objective of samples on workers; each worker makes the objective of its part."""
    placed: Placed = blocks.rows
    moments = _moments_of(backend, placed, blocks.size, scale) if standardize else None
    settings = {
        "size": blocks.size, "shape": tuple(W.shape), "scale": scale, "dtype": backend.dtype, "network": network,
        "moments": None if moments is None else tuple(backend.to_host(values) for values in moments),
        "rate": backend.to_host(rate), "l2": backend.to_host(l2), "column_of": column_of,
    }  # fmt: skip
    parts = []
    for part in placed.slices:
        weight = None if sample_weight is None else sample_weight._replace(values=sample_weight.values[:, part])
        labels = blocks.labels[part].astype(np.min_scalar_type(max(1, network.outputs)))
        parts.append(placed.cluster.submit(name_of(part), _objective, labels, weight, settings))
    return Clustered(
        backend, blocks, W, scale, moments, rate, l2, network, sample_weight, column_of, parts=tuple(parts)
    )


def _moments_of(backend: Backend, placed: Placed, size: int, scale: float) -> tuple[Array, Array]:
    """Return what `streamed.moments_of` does, each of its two passes a task for each part."""
    shares = [(part.stop - part.start) / placed.shape[0] for part in placed.slices]
    means = placed.over_parts(_first_moment, size)
    mean = sum(share * one for share, one in zip(shares, means, strict=True))
    squares = placed.over_parts(_second_moment, size, mean)
    square = sum(share * one for share, one in zip(shares, squares, strict=True))
    return in_working_dtype(backend, backend.asarray(mean), backend.asarray(square), scale)


# What runs on a worker, with the backend that its environment names.


def _objective(labels: NDArray[Any], weight: SampleWeight | None, settings: dict[str, Any]) -> Streamed:
    """Return the objective of a part, in the caller's dtype, without its rows.

    The rows are the result of another task: so Dask knows their size and runs tasks where they are.
    """
    backend = choose_backend(None, None, settings["dtype"])
    moments = settings["moments"]
    with backend.scope():
        return Streamed(
            backend, Blocks(None, labels.astype(np.int64), settings["size"]),
            backend.floats(np.zeros(settings["shape"])), settings["scale"],
            None if moments is None else tuple(backend.floats(values) for values in moments),
            backend.floats(settings["rate"]), backend.floats(settings["l2"]), settings["network"], weight,
            settings["column_of"],
        )  # fmt: skip


def _of_models(
    rows: Any, part: Streamed, models: tuple[int, ...] | None, function: Callable[..., Any], given: Any
) -> Any:
    """Return a function of a part's objective of some models, and of what is given."""
    part = _with(rows, part if models is None else part.rows(models))
    with part.backend.scope(), np.errstate(all="ignore"):
        return function(part, *given)


def _with(rows: Any, part: Streamed) -> Streamed:
    return replace(part, blocks=replace(part.blocks, rows=rows))


def _here(part: Streamed, value: Any) -> Any:
    return each(lambda array: part.backend.floats(array) if hasattr(array, "shape") else array, value)


def _sums(part: Streamed, m: int, name: str, at: Any) -> tuple[NDArray[np.float64], ...]:
    """Return a part's sums times its share of all m samples, in float64."""
    found = part.sums(name, *(_here(part, value) for value in at))
    return tuple(part.m / m * part.backend.to_host(array).astype(np.float64) for array in found)


def _predicted(part: Streamed, state: State) -> NDArray[Any]:
    return part.predicted([_here(part, state)])


def _probabilities(
    rows: Any, part: Streamed, given: tuple[State], which: Sequence[NDArray[np.intp]]
) -> list[NDArray[Any]]:
    part = _with(rows, part)
    with part.backend.scope(), np.errstate(all="ignore"):
        return part.probabilities([_here(part, given[0])], which)


def _dead_layers(part: Streamed, state: State) -> set[int]:
    return part.dead_layers(_here(part, state))


def _first_moment(rows: Any, size: int) -> Any:
    return _moment(first_moment, rows, size)


def _second_moment(rows: Any, size: int, mean: Any) -> Any:
    return _moment(second_moment, rows, size, mean)


def _moment(function: Callable[..., Any], rows: Any, size: int, *more: Any) -> Any:
    backend = choose_backend(None, None, None)
    with backend.scope():
        blocks = Blocks(rows, np.zeros(rows.shape[0], np.bool_), size)
        return backend.to_host(function(backend, blocks, *(backend.asarray(value) for value in more)))

"""From data and settings to the objective that a solver is given, and the point at which it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.data.blocks import Blocks
from fastlr.data.dataset import Dataset
from fastlr.data.placed import Placed
from fastlr.errors import InputError
from fastlr.machine import memory_budget
from fastlr.namespace import dtype_name, library_of
from fastlr.objectives import FORMS
from fastlr.objectives.choose import KEPT, ON_CLUSTER, Size, choose_form, choose_solver_and_form
from fastlr.objectives.cluster import clustered
from fastlr.objectives.gram import GramForm
from fastlr.objectives.moments import moments_of
from fastlr.objectives.network import Layer, Network, outputs_for, targets
from fastlr.objectives.passes import fuses
from fastlr.objectives.primal import PrimalForm, steps_in_one_call
from fastlr.objectives.resident import Resident
from fastlr.objectives.sample_weight import SampleWeight
from fastlr.objectives.streamed import DataObjective, Streamed
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.ranges import check_range, check_spread
from fastlr.training.settings import Candidate, Settings
from fastlr.training.weights import ONE_MODEL, Weightings

LOGITS = 2**26  # bytes: far more than the caches of a CPU
LITTLE = 2**26  # bytes that are free on any machine
BLOCK = 2**20  # numbers in a block of samples and its logits, and
FEWEST, MOST = 64, 2**16  # samples in one
HALVES = ("float16", "bfloat16")  # dtypes whose copy would be twice as large: converted tile by tile


def network_of(settings: Settings, data: Dataset) -> Network:
    """Return the network for the classes of the data: two have one output, and so has each column of a table."""
    return Network(settings.layers, 1 if data.is_table else outputs_for(len(data.classes)))


class Choice(NamedTuple):
    """What is taken where "auto" was asked for, and whether the samples come in blocks."""

    solver: str
    form: str
    streams: bool


def choose(backend: Backend, settings: Settings, size: Size) -> Choice:
    """Return the solver and the form that are asked for, or are the least work, in the memory that there is."""
    if settings.converges:
        solver, form = choose_solver_and_form(settings.solver, settings.form, size, backend.costs)
    elif settings.needs_primal or (size.elsewhere and settings.form == "auto"):
        solver, form = settings.solver, PrimalForm.name
    else:
        n, m, k, outputs, itemsize = size[:5]
        rows = k * (settings.layers[0] if settings.layers else outputs)
        memory = size.memory - size.copy
        solver = settings.solver
        form = choose_form(settings.form, n, m, rows, settings.iterations, backend.costs, itemsize, memory)
    units = sum(settings.layers) + size.outputs
    return Choice(solver, form, form == PrimalForm.name and solver != "newton" and size.streams(units, solver))


def measured(backend: Backend, rows: Array, k: int, outputs: int, penalized: bool = True) -> Size:
    """Return what is counted of k models on samples `rows (m, n)`, and the memory that there is for them."""
    (m, n), itemsize = rows.shape, np.dtype(backend.dtype).itemsize
    if isinstance(rows, Placed):
        return Size(n, m, k, outputs, itemsize, penalized, elsewhere=True)
    here = isinstance(rows, np.ndarray) and rows.flags.c_contiguous
    in_place = here if backend.xp is np else library_of(rows) != "numpy"
    copy = 0 if in_place and _is_read(backend, rows) else m * n * itemsize
    logits = LOGITS if backend.xp is np else math.inf
    fused = copy == 0 and fuses(backend.kernels, outputs, n, itemsize)
    # Where all that a fit may take is little, how much is free need not be asked.
    most = copy + k * itemsize * (KEPT * outputs * m + (outputs * n) ** 2) + itemsize * m * m
    free = memory_budget(2 * LITTLE if most < LITTLE else backend.free_memory())
    compiled = steps_in_one_call(backend.kernels, k, outputs, n, m)
    return Size(n, m, k, outputs, itemsize, penalized, free, copy, logits, fused, compiled=compiled)


def _is_read(backend: Backend, rows: Array) -> bool:
    """Return whether the backend reads the samples as they are."""
    return dtype_name(rows) in (*backend.reads, *HALVES, backend.dtype)


def set_up(
    backend: Backend,
    data: Dataset,
    settings: Settings,
    models: Sequence[Candidate],
    weightings: Weightings = ONE_MODEL,
    checkpoint: Checkpoint = NONE,
) -> tuple[DataObjective, Any]:
    """Return the objective of all models on the backend's device, and where their solver starts.

    The models of a candidate, one for each of the weightings, follow each other.
    """
    each = weightings.tiled(len(models))
    weight = None if each.values is None else SampleWeight(each.values, each.of)
    models = [model for model in models for _ in weightings.of]
    network, n, penalized = network_of(settings, data), data.n_features, all(model.l2 > 0 for model in models)
    size = measured(backend, data.rows, len(models), network.outputs, penalized)
    choice = Choice(*checkpoint.choose(lambda: choose(backend, settings, size)))
    drawn = {seed: network.draw(n, seed) for seed in {model.seed for model in models}}
    layers = [
        Layer(*(np.stack(parts) for parts in zip(*same, strict=True)))
        for same in zip(*(drawn[model.seed] for model in models), strict=True)
    ]
    objective, layers = assemble(
        backend,
        data.rows,
        data.labels,
        network,
        settings,
        choice,
        models,
        layers,
        scale=settings.scale_of(data.images),
        sample_weight=weight,
        column_of=each.column_of,
    )
    return objective, settings.choose_descent().start(objective, layers[0].b, tuple(layers[1:]))


def assemble(
    backend: Backend,
    rows: Array,
    labels: NDArray[Any],
    network: Network,
    settings: Settings,
    choice: Choice,
    models: Sequence[Candidate],
    layers: Sequence[Layer],
    *,
    scale: float = 1.0,
    sample_weight: SampleWeight | None = None,
    column_of: NDArray[np.int64] | None = None,
) -> tuple[DataObjective, list[Layer]]:
    """Return the objective of k models on the samples `rows (m, n)`, and the layers they start at, on the device.

    `labels` are `(m,)`, or a table `(m, L)` of which `column_of (k,)` says which column each model has. The samples,
    and the logits of all models, are kept in the backend's memory, or the samples come in blocks, as was chosen.
    """
    k, units = len(models), sum(network.units)
    # Converted once where every step would have to convert all of it; K is computed from what is there.
    squares = settings.converges or choice.form == GramForm.name
    if isinstance(rows, Placed) and settings.batch_size is not None:
        raise InputError("batch size: mini-batches are not for a cluster; leave it out")
    if isinstance(rows, Placed) and choice.form == GramForm.name:
        raise InputError(f"form: {ON_CLUSTER}; take primal, or leave it out")
    if settings.standardize:
        check_spread("features", rows)
    else:
        check_range("features", rows, backend.dtype, scale, squares=squares)
    if settings.converges and backend.xp is np:  # products are made of rows in either order
        backend = replace(backend, asarray=np.asarray)
    layers = [Layer(*(backend.floats(part) for part in layer)) for layer in layers]
    rates = backend.floats(np.reshape([model.learning_rate for model in models], (k, 1, 1)))
    penalties = backend.floats(np.reshape([model.l2 for model in models], (k, 1, 1)))
    objective: DataObjective
    if choice.streams:
        n = rows.shape[1]
        blocks = Blocks(rows, labels, max(FEWEST, min(MOST, BLOCK // (n + k * units))))
        if isinstance(rows, Placed):
            objective = clustered(
                backend, blocks, layers[0].W, scale, settings.standardize, rates, penalties, network, sample_weight,
                column_of,
            )  # fmt: skip
            return objective, layers
        moments = moments_of(backend, blocks, scale) if settings.standardize else None
        objective = Streamed(
            backend, blocks, layers[0].W, scale, moments, rates, penalties, network, sample_weight, column_of
        )
    else:
        kept = (*backend.reads, *HALVES)
        as_it_is = choice.form == GramForm.name or settings.batch_size is not None or dtype_name(rows) in kept
        X = (backend.asarray(rows) if as_it_is else backend.floats(rows)).T
        moments = core.moments(X, backend.float_dtype, scale) if settings.standardize else None
        form = FORMS[choice.form].of(X, layers[0].W, scale, backend.kernels, moments)
        Y = backend.floats(targets(labels, network.outputs, column_of))
        counts = None if sample_weight is None else backend.floats(sample_weight.counts())
        objective = Resident(form, Y, rates, penalties, network, counts)
    return objective, layers

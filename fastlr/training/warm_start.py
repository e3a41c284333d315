"""Linear models fitted to their minimum: one, or those of many l2 and many weightings of the samples.

The data are made ready once for all of them. They are fitted a few l2 at a time, from the largest down, and each starts
from the minimum of the l2 before: that is near, and the matrix products are those of many models at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend
from fastlr.core import Array
from fastlr.objectives.choose import Size
from fastlr.objectives.gram import GramForm
from fastlr.objectives.network import Layer, Network
from fastlr.objectives.sample_weight import SampleWeight
from fastlr.objectives.streamed import DataObjective
from fastlr.solvers import AUTO, SOLVERS
from fastlr.training.checkpoint import NONE, Checkpoint
from fastlr.training.checks import finite_l2
from fastlr.training.converge import Convergence, findings
from fastlr.training.follow import Measure
from fastlr.training.inputs import Choice, assemble, choose, measured
from fastlr.training.minimum import Way, stack
from fastlr.training.settings import Candidate, Settings

Watch = Callable[[Sequence[int], int, list[float]], object]

AT_ONCE = 8  # values of l2
FORMED = 1000  # unknowns, up to which their matrix of second derivatives is formed where products do not suffice
WORKSPACE = 2**28  # bytes of the logits of models that are fitted at once


@dataclass(frozen=True)
class Fit:
    """Models fitted at once: those of some values of l2, for each of them one of every weighting."""

    numbers: Sequence[int]  # which values of l2 they are
    W: Array  # (values · weightings, outputs, n)
    b: Array  # (values · weightings, outputs, 1)
    paths: Sequence[Convergence]  # how each came to its minimum
    notes: Sequence[Sequence[str]]  # what is to be said of each
    objective: DataObjective
    solver: str

    @functools.cached_property
    def predicted(self) -> NDArray[Any]:
        """Return the most probable class of each sample by each model, `(values · weightings, m)`."""
        return self.objective.predicted([path.state for path in self.paths])


def fit_each(
    backend: Backend,
    rows: Array,
    labels: NDArray[Any],
    outputs: int,
    l2: NDArray[Any],
    settings: Settings,
    *,
    weightings: NDArray[Any] | None = None,
    weighting_of: NDArray[np.int64] | None = None,
    column_of: NDArray[np.int64] | None = None,
    scale: float = 1.0,
    intercept: bool = True,
    initial: Layer | None = None,
    watch: Watch | None = None,
    measure: Callable[[DataObjective], Measure] | None = None,
    checkpoint: Checkpoint = NONE,
) -> Iterator[Fit]:
    """Fit to the samples `rows (m, n)`, within the backend's scope, the models of `l2 (values, copies)`.

    `labels (m,)` are from 0 to outputs − 1, or 0 and 1 for one output. With a table `(m, L)` of zeros and ones there is
    one output, and `column_of (copies,)` says which column each copy is fitted to. `weightings (c, m)` count the
    samples, each with a mean of 1; `weighting_of (copies,)` says which a copy has, by default each its own. None is
    one that counts them alike. The first models start at zero, or at `initial`, `W (outputs, n)` and `b (outputs, 1)`,
    or one such for each copy. `watch(numbers, iteration, costs)` is given the cost of each of these values' first
    models; `measure` makes, of the objective, what is recorded beside each cost.
    """
    finite_l2("l2", float(l2.max()))
    (m, n), (values, copies) = rows.shape, l2.shape
    itemsize = np.dtype(backend.dtype).itemsize
    at_once = max(1, min(values, AT_ONCE, WORKSPACE // (copies * outputs * m * itemsize)))
    size = measured(backend, rows, at_once * copies, outputs, bool(l2.min() > 0))
    choice = Choice(*checkpoint.choose(lambda: choose(backend, settings, size)))
    tol = settings.tolerance
    way = Way(backend, solvers_of(settings, choice, size), settings.iterations, tol, l2.size, measure, checkpoint)
    zero = Layer(np.zeros((outputs, n)), np.zeros((outputs, 1)))
    layer = Layer(*(_repeated(part, copies, at_once) for part in initial or zero))
    of = np.arange(copies) if weighting_of is None else weighting_of
    weight = None if weightings is None else SampleWeight(weightings, np.tile(of, at_once))
    column_of = None if column_of is None else np.tile(column_of, at_once)
    order = np.argsort(-l2[:, 0], kind="stable")
    first = [Candidate(l2=penalty) for penalty in l2[order[:at_once]].reshape(-1)]
    network = Network((), outputs, intercept)
    objective, (layer,) = assemble(
        backend, rows, labels, network, settings, choice, first, [layer],
        scale=scale, sample_weight=weight, column_of=column_of,
    )  # fmt: skip
    paths: list[Convergence] = []
    for start in range(checkpoint.restored("start") or 0, values, at_once):
        checkpoint.beside(start=start)
        numbers = order[start : start + at_once].tolist()
        penalties = l2[numbers].reshape(-1)
        if start > 0:
            objective = objective if len(first) == len(penalties) else objective.rows(range(len(penalties)))
            objective = replace(objective, l2=backend.floats(penalties.reshape(-1, 1, 1)))
        # Without paths they start at the first layer, or at what the checkpoint holds.
        W, b = None, layer.b if len(first) == len(penalties) else core.rows(layer.b, range(len(penalties)))
        if paths:
            W, b = stack(backend, paths[-copies:] * len(numbers))
        columns = 1 if column_of is None else labels.shape[1]
        callback = None if watch is None else partial(_tell, watch, numbers, columns)
        objective, paths, solver = way.follow(objective, b, W, callback)
        W, b = stack(backend, paths)
        fit = Fit(numbers, objective.weights(W), b, paths, notes := [], objective, solver)
        for row, (path, penalty) in enumerate(zip(paths, penalties, strict=True)):
            mine = labels if column_of is None else labels[:, column_of[row]]
            separates = penalty == 0 and bool((fit.predicted[row] == mine).all())
            notes.append(findings(path, separates, tol, backend.dtype))
        yield fit


def solvers_of(settings: Settings, choice: Choice, size: Size) -> tuple[str, ...]:
    """Return the solver that was chosen and, where it is "auto" that chose, one that knows more and takes over."""
    if settings.solver != AUTO or choice.solver == "newton" or size.k > 1:
        return (choice.solver,)
    unknowns = size.m if choice.form == GramForm.name else size.n * size.outputs
    if unknowns <= FORMED and not choice.streams and SOLVERS["newton"].why_not(choice.form, size.outputs) is None:
        return choice.solver, "newton"
    then = choice.solver == "lbfgs" and ("lbfgs" in size.compiled or unknowns <= FORMED)
    return (choice.solver, "newton-cg") if then else (choice.solver,)


def _repeated(part: NDArray[Any], copies: int, values: int) -> NDArray[Any]:
    """Return what each model of each value starts at, from that of a model or of each copy."""
    of_one_value = np.broadcast_to(part, (copies, *part.shape[-2:]))
    return np.tile(of_one_value, (values, 1, 1))


def _tell(watch: Watch, numbers: Sequence[int], columns: int, iteration: int, costs: list[float]) -> None:
    """Tell the cost of each value's first model, or the mean of those of all columns of the labels."""
    first = np.reshape(costs, (len(numbers), -1))[:, :columns]
    watch(numbers, iteration, first.mean(axis=1).tolist())

"""Which solver and which form: what is asked for, or the least work, counted with a backend's own costs."""

from __future__ import annotations

import math
from typing import NamedTuple

from fastlr.backends.record import Costs
from fastlr.errors import InputError, shown
from fastlr.objectives import FORMS, preconditioner
from fastlr.objectives.gram import GramForm
from fastlr.objectives.primal import PrimalForm
from fastlr.solvers import AUTO, GD, SOLVERS

MEMORY_LIMIT = 2**32  # bytes that K, or a matrix of second derivatives, may take
STEPS = 8  # of Newton's method, about
PRODUCTS = 16  # with the second derivatives in each of them, where their matrix is not formed
ROUND = 8  # of these, where the features' covariance makes the objective rounder
COMPILED = 0.1  # nanoseconds of a multiply-add in one thread
NEWTON_SAMPLE, NEWTON_PAIR = 100.0, 0.17  # the same of a sample, and of a product of two features, in a compiled step
LBFGS_STEP = 20_000.0  # nanoseconds of a compiled step of L-BFGS beside its pass
OUTPUT = 2000.0  # multiply-adds that take as long as the softmax of one sample, for each output
WEIGHED = 80.0  # multiply-adds that take as long as the product of a feature and a weight, in a step of newton
CALLS = 300_000.0  # nanoseconds that a product takes beside its arithmetic, and half of what else a step does
KEPT = 10  # arrays of the size of the logits that a solver has at the same time
EVALUATIONS = 60  # of L-BFGS, which a pass over the data makes one of
LBFGS_CALLS = 2 * CALLS  # nanoseconds that an iteration of L-BFGS takes for its pairs, beside a product
CANDIDATES = ("newton", "newton-cg")  # of "auto"
ON_CLUSTER = "a cluster has neither the Gram form nor newton"
STREAMING = ("newton-cg", "lbfgs")  # what works on data that come in blocks, beside gradient descent


def choose_form_name(form: str) -> str:
    """Return the name of a form, or "auto"; raise InputError for any other."""
    if form not in ("auto", *FORMS):
        raise InputError(f"form: {shown(form)} is not known; choose {', '.join(('auto', *FORMS))}")
    return form


def choose_form(
    form: str, n: int, m: int, k: int, steps: int, costs: Costs, itemsize: int = 8, memory: int = MEMORY_LIMIT
) -> str:
    """Return the name of the form for n features, m samples, k models and so many steps; "auto" counts.

    A primal step works through the n·m numbers of X for each model, a Gram step through the m² of K, and K takes
    n·m² multiply-adds once (half of them, since it is symmetric) and must fit into the memory.
    """
    if choose_form_name(form) != "auto":
        return form
    if itemsize * m * m > min(memory, MEMORY_LIMIT):
        return PrimalForm.name
    primal = costs.primal * steps * k * n * m
    gram = costs.gram * steps * k * m * m + costs.product * n * m * m
    return GramForm.name if gram < primal else PrimalForm.name


class Size(NamedTuple):
    """What is counted: n features, m samples, k models of so many outputs, numbers of so many bytes."""

    n: int
    m: int
    k: int
    outputs: int
    itemsize: int = 8
    penalized: bool = True  # whether every model has an l2 above 0
    memory: int = MEMORY_LIMIT  # bytes that it may all take
    copy: int = 0  # bytes of a copy of the data, where one is needed to have them in the backend's memory
    logits: float = math.inf  # bytes of logits from which a solver is as fast without keeping them
    fused: bool = False  # whether a kernel makes the loss and gradient of a softmax in one reading of the data
    elsewhere: bool = False  # whether the data are on other machines, which make the passes over them
    compiled: tuple[str, ...] = ()  # solvers all of whose steps are one compiled call, in the primal form

    def streams(self, units: int, solver: str = GD) -> bool:
        """Return whether the data come in blocks, and the logits of so many units are not kept.

        That is so where they do not fit into the memory, and where a solver gains nothing by keeping them.
        """
        if self.elsewhere:
            return True
        logits = self.k * units * self.m * self.itemsize
        fused = self.fused and solver == "lbfgs" and solver not in self.compiled
        gains = (logits > self.logits and solver in STREAMING) or fused
        return gains or self.copy + KEPT * logits > self.memory


def choose_solver_and_form(solver: str, form: str, size: Size, costs: Costs) -> tuple[str, str]:
    """Return the names of a solver that converges and of a form for it; of what is "auto", the least work.

    Raises InputError where the solver cannot work on the form that is asked for.
    """
    reasons, work = [], {}
    few_passes = "lbfgs" in size.compiled or size.streams(size.outputs, "lbfgs")
    candidates = (*CANDIDATES, "lbfgs") if few_passes else CANDIDATES
    for name in candidates if solver == AUTO else (solver,):
        for space in FORMS if choose_form_name(form) == AUTO else (form,):
            reason = SOLVERS[name].why_not(space, size.outputs)
            if size.elsewhere and (space == GramForm.name or name == "newton"):
                reason = f"{ON_CLUSTER}; take {' or '.join(STREAMING)}, and form primal"
            if reason is None and space == GramForm.name and not size.penalized:
                reason = "without l2 the Gram form does not determine its coefficients; give an l2, or form primal"
            if reason is None and name == "newton" and space == PrimalForm.name and size.streams(size.outputs):
                reason = "newton needs data that fit into the memory, see FASTLR_MEMORY; take newton-cg or lbfgs"
            if reason is None and form == AUTO and not _fits(name, space, size):
                reason = f"{name} would need a matrix of more than {MEMORY_LIMIT >> 30} GiB here; take newton-cg"
            if reason is None:
                work[name, space] = _work(name, space, size, costs)
            else:
                reasons.append(reason)
    if not work:
        raise InputError(f"solver: {reasons[0]}")
    return min(work, key=lambda pair: work[pair])


def _fits(solver: str, form: str, size: Size) -> bool:
    """Return whether "auto" may take it: no matrix is too large, and K has the rank for its rounding not to matter."""
    if form == GramForm.name:
        return size.m <= size.n and size.copy + size.m**2 * size.itemsize <= min(size.memory, MEMORY_LIMIT)
    matrix = size.k * (size.n * size.outputs) ** 2 * size.itemsize
    return solver != "newton" or matrix <= min(size.memory, MEMORY_LIMIT)


def _work(solver: str, form: str, size: Size, costs: Costs) -> float:
    """Return the nanoseconds of a fit, to within a small factor."""
    n, m, k, outputs = size[:4]
    gram = form == GramForm.name
    if not gram and solver in size.compiled:
        if solver == "newton":
            return CALLS + STEPS * outputs * m * (NEWTON_SAMPLE + NEWTON_PAIR * outputs * n**2)
        return CALLS + EVALUATIONS * (LBFGS_STEP + 2 * COMPILED * outputs * m * min(n, m))
    once = costs.product * n * m * m if gram else 0.0
    if solver != "newton":
        products = STEPS * PRODUCTS
        if not gram and preconditioner.pays(n, m, k * outputs):
            once, products = costs.dense * preconditioner.spectrum_work(n, m, k * outputs), STEPS * ROUND
        each = costs.fused if size.fused and solver == "lbfgs" else costs.primal
        product = CALLS + k * outputs * (costs.gram * m * m if gram else each * n * m)
        if solver == "lbfgs":
            products, product = EVALUATIONS, product + LBFGS_CALLS
        elif not gram and size.streams(outputs, solver):
            product *= 1.5  # the logits are made anew
        return once + products * product
    rows = m if gram else n * outputs
    pairs = outputs * (outputs + 1) / 2  # of outputs, each with a block of the matrix
    matrix = costs.gram * 20 * m * m if gram else costs.dense * pairs * m * n * n
    if outputs > 1 and not gram:
        matrix += costs.dense * m * (OUTPUT * outputs + WEIGHED * pairs * (n + 1))
    return once + STEPS * (2 * CALLS + k * (matrix + costs.dense * rows**3 / 3))

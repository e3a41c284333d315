"""What a training is told to do, checked before anything is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fastlr.errors import InputError, shown
from fastlr.namespace import dtype_name
from fastlr.objectives.choose import choose_form_name
from fastlr.objectives.primal import PrimalForm
from fastlr.solvers import AUTO, GD, Solver, check_solver, choose_descent
from fastlr.solvers.optimizers import choose_optimizer

MOST_UNITS = 2**20  # of a hidden layer
PIXEL_SCALE = 1 / 255  # of uint8, unless another is asked for
TOLERANCES = {"float64": 1e-6, "float32": 1e-4}  # of the gradient's norm, where none is asked for


@dataclass(frozen=True)
class Settings:
    """The arguments of `fastlr.train` that say how, but for the rates, of which a sweep has many."""

    iterations: int = 2000
    layers: tuple[int, ...] = ()
    solver: str = "gd"
    optimizer: str = "gd"
    batch_size: int | None = None
    standardize: bool = False
    seed: int = 0
    record_every: int = 100
    form: str = "auto"
    tol: float | None = None
    scale: float | str = AUTO

    def __post_init__(self) -> None:
        """Check each value, and what goes with what."""
        for name, least in (("iterations", 1), ("seed", 0), ("record_every", 1)):
            object.__setattr__(self, name, whole(name.replace("_", " "), getattr(self, name), least))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", whole("batch size", self.batch_size, 1))
        choose_optimizer(self.optimizer)
        check_solver(self.solver)
        choose_form_name(self.form)
        own = self._needs_descent
        if self.solver == AUTO and own:
            object.__setattr__(self, "solver", GD)
        if self.converges and own:
            raise InputError(f"solver: {self.solver!r} is not for {own}; leave it out, or take {GD!r}")
        object.__setattr__(self, "scale", check_scale(self.scale))
        if self.tol is not None:
            object.__setattr__(self, "tol", real("tol", self.tol, above=0.0))
            if not self.converges:
                raise InputError(
                    f"tol: {self.tol}, but {GD!r} does as many iterations as it is told to; take another solver, "
                    f"such as {AUTO!r}"
                )
        if self.form not in ("auto", PrimalForm.name) and (reason := self.needs_primal):
            raise InputError(f"form: {self.form!r} cannot be had: {reason}; take 'primal', or leave it out")

    @property
    def needs_primal(self) -> str | None:
        """Return why there is no Gram form, None where there is."""
        if not choose_optimizer(self.optimizer).has_gram_form:
            return f"{self.optimizer} scales each weight by itself and has no Gram form"
        if self.batch_size is not None:
            return "mini-batches have no Gram form"
        return None

    @property
    def converges(self) -> bool:
        """Return whether the solver goes to the minimum, not along the trajectory of gradient descent."""
        return self.solver != GD

    @property
    def _needs_descent(self) -> str | None:
        """Return what only gradient descent does, None where nothing of that is asked for."""
        if self.layers:
            return "hidden layers"
        if self.batch_size is not None:
            return "mini-batches"
        return None if self.optimizer == GD else f"the optimizer {self.optimizer}"

    def choose_descent(self) -> Solver:
        """Return the gradient descent that is asked for."""
        return choose_descent(self.batch_size, self.seed, choose_optimizer(self.optimizer))

    def scale_of(self, examples: Any) -> float:
        """Return what the examples' numbers are multiplied by."""
        return scale_of(self.scale, examples)

    def tolerance(self, dtype: str) -> float:
        """Return the norm of the gradient at which a solver that converges stops."""
        return TOLERANCES[dtype] if self.tol is None else self.tol

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for a model file."""
        return asdict(self) | {"layers": list(self.layers)}


def check_scale(scale: Any) -> float | str:
    """Return a scale as a number, or "auto"; raise InputError for any other."""
    if isinstance(scale, str) and scale == AUTO:
        return scale
    try:
        return real("scale", math.nan if isinstance(scale, str | bool) else scale, above=0.0)
    except InputError:
        raise InputError(
            f"scale: {scale!r}; a positive number is needed, or {AUTO!r}: 1/255 for uint8, 1 for all else"
        ) from None


def scale_of(scale: float | str, examples: Any) -> float:
    """Return what the examples' numbers are multiplied by: with "auto" 1/255 for uint8, which is pixels, else 1."""
    if isinstance(scale, str):
        return PIXEL_SCALE if dtype_name(examples) == "uint8" else 1.0
    return float(scale)


class Candidate(NamedTuple):
    """One of the models that are trained side by side."""

    learning_rate: float
    l2: float = 0.0
    seed: int = 0


def candidates(learning_rates: Sequence[Any], l2: Sequence[Any], seeds: Sequence[Any]) -> list[Candidate]:
    """Return one for each learning rate, for each of them each l2, and for each of these each seed."""
    rates = [real("learning rate", rate, above=0.0) for rate in several("learning_rates", learning_rates)]
    penalties = [real("l2", penalty, least=0.0) for penalty in several("l2", l2)]
    numbers = [whole("seed", seed, 0) for seed in several("seeds", seeds)]
    if not (rates and penalties and numbers):
        raise InputError("sweep: at least one learning rate, one l2 and one seed are needed")
    return [Candidate(*values) for values in product(rates, penalties, numbers)]


def several(name: str, values: Any) -> list[Any]:
    """Return several values as a list, or say that there is one alone, or none."""
    try:
        return list(values)
    except TypeError:
        raise InputError(f"{name}: {shown(values)}; a list is needed, such as [{shown(values)}]") from None


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number, or say that it is none, too small or too large."""
    is_whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not is_whole or value < least or (most is not None and value > most):
        wanted = f"of at most {most}" if is_whole and value >= least else f"of at least {least}"
        raise InputError(f"{name}: {shown(value)}; a whole number {wanted} is needed")
    return int(value)


def real(name: str, value: Any, least: float = -math.inf, above: float = -math.inf) -> float:
    """Return a finite number, or say that it is none or too small."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < least or number <= above:
        wanted = "a positive number" if above == 0 else "a number of at least 0"
        raise InputError(f"{name}: {shown(value)}; {wanted} is needed")
    return number


def hidden_units(layers: Any) -> tuple[int, ...]:
    """Return the units of the hidden layers, or say what is none."""
    is_list = isinstance(layers, Sequence) and not isinstance(layers, str | bytes)
    if not is_list and not (isinstance(layers, np.ndarray) and layers.ndim == 1):
        raise InputError(f"layers: {shown(layers)}; the units of each hidden layer are needed, such as (4, 3, 2)")
    return tuple(whole("layers", units, 1, MOST_UNITS) for units in layers)

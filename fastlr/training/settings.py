"""What a training is told to do, each setting defined once, and checked before anything is done.

The command line reads these definitions for its help, so no library is loaded before a value is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from fastlr.errors import InputError
from fastlr.training import texts
from fastlr.training.checks import (
    at_least,
    class_weights,
    hidden_units,
    not_negative,
    optional,
    positive,
    scale_or_auto,
    several,
    truth,
)
from fastlr.training.definition import Group, setting

if TYPE_CHECKING:
    from fastlr.solvers import Solver

AUTO, GD, PRIMAL = "auto", "gd", "primal"
PIXEL_SCALE = 1 / 255  # of uint8, unless another is asked for
LEARNING_RATE = 0.005  # where none is asked for
TOLERANCE = 1e-4  # of the gradient's norm, where none is asked for


def _seed(name: str, value: Any) -> Any:
    from fastlr.data.checks import check_seed

    return check_seed(value)


def _solver(name: str, value: Any) -> Any:
    from fastlr.solvers import check_solver

    return check_solver(value)


def _optimizer(name: str, value: Any) -> Any:
    from fastlr.solvers.optimizers import choose_optimizer

    return choose_optimizer(value).name


def _form(name: str, value: Any) -> Any:
    from fastlr.objectives.choose import choose_form_name

    return choose_form_name(value)


STOP = "Stop when the norm of the gradient is at most this; by default 1e-4."
SEED = (0, "Seed of the random numbers: initial weights, shuffles.", _seed)  # a model's is the training's, or its own


@dataclass(frozen=True)
class Settings(Group):
    """How models are trained. The model file holds them, with those of its `Candidate`."""

    iterations: int = setting(2000, "Steps of gradient descent; the maximum for other solvers.", at_least(0))
    layers: tuple[int, ...] = setting(
        (),
        "Units of hidden ReLU layers, such as 4,3,2; by default none.",
        hidden_units,
        metavar="N[,N]",
        read=texts.hidden_units,
    )
    solver: str = setting(
        GD, "gd (a fixed number of steps), or until convergence: newton, newton-cg, lbfgs, auto (the fastest).", _solver
    )
    tol: float | None = setting(
        None,
        STOP + " Not for the solver gd.",
        optional(positive),
    )
    optimizer: str = setting(GD, "Update rule of the solver gd: gd, momentum, nesterov or adam.", _optimizer)
    batch_size: int | None = setting(None, "Samples in a mini-batch; by default all.", optional(at_least(1)))
    standardize: bool = setting(
        False, "Scale each feature to mean 0 and standard deviation 1, computed without sample weights.", truth
    )
    scale: float | str | None = setting(
        AUTO,
        "Multiply all features by this number; auto: 1/255 for uint8, else 1; pixels: 1/255 always.",
        scale_or_auto,
        metavar="F",
        read=texts.scale,
    )
    class_weight: Mapping[str, float] | str | None = setting(
        None,
        "balanced (inverse to the class's frequency), or weights such as cat=1,dog=3.",
        class_weights,
        metavar="balanced|NAME=F[,NAME=F]",
        read=texts.class_weights,
    )
    seed: int = setting(*SEED)
    record_every: int = setting(
        100, "Iterations from one recorded cost to the next; the first is that of iteration 0.", at_least(1)
    )
    form: str = setting(AUTO, "primal (weights), gram (products of samples), or auto (the faster).", _form)

    def __post_init__(self) -> None:
        """Check each value, and what goes with what."""
        super().__post_init__()
        own = self.needs_descent
        if self.solver == AUTO and own and self.tol is not None:
            raise InputError(
                f"tol: {self.tol} has no effect with {own}: gradient descent makes all its iterations; leave it out"
            )
        if self.solver == AUTO and own:
            object.__setattr__(self, "solver", GD)
        if self.converges and own:
            raise InputError(f"solver: {self.solver!r} is not for {own}; leave it out, or take {GD!r}")
        if self.iterations == 0 and not self.converges:
            raise InputError("iterations: 0; a whole number of at least 1 is needed")
        if self.tol is not None and not self.converges:
            raise InputError(
                f"tol: {self.tol}, but {GD!r} always makes all its iterations; take another solver, such as {AUTO!r}"
            )
        if self.form not in (AUTO, PRIMAL) and (reason := self.needs_primal):
            raise InputError(f"form: {self.form!r} is not possible: {reason}; take {PRIMAL!r}, or leave it out")

    @property
    def needs_primal(self) -> str | None:
        """Return why there is no Gram form, None where there is."""
        from fastlr.solvers.optimizers import choose_optimizer

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
    def needs_descent(self) -> str | None:
        """Return what only gradient descent does, None where nothing of that is asked for."""
        if self.layers:
            return "hidden layers"
        if self.batch_size is not None:
            return "mini-batches"
        return None if self.optimizer == GD else f"the optimizer {self.optimizer}"

    def choose_descent(self) -> Solver:
        """Return the gradient descent that is asked for."""
        from fastlr.solvers import choose_descent
        from fastlr.solvers.optimizers import choose_optimizer

        return choose_descent(self.batch_size, self.seed, choose_optimizer(self.optimizer))

    def scale_of(self, samples: Any) -> float:
        """Return what the features are multiplied by."""
        return scale_of(self.scale, samples)

    @property
    def tolerance(self) -> float:
        """Return the norm of the gradient at which a solver that converges stops."""
        return TOLERANCE if self.tol is None else self.tol

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for a model file."""
        return asdict(self) | {"layers": list(self.layers)}


@dataclass(frozen=True)
class PathSettings(Settings):
    """Those of `fastlr.path`, which goes to the minimum."""

    not_offered: ClassVar[frozenset[str]] = frozenset({"layers", "optimizer", "batch_size", "record_every"})
    iterations: int = setting(200, "The most iterations of the solver.", at_least(1))
    solver: str = setting(AUTO, "newton, newton-cg, lbfgs, auto (the fastest).", _solver)
    tol: float | None = setting(None, STOP, optional(positive))
    seed: int = setting(0, "Seed of the random numbers: splits, folds, intervals.", _seed)


@dataclass(frozen=True)
class Target(Group):
    """Where the work is done. What is None comes from the environment, else from the data."""

    backend: str | None = setting(
        None, "Backend; by default FASTLR_BACKEND, else numba on the CPU, the arrays' library elsewhere."
    )
    device: str | None = setting(
        None,
        "Device, such as cpu or cuda:1; by default FASTLR_DEVICE, else that of the arrays, or the backend's own.",
    )
    dtype: str | None = setting(None, "float64 or float32; by default FASTLR_DTYPE, else float64.")
    cluster: str | None = setting(
        None,
        "Scheduler of a Dask cluster, or local:N for N processes here; by default FASTLR_CLUSTER, else none.",
    )
    cluster_timeout: float = setting(60.0, "Seconds to wait for the cluster's scheduler and for workers.", positive)
    precision: str = setting("full", "full, or tf32 for float32 products on an NVIDIA GPU.")


@dataclass(frozen=True)
class Candidate(Group):
    """What is the model's own among those that are trained side by side."""

    learning_rate: float = setting(
        LEARNING_RATE, "Learning rate of gradient descent; other solvers have none.", positive, option="--lr"
    )
    l2: float = setting(0.0, "L2 penalty: adds l2/2 ‖W‖² to the objective.", not_negative)
    seed: int = setting(*SEED)


def scale_of(scale: float | str | None, samples: Any) -> float:
    """Return what the features are multiplied by: with "auto" 1/255 for uint8, which is pixels, else 1."""
    from fastlr.namespace import dtype_name

    if isinstance(scale, str):
        return PIXEL_SCALE if dtype_name(samples) == "uint8" else 1.0
    return 1.0 if scale is None else float(scale)


def candidates(learning_rates: Sequence[Any], l2: Sequence[Any], seeds: Sequence[Any]) -> list[Candidate]:
    """Return one for each learning rate, for each of them each l2, and for each of these each seed."""
    given = (("learning_rates", learning_rates), ("l2", l2), ("seeds", seeds))
    lists = {name: several(name, values) for name, values in given}
    if empty := [name for name, values in lists.items() if not values]:
        raise InputError(f"{empty[0]}: holds no value; give at least one")
    return [Candidate(*values) for values in product(*lists.values())]

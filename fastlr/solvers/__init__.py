"""One file a solver, one row here for each. They minimise an objective and never see a sample.

Gradient descent follows a trajectory: `start(objective, b, deeper)` returns a state and `advance(backend, objective,
state, steps)` moves it on by that many steps. Solvers that converge go to the minimum of a convex objective: `start(
objective, b)` returns an iterate and `step(backend, objective, iterate)` the next one; `why_not(form, outputs)` says
where they cannot. States and iterates hold the parameters, in the coordinates of the objective.
"""

from __future__ import annotations

from typing import Any, Protocol

from fastlr.backends.record import Backend
from fastlr.core import Array
from fastlr.errors import InputError, shown
from fastlr.objectives.network import Deeper
from fastlr.objectives.protocol import Descending, Objective, State
from fastlr.solvers import lbfgs, newton, newton_cg
from fastlr.solvers.descent import Descent
from fastlr.solvers.iterate import Iterate
from fastlr.solvers.minibatch import MiniBatches
from fastlr.solvers.optimizers import OPTIMIZERS, Optimizer


class Solver(Protocol):
    """What gradient descent offers."""

    def start(self, objective: Descending, b: Array, deeper: Deeper = ()) -> State:
        """Return the state at the initial weights, the intercepts `b` and these deeper layers."""

    def advance(self, backend: Backend, objective: Descending, state: State, steps: int) -> State:
        """Return the state `steps` steps later."""


class Converging(Protocol):
    """What a solver module offers that goes to the minimum of a convex objective."""

    def start(self, objective: Objective, b: Array, W: Array | None = None) -> Iterate:
        """Return the iterate at coordinates W, else at the initial weights, and the intercepts `b`."""

    def step(self, backend: Backend, objective: Objective, iterate: Iterate) -> Iterate:
        """Return the next iterate."""

    # Where it has `steps(objective, iterate, most, tol)` as well, that is called for one model that nobody watches.

    def why_not(self, form: str, outputs: int) -> str | None:
        """Return why it cannot work on a form, with so many outputs; None where it can."""


AUTO = "auto"
GD = "gd"
SOLVERS: dict[str, Converging] = {"newton": newton, "newton-cg": newton_cg, "lbfgs": lbfgs}


def choose_descent(
    batch_size: int | None = None, seed: int = 0, optimizer: Optimizer = OPTIMIZERS["gd"]
) -> Descent | MiniBatches:
    """Return gradient descent; with a batch size, that whose steps look at so many samples each."""
    return Descent(optimizer) if batch_size is None else MiniBatches(batch_size, seed, optimizer)


def check_solver(name: Any) -> str:
    """Return the name of a solver, or "auto"; raise InputError for any other."""
    known = (GD, *SOLVERS, AUTO)
    if not isinstance(name, str) or name not in known:
        raise InputError(f"solver: {shown(name)} is not known; choose {', '.join(known)}")
    return name

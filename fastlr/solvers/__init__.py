"""One file a solver, one row here for each.

Gradient descent follows a trajectory: `start(problem, b, deeper)` returns a state and `advance(backend, problem,
state, steps)` moves it on by that many steps. Solvers that converge go to the minimum of a convex objective: `start(
problem, b)` returns an iterate and `step(backend, problem, iterate)` the next one; `why_not(form, outputs)` says where
they cannot. States and iterates hold the parameters, in the coordinates of the problem's form, and their logits.
"""

from __future__ import annotations

from fastlr.errors import InputError
from fastlr.solvers import descent, lbfgs, newton, newton_cg
from fastlr.solvers.minibatch import MiniBatches
from fastlr.solvers.problem import Converging, Solver

AUTO = "auto"
GD = "gd"
SOLVERS: dict[str, Converging] = {"newton": newton, "newton-cg": newton_cg, "lbfgs": lbfgs}


def choose_descent(batch_size: int | None = None, seed: int = 0) -> Solver:
    """Return gradient descent; with a batch size, that whose steps look at so many examples each."""
    return descent if batch_size is None else MiniBatches(batch_size, seed)


def check_solver(name: str) -> None:
    """Raise InputError for a solver that is not known."""
    known = (GD, *SOLVERS, AUTO)
    if name not in known:
        raise InputError(f"solver: {name!r} is not known; choose {', '.join(known)}")

"""One file a solver, one row here for each.

A solver module offers `start(problem, b)`, which returns a state, and `advance(backend, problem, state, steps)`,
which moves it on by that many steps. A state holds at least the fields `W` (coordinates in the problem's form),
`b` and `Z`, the logits of those very parameters.
"""

from __future__ import annotations

from fastlr.errors import InputError
from fastlr.solvers import descent
from fastlr.solvers.problem import Solver

SOLVERS: dict[str, Solver] = {"gd": descent}


def choose_solver(name: str) -> Solver:
    """Return the solver of that name."""
    if name not in SOLVERS:
        raise InputError(f"solver: {name!r} is not known; choose {', '.join(SOLVERS)}")
    return SOLVERS[name]

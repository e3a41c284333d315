"""One file a solver, one row here for each.

A solver offers `start(problem, b, deeper)`, which returns a state, and `advance(backend, problem, state, steps)`,
which moves it on by that many steps. A state holds at least the parameters, the first layer's in the coordinates of
the problem's form, and `Z`, the logits of those very parameters.
"""

from __future__ import annotations

from fastlr.errors import InputError
from fastlr.solvers import descent
from fastlr.solvers.minibatch import MiniBatches
from fastlr.solvers.problem import Solver

SOLVERS: dict[str, Solver] = {"gd": descent}


def choose_solver(name: str, batch_size: int | None = None, seed: int = 0) -> Solver:
    """Return the solver of that name; with a batch size, the one whose steps look at so many examples each."""
    if name not in SOLVERS:
        raise InputError(f"solver: {name!r} is not known; choose {', '.join(SOLVERS)}")
    return SOLVERS[name] if batch_size is None else MiniBatches(batch_size, seed)

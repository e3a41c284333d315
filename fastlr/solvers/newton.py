"""Newton's method with the whole matrix of second derivatives, for where it is small: x ← x − t (∇²f)⁻¹ ∇f.

The formulas of the direction are those of the objective's form: `objectives/primal.py`, `objectives/gram.py`.
"""

from __future__ import annotations

from fastlr.backends.record import Backend
from fastlr.objectives.protocol import Objective, Passed
from fastlr.solvers.iterate import Iterate
from fastlr.solvers.iterate import start as start  # what a solver offers
from fastlr.solvers.line_search import RULES, arrived, search


def why_not(form: str, outputs: int) -> str | None:
    """Return why it cannot work on a form with so many outputs, None where it can."""
    if form == "gram" and outputs > 1:
        return "newton has no Gram form for more than two classes; take newton-cg, or form primal"
    return None


def step(backend: Backend, objective: Objective, iterate: Iterate) -> Iterate:
    """Return the iterate after one step."""
    return steps(objective, iterate, 1, 0.0)[0]


def steps(objective: Objective, iterate: Iterate, most: int, tol: float) -> tuple[Iterate, Passed]:
    """Return the iterate of one model after up to so many steps, until its norm is at most tol; and what it passed."""
    done = objective.newton_steps(iterate.at, RULES, most, tol)
    if done is None:
        return search(objective, iterate, objective.newton(iterate.at)), []
    at, kept, passed = done
    return arrived(iterate, at, kept), passed

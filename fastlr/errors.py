"""What fastlr says when it is given something it cannot use."""

from __future__ import annotations


class InputError(ValueError):
    """The input is wrong. The message is one line: what, where, and what would be right."""


class DivergenceWarning(RuntimeWarning):
    """A cost stopped being finite; the parameters handed back are the last finite ones."""


class ConvergenceWarning(RuntimeWarning):
    """A solver that converges ended before the gradient was small enough."""

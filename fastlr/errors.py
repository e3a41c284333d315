"""What fastlr says when it is given something it cannot use."""

from __future__ import annotations

from fastlr.text import escaped


class InputError(ValueError):
    """The input is wrong. The message is one line: what, where, and what would be right.

    Names from files stand in it: line ends, and whatever else a terminal would act on, are written out, as \\n.
    """

    def __init__(self, message: str) -> None:
        """Keep the message, in one line."""
        super().__init__(escaped(message))


class DivergenceWarning(RuntimeWarning):
    """A cost stopped being finite; the parameters handed back are the last finite ones."""


class ConvergenceWarning(RuntimeWarning):
    """A solver that converges ended before the gradient was small enough."""

"""What fastlr says when it is given something it cannot use."""

from __future__ import annotations

import errno
import os
import re
from numbers import Number
from typing import Any

# Compiled when it is first used: printing the help does without it.
# Control characters, the marks that turn the direction of the text after them, and halves of characters.
_ACTING = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


class InputError(ValueError):
    """The input is wrong. The message is one line: what, where, and what would be right.

    Names from files stand in it: line ends, and whatever else a terminal would act on, are written out, as \\n.
    """

    def __init__(self, message: str) -> None:
        """Keep the message, in one line."""
        super().__init__(escaped(message))


class ShortageError(InputError):
    """The system allows too few open files or threads; the file that was being read need not be wrong."""


def shortage(error: BaseException) -> str | None:
    """Return what there is too little of, where that made a library raise this; None where it was something else."""
    text, number = str(error), getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE) or os.strerror(errno.EMFILE) in text:
        return "too few open files are allowed, see `ulimit -n`"
    if "start new thread" in text or (number == errno.EAGAIN or os.strerror(errno.EAGAIN) in text):
        return "too few processes and threads are allowed, see `ulimit -u`"
    return None


class DivergenceWarning(RuntimeWarning):
    """A cost stopped being finite; the parameters handed back are the last finite ones."""


class ConvergenceWarning(RuntimeWarning):
    """A solver that converges ended before the gradient was small enough."""


def escaped(text: str) -> str:
    """Return the text with what a terminal would act on written out, as \\x1b."""
    return re.sub(_ACTING, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def counted(count: int, what: str, separator: str = "") -> str:
    """Return "1 sample", "1900 samples"; with the separator "," it is "1,900 samples"."""
    return f"{count:{separator}} {what}{'s' * (count != 1)}"


def shown(value: Any) -> str:
    """Return what was given as it may stand in an error text, whatever its length."""
    try:
        text = repr(value.item() if isinstance(value, Number) and hasattr(value, "item") else value)  # NumPy's too
    except ValueError:  # Python writes out no number of more than 4300 digits
        return f"a number of {value.bit_length():,} bits"
    return text if len(text) <= 100 else f"{text[:100]}…"

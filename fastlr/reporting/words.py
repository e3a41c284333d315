"""Numbers and names in words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from fastlr import errors
from fastlr.reporting.page import phrase

counted = partial(errors.counted, separator=",")  # "2,000 samples"


def percent(value: float) -> str:
    """Return a percentage that is never rounded up to 100."""
    text = f"{value:.1f}"
    return f"{'>99.9' if text == '100.0' and value < 100 else text}\N{NO-BREAK SPACE}%"


def rounded(value: float) -> str:
    """Return "1,235", "12.3", "0.0123"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plain_cost(costs: Sequence[float]) -> str:
    """Return the last cost of a run, where one was recorded; one that grew out of hand in short."""
    return "none" if not costs else f"{costs[-1]:.4f}" if costs[-1] < 1e6 else f"{costs[-1]:.4g}"


def class_list(classes: Sequence[Any], most: int = 20) -> Markup:
    """Return the classes' names: "airplane or bike"."""
    names = [phrase("{}", each) for each in classes[:most]]
    if len(classes) > most:
        return Markup(", ").join(names) + f" and {len(classes) - most} more"
    return Markup(" or ").join([Markup(", ").join(names[:-1]), names[-1]])


def more(count: int, most: int) -> str:
    """Return that not all are shown, where it is so."""
    return f" (the first {most} of {count})" if count > most else ""

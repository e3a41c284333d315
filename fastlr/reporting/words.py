"""Numbers and names in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fastlr.reporting.page import phrase


def percent(value: float) -> str:
    """Return a percentage that is never rounded up to 100."""
    text = f"{value:.1f}"
    return f"{'>99.9' if text == '100.0' and value < 100 else text}\N{NO-BREAK SPACE}%"


def plain_cost(costs: Sequence[float]) -> str:
    """Return the last cost of a run, where one was recorded."""
    return f"{costs[-1]:.4f}" if costs else "none"


def class_list(classes: Sequence[Any], most: int = 20) -> Markup:
    """Return the classes' names: "airplane or bike"."""
    names = [phrase("{}", each) for each in classes[:most]]
    if len(classes) > most:
        return Markup(", ").join(names) + f" and {len(classes) - most} more"
    return Markup(" or ").join([Markup(", ").join(names[:-1]), names[-1]])


def more(count: int, most: int) -> str:
    """Return that not all are shown, where it is so."""
    return f" (the first {most} of {count})" if count > most else ""

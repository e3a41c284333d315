"""Checks of one value each: they return it as it is kept, or raise InputError that names it. No library is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from fastlr.errors import InputError, shown

Check = Callable[[str, Any], Any]  # of the name that an error text uses, and the value

MOST_UNITS = 2**20  # of a hidden layer
MOST_L2 = 1e15


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number, or say that it is none, too small or too large."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        wanted = f"of at most {most}" if is_whole and value >= least else f"of at least {least}"
        raise InputError(f"{name}: {shown(value)}; a whole number {wanted} is needed")
    return int(value)


def real(name: str, value: Any, least: float = -math.inf, above: float = -math.inf) -> float:
    """Return a finite number, or say that it is none or too small."""
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < least or number <= above:
        wanted = "a positive number" if above == 0 else "a number of at least 0"
        raise InputError(f"{name}: {shown(value)}; {wanted} is needed")
    return number


def several(name: str, values: Any) -> list[Any]:
    """Return several values as a list, or say that there is one alone, or none."""
    try:
        if isinstance(values, str):
            raise TypeError
        return list(values)
    except TypeError:
        such = f", such as [{shown(values)}]" if isinstance(values, Real) else ""
        raise InputError(f"{name}: {shown(values)}; a list is needed{such}") from None


def at_least(least: int) -> Check:
    """Return the check of a whole number of at least so much."""
    return lambda name, value: whole(name, value, least)


def not_negative(name: str, value: Any) -> float:
    """Return a number of at least 0."""
    return real(name, value, least=0.0)


def finite_l2(name: str, value: Any) -> float:
    """Return an l2 for a fit to the minimum, where what is computed from a larger one would overflow."""
    number = real(name, value, least=0.0)
    if number > MOST_L2:
        raise InputError(f"{name}: {shown(value)}; a number from 0 to {MOST_L2:g} is needed")
    return number


def positive(name: str, value: Any) -> float:
    """Return a number above 0."""
    return real(name, value, above=0.0)


def optional(check: Check) -> Check:
    """Return the check of a value that may also be None."""
    return lambda name, value: None if value is None else check(name, value)


def hidden_units(name: str, layers: Any) -> tuple[int, ...]:
    """Return the units of the hidden layers, or say what is none."""
    is_list = isinstance(layers, Sequence) and not isinstance(layers, str | bytes)
    if not is_list and getattr(layers, "ndim", None) != 1:
        raise InputError(f"{name}: {shown(layers)}; the units of each hidden layer are needed, such as (4, 3, 2)")
    return tuple(whole(name, units, 1, MOST_UNITS) for units in layers)


def class_weights(name: str, weights: Any) -> dict[str, float] | str | None:
    """Return the weights of classes by their names as text, "balanced", or None."""
    if weights is None or (isinstance(weights, str) and weights == "balanced"):
        return weights
    if not isinstance(weights, Mapping) or not weights:
        wanted = "'balanced' is needed, or a dict of weights, where classes left out count 1"
        raise InputError(f"{name}: {shown(weights)}; {wanted}")
    found = {str(one): real(f"{name} of {one}", weight, least=0.0) for one, weight in weights.items()}
    if len(found) < len(weights):
        raise InputError(f"{name}: {shown(list(weights))} name a class twice; give each once")
    return found


def scale_or_auto(name: str, scale: Any) -> float | str:
    """Return a scale as a number, or "auto"; None is 1, "pixels" 1/255."""
    if scale is None or (isinstance(scale, str) and scale in ("auto", "pixels")):
        return {None: 1.0, "pixels": 1 / 255}.get(scale, "auto")
    try:
        return real(name, scale, above=0.0)
    except InputError:
        raise InputError(
            f"{name}: {scale!r}; a positive number is needed, or 'auto': 1/255 for uint8, 1 for all else; or 'pixels'"
        ) from None


def truth(name: str, value: Any) -> bool:
    """Return True or False."""
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's is no kind of Python's
        raise InputError(f"{name}: {shown(value)}; True or False is needed")
    return bool(value)

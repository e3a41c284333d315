"""Settings as the command line writes them."""

from __future__ import annotations

import math

from fastlr.errors import InputError, shown

MOST = 10_000  # models of a sweep's one option


def numbers(option: str, text: str) -> list[float]:
    """Return "0.1,0.01" as numbers, and "1e-6:1e2:9" as nine from the first to the last, each the same times more."""
    found: list[float] = []
    for part in text.split(","):
        if ":" in part:
            found += _powers(option, part)
            continue
        try:
            found.append(float(part))
        except ValueError:
            raise InputError(
                f"{option}: {text!r}; numbers are needed, such as 0.1,0.01, or FIRST:LAST:COUNT for values on a "
                "logarithmic scale"
            ) from None
    return found


def _powers(option: str, text: str) -> list[float]:
    try:
        first_text, last_text, count_text = text.split(":")
        first, last, count = float(first_text), float(last_text), int(count_text)
    except ValueError:
        raise InputError(
            f"{option}: {text!r}; FIRST:LAST:COUNT needs two numbers and a whole number, such as 1e-6:1e2:9"
        ) from None
    if not (0 < first < math.inf and 0 < last < math.inf and 2 <= count <= MOST and 0 < last / first < math.inf):
        raise InputError(
            f"{option}: {text!r}; FIRST:LAST:COUNT needs two numbers above 0, not too far apart, and 2 to {MOST:,} "
            "values"
        )
    return [first * (last / first) ** (i / (count - 1)) for i in range(count - 1)] + [last]


def scale(text: str) -> float | str:
    """Return "0.5" as a number, and "auto" and "pixels" as they are."""
    if text in ("auto", "pixels"):
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--scale: {text!r}; a positive number is needed, or auto, or pixels") from None


def class_weights(text: str) -> dict[str, float] | str | None:
    """Return "cat=1,dog=3" as a dict, and "balanced" as it is."""
    if text in ("", "balanced"):
        return text or None
    found = {}
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        try:
            found[name] = float(weight if equals and name else "none")
        except ValueError:
            raise InputError(f"--class-weight: {text!r}; balanced is needed, or weights such as cat=1,dog=3") from None
    return found


def seeds(text: str) -> list[int]:
    """Return "0-7" or "0,3,5" as numbers."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        begin, end = _whole(first), _whole(last if dash else first)
        if begin is None or end is None:
            raise InputError(f"--seeds: {shown(text)}; whole numbers are needed, such as 0-7 or 0,3,5")
        if end < begin:
            raise InputError(f"--seeds: {part!r}; the last must not be smaller than the first")
        if end - begin >= MOST:
            raise InputError(f"--seeds: {part!r}; give {MOST:,} seeds at the most")
        found += range(begin, end + 1)
    return found


def hidden_units(text: str) -> tuple[int, ...]:
    """Return "4,3,2" as numbers."""
    units = [_whole(part.strip()) for part in text.split(",")] if text else []
    if any(unit is None or unit < 1 for unit in units):
        raise InputError(f"--layers: {shown(text)}; whole numbers of at least 1 are needed, such as 4,3,2")
    return tuple(unit for unit in units if unit is not None)


def _whole(text: str) -> int | None:
    """Return a whole number of at most 18 digits, None for anything else."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None

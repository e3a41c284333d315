"""Text that came from files, made fit to stand in a line of a terminal: nothing in it acts, and its width is known."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Compiled when it is first used: printing the help does without it.
_RTL = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
# From a right-to-left letter to the last that no Latin letter, slash or comma parts from it: the name of a file keeps
# its ending at the end, and the folders of a path their order.
_RTL_RUN = f"{_RTL}(?:[^A-Za-z/\\\\:;,]*{_RTL})?"


def isolated(text: str) -> str:
    """Return the text with its right-to-left runs between U+2068 and U+2069, so that what stands beside them stays."""
    return text if text.isascii() else re.sub(_RTL_RUN, "\u2068\\g<0>\u2069", text)


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes: an emoji takes two, an accent none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text.replace("\u2068", "").replace("\u2069", ""))  # early versions count these as one


def padded(text: str, width: int, right: bool = False) -> str:
    """Return the text with spaces up to `width` columns, before it where it stands on the right."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


def shortened(text: str, available: int, ellipsis: str = "…") -> str:
    """Return the text in at most `available` columns, its middle left out where it is longer."""
    if cells(text) <= available:
        return text
    available = max(available - len(ellipsis), 2)
    head = _start(text, available // 2)
    tail = _start(text[::-1], available - cells(head))[::-1]
    return f"{head}{ellipsis}{tail}"


def listed(first: str, names: Sequence[str], width: int, lines: int = 3) -> list[str]:
    """Return `first` and the names, in so many lines of `width` columns at the most; the rest is counted."""
    known = names[: width * lines]  # no more can fit
    if len(known) == len(names) and len(whole := _filled(first, names, "", width)) <= lines:
        return whole
    count = 1
    while len(_filled(first, known[: count + 1], f"and {len(names) - count - 1} more", width)) <= lines:
        count += 1
    return _filled(first, known[:count], f"and {len(names) - count} more", width)


def reading(read: int, size: int, seconds: float) -> str:
    """Return how far a pass over the data has come, and how fast, where it takes longer than a second."""
    if seconds * size < read:
        return ""
    unit, one = ("GB", 1e9) if size >= 1e9 else ("MB", 1e6)
    return f"{read / one:.2f} of {size / one:.2f} {unit}, {read / seconds / one:.3g} {unit}/s"


def short_cost(cost: float) -> str:
    """Return a cost as the tutorials print it, and one that grew out of hand in short."""
    return f"{cost:f}" if cost < 1e6 else f"{cost:.6g}"


def _filled(first: str, names: Sequence[str], last: str, width: int) -> list[str]:
    """Return `first`, the names with commas between them, and `last`, in lines of `width` columns."""
    parts = [*names, last] if last else names
    lines = [first]
    for word in [*(f"{part}," for part in parts[:-1]), parts[-1]]:
        if cells(lines[-1]) + 1 + cells(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return lines


def _start(text: str, available: int) -> str:
    """Return as much of the beginning as fits."""
    text = text[: 8 * available]  # a letter under a heap of accents takes one column
    while cells(text) > available:
        text = text[:-1]
    return text

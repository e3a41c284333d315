"""How much a file may expand to when it is read. Readers check it before they allocate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from fastlr.errors import InputError, shown
from fastlr.machine import parse_size

MOST = 2**62  # of a ratio and of a size


class Expansion(NamedTuple):
    """The most bytes that a file may expand to: `ratio` times its own size, or `size` where that is more."""

    ratio: float = 100.0
    size: int = 2**27

    def most(self, file_size: int) -> int:
        """Return the most bytes that a file of so many bytes may expand to."""
        return int(max(self.ratio * file_size, self.size))

    def check(self, name: Path | str, what: str, expanded: int, file_size: int | None = None) -> None:
        """Raise InputError where `what`, in the file of that name, would take too many bytes."""
        stored = Path(name).stat().st_size if file_size is None else file_size
        if expanded > self.most(stored):
            needed = math.ceil(expanded / max(1, stored))
            raise InputError(
                f"{name}: {what} takes {expanded:,} bytes when it is read, {needed:,} times what is stored; "
                "it may be damaged or made to fill the memory; if you trust it, give max_expansion (--max-expansion) "
                f"{needed}"
            )


DEFAULT = Expansion()


def as_expansion(value: Any) -> Expansion:
    """Return "RATIO", "SIZE" or "RATIO,SIZE", such as "1000,4G", or a number, as an Expansion; None is the default."""
    if value is None:
        return DEFAULT
    given: dict[str, Any] = {}
    text = shown(value) if isinstance(value, int) else str(value)
    for part in text.split(","):
        name = "size" if part.strip()[-1:].isalpha() else "ratio"
        try:
            number = parse_size(part) or math.nan if name == "size" else float(part)
        except (ValueError, OverflowError):
            number = math.nan
        if name in given or not 1 <= number <= MOST:
            raise InputError(
                f"max expansion: {shown(value)}; give how many times its size a file may expand to, such as 1000, "
                "or how many bytes, such as 4G, or both: 1000,4G"
            )
        given[name] = number
    return Expansion(**given)

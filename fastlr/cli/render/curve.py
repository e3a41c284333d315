"""A learning curve in the characters of a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from fastlr.cli.render.text import short_cost

# A braille character is two columns of four dots; its number adds up the bits of those that are raised.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800


def draw_curve(
    costs: Sequence[float], recorded_at: Sequence[int], width: int, height: int, unicode: bool = True
) -> list[str]:
    """Return the curve in `height` lines of at most `width` columns, and a line of iterations below them.

    The first cost stands to the left of where the curve begins, the last to the right of where it ends. Lines of
    braille dots, or of "*" without `unicode`. Nothing where the width leaves no available.
    """
    first, last = short_cost(costs[0]), short_cost(costs[-1])
    columns = width - len(first) - len(last) - 3
    begin, end = str(recorded_at[0]), str(recorded_at[-1])
    if columns < len(begin) + len(end) + 1:
        return []
    across, down = (2, 4) if unicode else (1, 1)
    points = _scaled(costs, recorded_at, columns * across, height * down)
    grid = [[0] * columns for _ in range(height)]
    for x, y in _joined(points):
        grid[y // down][x // across] |= DOTS[x % across][y % down]
    top, bottom = points[0][1] // down, points[-1][1] // down
    side = "│" if unicode else "|"
    lines = []
    for row, bits in enumerate(grid):
        drawn = "".join((chr(BRAILLE + bit) if unicode else "*") if bit else " " for bit in bits)
        left, right = first if row == top else "", last if row == bottom else ""
        lines.append(f"{left:>{len(first)}} {side}{drawn} {right}".rstrip())
    middle = "iterations" if columns >= len(begin) + len(end) + 14 else ""
    margin = " " * (len(first) + 2)
    lines.append(f"{margin}{begin}{middle:^{columns - len(begin) - len(end)}}{end}")
    return lines


def _scaled(costs: Sequence[float], recorded_at: Sequence[int], columns: int, rows: int) -> list[tuple[int, int]]:
    """Return the dots of the costs, counted from the left and from the top."""
    low, high = min(costs), max(costs)
    span, time = (high - low) or 1.0, (recorded_at[-1] - recorded_at[0]) or 1
    return [
        (round((at - recorded_at[0]) / time * (columns - 1)), round((high - cost) / span * (rows - 1)))
        for at, cost in zip(recorded_at, costs, strict=True)
    ]


def _joined(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the points and all on the straight lines between them."""
    dots = [points[0]]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        steps = max(abs(to_x - x), abs(to_y - y))
        dots += [(x + round((to_x - x) * k / steps), y + round((to_y - y) * k / steps)) for k in range(1, steps + 1)]
    return dots

"""How figures look: colours for light and dark screens, names that the font can draw, PNG files of them."""

from __future__ import annotations

import functools
import io
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 4.6  # inches: at this width text of 9.5 points can be read on a phone, and in a column of a screen
TEXT = 9.5
DPI = 160
LONGEST_NAME = 16  # letters of a class name in a figure
LONGEST_LABEL = 56  # of a line of a legend


class Theme(NamedTuple):
    """The colours of a figure. The series are those of M. Okabe and K. Ito, which colour-blind eyes tell apart."""

    ground: str
    ink: str
    quiet: str
    grid: str
    accent: str
    series: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#1b2430", "#5a6675", "#e3e7ed", "#0072b2",
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
)  # fmt: skip
DARK = Theme(
    "#1a2029", "#e7ebf1", "#9aa7b6", "#323c49", "#56b4e9",
    ("#56b4e9", "#e69f00", "#2fc397", "#e79ac6", "#f0e442", "#ff6f4d", "#ffffff"),
)  # fmt: skip


class Chart(NamedTuple):
    """A figure in any theme, and the numbers in it as a table."""

    draw: Callable[[Theme], Figure]
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def png(self, theme: Theme = LIGHT) -> bytes:
        """Return it as a PNG file."""
        return figure_png(self.draw(theme))


def figure_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file, the same bytes for the same figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return file.getvalue()


def new_figure(height: float, theme: Theme, width: float = WIDTH) -> Figure:
    """Return an empty figure that no global state knows of."""
    figure = Figure(figsize=(width, height), facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure, theme: Theme, x: str, y: str) -> Axes:
    """Return axes with labels, a quiet grid and no box."""
    axes = figure.add_subplot(facecolor=theme.ground)
    axes.set_xlabel(x, color=theme.quiet, fontsize=TEXT, parse_math=False)
    axes.set_ylabel(y, color=theme.quiet, fontsize=TEXT, parse_math=False)
    axes.tick_params(which="both", colors=theme.quiet, labelsize=TEXT, length=0)
    axes.grid(True, color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def add_legend(to: Figure | Axes, theme: Theme, size: float = TEXT, **options: Any) -> None:
    """Add a legend, whose texts are names from outside: a "$" in them begins no formula."""
    legend = to.legend(frameon=False, labelcolor=theme.ink, fontsize=size, handlelength=2.2, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)
        legible = "".join(letter if _has_letter(letter) else "?" for letter in text.get_text())
        text.set_text(legible if len(legible) <= LONGEST_LABEL else legible[: LONGEST_LABEL - 1] + "…")


def drawable(name: Any, number: int) -> str:
    """Return a class name as a figure can show it, else "class 3".

    Figures lay text out from left to right and have one font: names that need more stand in the tables of the page.
    """
    text = str(name)
    if not text.strip() or any(not _has_letter(letter) for letter in text):
        return f"class {number}"
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _has_letter(letter: str) -> bool:
    """Return whether the font draws it, and from left to right."""
    leftward = unicodedata.bidirectional(letter) in ("R", "AL", "AN")
    return letter.isprintable() and not leftward and ord(letter) in _letters()


@functools.cache
def _letters() -> frozenset[int]:
    """Return the letters of the figures' font."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    return frozenset(font.get_charmap())

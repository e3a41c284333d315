"""The figures of a report, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from fastlr.model.evaluation import Results
from fastlr.reporting.findings import Bin
from fastlr.reporting.style import LIGHT, TEXT, Chart, Theme, add_legend, drawable, new_figure, plain_axes
from fastlr.training.selection import mean_scores

FEW_POINTS = 30  # up to so many recordings each gets a dot
WIDE_RANGE = 50  # a largest cost so many times the smallest asks for a logarithmic axis
MOST_ROWS = 200  # of a table
FEW_CLASSES = 12  # up to so many their names and counts fit a figure
SHORT_LABEL = 26  # letters of a label of which two stand side by side
DASHES = ("-", "--", "-.")  # and dots are the test costs, where there are many runs


class Curve(NamedTuple):
    """The costs of one run."""

    label: str
    recorded_at: Sequence[int]
    costs: Sequence[float]
    test_costs: Sequence[float] | None = None


def learning_curve(curves: Sequence[Curve]) -> Chart:
    """Return the training and test costs over the iterations, of one run or of all runs of a sweep."""
    shown = [c for curve in curves for c in (curve.costs, curve.test_costs or ()) if len(c)]
    positive = min((min(costs) for costs in shown), default=0) > 0
    wide = positive and max(map(max, shown)) > WIDE_RANGE * min(map(min, shown))

    def draw(theme: Theme) -> Figure:
        columns = 2 if all(len(curve.label) <= SHORT_LABEL for curve in curves) else 1
        lines = -(-len(curves) // columns) if len(curves) > 1 else 0
        figure = new_figure(3.1 + 0.2 * lines, theme)
        axes = plain_axes(figure, theme, "iteration", "cost: mean log-loss, nats" + (", log scale" if wide else ""))
        for i, curve in enumerate(curves):
            colour = theme.series[i % len(theme.series)]
            style = DASHES[i // len(theme.series) % len(DASHES)]
            dot = "o" if len(curve.costs) <= FEW_POINTS else ""
            common: dict[str, Any] = {"marker": dot, "markersize": 3.2, "linewidth": 1.8}
            one = len(curves) == 1
            axes.plot(
                curve.recorded_at, curve.costs, style, color=colour, label="training" if one else curve.label, **common
            )
            if curve.test_costs and one:
                axes.plot(curve.recorded_at, curve.test_costs, "--", color=theme.series[1], label="test", **common)
            elif curve.test_costs:
                axes.plot(curve.recorded_at, curve.test_costs, ":", color=colour, linewidth=1.4)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if wide:
            axes.set_yscale("log")
        elif shown:
            axes.set_ylim(bottom=0)
        if len(curves) > 1:
            add_legend(figure, theme, TEXT - 1, loc="outside lower center", ncols=columns)
        elif curves and curves[0].test_costs:
            add_legend(axes, theme, loc="best")
        return figure

    return Chart(draw, *_curve_table(curves))


def scores(l2: NDArray[Any], of: Mapping[str, NDArray[Any]], chosen: int) -> Chart:
    """Return the mean of each score over l2, the range of its folds, and a mark at the chosen value."""
    means = {name: mean_scores(values) for name, values in of.items()}

    def draw(theme: Theme) -> Figure:
        figure = new_figure(3.1, theme)
        axes = plain_axes(figure, theme, "l2, log scale" if (l2 > 0).all() else "l2", "score")
        for i, (name, values) in enumerate(of.items()):
            colour = theme.series[i % len(theme.series)]
            label = name.replace("_", " ")
            axes.plot(l2, means[name], "-", color=colour, label=label, linewidth=1.8)
            if values.shape[1] > 1:
                order = np.argsort(l2)
                low, high = values.min(axis=1)[order], values.max(axis=1)[order]
                axes.fill_between(l2[order], low, high, color=colour, alpha=0.15, linewidth=0)
        first = next(iter(means.values()))
        axes.plot([l2[chosen]], [first[chosen]], "o", color=theme.series[0], markersize=6)
        if (l2 > 0).all():
            axes.set_xscale("log")
        if len(of) > 1:
            add_legend(axes, theme, loc="best")
        return figure

    rows = [[f"{value:.3g}", *(f"{means[name][i]:.4f}" for name in of)] for i, value in enumerate(l2)]
    return Chart(draw, ["l2", *(name.replace("_", " ") for name in of)], rows[:MOST_ROWS])


def confusion(classes: Sequence[Any], results: Results) -> Chart:
    """Return how often each class, a row, was taken for each, a column; the colour is the share of the row."""
    matrix = results.matrix
    count = len(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    few = count <= FEW_CLASSES
    names = [drawable(name, number) for number, name in enumerate(classes, start=1)] if few else []

    def draw(theme: Theme) -> Figure:
        figure = new_figure(3.1 if count <= 4 else 4.2, theme)
        axes = plain_axes(figure, theme, "taken for", "is")
        axes.grid(False)
        colours = LinearSegmentedColormap.from_list("share", [theme.grid, theme.accent])
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1, aspect="auto")
        if not few:
            axes.set_xlabel(f"taken for (class 1 to {count})")
            axes.set_ylabel(f"is (class 1 to {count})")
            axes.set_xticks([])
            axes.set_yticks([])
            return figure
        steep = max(map(len, names)) * count > 44
        axes.set_xticks(range(count), names, rotation=90 if steep else 0, parse_math=False)
        axes.set_yticks(range(count), names, parse_math=False)
        between, wide = np.arange(1, count) - 0.5, 3 if count <= 4 else 1.5
        axes.vlines(between, -0.5, count - 0.5, colors=theme.ground, linewidth=wide)
        axes.hlines(between, -0.5, count - 0.5, colors=theme.ground, linewidth=wide)
        for row, column in np.ndindex(count, count):
            ink = theme.ground if shares[row, column] > 0.5 else theme.ink
            size = 15 if count <= 4 else TEXT - 1
            number = axes.text(
                column, row, f"{matrix[row, column]}", color=ink, ha="center", va="center", fontsize=size
            )
            number.set_in_layout(False)  # it stands within the axes: the layout need not measure it
        return figure

    if few:
        header = ["is \\ taken for", *classes]
        return Chart(draw, header, [[name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)])
    wrong = matrix * (1 - np.eye(count, dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_ROWS]
    pairs = [divmod(int(i), count) for i in order]
    rows = [[classes[i], classes[j], int(wrong[i, j])] for i, j in pairs if wrong[i, j]]
    return Chart(draw, ["is", "was taken for", "how often"], rows)


def calibration(bins: Sequence[Bin], x: str, y: str) -> Chart:
    """Return the share that came true over the probability that the model gave, with 95 % intervals."""

    def draw(theme: Theme) -> Figure:
        figure = new_figure(3.1, theme)
        axes = plain_axes(figure, theme, x, y)
        axes.plot([0, 100], [0, 100], color=theme.quiet, linewidth=1, linestyle=(0, (4, 4)))
        for b in bins:
            low, high = (100 * end for end in b.interval)
            axes.plot([100 * b.mean] * 2, [low, high], color=theme.accent, linewidth=1.6, alpha=0.55)
        points = [(100 * b.mean, 100 * b.share) for b in bins]
        axes.plot(*zip(*points, strict=True), "o-", color=theme.accent, markersize=5, linewidth=1.2)
        axes.set_xlim(-2, 102)
        axes.set_ylim(-2, 102)
        return figure

    header = ["probability, %", "samples", "mean probability, %", "observed, %", "95 % interval"]
    rows = [
        [f"{100 * b.low:.0f} to {100 * b.high:.0f}", b.size, f"{100 * b.mean:.1f}", f"{100 * b.share:.1f}",
         f"{100 * b.interval[0]:.0f} to {100 * b.interval[1]:.0f}"]
        for b in bins
    ]  # fmt: skip
    return Chart(draw, header, rows)


def gallery(images: Sequence[Image.Image], captions: Sequence[str], theme: Theme = LIGHT) -> Figure:
    """Return pictures side by side, each with a caption below."""
    columns = min(len(images), 4)
    rows = -(-len(images) // columns)
    side, gap, band = 1.6, 0.15, 0.12 + 0.18 * (max(caption.count("\n") for caption in captions) + 1)  # inches
    width, height = columns * (side + gap) + gap, rows * (side + band) + gap
    figure = new_figure(height, theme, width)
    figure.set_layout_engine("none")  # all is in its place already, and with many axes the layout takes a second
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(i, columns)
        left, bottom = gap + column * (side + gap), height - gap - row * (side + band) - side
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        axes.imshow(np.asarray(image.convert("RGB")), interpolation="nearest")
        axes.set_axis_off()
        middle, below = (left + side / 2) / width, (bottom - 0.06) / height
        figure.text(middle, below, caption, ha="center", va="top", fontsize=TEXT - 1, color=theme.ink, parse_math=False)
    return figure


def _curve_table(curves: Sequence[Curve]) -> tuple[list[str], list[list[Any]]]:
    """Return the costs as a table, thinned evenly where there are too many."""
    columns: list[tuple[str, dict[int, float]]] = []
    for curve in curves:
        one = len(curves) == 1
        columns.append(("training cost" if one else curve.label, _by_iteration(curve.recorded_at, curve.costs)))
        if curve.test_costs:
            name = "test cost" if one else f"{curve.label}, test"
            columns.append((name, _by_iteration(curve.recorded_at, curve.test_costs)))
    iterations = sorted({i for _, costs in columns for i in costs})
    if len(iterations) > MOST_ROWS:
        kept = np.unique(np.linspace(0, len(iterations) - 1, MOST_ROWS).round().astype(int))
        iterations = [iterations[i] for i in kept]
    rows = [[f"{i:,}", *(f"{costs[i]:.6g}" if i in costs else "" for _, costs in columns)] for i in iterations]
    return ["iteration", *(name for name, _ in columns)], rows


def _by_iteration(recorded_at: Sequence[int], costs: Sequence[float]) -> dict[int, float]:
    return dict(zip(recorded_at, costs, strict=False))

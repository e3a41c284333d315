"""Runs and models as figures, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from fastlr.reporting.figures import Curve, gallery, learning_curve
from fastlr.reporting.page import Image as Shown
from fastlr.reporting.page import rendered
from fastlr.reporting.pictures import colour_weights, strongest, weight_images
from fastlr.reporting.style import LIGHT, drawable, figure_png
from fastlr.reporting.weights import MOST_UNITS, unit_names
from fastlr.reporting.words import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastlr.model.model import Model
    from fastlr.training.run import Run


def plot(run: Run) -> Figure:
    """Return the learning curve of a run as a figure."""
    return learning_curve([Curve("training", run.recorded_at, run.costs, run.test_costs)]).draw(LIGHT)


def show(run: Run) -> str:
    """Return a run as HTML: its accuracies, and its curve."""
    said = [f"training accuracy {percent(run.train_accuracy)}"]
    said += [] if run.test_accuracy is None else [f"test accuracy {percent(run.test_accuracy)}"]
    said += [f"{run.seconds:.2f} s", f"{run.backend} on {run.device}"]
    return rendered(
        "run.html", said=", ".join(said), curve=Shown(figure_png(plot(run)), "The learning curve.", width=500)
    )


def show_weights(model: Model) -> Figure:
    """Return the weights as a figure, an image for each class or unit of the first layer, at most MOST_UNITS."""
    images = weight_images(model)
    full = strongest(images)
    names = [drawable(name, number) for number, name in enumerate(unit_names(model), start=1)]
    shown = [Image.fromarray(colour_weights(values, full)) for values in images[:MOST_UNITS]]
    return gallery(shown, [f"{name}, ±{full:.2g}" for name in names[:MOST_UNITS]])

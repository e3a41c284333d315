"""The weights as images: what the model looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image as Pillow

from fastlr.model.model import Model
from fastlr.reporting.page import Gallery, Image, Scale, Section, Table, isolated, strong
from fastlr.reporting.pictures import colour_weights, png, strongest, weight_images
from fastlr.reporting.words import more

MOST_UNITS = 24


def weights(model: Model, files: dict[str, bytes]) -> Section | None:
    """Return the weights as an image for each class, or each unit of the first layer."""
    if model.image_shape is None:
        return None
    images = weight_images(model)
    full = strongest(images)
    items, rows = [], []
    for i, (label, values) in enumerate(zip(unit_names(model), images[:MOST_UNITS], strict=False), start=1):
        file = png(Pillow.fromarray(colour_weights(values, full)))
        files[f"weights-{i:02d}.png"] = file
        rows.append([label, *(f"{v:.3g}" for v in (values.min(), values.mean(), values.max()))])
        alt = f"The weights of {isolated(label)} as an image, from {values.min():.3g} to {values.max():.3g}."
        items.append((Image(file, alt), [strong("{}", label)]))
    if one := len(images) == 1 and not model.network.hidden:
        first, second = model.classes
        items = [(items[0][0], [strong("orange: towards {}", second), strong("blue: towards {}", first)])]
    shown = Gallery(items, "single" if one else "")
    listed = Table(["weights of", "least", "mean", "largest"], rows, "The weights", folded=True)
    return Section("What the model looks for", _meaning(model, len(images)), [shown, Scale(full), listed])


def _meaning(model: Model, count: int) -> str:
    """Return what the colours say."""
    orange, blue = "bright pixels speak for it where the image is orange", "against it where it is blue"
    if model.network.hidden:
        said = (
            f"The weights of the first layer, an image for each unit{more(count, MOST_UNITS)}: bright pixels switch it "
            "on where the image is orange, and off where it is blue"
        )
    elif count > 1:
        said = f"The weights, an image for each class{more(count, MOST_UNITS)}: {orange}, {blue}"
    else:
        said = "The weights as an image: bright pixels speak for one class where it is orange, for the other where blue"
    return f"{said}. Each weight is the mean over the channels of its pixel."


def unit_names(model: Model) -> Sequence[Any]:
    """Return what each row of the first layer's weights is for."""
    if model.network.hidden:
        return [f"unit {i}" for i in range(1, model.network.units[0] + 1)]
    return model.classes if model.network.outputs > 1 else model.classes[1:]

"""The weights as images: what the model looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from fastlr.model.model import Model
from fastlr.reporting import page
from fastlr.reporting.markup import Markup, details, element, image, isolated, join, name, table
from fastlr.reporting.pictures import colour_weights, png, strongest, weight_images
from fastlr.reporting.words import more

MOST_UNITS = 24


def weights(model: Model, files: dict[str, bytes]) -> Markup:
    """Return the weights as an image for each class, or each unit of the first layer."""
    if model.image_shape is None:
        return Markup("")
    images = weight_images(model)
    full = strongest(images)
    items, rows = [], []
    for i, (label, values) in enumerate(zip(unit_names(model), images[:MOST_UNITS], strict=False), start=1):
        file = png(Image.fromarray(colour_weights(values, full)))
        files[f"weights-{i:02d}.png"] = file
        rows.append([label, *(f"{v:.3g}" for v in (values.min(), values.mean(), values.max()))])
        alt = f"The weights of {isolated(label)} as an image, from {values.min():.3g} to {values.max():.3g}."
        items.append((image(file, alt), element("strong", name(label))))
    if one := len(images) == 1 and not model.network.hidden:
        first, second = (element("strong", name(each)) for each in model.classes)
        towards = page.lines(join(["orange: towards ", second]), join(["blue: towards ", first]))
        items = [(items[0][0], towards)]
    scale = element(
        "p", element("span", f"−{full:.3g}"), element("i", aria_hidden="true"), element("span", f"+{full:.3g}"),
        class_="scale",
    )  # fmt: skip
    listed = details("As a table", table(["weights of", "least", "mean", "largest"], rows, "The weights"))
    shown = page.pictures(items, "single" if one else "")
    return page.section("What the model looks for", _meaning(model, len(images)), shown, scale, listed)


def _meaning(model: Model, count: int) -> Markup:
    """Return what the colours say."""
    orange, blue = "bright pixels speak for it where the image is orange", "against it where it is blue"
    if model.network.hidden:
        parts = ["The weights of the first layer, an image for each unit", more(count, MOST_UNITS), ": bright pixels "
                 "switch it on where the image is orange, and off where it is blue"]  # fmt: skip
    elif count > 1:
        parts = ["The weights, an image for each class", more(count, MOST_UNITS), f": {orange}, {blue}"]
    else:
        parts = ["The weights as an image: where bright pixels speak for which class"]
    return join([*parts, ". Each weight is the mean over the channels of its pixel."])


def unit_names(model: Model) -> Sequence[Any]:
    """Return what each row of the first layer's weights is for."""
    if model.network.hidden:
        return [f"unit {i}" for i in range(1, model.network.units[0] + 1)]
    return model.classes if model.network.outputs > 1 else model.classes[1:]

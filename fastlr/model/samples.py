"""What a model is given to predict for, checked and brought to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastlr.backends.shared import is_shared, numpy_view
from fastlr.core import Array
from fastlr.data.checks import check_mask
from fastlr.data.dataset import Dataset
from fastlr.data.finite import check_finite, is_real
from fastlr.data.given import with_channels
from fastlr.data.labelled import from_arrays
from fastlr.errors import InputError
from fastlr.namespace import as_rows, dtype_name, is_lazy, library_of

if TYPE_CHECKING:
    from fastlr.model.model import Model


def rows_for(model: Model, images: Any) -> Array:
    """Return the samples as `(m, n)` of what the model was trained on, or say what differs."""
    source = images.source if isinstance(images, Dataset) else "images"
    images = images.images if isinstance(images, Dataset) else images
    check_mask(source, images)
    try:
        as_it_is = library_of(images) != "numpy" or is_lazy(images)
        images = images if as_it_is else np.asarray(images)
    except ValueError:
        raise InputError(f"{source}: its rows have different lengths; (m, {_wanted(model)}) is needed") from None
    if (dtype_name(images) == "uint8") != model.reads_pixels:
        wanted = "uint8 pixels" if model.reads_pixels else "features that are not uint8"
        remedy = f"give pictures, or uint8 arrays (m, {_wanted(model)})" if model.image_shape else "give such arrays"
        raise InputError(
            f"{source}: the samples are {dtype_name(images)}, but the model was trained on {wanted}; {remedy}"
        )
    if not is_real(images):
        raise InputError(f"{source}: the samples are {dtype_name(images)}; real numbers are needed")
    if images.ndim == 3 and model.image_shape:
        images = images[..., np.newaxis]
    if images.ndim == 4 and model.image_shape:
        images = with_channels(images, model.image_shape[2])
    if images.ndim < 2 or (model.image_shape and images.ndim == 4 and images.shape[1:] != model.image_shape):
        raise InputError(f"{source}: the samples have shape {tuple(images.shape)}; (m, {_wanted(model)}) is needed")
    rows: Array = as_rows(numpy_view(images) if is_shared(images) else images)
    if rows.shape[1] != model.n_features:
        raise InputError(f"{source}: the samples have {rows.shape[1]} features each; (m, {_wanted(model)}) is needed")
    check_finite(source, rows)
    return rows


def labelled_for(model: Model, data: Any, missing_label: float | None = None) -> Dataset:
    """Return data to judge the model by, a Dataset or a pair `(samples, labels)`, with the model's classes.

    They are matched by name. Samples that do not fit either are said first.
    """
    if not isinstance(data, Dataset) and not (isinstance(data, tuple) and len(data) == 2):
        raise InputError("data: a Dataset or a pair (samples, labels) is needed")
    chosen = data if isinstance(data, Dataset) else from_arrays("data", *data, missing_label=missing_label)
    if not len(chosen):
        raise InputError(f"{chosen.source}: holds no samples; some are needed")
    if chosen.is_table != model.multi_label:
        kind = "a table of labels is needed" if model.multi_label else "one label for each sample is needed"
        raise InputError(f"{chosen.source}: labels have shape {chosen.labels.shape}; {kind}")
    try:
        return chosen.aligned(model.classes, model.class_of or {})
    except InputError:
        rows_for(model, chosen)
        raise


def _wanted(model: Model) -> str:
    return ", ".join(map(str, model.image_shape or (model.n_features,)))

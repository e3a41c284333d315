"""What a caller gives to train on, and the backend that goes with its arrays."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, NamedTuple

from fastlr.backends import Backend, choose_backend
from fastlr.backends.shared import is_shared, numpy_view, to_library_of
from fastlr.data.dataset import Dataset
from fastlr.errors import InputError
from fastlr.model.model import Model
from fastlr.model.scores import Scoring
from fastlr.namespace import library_of
from fastlr.objectives.network import Layer
from fastlr.training.settings import Target


class Given(NamedTuple):
    """What a caller gives beside the settings."""

    data: Any
    labels: Any
    sample_weight: Any = None
    missing_label: Any = None
    test: Any = None
    folds: Any = None
    groups: Any = None
    scoring: Scoring | None = None  # of the folds; None is accuracy in percent alone
    home: Any = None  # an array in whose library the models are to be, where that is not the data's

    def as_numpy_views(self, target: Target) -> Given:
        """Return the same with arrays in the CPU's memory as NumPy sees them, unless a backend or device is named."""
        samples = samples_of(self.data)
        if not is_shared(samples, target.backend, target.device):
            return self
        return self._replace(
            data=_as_views(self.data), labels=_as_views(self.labels), test=_as_views(self.test), home=samples
        )


def _as_views(data: Any) -> Any:
    """Return arrays in the CPU's memory, in a Dataset or a pair too, as NumPy sees them; all else as it is."""
    if isinstance(data, Dataset):
        return data.changed(images=_as_views(data.images))
    if isinstance(data, tuple):
        return tuple(map(_as_views, data))
    return numpy_view(data) if is_shared(data) else data


def in_library_of(model: Model, like: Any) -> Model:
    """Return a model with its arrays in the library of the samples."""
    layers = tuple(Layer(to_library_of(layer.W, like), to_library_of(layer.b, like)) for layer in model.layers)
    moments = None if model.moments is None else tuple(to_library_of(values, like) for values in model.moments)
    return replace(model, layers=layers, moments=moments)


def backend_for(data: Any, target: Target) -> Backend:
    """Return the backend that is asked for, or that goes with the data."""
    if isinstance(data, str | os.PathLike):
        raise InputError(f"data: {os.fspath(data)!r} is a path; give fastlr.open_dataset of it, or an array")
    samples = samples_of(data)
    host_data = isinstance(data, Dataset | list | tuple) and library_of(samples) == "numpy"
    like = None if host_data else samples
    return choose_backend(target.backend, target.device, target.dtype, like=like, precision=target.precision)


def samples_of(data: Any) -> Any:
    """Return the array of samples that a caller gives, in a Dataset or by itself."""
    return data.images if isinstance(data, Dataset) else data

"""What a caller gives to train on and to test on, as datasets that go together."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastlr.data.dataset import Dataset
from fastlr.data.labelled import from_arrays
from fastlr.errors import InputError
from fastlr.namespace import array_namespace, dtype_name, is_lazy, library_of


def training_set(data: Any, labels: Any, missing_label: Any = None) -> Dataset:
    """Return the samples to train on, of at least two classes."""
    if isinstance(data, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset has its own; leave them out, or give an array of samples")
        chosen = data
    elif labels is None:
        raise InputError("labels: they are missing; an array of samples needs one label for each")
    else:
        chosen = from_arrays("data", data, labels, missing_label=missing_label)
    if chosen.is_table:
        return chosen
    present = np.unique(chosen.labels)
    if len(present) < 2:
        name = f"class {str(chosen.classes[present[0]])!r} alone" if len(present) else "no samples"
        raise InputError(f"{chosen.source}: holds {name}; samples of two classes are needed")
    return chosen


def matching_set(name: str, given: Any, train_set: Dataset, missing_label: Any = None) -> Dataset | None:
    """Return samples to test on, labelled by the training set's classes, or say why they do not go with it.

    `name` is the argument's name, for error texts. None gives None.
    """
    if given is None:
        return None
    if isinstance(given, Dataset):
        chosen = given
    elif isinstance(given, tuple) and len(given) == 2:
        chosen = from_arrays(name, *given, missing_label=missing_label if train_set.is_table else None)
    else:
        raise InputError(f"{name}: a Dataset or a pair (samples, labels) is needed")
    if chosen.is_table != train_set.is_table:
        raise InputError(
            f"{chosen.source}: its labels have shape {chosen.labels.shape}, those of {train_set.source} "
            f"{train_set.labels.shape}; both must be tables of labels, or neither"
        )
    if not len(chosen):
        raise InputError(f"{chosen.source}: holds no samples; {name} needs some")
    chosen = chosen.aligned(train_set.classes, train_set.class_of)
    theirs, ours = dtype_name(chosen.images), dtype_name(train_set.images)
    if (theirs == "uint8") != (ours == "uint8"):
        raise InputError(
            f"{chosen.source}: its samples are {theirs}, those of {train_set.source} "
            f"{ours}; both must be uint8 pixels, or neither"
        )
    theirs, ours = library_of(chosen.images), library_of(train_set.images)
    if theirs != ours:
        raise InputError(
            f"{chosen.source}: its samples are of {theirs}, those of {train_set.source} of {ours}; "
            "bring both to one library"
        )
    pictures = chosen.images.ndim == train_set.images.ndim == 4
    if pictures and chosen.n_features != train_set.n_features:
        chosen = chosen.changed(images=with_channels(chosen.images, train_set.images.shape[3]))
    if chosen.n_features != train_set.n_features:
        grey = pictures and chosen.images.shape[1:3] == train_set.images.shape[1:3]
        raise InputError(
            f"{chosen.source}: its samples have {chosen.n_features} features each, "
            f"those of {train_set.source} have {train_set.n_features}; "
            f"{'open both with channels=1, or both with channels=3' if grey else 'they must be alike'}"
        )
    return chosen


def both_sets(one: Dataset, other: Dataset) -> Dataset:
    """Return the samples of two sets that go together, those of the first before those of the other."""
    pair = (one, other)
    if any(is_lazy(some.images) for some in pair):
        images: Any = np.concatenate([np.asarray(some.images) for some in pair])
    else:
        images = array_namespace(one.images).concat([some.images for some in pair], axis=0)
    known = None
    if one.known is not None or other.known is not None:
        known = np.concatenate([np.ones_like(x.labels, bool) if x.known is None else x.known for x in pair])
    labels = np.concatenate([one.labels, other.labels])
    weights = None
    if one.weights is not None or other.weights is not None:
        weights = np.concatenate([np.ones(len(x)) if x.weights is None else x.weights for x in pair])
    source = f"{one.source} and {other.source}"
    files = one.files + other.files if one.files and other.files else ()
    return one.changed(images=images, labels=labels, known=known, weights=weights, source=source, files=files)


def with_channels(images: Any, channels: int) -> Any:
    """Return the pictures in that many channels where it is plain how: alpha is dropped, grey becomes RGB."""
    if images.shape[3] in (2, 4) and channels in (1, 3):
        images = images[..., :-1]
    return array_namespace(images).concat([images] * 3, axis=3) if images.shape[3] == 1 and channels == 3 else images

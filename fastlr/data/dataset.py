"""Dataset: samples, labels and class names, and the ways to select among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.data.checks import Name, check_labels, check_seed, check_weights, list_names, plain_names
from fastlr.data.finite import is_real
from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError, counted, shown
from fastlr.namespace import as_rows, compared, dtype_name, library_of, same_values

Array = Any  # of NumPy where it comes from files, else of the library that the caller uses


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples, samples first.

    Attributes
    ----------
    images : array
        `uint8` pictures `(m, height, width, channels)`, or a matrix `(m, n)` of pixels (`uint8`) or features; in the
        library, and on the device, that the caller has it in.
    labels : array
        Indices `(m,)` into `classes`, or a table `(m, L)` of zeros and ones, a column for each of the L classes.
    classes : tuple
        Names of the classes.
    source : str
        Where the samples come from, for messages.
    resample : str or None
        The filter that resized picture files.
    skipped : tuple of str
        Files that are not pictures, and why.
    class_of : dict
        Each class name of the source and its index here: with `positive` several names share one.
    known : array (m, L) or None
        Which labels of a table are known; None if all are.
    weights : array (m,) or None
        How much each sample counts in training; None if all count the same.
    files : tuple of str
        The file of each picture; empty for other data.
    """

    images: Array
    labels: NDArray[Any]
    classes: tuple[Name, ...]
    source: str = "data"
    resample: str | None = None
    skipped: tuple[str, ...] = ()
    class_of: Mapping[Name, int] = field(default_factory=dict)
    known: NDArray[np.bool_] | None = None
    weights: NDArray[np.float64] | None = None
    files: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check what every reader and caller owes."""
        for what, values in (("samples", self.images), ("labels", self.labels)):
            if not hasattr(values, "shape") or not hasattr(values, "dtype"):
                raise InputError(f"{self.source}: its {what} are a {type(values).__name__}; an array is needed")
        if not is_real(self.images):
            kind = dtype_name(self.images)
            raise InputError(f"{self.source}: samples are {kind}; uint8 pixels or real numbers are needed")
        object.__setattr__(self, "classes", plain_names(self.source, self.classes))
        object.__setattr__(self, "labels", check_labels(self.source, self.labels, len(self.classes)))
        m = self.images.shape[0]
        if len(self.labels) != m:
            there = f"{counted(m, 'sample')} and {counted(len(self.labels), 'label')}"
            raise InputError(f"{self.source}: {there}; each sample needs one")
        if self.known is not None and np.shape(self.known) != self.labels.shape:
            raise InputError(f"{self.source}: known has shape {np.shape(self.known)}, labels {self.labels.shape}")
        if self.files and len(self.files) != m:
            raise InputError(f"{self.source}: {counted(len(self.files), 'name')} of files for {counted(m, 'sample')}")
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(f"{self.source}: sample_weight", self.weights, len(self)))
        if len(set(self.classes)) < len(self.classes):
            raise InputError(f"{self.source}: two classes have the same name; it has {list_names(self.classes)}")
        if not self.class_of:
            object.__setattr__(self, "class_of", {name: i for i, name in enumerate(self.classes)})

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the same samples, labels and names."""
        return isinstance(other, Dataset) and same_values(compared(self), compared(other))

    def __repr__(self) -> str:
        """Return a summary in one line."""
        many = "labels" if self.is_table else "classes"
        what = f"{counted(len(self), 'sample')} of {counted(self.n_features, 'feature')}"
        return f"Dataset({what}, {len(self.classes)} {many}, {self.source!r})"

    def __len__(self) -> int:
        """Return m, the number of samples."""
        return len(self.labels)

    @property
    def is_table(self) -> bool:
        """Return whether the labels are a table: a sample may have several."""
        return self.labels.ndim == 2

    @property
    def targets(self) -> NDArray[Any] | LabelTable:
        """Return the labels `(m,)`, or the table of them."""
        return LabelTable(self.labels, self.known) if self.is_table else self.labels

    def labels_with(self, missing: float | None) -> NDArray[Any]:
        """Return the labels with `missing` in place of those of a table that are not known."""
        return self.labels if self.known is None else np.where(self.known, self.labels, np.asarray(missing))

    def name_of(self, index: int) -> str:
        """Return the file of a sample, else its number from 0."""
        return self.files[index] if self.files else str(index)

    @property
    def n_features(self) -> int:
        """Return n, the features of one sample."""
        return int(np.prod(self.images.shape[1:]))

    @property
    def channels(self) -> int | None:
        """Return the channels as which its picture files were read, None where it has no picture files."""
        return int(self.images.shape[3]) if self.resample and self.images.ndim == 4 else None

    @property
    def rows(self) -> Array:
        """Return the samples as `(m, n)`."""
        return as_rows(self.images)

    def take(self, indices: NDArray[np.intp]) -> Dataset:
        """Return the samples at these indices, or where this mask is true, in their order; -1 is the last."""
        m = len(self)
        try:
            mixed = isinstance(indices, list | tuple) and 0 < sum(isinstance(i, bool) for i in indices) < len(indices)
            given = np.array(0) if mixed else np.asarray(indices)
            chosen = np.arange(m)[given if given.size else given.astype(np.intp)]
        except (IndexError, ValueError):
            chosen = np.array(0)
        if chosen.ndim != 1:
            raise InputError(f"indices: {shown(indices)}; give whole numbers from -{m} to {m - 1}, or a mask of {m}")
        on_host = library_of(self.images) == "numpy"
        images = self.images[chosen] if on_host else core.rows(self.images, chosen.tolist())
        known = None if self.known is None else self.known[chosen]
        weights = None if self.weights is None else self.weights[chosen]
        files = tuple(self.files[i] for i in chosen.tolist()) if self.files else ()
        return replace(self, images=images, labels=self.labels[chosen], known=known, weights=weights, files=files)

    def with_positive(self, names: str | Sequence[Name]) -> Dataset:
        """Return the same samples in two classes: 1 for the named classes, 0 for all others.

        `names` is a list, or text with commas between the names.
        """
        self._refuse_table("positive")
        several = names.split(",") if isinstance(names, str) else names if isinstance(names, Iterable) else [names]
        names = [str(name) for name in several]
        if not names:
            raise InputError(f"positive: no class is named; {self.source} has {list_names(self.classes)}")
        by_text = {str(name): name for name in self.classes}
        if unknown := [name for name in names if name not in by_text]:
            raise InputError(f"positive: {self.source} has no class {unknown[0]!r}; it has {list_names(self.classes)}")
        ones = {by_text[name] for name in names}
        others = [name for name in self.classes if name not in ones]
        positive = ",".join(names)
        negative = str(others[0]) if len(others) == 1 else f"not {positive}"
        class_of = {name: int(name in ones) for name in self.classes}
        is_one = np.array([class_of[name] for name in self.classes], dtype=np.int64)
        return replace(self, labels=is_one[self.labels], classes=(negative, positive), class_of=class_of)

    def balanced(self) -> Dataset:
        """Return all samples of class 1, then the first of class 0, as many of them as there are ones."""
        self._refuse_table("balance")
        if len(self.classes) != 2:
            raise InputError(f"balance: {self.source} has {len(self.classes)} classes; name the ones with positive")
        ones, zeros = np.flatnonzero(self.labels == 1), np.flatnonzero(self.labels == 0)
        return self.take(np.concatenate([ones, zeros[: len(ones)]]))

    def holdout(self, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return (train, test), shuffled by RandomState(seed).permutation(m): the last `count` are for the test."""
        check_seed(seed)
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 < count < len(self):
            raise InputError(
                f"holdout: {shown(count)} of {len(self)} samples; a whole number from 1 to {len(self) - 1} is needed"
            )
        order = np.random.RandomState(seed).permutation(len(self))
        return self.take(order[:-count]), self.take(order[-count:])

    def _refuse_table(self, option: str) -> None:
        if self.is_table:
            raise InputError(
                f"{option}: {self.source} has a table of labels; the option needs one label for each sample"
            )

    def aligned(self, classes: Sequence[Name], class_of: Mapping[Name, int]) -> Dataset:
        """Return the same samples labelled by another set's classes, matched by name."""
        if self.is_table:
            if len(self.classes) != len(classes):
                raise InputError(
                    f"{self.source}: its table of labels has {len(self.classes)} columns, that of the training data "
                    f"{len(classes)}; each needs the same"
                )
            unnamed = self.classes == tuple(range(len(classes)))
            if not unnamed and list(map(str, self.classes)) != list(map(str, classes)):
                raise InputError(
                    f"{self.source}: the columns of its table of labels are {list_names(self.classes)}, those of the "
                    f"training data {list_names(classes)}; each needs the same, in the same order"
                )
            return replace(self, classes=tuple(classes), class_of=dict(class_of))
        known = {**{name: i for i, name in enumerate(classes)}, **class_of}
        by_text = {str(name): index for name, index in known.items()}  # HDF5 keeps the name 3 as "3"
        found = [known.get(name, by_text.get(str(name))) for name in self.classes]
        if unknown := [self.classes[i] for i in np.unique(self.labels) if found[i] is None]:
            raise InputError(
                f"{self.source}: holds class {unknown[0]!r}, unknown to the training data; that had {list_names(known)}"
            )
        index = np.array([-1 if i is None else i for i in found], dtype=np.int64)
        return replace(self, labels=index[self.labels], classes=tuple(classes), class_of=dict(class_of))

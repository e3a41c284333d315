"""Dataset: samples, labels and class names, and the ways to select among them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.data.checks import (
    RESAMPLING,
    Name,
    check_files,
    check_labels,
    check_samples,
    check_seed,
    check_weights,
    list_names,
    plain_names,
)  # fmt: skip
from fastlr.data.label_table import LabelTable
from fastlr.errors import InputError, counted, shown
from fastlr.namespace import as_rows, compared, library_of, same_values

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
        source, m = self.source, check_samples(self.source, self.images)
        names = plain_names(source, self.classes)
        labels, known = check_labels(source, self.labels, self.known, len(names))
        if len(labels) != m:
            there = f"{counted(m, 'sample')} and {counted(len(labels), 'label')}"
            raise InputError(f"{source}: {there}; each sample needs one")
        weights = None if self.weights is None else check_weights(f"{source}: sample_weight", self.weights, m)
        files = check_files(source, self.files, m)
        if self.resample not in (None, *RESAMPLING):
            raise InputError(f"{source}: resample: {shown(self.resample)}; None or one of Pillow's filters is needed")
        if not isinstance(self.class_of, Mapping):
            raise InputError(f"{source}: class_of: {shown(self.class_of)}; a dict of names and indices is needed")
        class_of = self.class_of or {name: i for i, name in enumerate(names)}
        vars(self).update(
            classes=names, labels=labels, known=known, weights=weights, files=files, class_of=class_of
        )  # which are frozen

    def changed(self, **parts: Any) -> Self:
        """Return the same with other parts, which are not checked again."""
        new = copy.copy(self)
        vars(new).update(parts)
        return new

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
            kinds = {type(i) in (bool, np.bool_) for i in indices} if isinstance(indices, list | tuple) else ()
            given = np.asarray(indices) if len(kinds) < 2 else np.array(0)  # a mixture of a mask and indices
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
        return self.changed(images=images, labels=self.labels[chosen], known=known, weights=weights, files=files)

    def with_positive(self, names: str | Sequence[Name]) -> Dataset:
        """Return the same samples in two classes: 1 for the named classes, 0 for all others.

        `names` is a list, or text with commas between the names.
        """
        self._refuse_table("positive")
        by_text = {str(name): name for name in self.classes}
        if isinstance(names, str):
            several: Any = [name if name in by_text else name.strip() for name in names.split(",") if name.strip()]
        else:
            several = names if isinstance(names, Sequence | Set) or np.ndim(names) else [names]
        # None twice; those of a set in the order of the classes.
        names = list(dict.fromkeys(str(name) for name in several))
        names = [name for name in by_text if name in names] if isinstance(several, Set) else names
        if not names:
            raise InputError(f"positive: no class is named; {self.source} has {list_names(self.classes)}")
        if unknown := [name for name in names if name not in by_text]:
            known = list_names(self.classes)
            raise InputError(f"positive: {self.source} has no class {shown(unknown[0])}; it has {known}")
        ones = {by_text[name] for name in names}
        others = [name for name in self.classes if name not in ones]
        positive = ",".join(names)
        negative = str(others[0]) if len(others) == 1 else f"not {positive}"
        class_of = {name: int(name in ones) for name in self.classes}
        is_one = np.array([class_of[name] for name in self.classes], dtype=np.int64)
        return self.changed(labels=is_one[self.labels], classes=(negative, positive), class_of=class_of)

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
            wanted = f"a whole number from 1 to {len(self) - 1} is needed" if len(self) > 1 else "there are too few"
            raise InputError(f"holdout: {shown(count)} of {counted(len(self), 'sample')}; {wanted}")
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
            return self.changed(classes=tuple(classes), class_of=dict(class_of))
        known = {**{name: i for i, name in enumerate(classes)}, **class_of}
        by_text = {str(name): index for name, index in known.items()}  # HDF5 keeps the name 3 as "3"
        found = [known.get(name, by_text.get(str(name))) for name in self.classes]
        if unknown := [self.classes[i] for i in np.unique(self.labels) if found[i] is None]:
            raise InputError(
                f"{self.source}: holds class {unknown[0]!r}, unknown to the training data; that had {list_names(known)}"
            )
        index = np.array([-1 if i is None else i for i in found], dtype=np.int64)
        return self.changed(labels=index[self.labels], classes=tuple(classes), class_of=dict(class_of))

"""Tables of labels: a row for each sample, a column for each label. A sample may have several labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError, shown

MISSING = "-1 or NaN"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels as `codes (m, L)` of 0 and 1, and which of them are known, `(m, L)`; None where all are."""

    codes: NDArray[np.int8]
    known: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, name: str, labels: NDArray[Any], missing: Any = None) -> Self:
        """Return the table of labels `(m, L)`, zeros and ones; one that is `missing`, -1 or NaN, is not known.

        Raises InputError, which names the first label that is none of these.
        """
        if missing is not None and missing != -1 and not _is_nan(missing):
            raise InputError(
                f"missing_label: {plain_number(missing)}; {MISSING} is needed; leave it out if all are known"
            )
        if labels.shape[1] == 0:
            raise InputError(f"{name}: the table of labels has no columns; one or more are needed")
        if labels.dtype.kind not in "biuf":
            raise InputError(f"{name}: the table of labels is {labels.dtype}; zeros and ones are needed")
        unknown = None
        if missing is not None:
            unknown = np.isnan(labels) if _is_nan(missing) and labels.dtype.kind == "f" else labels == missing
        wrong = (labels != 0) & (labels != 1)
        if unknown is not None:
            wrong &= ~unknown
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = labels[row, column]
            marks = missing is None and (value == -1 or _is_nan(value))
            number = plain_number(value)
            hint = f"; missing_label={number} (--missing-label {number}) leaves such labels out" if marks else ""
            raise InputError(
                f"{name}: row {row} holds {value} in column {column}; a table of labels holds "
                f"{'zeros and ones' if missing is None else f'zeros, ones and {plain_number(missing)}'}{hint}"
            )
        if unknown is None or not unknown.any():
            return cls(labels.astype(np.int8))
        return cls(np.where(unknown, 0, labels).astype(np.int8), ~unknown)

    def __len__(self) -> int:
        """Return m, the number of samples."""
        return len(self.codes)

    def __getitem__(self, which: Any) -> LabelTable:
        """Return the rows of some of the samples."""
        return LabelTable(self.codes[which], None if self.known is None else self.known[which])

    def columns(self) -> list[LabelTable]:
        """Return each column as a table of its own."""
        known = self.known
        return [
            LabelTable(self.codes[:, i : i + 1], None if known is None else known[:, i : i + 1])
            for i in range(self.codes.shape[1])
        ]

    def constant_columns(self) -> list[int]:
        """Return the columns whose known labels are all zeros, or all ones."""
        known = np.ones_like(self.codes, dtype=bool) if self.known is None else self.known
        ones = (self.codes * known).sum(axis=0, dtype=np.int64)
        found: list[int] = np.flatnonzero(known.any(axis=0) & ((ones == 0) | (ones == known.sum(axis=0)))).tolist()
        return found


def plain_number(value: Any) -> str:
    """Return a number without the zeros behind its point: -1 for -1.0."""
    return f"{value:g}" if isinstance(value, int | float | np.number) else shown(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and math.isnan(value)

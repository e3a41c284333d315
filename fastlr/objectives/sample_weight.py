"""How much each sample counts, for each of several models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class SampleWeight(NamedTuple):
    """How much the samples count: weightings `values (c, m)` on the host, and which of them a model has, `of (k,)`."""

    values: NDArray[Any]
    of: NDArray[np.int64]

    @property
    def mean(self) -> NDArray[Any]:
        """Return the mean of the weightings of all models `(m,)`."""
        share: NDArray[Any] = np.bincount(self.of, minlength=len(self.values)) / len(self.of)
        mean: NDArray[Any] = share @ self.values
        return mean

    def counts(self, which: Any = slice(None)) -> NDArray[Any]:
        """Return how much some of the samples, or all, count for each model, `(k, 1, …)`."""
        return self.values[:, which][self.of][:, np.newaxis, :]

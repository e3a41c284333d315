"""From files to arrays: one file a format, one row in `READERS` for each."""

from fastlr.data.dataset import Dataset
from fastlr.data.labelled import from_arrays
from fastlr.data.reading import open_dataset, splits_of

__all__ = ["Dataset", "from_arrays", "open_dataset", "splits_of"]

"""Arrow tables to a Dataset: a column of encoded pictures or of feature vectors, a column of labels, class names.

The columns and the names are those of Hugging Face's data sets. Tables are read batch by batch, one column at a
time, and of a column only plain values are taken: no extension type is looked at, no path in it is followed.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.dataset import Dataset
from fastlr.data.format import Pictures, reporting
from fastlr.data.labelled import from_arrays
from fastlr.data.rows import InOrder
from fastlr.errors import InputError
from fastlr.machine import free_memory, memory_budget

IMAGES, FEATURES, LABELS = ("image", "img"), ("features", "X", "embedding"), ("label", "labels")
MOST_TEXT = 4000  # bytes of a label
WEIGHTS = "sample_weight"  # how much each training sample counts, where it is there
BATCH = 256  # rows whose encoded pictures are in memory at once


@dataclass(frozen=True)
class Table:
    """A file or a data set in memory: its name in error texts, its Arrow schema, and a column's arrays in order."""

    name: str
    schema: Any
    arrays: Callable[[str], Iterator[Any]]

    def choose(self, names: Sequence[str]) -> str | None:
        """Return the first of these columns that there is."""
        return next((name for name in names if name in self.schema.names), None)

    def batches(self, column: str) -> Iterator[tuple[int, Any]]:
        """Yield a column's arrays of at most BATCH rows, each with the number of its first row."""
        import pyarrow as pa

        row, kind = 0, self.schema.field(column).type
        if isinstance(kind, pa.BaseExtensionType):
            raise self.refuse(None, column, f"it is of type {_text(kind)}; plain values are needed")
        with reporting(self.name):
            for array in self.arrays(column):
                array.validate(full=True)  # lengths and offsets in a damaged file may point anywhere
                for start in range(0, len(array), BATCH):
                    part = array[start : start + BATCH]
                    yield row, part
                    row += len(part)

    def refuse(self, row: int | None, column: str, words: str) -> InputError:
        """Return the error that says what is wrong in a column, and in which row of it."""
        return InputError(f"{self.name}: {'' if row is None else f'row {row}, '}column {column!r}: {words}")


def from_tables(source: str, tables: Sequence[Table], pictures: Pictures) -> Dataset:
    """Return the rows of all tables: pictures decoded to uint8, or features as they are, with their labels."""
    names = _class_names(tables[0])
    for table in tables[1:]:
        if _class_names(table) != names:
            raise InputError(f"{table.name}: its class names differ from those of {tables[0].name}")
    by_table = [list(labels_of(table, names)) for table in tables]
    labels = np.concatenate([part for parts in by_table for part in parts] or [np.empty(0)])
    if not len(labels):
        raise InputError(f"{source}: holds no rows; at least one sample of each class is needed")
    weights = _weights(tables)
    if tables[0].choose(IMAGES) is None:
        features = _features(tables, [sum(map(len, parts)) for parts in by_table])
        return replace(from_arrays(source, features, labels, names), weights=weights)

    from fastlr.data.decoding import decode_samples

    encoded = (batch for table in tables for batch in _encoded(table))
    images, kept, skipped = decode_samples(source, encoded, len(labels), pictures)
    data = from_arrays(source, images, labels[kept], names, pictures.resample)
    return replace(data, skipped=skipped, weights=None if weights is None else weights[kept])


def _weights(tables: Sequence[Table]) -> NDArray[Any] | None:
    """Return the column of weights, where all tables have one."""
    if any(table.choose((WEIGHTS,)) is None for table in tables):
        return None
    parts = (np.asarray(part.to_pylist()) for table in tables for _, part in table.batches(WEIGHTS))
    return np.concatenate(list(parts))


def _class_names(table: Table) -> list[str] | None:
    """Return the names that the schema's metadata gives the labels, None where it gives none."""
    content = (table.schema.metadata or {}).get(b"huggingface")
    if content is None:
        return None
    with reporting(table.name):
        feature = json.loads(content).get("info", {}).get("features", {}).get(_label_column(table))
        names = feature.get("names") if isinstance(feature, dict) else None
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("the class names in its schema are not a list of text")
    return names


def _label_column(table: Table) -> str:
    column = table.choose(LABELS)
    if column is None:
        raise _missing(table, LABELS, "with the labels")
    return column


def labels_of(table: Table, names: list[str] | None) -> Iterator[NDArray[Any]]:
    """Yield the labels, batch by batch: numbers from 0 of these names, or whatever they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _label_column(table)
    for row, array in table.batches(column):
        distinct = array.dictionary if pa.types.is_dictionary(array.type) else array
        is_text = pa.types.is_string(distinct.type) or pa.types.is_large_string(distinct.type)
        if is_text and (pc.max(pc.binary_length(distinct)).as_py() or 0) > MOST_TEXT:
            raise table.refuse(None, column, f"holds text of more than {MOST_TEXT} bytes, which is no label")
        values = array.dictionary_decode() if distinct is not array else array
        if not (is_text or pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
            raise table.refuse(None, column, f"it is of type {_text(values.type)}; whole numbers or text are needed")
        if values.null_count:
            raise table.refuse(row + _first(values.is_null()), column, "holds no label; leave such rows out")
        labels: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        if names is not None and labels.dtype.kind in "iu":
            strange = np.flatnonzero((labels < 0) | (labels >= len(names)))
            if len(strange):
                raise table.refuse(
                    row + int(strange[0]),
                    column,
                    f"{labels[strange[0]]} is no label, there are names for 0 to {len(names) - 1}; "
                    "leave such rows out (in test splits without labels it is -1)",
                )
        yield labels


def _encoded(table: Table) -> Iterator[list[Any]]:
    """Yield batches of pictures as they are encoded in the image column, a struct of bytes and path, or bytes alone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from fastlr.data.picture import Encoded

    column = table.choose(IMAGES)
    if column is None:
        raise _missing(table, IMAGES, "with the pictures")
    for row, array in table.batches(column):
        inner = {field.name: field.type for field in array.type} if pa.types.is_struct(array.type) else {}
        content = pc.struct_field(array, "bytes") if "bytes" in inner else array
        kind = content.type.value_type if pa.types.is_dictionary(content.type) else content.type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise table.refuse(
                None,
                column,
                f"it is of type {_text(array.type if inner else kind)}; encoded pictures, "
                "a struct of bytes and path, are needed",
            )
        # A path may lead anywhere on this machine, so none is followed.
        paths = pc.struct_field(array, "path") if "path" in inner else pa.nulls(len(array))
        yield [
            Encoded(
                f"{table.name}: row {row + i}, column {column!r}",
                value,
                "holds only a path, and none is followed (Dataset.save_to_disk puts the pictures themselves in)"
                if path.is_valid
                else "holds no picture",
            )
            for i, (value, path) in enumerate(zip(_values(content), paths, strict=True))
        ]


def _values(array: Any) -> list[Any]:
    """Return an array's values; what stands in a dictionary is there once, however often it is named."""
    import pyarrow as pa

    if not pa.types.is_dictionary(array.type):
        return list(array.to_pylist())
    distinct = array.dictionary.to_pylist()
    return [None if i is None else distinct[i] for i in array.indices.to_pylist()]


def _features(tables: Sequence[Table], sizes: Sequence[int]) -> Any:
    """Return the feature vectors of tables of so many rows: read, or left where they are if the memory is too small."""
    first = next(_vectors(tables))
    if sum(sizes) * first[0].nbytes <= memory_budget(free_memory()):
        return np.concatenate(list(_vectors(tables)))
    starts = np.cumsum([0, *sizes]).tolist()

    def begin(row: int) -> tuple[int, Iterator[NDArray[Any]]]:
        number = bisect.bisect_right(starts, row) - 1
        return starts[number], _vectors(tables[number:])

    return InOrder((starts[-1], first.shape[1]), first.dtype, begin)


def _vectors(tables: Sequence[Table]) -> Iterator[NDArray[Any]]:
    """Yield batches of feature vectors `(rows, n)` from columns of lists of numbers, all of one length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n = None
    for table in tables:
        column = table.choose(FEATURES)
        if column is None:
            raise _missing(table, (*IMAGES, *FEATURES), "with pictures or features")
        for row, array in table.batches(column):
            kind = array.type
            is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            if not is_list or not (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
                raise table.refuse(None, column, f"it is of type {_text(kind)}; lists of numbers are needed")
            lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
            n = max(1, lengths[0]) if n is None else n
            if len(strange := np.flatnonzero(lengths != n)):
                raise table.refuse(
                    row + int(strange[0]), column, f"holds {lengths[strange[0]]} numbers; each row needs as many ({n})"
                )
            yield pc.list_flatten(array).to_numpy(zero_copy_only=False).reshape(len(array), n)


def _missing(table: Table, names: Sequence[str], purpose: str) -> InputError:
    wanted = " or ".join(repr(name) for name in names)
    there = ", ".join(table.schema.names) or "none"
    return InputError(f"{table.name}: holds no column {wanted} {purpose}; it holds {there[:200]}; rename one")


def _first(mask: Any) -> int:
    return int(np.argmax(mask.to_numpy(zero_copy_only=False)))


def _text(kind: Any) -> str:
    return " ".join(str(kind).split())[:100]

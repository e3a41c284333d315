"""Hugging Face's data sets: parquet files, folders that `save_to_disk` wrote, and the objects of `datasets`.

Files need pyarrow alone. Of folders, the parts `train` and `test` are read, and `validation` where there is no `test`:
`train-00000-of-00002.parquet`, …, in the folder or in `data/` in it, or the folders of a saved `DatasetDict`.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.checks import list_names
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import Expansion
from fastlr.data.format import Pictures, reporting
from fastlr.data.parquet_pages import pages_size
from fastlr.data.table import BATCH, Table, from_tables, labels_of
from fastlr.errors import InputError
from fastlr.machine import in_a_copy
from fastlr.namespace import library_of

SUFFIXES = (".parquet", ".arrow")
DICT, STATE = "dataset_dict.json", "state.json"
PART = re.compile(r"(train|test|validation)(?![a-zA-Z])")
SHARD = re.compile(r"(.*)-\d{5,}-of-(\d{5,})")
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def recognises(path: Path) -> bool:
    """Return whether it is a parquet or Arrow file, or a folder of such files."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    return (path / DICT).is_file() or (path / STATE).is_file() or bool(_parts(path))


def splits(path: Path) -> tuple[str, ...]:
    """Return "train" and "test" by the names of a folder's parts; a file, or a folder of other names, is undivided."""
    parts = _parts(path) if path.is_dir() else {}
    if (path / DICT).is_file() and not parts.keys() & {"train", "test", "validation"}:
        raise InputError(f"{path}: holds no folder train, test or validation; give one of the folders in it")
    return tuple(split for split in ("train", "test") if _part_of(parts, split))


def read(path: Path, split: str | None, pictures: Pictures) -> Dataset:
    """Return the rows of a file, of a folder's part, or of all files of an undivided folder, in the files' order."""
    files = [path]
    if path.is_dir():
        parts = _parts(path)
        part = _part_of(parts, split) if split else None
        files = parts[part] if part else [file for name in sorted(parts) for file in parts[name]]
        if not files:
            raise InputError(f"{path}: holds no .arrow files; it is not all of what save_to_disk wrote")
        _check_complete(files)
    source = files[0] if len(files) == 1 else files[0].parent
    return from_tables(str(source), _open_tables(files, pictures.expansion), pictures)


def labels_in(files: list[Path], expansion: Expansion) -> NDArray[Any]:
    """Return the column of labels of several files, one after another."""
    return np.concatenate([part for table in _open_tables(files, expansion) for part in labels_of(table, None)])


def is_huggingface(data: Any) -> bool:
    """Return whether it is an object of the library `datasets`, which is not imported to know it."""
    return library_of(data) == "datasets"


def from_huggingface(dataset: Any, split: str = "train", pictures: Pictures | None = None) -> Dataset:
    """Return the rows of a `datasets.Dataset`, or of one split of a `datasets.DatasetDict`, as a Dataset.

    Raises InputError where the columns are not pictures (or lists of numbers) and labels.
    """
    import datasets

    if isinstance(dataset, datasets.DatasetDict):
        part = _part_of(dataset, split)
        if part is None:
            raise InputError(f"dataset: holds no {split!r} split, only {list_names(dataset)}")
        dataset = dataset[part]
    if not isinstance(dataset, datasets.Dataset):
        raise InputError(f"dataset: {type(dataset).__name__} is not read; give a Dataset, loaded without streaming")

    def arrays(column: str) -> Iterator[Any]:
        for table in dataset.select_columns([column]).with_format("arrow").iter(BATCH):
            yield from table.column(0).chunks

    name = "dataset" if dataset.split is None else f"dataset {dataset.split}"
    return from_tables(name, [Table(name, dataset.features.arrow_schema, arrays)], pictures or Pictures())


def _part_of(parts: Any, split: str) -> str | None:
    """Return the name of the part that is this split."""
    names = ("test", "validation") if split == "test" else (split,)
    return next((name for name in names if name in parts), None)


def _parts(folder: Path) -> dict[str, list[Path]]:
    """Return a folder's files by the name of the part that they belong to, "" where their names say none."""
    if (folder / DICT).is_file():
        return {name: _saved(folder / name) for name in ("train", "test", "validation") if (folder / name).is_dir()}
    if files := _saved(folder):
        return {"": files}
    files = _files(folder, ".parquet") or (_files(folder / "data", ".parquet") if (folder / "data").is_dir() else [])
    parts: dict[str, list[Path]] = {}
    for file in files:
        match = PART.match(file.name)
        parts.setdefault(match[1] if match else "", []).append(file)
    return parts


def _saved(folder: Path) -> list[Path]:
    """Return the Arrow files that `state.json` names; without it all, but for what `map` leaves beside them."""
    state = folder / STATE
    if not state.is_file():
        return [file for file in _files(folder, ".arrow") if not file.name.startswith("cache-")]
    with reporting(state):
        names = [entry["filename"] for entry in json.loads(state.read_text("utf-8"))["_data_files"]]
        for name in names:
            if Path(name).name != name:
                raise InputError(f"{state}: refused, it names {name!r}; only files beside it are read")
            if not (folder / name).is_file():
                raise InputError(f"{folder}: {name!r} is missing, which {STATE} names; copy the whole folder again")
    return [folder / name for name in names]


def _files(folder: Path, suffix: str) -> list[Path]:
    found = (file for file in folder.iterdir() if file.suffix == suffix and not file.name.startswith("."))
    return sorted(file for file in found if file.is_file())


def _check_complete(files: list[Path]) -> None:
    """Raise InputError where, of files numbered `-00000-of-00002`, one is missing."""
    there = {file.name for file in files}
    kinds = {(match[1], match[2], file.suffix) for file in files if (match := SHARD.fullmatch(file.stem))}
    for stem, total, suffix in sorted(kinds):
        for i in range(int(total)):
            name = f"{stem}-{i:0{len(total)}}-of-{total}{suffix}"
            if name not in there:
                raise InputError(f"{files[0].parent}: {name} is missing; get all of its {int(total)} files")


def _open_tables(files: Sequence[Path], expansion: Expansion) -> list[Table]:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(f"{files[0]}: reading it needs pyarrow; pip install '.[hf]'") from None
    tables = []
    for path, sizes in zip(files, _sizes(files), strict=True):
        with reporting(path):
            if isinstance(sizes, str):
                raise ValueError(sizes)
            tables.append(_open_arrow(path) if sizes is None else _open_parquet(path, sizes, expansion))
    return tables


def _open_parquet(path: Path, leaves: dict[str, int], expansion: Expansion) -> Table:
    from pyarrow import parquet

    # The working folder may be another one when the columns are read.
    where, stored = path.absolute(), path.stat().st_size
    with parquet.ParquetFile(where) as file:
        schema = file.schema_arrow
        expansion.check(path, f"a table of {file.metadata.num_rows:,} rows", file.metadata.num_rows)

    def arrays(column: str) -> Iterator[Any]:
        own = {leaf: size for leaf, size in leaves.items() if leaf.partition(".")[0] == column}
        if min(own.values(), default=0) < 0:
            raise InputError(f"{path}: column {column!r}: it holds lists of text; lists of numbers are needed")
        expansion.check(path, f"column {column!r}", sum(own.values()), stored)
        # Text and pictures stay in the dictionary that a file may keep them in, each of them once.
        with parquet.ParquetFile(where, read_dictionary=[leaf for leaf in own if leaf.count(".") < 2]) as file:
            for group in range(file.num_row_groups):  # asked for all at once, pyarrow keeps them all in memory
                for batch in file.iter_batches(BATCH, row_groups=[group], columns=[column]):
                    yield batch.column(column)

    return Table(str(path), schema, arrays)


def _sizes(files: Sequence[Path]) -> list[Any]:
    """Return, for each parquet file, the sizes of its columns, or what is wrong with it; None for others.

    Looked up in a copy of this process: pyarrow ends the process on some damaged descriptions of a column.
    """
    if not any(path.suffix.lower() == ".parquet" for path in files):
        return [None] * len(files)
    try:
        return list(in_a_copy(lambda: [_sizes_in(path) for path in files], 2.0 + 0.05 * len(files)))
    except OSError as error:
        reason = f"no process can be started to look at it ({error.strerror}); allow more of them"
        raise InputError(f"{files[0]}: {reason}") from None
    except ValueError as error:
        if len(files) > 1:
            return [_sizes([path])[0] for path in files]
        return [f"pyarrow fails on it: {error}"]


def _sizes_in(path: Path) -> Any:
    from pyarrow import parquet

    if path.suffix.lower() != ".parquet":
        return None
    try:
        with parquet.ParquetFile(path) as file:
            return _leaves(path, file)
    except Exception as error:  # whatever pyarrow makes of a damaged file
        return str(error) or type(error).__name__


def _leaves(path: Path, file: Any) -> dict[str, int]:
    """Return how many bytes each column of plain values takes, by its path in the schema; −1 for lists of text."""
    widths = {"INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
    found: dict[str, int] = {}
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for group in range(file.metadata.num_row_groups):
            for i in range(file.metadata.row_group(group).num_columns):
                column = file.metadata.row_group(group).column(i)
                if not column.num_values:
                    continue
                width = widths.get(column.physical_type, 1)
                if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
                    width = file.schema.column(i).length
                size = max(column.total_uncompressed_size, column.num_values * width, pages_size(content, column))
                nested = column.physical_type == "BYTE_ARRAY" and column.path_in_schema.count(".") > 1
                found[column.path_in_schema] = -1 if nested else found.get(column.path_in_schema, 0) + size
    return found


def _open_arrow(path: Path) -> Table:
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(END_OF_STREAM)))
        # A stream that ends between two batches is well-formed without its end mark.
        if file.read() != END_OF_STREAM:
            raise InputError(f"{path}: cut short, or not a file that save_to_disk wrote; copy it again")
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        schema = reader.schema
    with pa.memory_map(str(path)) as source:
        for message in pa.ipc.MessageReader.open_stream(source):
            content = message.metadata.to_pybytes()
            if _field(content, _number("<I", content, 0), 4) is not None:  # which may say how it is compressed as well
                raise InputError(f"{path}: a message in it has metadata of its own; write it as save_to_disk does")
            if _is_compressed(content):
                raise InputError(f"{path}: its columns are compressed; write them uncompressed, as save_to_disk does")

    where = str(path.absolute())  # the working folder may be another one when the columns are read

    def arrays(column: str) -> Iterator[Any]:
        with pa.memory_map(where) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                yield batch.column(column)

    return Table(str(path), schema, arrays)


def _is_compressed(metadata: bytes) -> bool:
    """Return whether a message's columns are compressed: pyarrow would expand them to whatever size they claim.

    Source: Arrow's Message.fbs. Of a Message, field 1 is the kind of its header and field 2 the header; of a
    RecordBatch (kind 3), field 3 is the compression; of a DictionaryBatch (kind 2), field 1 is the RecordBatch.
    """
    message = _number("<I", metadata, 0)
    kind, header = _field(metadata, message, 1), _field(metadata, message, 2)
    if kind is None or header is None or metadata[kind] not in (2, 3):
        return False
    batch = header + _number("<I", metadata, header)
    if metadata[kind] == 2:
        data = _field(metadata, batch, 1)
        if data is None:
            return False
        batch = data + _number("<I", metadata, data)
    return _field(metadata, batch, 3) is not None


def _field(content: bytes, table: int, field: int) -> int | None:
    """Return where a FlatBuffers table has a field, None where it has none."""
    vtable = table - _number("<i", content, table)
    if 4 + 2 * field >= _number("<H", content, vtable):
        return None
    offset = _number("<H", content, vtable + 4 + 2 * field)
    return table + offset if offset else None


def _number(kind: str, content: bytes, place: int) -> int:
    if place < 0:
        raise ValueError("an offset in it leads out of it")
    return int(struct.unpack_from(kind, content, place)[0])

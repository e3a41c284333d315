"""How much the pages of a parquet column expand to, by their own headers, which pyarrow believes.

A file's description of a column may say less. Source: Apache Parquet's parquet.thrift (PageHeader: field 2 is the
uncompressed and field 3 the compressed size of the page) and Thrift's compact protocol.
"""

from __future__ import annotations

from typing import Any

DEPTH = 8  # of structures in structures; a page's header has three
SIZES = {3: 1, 7: 8}  # bytes of a value of a kind whose size is fixed: a byte, a floating-point number


def pages_size(content: Any, column: Any) -> int:
    """Return how many bytes the pages of a column chunk expand to, without their headers.

    `content` holds the bytes of the whole file, `column` is pyarrow's description of the column chunk. Raises
    ValueError where a header is damaged.
    """
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        start = min(start, column.dictionary_page_offset)
    place, end, total = start, start + column.total_compressed_size, 0
    if not 0 <= start <= end <= len(content):
        raise ValueError("a column reaches past the end of the file")
    while place < end:
        fields: dict[int, int] = {}
        place = _skip_struct(content, place, DEPTH, fields)
        expanded, stored = fields.get(2, -1), fields.get(3, -1)
        if expanded < 0 or stored < 0:
            raise ValueError("the size of a page is damaged")
        total, place = total + expanded, place + stored
    return total


def _skip_struct(content: Any, place: int, depth: int, numbers: dict[int, int] | None = None) -> int:
    """Return where a structure ends; put its whole numbers into `numbers`, by their fields."""
    if not depth:
        raise ValueError("the header of a page is damaged")
    field = 0
    while True:
        head = _byte(content, place)
        place += 1
        if head == 0:
            return place
        kind, step = head & 15, head >> 4
        if step:
            field += step
        else:
            value, place = _varint(content, place)
            field = (value >> 1) ^ -(value & 1)
        if kind in (4, 5, 6):  # whole numbers of 16, 32 and 64 bits
            value, place = _varint(content, place)
            if numbers is not None:
                numbers[field] = (value >> 1) ^ -(value & 1)
        elif kind not in (1, 2):  # true and false have no value beside their kind
            place = _skip(content, place, kind, depth - 1)


def _skip(content: Any, place: int, kind: int, depth: int) -> int:
    """Return where a value of a kind ends that is no whole number of a structure."""
    if kind in SIZES:
        return place + SIZES[kind]
    if kind in (1, 2):  # in a list
        return place + 1
    if kind in (4, 5, 6):
        return _varint(content, place)[1]
    if kind == 8:  # bytes
        length, place = _varint(content, place)
        return place + length
    if kind in (9, 10):  # a list or a set: none in a page's header is long
        head = _byte(content, place)
        place, count = place + 1, head >> 4
        if count == 15:
            count, place = _varint(content, place)
        if count > len(content) - place or not depth:
            raise ValueError("the header of a page is damaged")
        for _ in range(count):
            place = _skip(content, place, head & 15, depth - 1)
        return place
    if kind == 12:
        return _skip_struct(content, place, depth)
    raise ValueError("the header of a page is damaged")


def _varint(content: Any, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(content, place)
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number in the header of a page is damaged")


def _byte(content: Any, place: int) -> int:
    if place >= len(content):
        raise ValueError("the header of a page is damaged")
    return int(content[place])

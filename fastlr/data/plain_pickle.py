"""Pickles of plain values and arrays, read without running, importing or building anything that they name."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from fastlr.errors import InputError

MOST_TEXT = 1000  # characters of a key
# Of pickle's instructions, those that build sets, other objects or copies, or that take bytes from outside the file.
REFUSED = (
    pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.DUP,
    pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX,
)  # fmt: skip


def load_plain_pickle(path: Path) -> Any:
    """Return what a pickle of plain containers and arrays holds; arrays come as `PickledArray`.

    Nothing that the file names is imported or called. Raises InputError for a pickle that asks for more.
    """
    return _PlainUnpickler(path, io.BytesIO(path.read_bytes())).load()


class _Inert:
    """A stand-in for a name in a pickle: it keeps what it is given and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PickledDtype(_Inert):
    """Stands for numpy.dtype."""

    def to_numpy(self) -> np.dtype[Any]:
        """Return the dtype, if it is one of plain numbers."""
        name = self.arguments[0]
        if not isinstance(name, str | bytes):
            raise ValueError("an array in an unknown layout")
        dtype = np.dtype(name.decode("latin1") if isinstance(name, bytes) else name)
        if dtype.kind not in "biuf":
            raise ValueError(f"an array of {name!r}")
        return dtype.newbyteorder(">") if self.state and self.state[1] in (">", b">") else dtype


class PickledArray(_Inert):
    """Stands for numpy's array constructor; NumPy itself never sees the pickled state but as checked bytes."""

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """Return the array."""
        _, shape, dtype, fortran_order, content = self.state
        if not isinstance(dtype, PickledDtype) or not isinstance(content, bytes):
            raise ValueError("an array in an unknown layout")
        return np.frombuffer(content, dtype.to_numpy()).reshape(shape, order="F" if fortran_order else "C")


class _ArrayOfBuffer(PickledArray):
    """Stands for numpy's function that makes an array of bytes, by which protocol 5 writes arrays."""

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """Return the array."""
        content, dtype, shape, order = self.arguments
        self.state = (1, shape, dtype, {"C": False, "F": True}[order], content)
        return super().to_numpy()


class _ArrayType(_Inert):
    """Stands for numpy.ndarray, which the constructor is given as an argument."""


class _Latin1(_Inert):
    """Stands for _codecs.encode, by which Python 3 writes bytes into old protocols."""

    def __new__(cls, text: str, encoding: str = "latin1") -> bytes:  # type: ignore[misc]
        return text.encode("latin1")


def _flat(values: Iterable[Any]) -> bool:
    """Return whether none of the values holds others."""
    return not any(isinstance(value, tuple | list | dict) for value in values)


class _PlainUnpickler(pickle._Unpickler):
    """Builds one dictionary of flat lists, plain values and inert stand-ins.

    The pure-Python unpickler, because the compiled one allocates its memo at any size that a damaged file names.
    Nothing is nested but what an array's state holds: hashing or printing a few nested tuples, each twice in the next,
    takes for ever.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, path: Path, file: io.BytesIO) -> None:
        super().__init__(file, encoding="bytes")
        self._path = path
        self._size = len(file.getbuffer())
        self._left = self._size  # bytes that text may be turned into: each is in the file once

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for the few names that an array needs."""
        match module, name:
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return PickledArray
            case "numpy.core.numeric" | "numpy._core.numeric", "_frombuffer":
                return _ArrayOfBuffer
            case "numpy", "ndarray":
                return _ArrayType
            case "numpy", "dtype":
                return PickledDtype
            case "_codecs", "encode":
                return _Latin1
        self._refuse(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse: nothing here is kept outside the file."""
        self._refuse("something outside the file")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"{self._path}: refused, this pickle asks for {what[:100]!r}; only arrays and plain containers are read"
        )

    def _append(self) -> None:
        self._append_all([self.stack.pop()])

    def _append_many(self) -> None:
        self._append_all(self.pop_mark())

    def _append_all(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list) or not _flat(items):
            self._refuse("a list of lists")
        self.stack[-1].extend(items)

    def _set(self) -> None:
        value = self.stack.pop()
        self._set_all([self.stack.pop(), value])

    def _set_many(self) -> None:
        self._set_all(self.pop_mark())

    def _set_all(self, items: list[Any]) -> None:
        target, keys, values = self.stack[-1], items[::2], items[1::2]
        if not isinstance(target, dict) or any(isinstance(value, dict) for value in values):
            self._refuse("a dictionary in another")
        if not all(isinstance(key, str | bytes) and len(key) <= MOST_TEXT for key in keys):
            self._refuse("a key that is no short text")
        target.update(zip(keys, values, strict=True))

    def _list(self) -> None:
        items = self.pop_mark()
        self.append([])
        self._append_all(items)

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_all(items)

    def _tuple(self) -> None:
        self._tuple_of(self.pop_mark())

    def _tuple_of(self, items: list[Any]) -> None:
        # An array's state holds its shape, and nothing more deeply nested.
        if any(isinstance(item, list | dict) or (isinstance(item, tuple) and not _flat(item)) for item in items):
            self._refuse("tuples in tuples")
        self.append(tuple(items))

    def _tuple_1(self) -> None:
        self._tuple_of([self.stack.pop()])

    def _tuple_2(self) -> None:
        self.stack[-2:], items = [], self.stack[-2:]
        self._tuple_of(items)

    def _tuple_3(self) -> None:
        self.stack[-3:], items = [], self.stack[-3:]
        self._tuple_of(items)

    def _call(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(arguments, tuple) or not (isinstance(function, type) and issubclass(function, _Inert)):
            self._refuse("a call")
        if function is _Latin1:
            self._left -= len(arguments[0]) if arguments and isinstance(arguments[0], str) else 0
            if self._left < 0:
                self._refuse("more bytes than it holds")
        self.stack[-1] = function(*arguments)

    def _bytearray(self) -> None:
        # As bytes: nothing here changes them. Python's own method allocates whatever size the file names.
        size = int.from_bytes(self.read(8), "little")
        if size > self._size:
            self._refuse("more bytes than it holds")
        self.append(self.read(size))

    def _unknown(self) -> None:
        self._refuse("objects, sets, copies or bytes from outside the file")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **dict.fromkeys((code[0] for code in REFUSED), _unknown),
        pickle.BYTEARRAY8[0]: _bytearray,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _append_many,
        pickle.SETITEM[0]: _set,
        pickle.SETITEMS[0]: _set_many,
        pickle.LIST[0]: _list,
        pickle.DICT[0]: _dict,
        pickle.REDUCE[0]: _call,
        pickle.TUPLE[0]: _tuple,
        pickle.TUPLE1[0]: _tuple_1,
        pickle.TUPLE2[0]: _tuple_2,
        pickle.TUPLE3[0]: _tuple_3,
    }

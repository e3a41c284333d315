"""How the CPU's kernels are compiled, and where they are kept between processes."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
from numba import njit

from fastlr.machine import user_folders

config: Any = numba.config  # whose names are made as Numba is imported
# What the compiler may do to the sums: reorder them, fuse multiply and add. NaN and infinity keep their meaning.
FAST = {"reassoc", "contract", "nsz"}
# Numba's settings that change the machine code, and are no part of its own key (numba #10821).
SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT", "BOUNDSCHECK", "DISABLE_JIT")
HERE = Path(__file__).parent
KERNELS: dict[str, Any] = {}  # all that were defined, by their names


def find_yield() -> int | None:
    """Return the address of what offers a thread's processor to others, on Unix or on Windows; None where it is not."""
    for library, name in (("CDLL", "sched_yield"), ("WinDLL", "SwitchToThread")):
        with contextlib.suppress(AttributeError, OSError, TypeError):
            functions = getattr(ctypes, library)("kernel32" if library == "WinDLL" else None)
            return ctypes.cast(getattr(functions, name), ctypes.c_void_p).value
    return None


def _link_yield() -> str | None:
    """Give compiled code a name for it, and return that: LLVM ends the process at a name that it does not find."""
    address = find_yield()
    if address is None:
        return None
    llvmlite.binding.add_symbol("fastlr_yield", address)
    return "fastlr_yield"


YIELD = _link_yield()


def kernel(function: Any) -> Any:
    """Compile a function that a backend calls, and keep it for later processes."""
    with _cache_of_its_own() as kept:
        compiled = njit(function, nogil=True, cache=kept, fastmath=FAST, error_model="numpy")
    KERNELS[function.__name__] = compiled
    return compiled


def inlined(function: Any) -> Any:
    """Compile a part of a kernel.

    It is always inlined. Where LLVM leaves a call, the process that compiles calls the part as it was compiled by
    itself, and a process that loads the kernel calls the kernel's own copy: the two add up in another order.
    """
    return njit(function, nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)


def inlined_exactly(function: Any) -> Any:
    """Compile a part of a kernel whose sums are not reordered."""
    return njit(function, nogil=True, fastmath={"contract"}, forceinline=True)


@contextlib.contextmanager
def _cache_of_its_own() -> Iterator[bool]:
    """Let Numba keep what is defined here in our folder; give whether there is one."""
    folder, before = cache_folder(), config.CACHE_DIR
    if folder is not None:
        config.CACHE_DIR = str(folder)
    try:
        yield folder is not None
    finally:
        config.CACHE_DIR = before


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder that keeps the compiled kernels; None where none can be written.

    It is the first that can be written to: in NUMBA_CACHE_DIR where that is set, beside the kernels, in the user's
    cache folder. Kernels that were compiled at installation, where the package cannot be written now, are copied there,
    or into a temporary folder of this process. Its name is that of these sources and this Numba, so that nothing
    compiled from others is ever taken: Numba itself looks at the file of a kernel, not at those that it imports (numba
    #8396).
    """
    name, beside = f"fastlr-{_sources()}-{_compiler()}", HERE / "__pycache__"
    places = [Path(config.CACHE_DIR)] if config.CACHE_DIR else [beside, *user_folders()]
    for place in places:
        folder = place / name
        try:
            if place != beside and not folder.exists() and (beside / name).is_dir():
                _copy(beside / name, folder)  # compiled when the package was installed, where it cannot be written
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if place == beside:
            _remove_older(beside)
        return folder
    if (beside / name).is_dir():
        with contextlib.suppress(OSError):
            temporary = Path(tempfile.mkdtemp(prefix="fastlr-"))
            atexit.register(shutil.rmtree, temporary, ignore_errors=True)
            _copy(beside / name, temporary / name)
            return temporary / name
    return None


def forget(function: Any) -> bool:
    """Remove what is kept of a kernel; return whether there was anything."""
    folder, name = cache_folder(), re.compile(rf"[\w.]*\b{function.__name__}-\d+\.[\w.-]*")
    found = [path for path in folder.rglob("*") if name.fullmatch(path.name)] if folder else []
    for path in found:
        with contextlib.suppress(OSError):
            path.unlink()
    return bool(found)


def _sources() -> str:
    """Return a name for the sources of the kernels."""
    found = hashlib.sha256()
    for path in sorted(HERE.glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def _compiler() -> str:
    """Return a name for what compiles them."""
    settings = [getattr(config, name, None) for name in SETTINGS]
    versions = (numba.__version__, llvmlite.__version__, sys.version_info[:2])
    return hashlib.sha256(repr((versions, settings, YIELD)).encode()).hexdigest()[:12]


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; another process that does the same at this moment changes nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as beside:
        copy = shutil.copytree(source, Path(beside) / target.name)
        for path in (copy, *copy.rglob("*")):  # it may come from where nothing can be written
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
        with contextlib.suppress(OSError):  # it is there by now
            copy.rename(target)


def _remove_older(place: Path) -> None:
    """Remove what was compiled from other versions of these sources."""
    for folder in place.glob("fastlr-*"):
        if not folder.name.startswith(f"fastlr-{_sources()}-"):
            shutil.rmtree(folder, ignore_errors=True)

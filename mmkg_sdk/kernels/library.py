"""The compiled library beside this file, through ctypes: calls release the GIL, arrays are not copied."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ..ranking.exact import nan_score
from .threads import MAX_THREADS, default_threads

_FILE = Path(__file__).with_name({"win32": "mmkg.dll", "darwin": "libmmkg.dylib"}.get(sys.platform, "libmmkg.so"))
_ABI = 3, 1  # MMKG_ABI_MAJOR and MMKG_ABI_MINOR of include/mmkg.h
_OK, _NAN = 0, 2
# mmkg_instruction_set by name. Of two that a processor has, the slower one stands first, as in cpu/common/choose_set.h.
_INSTRUCTION_SETS = {"portable": 0, "avx2": 1, "avx2_vnni": 5, "avx512": 2, "avx512_vnni": 3, "avx512_bf16": 4}
_INSTRUCTION_SETS |= {"neon": 16, "neon_dot": 17, "neon_bf16": 18, "neon_i8mm": 19}

_pointer, _int32, _int64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
# Name -> what it gives and takes; the headers in include/ say what it means.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "mmkg_abi_version": (_int32, []),
    "mmkg_last_error": (ctypes.c_char_p, []),
    "mmkg_has_instruction_set": (_int32, [_int32]),
    "mmkg_instruction_set_name": (ctypes.c_char_p, [_int32]),
    "mmkg_pool_open": (_int32, [_int32, _pointer]),
    "mmkg_pool_close": (None, [_pointer]),
    "mmkg_scan_open": (_int32, [_pointer, _int64, _int64, _int32, ctypes.c_float, _int32, _int32, _pointer, _pointer]),
    "mmkg_scan_close": (None, [_pointer]),
    "mmkg_scan_instruction_set": (_int32, [_pointer]),
    "mmkg_scan_storage": (_int32, [_pointer]),
    "mmkg_scan_bytes": (_int64, [_pointer]),
    "mmkg_pair_scores": (_int32, [_pointer, _pointer, _int64, _pointer, _pointer]),
    "mmkg_top_k": (
        _int32,
        [_pointer, _pointer, _int64, _int64, _pointer, _pointer, _pointer, _int64, *[_pointer] * 4],
    ),
    "mmkg_ranks": (
        _int32,
        [_pointer, _pointer, _int64, _pointer, _pointer, _pointer, ctypes.c_float, _pointer, _pointer, _pointer],
    ),
    "mmkg_ranks_in_part": (
        _int32,
        [_pointer, _pointer, _int64, *[_pointer] * 4, ctypes.c_float, _pointer, _pointer, _pointer],
    ),
    "mmkg_token_table_open": (_int32, [_pointer, _int32, _int32, _pointer, _pointer]),
    "mmkg_token_table_close": (None, [_pointer]),
    "mmkg_token_table_instruction_set": (_int32, [_pointer]),
    "mmkg_token_table_encode": (
        _int32,
        [_pointer, _int64, _pointer, _pointer, _pointer, _int64, _pointer, _pointer, _int64, _pointer],
    ),
    "mmkg_query_context_open": (_int32, [_pointer, _int32, _pointer, _pointer]),
    "mmkg_query_context_close": (None, [_pointer]),
    "mmkg_query_context_instruction_set": (_int32, [_pointer]),
    "mmkg_query_context_encode": (
        _int32,
        [_pointer, _pointer, _int64, _int64, _pointer, _pointer, _pointer, _pointer, _pointer],
    ),
    "mmkg_rotation_apply": (
        _int32,
        [_pointer, _int64, _int64, _pointer, _int64, _pointer, _pointer, _pointer, _int64, _pointer],
    ),
    "mmkg_tucker_open": (_int32, [_pointer, _int32, _pointer, _pointer, _int64, _int32, _pointer, _pointer]),
    "mmkg_tucker_close": (None, [_pointer]),
    "mmkg_tucker_instruction_set": (_int32, [_pointer]),
    "mmkg_tucker_apply": (_int32, [_pointer, _pointer, _pointer, _int64, _pointer]),
    "mmkg_answer_open": (_int32, [_pointer, _pointer]),
    "mmkg_answer_close": (None, [_pointer]),
    "mmkg_answer_top_k": (
        _int32,
        [*[_pointer] * 4, _int64, _int64, _pointer, _pointer, _int64, _pointer, _pointer, _pointer],
    ),
    "mmkg_interaction_open": (_int32, [_pointer, _int32, _int32, _int32, _pointer, _pointer]),
    "mmkg_interaction_close": (None, [_pointer]),
    "mmkg_interaction_instruction_set": (_int32, [_pointer]),
    "mmkg_interaction_scores": (
        _int32,
        [_pointer, _pointer, _int64, _pointer, _int64, _pointer, _int64, _pointer, _pointer, _pointer],
    ),
}


@cache
def library() -> ctypes.CDLL | str:
    """The compiled library, or why there is none."""
    if not _FILE.is_file():
        return "not built: no C++17 compiler was found when mmkg_sdk was installed; install one and reinstall"
    try:
        loaded = ctypes.CDLL(str(_FILE))
        if misfit := _misfit(loaded):
            return misfit
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as err:
        return f"{_FILE.name} cannot be loaded: {err}; reinstall mmkg_sdk"
    return loaded


def _misfit(loaded: ctypes.CDLL) -> str | None:
    """Why a library is of another version than this file was written for; None if it is not."""
    (major, minor), (found_major, found_minor) = _ABI, divmod(loaded.mmkg_abi_version(), 1000)
    if found_major == major and found_minor >= minor:
        return None
    return (
        f"{_FILE.name} has version {found_major}.{found_minor} of the C interface, and this mmkg_sdk needs "
        f"{major}.{minor} or a later {major}.x; reinstall mmkg_sdk"
    )


def loaded_library() -> ctypes.CDLL:
    """The compiled library.

    Raises:
        BackendError: there is none.
    """
    found = library()
    if isinstance(found, str):
        raise BackendError(f"the compiled kernels are absent: {found}.")
    return found


def instruction_sets() -> list[str]:
    """Names of what this processor and this build have, slowest first; empty without the library."""
    found = library()
    if isinstance(found, str):
        return []
    return [name for name, number in _INSTRUCTION_SETS.items() if found.mmkg_has_instruction_set(number)]


def instruction_set_number(name: str | None) -> int:
    """The mmkg_instruction_set of a name; None takes the best."""
    if name is None:
        return -1
    if name not in instruction_sets():
        raise BackendError(f"instruction set {name!r} is not available; there are {instruction_sets()}.")
    return _INSTRUCTION_SETS[name]


def instruction_set_name(number: int) -> str:
    """The name of an mmkg_instruction_set."""
    return next(name for name, known in _INSTRUCTION_SETS.items() if known == number)


def best_instruction_set() -> str:
    """Name of what kernels run on where nobody says: the best, or what MMKG_INSTRUCTION_SET names.

    Raises:
        BackendError: there is no library, or the variable names none of this processor's.
    """
    loaded, handle, row = loaded_library(), ctypes.c_void_p(), (ctypes.c_float * 1)()
    check(loaded.mmkg_scan_open(row, 1, 1, 0, 0.0, -1, 0, pool(1), ctypes.byref(handle)))
    number = loaded.mmkg_scan_instruction_set(handle)
    loaded.mmkg_scan_close(handle)
    return instruction_set_name(number)


def check(status: int) -> None:
    """Raise what a status means.

    Raises:
        BackendError: it is not MMKG_OK.
    """
    if status == _OK:
        return
    if status == _NAN:
        raise nan_score()
    raise BackendError(f"the kernel refused its arguments or failed: {loaded_library().mmkg_last_error().decode()}.")


def address(array: NDArray[Any] | None) -> int | None:
    """Where an array lies, which must be contiguous; None is NULL."""
    # An array without elements may have any address; NULL would mean that there are no lists.
    if array is None:
        return None
    try:
        # Several times faster than `ctypes.data`, and a query takes more than a dozen addresses.
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # read-only, or without elements
        return array.ctypes.data


def in_place(array: NDArray[Any]) -> NDArray[Any]:
    """The array as the library reads it: C-contiguous and aligned; a copy only if it is not."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.require(array, requirements=["C", "A"])


def pool(threads: int | None) -> ctypes.c_void_p:
    """One pool per number of threads, for every table of this process; it sleeps when idle and is never closed.

    Args:
        threads: None takes `default_threads()`.
    """
    return _pool(min(threads or default_threads(), MAX_THREADS))


@cache
def _pool(threads: int) -> ctypes.c_void_p:
    handle = ctypes.c_void_p()
    check(loaded_library().mmkg_pool_open(threads, ctypes.byref(handle)))
    return handle

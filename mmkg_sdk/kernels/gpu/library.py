"""The functions of include/mmkg_cuda.h through ctypes, and the image of compiled kernels that they launch."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..library import address, loaded_library
from ..library import check as check_cpu

_NO_MEMORY, _FAILED = 3, 4  # mmkg_status
IMAGE_FILE = Path(__file__).parents[1] / "mmkg_cuda.bin"

_pointer, _int32, _int64, _uint64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64
# Name -> what it takes; each gives a status. The header says what it means.
_DEVICE: dict[str, list[Any]] = {
    "mmkg_gpu_count": [_pointer],
    "mmkg_gpu_image_targets": [_pointer, _int64, ctypes.c_char_p, _int64],
    "mmkg_gpu_open": [_int32, _pointer, _int64, _pointer],
    "mmkg_gpu_describe": [_pointer, _pointer],
    "mmkg_gpu_usable": [_pointer],
    "mmkg_gpu_enter": [_pointer],
    "mmkg_gpu_leave": [_pointer],
    "mmkg_gpu_has_kernel": [_pointer, ctypes.c_char_p],
    "mmkg_gpu_allocate": [_pointer, _int64, _pointer],
    "mmkg_gpu_free": [_pointer, _uint64],
    "mmkg_gpu_allocate_host": [_pointer, _int64, _pointer],
    "mmkg_gpu_free_host": [_pointer, _pointer],
    "mmkg_gpu_memory": [_pointer, _pointer, _pointer],
    "mmkg_gpu_copy_to_device": [_pointer, _uint64, _pointer, _int64, _uint64],
    "mmkg_gpu_copy_to_host": [_pointer, _pointer, _uint64, _int64, _uint64],
    "mmkg_gpu_copy": [_pointer, _uint64, _uint64, _int64, _uint64],
    "mmkg_gpu_fill": [_pointer, _uint64, ctypes.c_uint8, _int64, _uint64],
    "mmkg_gpu_stream_open": [_pointer, _pointer],
    "mmkg_gpu_stream_close": [_pointer, _uint64],
    "mmkg_gpu_stream_synchronize": [_pointer, _uint64],
    "mmkg_gpu_stream_wait": [_pointer, _uint64, _uint64],
    "mmkg_gpu_event_open": [_pointer, _pointer],
    "mmkg_gpu_event_close": [_pointer, _uint64],
    "mmkg_gpu_event_record": [_pointer, _uint64, _uint64],
    "mmkg_gpu_event_elapsed": [_pointer, _uint64, _uint64, _pointer],
    "mmkg_gpu_capture_begin": [_pointer, _uint64],
    "mmkg_gpu_capture_end": [_pointer, _uint64, _pointer],
    "mmkg_gpu_graph_launch": [_pointer, _uint64, _uint64],
    "mmkg_gpu_graph_close": [_pointer, _uint64],
}
_SCAN: dict[str, list[Any]] = {
    "mmkg_gpu_scan_open": [_pointer, _pointer, _int64, _int64, _int32, ctypes.c_float, _pointer],
    "mmkg_gpu_pair_scores": [_pointer, _uint64, _int32, _int64, _pointer, _pointer, _uint64],
    "mmkg_gpu_scan_rows": [_pointer, _pointer, _pointer],
    "mmkg_gpu_top_k": [
        *[_pointer, _uint64, _int32, _int64, _int64],
        *[_pointer, _pointer, _pointer, _int64],
        *[_pointer, _pointer, _pointer, _pointer, _uint64],
    ],
    "mmkg_gpu_top_k_launch": [_pointer, _uint64, _int64, _int64, _uint64, _uint64, _int64, *[_uint64] * 5],
    "mmkg_gpu_ranks": [
        *[_pointer, _uint64, _int32, _int64, _pointer, _pointer, _pointer, ctypes.c_float],
        *[_pointer, _pointer, _pointer, _pointer, _uint64],
    ],
}
_INTERACTION: dict[str, list[Any]] = {
    "mmkg_gpu_interaction_open": [_pointer, _pointer, _int32, _pointer],
    "mmkg_gpu_interaction_scores": [
        *[_pointer, _pointer, _int64, _pointer, _int64, _pointer, _int64],
        *[_pointer, _pointer, _pointer, _uint64],
    ],
    "mmkg_gpu_interaction_best": [
        *[_pointer, _pointer, _int64, _pointer, _int64, _pointer, _int64],
        *[_int64, _pointer, _pointer, _pointer, _pointer, _pointer, _uint64],
    ],
    "mmkg_gpu_interaction_ranks": [_pointer, _pointer, _int64, _pointer, _int64, _pointer, _pointer, _uint64],
    "mmkg_gpu_interaction_launch": [
        *[_pointer, _pointer, _int64, _pointer, _int64, _uint64, _int64],
        *[_uint64, _uint64, _uint64, _uint64, _uint64],
    ],
}
_ENCODERS: dict[str, list[Any]] = {
    "mmkg_gpu_tucker_open": [_pointer, _pointer, _int32, _pointer, _pointer, _int64, _pointer],
    "mmkg_gpu_tucker_apply": [_pointer, _uint64, _uint64, _int64, _uint64, _uint64],
    "mmkg_gpu_token_table_open": [_pointer, _pointer, _int32, _pointer],
    "mmkg_gpu_token_table_encode": [
        *(_pointer, _int64, _uint64, _uint64, _uint64, _int64, _uint64, _uint64, _int64, _uint64, _uint64)
    ],
    "mmkg_gpu_query_context_open": [_pointer, _pointer, _pointer],
    "mmkg_gpu_query_context_encode": [
        *(_pointer, _uint64, _int64, _int64, _uint64, _uint64, _uint64, _uint64, _uint64, _uint64)
    ],
    "mmkg_gpu_query_vectors": [
        *(_pointer, _pointer, _uint64, _int64, _int64, _int64),
        *(_uint64, _uint64, _uint64, _int32, _uint64, _uint64),
    ],
    "mmkg_gpu_rotation_open": [_pointer, _pointer, _int64, _int64, _pointer],
    "mmkg_gpu_rotation_apply": [
        *(_pointer, _uint64, _int64, _int64, _int64),
        *(_uint64, _uint64, _uint64, _int32, _uint64, _uint64),
    ],
}
_FUNCTIONS = {**_DEVICE, **_SCAN, **_INTERACTION, **_ENCODERS}
# What gives something else than a status: what it gives, and what it takes.
_OTHERS: dict[str, tuple[Any, list[Any]]] = {
    "mmkg_gpu_interaction_close": (None, [_pointer]),
    "mmkg_gpu_scan_close": (None, [_pointer]),
    "mmkg_gpu_tucker_close": (None, [_pointer]),
    "mmkg_gpu_token_table_close": (None, [_pointer]),
    "mmkg_gpu_query_context_close": (None, [_pointer]),
    "mmkg_gpu_rotation_close": (None, [_pointer]),
    "mmkg_gpu_scan_bytes": (_int64, [_pointer]),
    "mmkg_gpu_top_k_batch": (_int64, [_pointer, _int64, _int64]),
    "mmkg_gpu_padded_batch": (_int64, [_int64]),
}


class NoGpuMemory(BackendError):
    """There was too little memory, of the GPU or page-locked."""


@cache
def gpu_library() -> ctypes.CDLL:
    """The compiled library, with the functions for GPUs.

    Raises:
        BackendError: there is no library, or one of another version.
    """
    loaded = loaded_library()
    try:
        statuses = {name: (_int32, arguments) for name, arguments in _FUNCTIONS.items()}
        for name, (result, arguments) in (statuses | _OTHERS).items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as err:
        raise BackendError(f"the compiled library is of another version of mmkg_sdk: {err}; reinstall it.") from err
    return loaded


def check(status: int) -> None:
    """Raise what a status means.

    Raises:
        NoGpuMemory: of MMKG_NO_MEMORY.
        BackendError: it is not MMKG_OK; names what is missing or failed.
    """
    if status in (_NO_MEMORY, _FAILED):
        kind = NoGpuMemory if status == _NO_MEMORY else BackendError
        raise kind(f"{loaded_library().mmkg_last_error().decode()}.")
    check_cpu(status)


def gpu_kernels_state() -> str:
    """What there is of CUDA kernels on this machine, in one line: what they are compiled for, and the driver.

    Asks for no GPU's context. It does not say that a kernel has ever run: none has on hardware.
    """
    text = ctypes.create_string_buffer(256)
    try:
        image = kernel_image()
        check(gpu_library().mmkg_gpu_image_targets(address(image), len(image), text, len(text)))
    except BackendError as err:
        return f"none ({err})"
    compiled = f"compiled for compute capability {text.value.decode()}, not yet run on a GPU"
    count = ctypes.c_int32()
    try:
        check(gpu_library().mmkg_gpu_count(ctypes.byref(count)))
    except BackendError as err:
        return f"{compiled}; {err}"
    return f"{compiled}; the driver shows {count.value} GPU{'s' * (count.value != 1)}"


def kernel_image(path: Path | None = None) -> NDArray[np.uint8]:
    """The compiled CUDA kernels, uint8 [bytes].

    Args:
        path: None takes the package's own.

    Raises:
        BackendError: the file is not there or cannot be read.
    """
    file = path or IMAGE_FILE
    try:
        return np.fromfile(file, np.uint8)
    except FileNotFoundError as err:
        raise BackendError(
            f"there are no compiled CUDA kernels: {file} is missing. Reinstall mmkg_sdk; in a checkout, build them: "
            "python -m mmkg_sdk.kernels.cuda.triton.build"
        ) from err
    except OSError as err:
        raise BackendError(f"the compiled CUDA kernels cannot be read: {err}.") from err

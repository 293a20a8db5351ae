"""DLPack capsules of arrays on a GPU, version 0 of the structure, which every library takes (dlpack.h)."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np

CUDA = 2  # kDLCUDA
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}  # kDLInt, kDLUInt, kDLFloat, kDLBool
_UNUSED = b"dltensor"


class _Array(Protocol):
    """What is shared; see GpuArray."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __dlpack_device__(self) -> tuple[int, int]: ...


class _Tensor(ctypes.Structure):  # DLTensor
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):  # DLManagedTensor
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


# What is in use elsewhere, by its address: the structure, its shape, and the array that owns the memory.
_shared: dict[int, tuple[_Managed, Any, _Array]] = {}

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_api.PyCapsule_IsValid.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]


def _drop(managed: int) -> None:
    _shared.pop(managed, None)


def _drop_unused(capsule_address: int) -> None:
    # A consumer renames the capsule and calls the deleter itself.
    if _api.PyCapsule_IsValid(capsule_address, _UNUSED):
        _shared.pop(_api.PyCapsule_GetPointer(capsule_address, _UNUSED), None)


_deleter = _Deleter(_drop)
_destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_drop_unused)


def capsule(array: _Array) -> Any:
    """A capsule that shares the array, and keeps it until its consumer lets go.

    Raises:
        BufferError: DLPack has no such dtype.
    """
    if array.dtype.kind not in _TYPE_CODES:
        raise BufferError(f"{array.dtype} arrays cannot be shared; expected numbers or booleans.")
    shape = (ctypes.c_int64 * len(array.shape))(*array.shape)
    kind, index = array.__dlpack_device__()
    code, bits = _TYPE_CODES[array.dtype.kind], array.dtype.itemsize * 8
    tensor = _Tensor(array.pointer, kind, index, len(shape), code, bits, 1, shape, None, 0)
    managed = _Managed(tensor, None, _deleter)
    place = ctypes.addressof(managed)
    _shared[place] = (managed, shape, array)
    return _api.PyCapsule_New(place, _UNUSED, ctypes.cast(_destructor, ctypes.c_void_p))

"""Arguments of kernels on a GPU: those of the host are copied there, those of the GPU read in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..library import in_place
from .device import Gpu, Stream


class OnGpu(Protocol):
    """A C-contiguous array on a GPU; a GpuArray is one."""

    @property
    def pointer(self) -> int:
        """Its address there, a multiple of 16."""
        ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


@dataclass(frozen=True)
class TableOnGpu:
    """Rows of float32 on a GPU that query vectors are made of.

    Attributes:
        owner: whose memory it is; it stays as long as this does.
        pointer: address of the first row, a multiple of 16.
        shape: rows and width.
        stride: numbers from one row to the next; those behind the width are zeros.
    """

    owner: object
    pointer: int
    shape: tuple[int, int]
    stride: int

    @classmethod
    def copied(cls, gpu: Gpu, table: NDArray[np.float32]) -> TableOnGpu:
        """A copy of a table of the host, float32 [rows, width]."""
        owner, (rows, width) = gpu.array(table), table.shape
        return cls(owner, owner.pointer, (rows, width), width)


class _Foreign(Stream):
    """A stream that another library opened, and closes."""

    def __init__(self, gpu: Gpu, handle: int) -> None:
        self.gpu, self.handle = gpu, handle


def gpu_of(device: str) -> Gpu:
    """The GPU of "cuda" or "cuda:1", opened.

    Raises:
        BackendError: names what is missing.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or not index):
        raise BackendError(f"device {device!r} is no CUDA device; expected 'cuda' or 'cuda:N'.")
    return Gpu.open(int(index or 0))


def stream_on(gpu: Gpu, stream: Stream | int | None) -> Stream:
    """A stream, or a CUstream handle of another library; None is the legacy default stream."""
    return stream if isinstance(stream, Stream) else _Foreign(gpu, stream or 0)


def placed(
    gpu: Gpu, name: str, array: NDArray[Any] | OnGpu, dtype: Any, shape: tuple[int, ...], stream: Stream
) -> OnGpu:
    """The array on the GPU; a copy, if it is of the host.

    Raises:
        BackendError: another shape or dtype.
    """
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected {np.dtype(dtype)} {list(shape)}.")
    return gpu.array(array, stream) if isinstance(array, np.ndarray) else array


def host_ids(
    entity: NDArray[np.int64], relation: NDArray[np.int64], direction: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """The ids of some queries on the host, as the library reads them; whether they are in range it checks itself.

    Raises:
        BackendError: they are no int64 [batch].
    """
    batch, found = len(entity), []
    for name, column in (("entity", entity), ("relation", relation), ("direction", direction)):
        if column.shape != (batch,) or column.dtype != np.int64:
            raise BackendError(f"{name}: {column.dtype} {list(column.shape)}; expected int64 [{batch}].")
        found.append(in_place(column))
    return found

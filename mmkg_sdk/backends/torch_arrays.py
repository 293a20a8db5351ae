"""Tensors as arrays of a device: copies to it and from it, and the CUDA stream that each thread has there.

Never run on a GPU: the copies and waits for one are written and checked by reading only. What surrounds them runs in
the tests on the CPU and on torch's "meta" device, where a copy to the host is an error.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .base import AnyArray
from .streams import thread_stream

if TYPE_CHECKING:
    from torch import Tensor
    from torch.cuda import Stream

# What goes through page-locked memory, which torch keeps for the next copy: from there a copy does not hold up the
# host. Larger arrays are placed once and read once.
_STAGED_BYTES = 1 << 26


@dataclass(frozen=True)
class TorchArray:
    """A contiguous tensor as a DeviceArray.

    Attributes:
        stream: what made it is ordered there; None on the CPU.
    """

    tensor: Tensor
    stream: Stream | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """See DeviceArray."""
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """See DeviceArray."""
        return np.dtype(str(self.tensor.dtype).removeprefix("torch."))

    @property
    def pointer(self) -> int:
        """See DeviceArray."""
        return self.tensor.data_ptr()

    def numpy(self) -> NDArray[Any]:
        """See DeviceArray."""
        if self.stream is None:
            return _array(self.tensor.cpu())
        import torch

        with torch.cuda.stream(self.stream):
            if self.tensor.nbytes <= _STAGED_BYTES:
                host = torch.empty(self.tensor.shape, dtype=self.tensor.dtype, pin_memory=True)
                host.copy_(self.tensor, non_blocking=True)
            else:
                host = self.tensor.cpu()
        self.stream.synchronize()
        return _array(host)

    def __dlpack__(self, *, stream: int | None = None, **arguments: Any) -> Any:
        # torch lets the reader's stream wait for the current one, which has to be that of the tensor.
        with _current(self.stream):
            return self.tensor.__dlpack__(stream=stream, **arguments)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


class TorchDevice:
    """Where a backend's tensors lie.

    Args:
        name: "cpu", "cuda", "cuda:N", or "meta" in tests.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._threads = threading.local()

    def stream(self) -> Stream | None:
        """The calling thread's own; None on the CPU."""
        if not self.name.startswith("cuda"):
            return None
        if not hasattr(self._threads, "stream"):
            import torch

            cuda: Any = torch.cuda  # whose streams have no types
            kernels = thread_stream(self.name)  # that of the kernels, so that neither waits for the other
            made = cuda.Stream(self.name) if kernels is None else cuda.ExternalStream(kernels.handle, self.name)
            made.owner = kernels  # which stays as long as any array that was made there
            self._threads.stream = made
        found: Stream = self._threads.stream
        return found

    def current(self) -> AbstractContextManager[Any]:
        """Within it, what torch does is ordered on the calling thread's stream."""
        return _current(self.stream())

    def placed(self, tensor: Tensor) -> TorchArray:
        """A tensor that the calling thread's stream makes; call it within `current`."""
        whole, stream = tensor.contiguous(), self.stream()
        # A view into another tensor may begin where kernels cannot read 16 bytes at a time.
        return TorchArray(whole.clone() if stream is not None and whole.data_ptr() % 16 else whole, stream)

    def tensor(self, value: AnyArray) -> Tensor:
        """The tensor here, for work on the calling thread's stream; call it within `current`."""
        import torch

        if isinstance(value, np.ndarray):
            return self._from_host(value)
        if not isinstance(value, TorchArray):  # it lets this thread's stream wait for what makes it
            return torch.utils.dlpack.from_dlpack(value).to(self.name)
        stream = self.stream()
        if stream is not None and value.stream is not None and value.stream != stream:
            stream.wait_stream(value.stream)
            # Its memory must not be given out again by the other thread before this stream has read it.
            value.tensor.record_stream(stream)
        return value.tensor.to(self.name)

    def _from_host(self, value: NDArray[Any]) -> Tensor:
        import torch

        # from_numpy warns about read-only arrays; the modules never write to their inputs.
        host = torch.from_numpy(value if value.flags.writeable else value.copy())
        if self.stream() is None or host.nbytes > _STAGED_BYTES:
            return host.to(self.name)
        return host.pin_memory().to(self.name, non_blocking=True)


def _current(stream: Stream | None) -> AbstractContextManager[Any]:
    if stream is None:
        return nullcontext()
    import torch

    context: AbstractContextManager[Any] = torch.cuda.stream(stream)
    return context


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.numpy()
    return array

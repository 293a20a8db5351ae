"""GpuTuckerCore: the Tucker product of two vectors with a core, on an NVIDIA GPU. NOT RUN ON A GPU YET."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tucker import TuckerWeights
from .arguments import OnGpu, gpu_of, placed, stream_on
from .device import GpuArray, Stream
from .library import check, gpu_library


class GpuTuckerCore:
    """As `mmkg_sdk.kernels.TuckerCore`, up to rounding, with a copy of the core on the GPU.

    Sums are float32. Of products of a bfloat16 core up to 2^-16 is lost, of those of float16 and float32 about 2^-21;
    cuda/triton/encoder/tucker.py says why. On one GPU, a row of the answer depends on that row of the arguments and on
    the kernel that suits the batch (up to 16, up to 256, more) alone. Safe to call from several threads.

    Args:
        core, relation_weight, shift: as of TuckerCore; they may go once it is open.
        device: "cuda" or "cuda:N".

    Attributes:
        gpu, width: where it is, and of a vector.
        precision: of the core: "float32", "float16" or "bfloat16".
        handle: `mmkg_gpu_tucker *` of include/mmkg_cuda_encoder.h.

    Raises:
        BackendError: no GPU, no kernels for it, not enough memory; a weight that is misshapen or not finite.
    """

    def __init__(
        self, core: NDArray[Any], relation_weight: NDArray[Any], shift: NDArray[np.float32], device: str = "cuda"
    ) -> None:
        weights = TuckerWeights(core, relation_weight, shift)
        self.gpu = gpu_of(device)
        self.width, self.precision = weights.width, weights.precision
        self.handle = ctypes.c_void_p()
        check(gpu_library().mmkg_gpu_tucker_open(self.gpu.handle, *weights.arguments(), ctypes.byref(self.handle)))
        # At the end of the process the driver frees all.
        weakref.finalize(self, gpu_library().mmkg_gpu_tucker_close, self.handle).atexit = False

    def apply(
        self,
        context: NDArray[np.float32] | OnGpu,
        relation: NDArray[np.float32] | OnGpu,
        stream: Stream | int | None = None,
    ) -> GpuArray:
        """The products of some pairs, float32 [batch, width], on the GPU.

        A row that is not finite, or too large for float32, gives NaN or infinity, and no other row does.

        Args:
            context, relation: float32 [batch, width].
            stream: that the work is ordered on; also a CUstream handle. None is the legacy default stream.

        Raises:
            BackendError: wrong shape or dtype, not enough memory, a launch that failed.
        """
        on, shape = stream_on(self.gpu, stream), (context.shape[0], self.width)
        first = placed(self.gpu, "context", context, np.float32, shape, on)
        second = placed(self.gpu, "relation", relation, np.float32, shape, on)
        out = self.gpu.empty(shape, np.float32, on)
        check(
            gpu_library().mmkg_gpu_tucker_apply(
                self.handle, first.pointer, second.pointer, shape[0], out.pointer, on.handle
            )
        )
        return out

"""GpuTokenTableEncoder: MyGO's one-layer entity encoder from tables, on an NVIDIA GPU. NOT RUN ON A GPU YET."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..token_table import TokenTableWeights, storage_number
from .arguments import OnGpu, gpu_of, placed, stream_on
from .device import GpuArray, Stream
from .library import check, gpu_library


class GpuTokenTableEncoder:
    """As `mmkg_sdk.kernels.TokenTableEncoder`, up to rounding.

    Sums are float32; of a product about 2^-21 is lost. On one GPU, the vector of an entity depends on its inputs,
    whatever the padding of its tokens, and on which of two kernels suits the batch, alone. Safe to call from several
    threads.

    Args:
        weights, visual_rows, storage: as of TokenTableEncoder; the weights may go once it is open.
        device: "cuda" or "cuda:N".

    Raises:
        BackendError: no GPU, no kernels for it or for this width, not enough memory; a weight that is missing, unknown,
            misshapen or not finite.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        visual_rows: int,
        device: str = "cuda",
        storage: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        number = storage_number(storage)
        described = TokenTableWeights(weights, visual_rows)
        self.gpu = gpu_of(device)
        self.width = described.width
        self._rows = {"visual": described.visual_rows, "text": described.text_rows}
        self._handle = ctypes.c_void_p()
        arguments = (described.address, number, ctypes.byref(self._handle))
        check(gpu_library().mmkg_gpu_token_table_open(self.gpu.handle, *arguments))
        # At the end of the process the driver frees all.
        weakref.finalize(self, gpu_library().mmkg_gpu_token_table_close, self._handle).atexit = False

    def encode(
        self,
        structure: NDArray[np.float32] | OnGpu,
        visual_tokens: NDArray[np.int64] | OnGpu,
        visual_mask: NDArray[np.bool_] | OnGpu,
        text_tokens: NDArray[np.int64] | OnGpu,
        text_mask: NDArray[np.bool_] | OnGpu,
        stream: Stream | int | None = None,
    ) -> GpuArray:
        """The vectors of some entities, float32 [batch, width], on the GPU.

        What is not finite, or a token on the GPU that is no row, gives NaN for its entity and no other.

        Args:
            structure: float32 [batch, width].
            visual_tokens, text_tokens: int64 [batch, any number of tokens], rows of each codebook.
            visual_mask, text_mask: bool of the same shapes, True = not attended to.
            stream: that the work is ordered on; also a CUstream handle. None is the legacy default stream.

        Raises:
            BackendError: wrong shape or dtype, a token of the host that the codebook does not have, not enough memory,
                a launch that failed.
        """
        on, batch = stream_on(self.gpu, stream), structure.shape[0]
        inputs = [placed(self.gpu, "structure", structure, np.float32, (batch, self.width), on)]
        counts = []
        for name, ids, mask in (("visual", visual_tokens, visual_mask), ("text", text_tokens, text_mask)):
            shape = (batch, ids.shape[1] if len(ids.shape) == 2 else 0)
            self._check_tokens(name, ids)
            inputs.append(placed(self.gpu, f"{name}_tokens", ids, np.int64, shape, on))
            inputs.append(placed(self.gpu, f"{name}_mask", mask, np.bool_, shape, on))
            counts.append(shape[1])
        vectors = self.gpu.empty((batch, self.width), np.float32, on)
        places = [array.pointer for array in inputs]
        check(
            gpu_library().mmkg_gpu_token_table_encode(
                self._handle, batch, *places[:3], counts[0], *places[3:], counts[1], vectors.pointer, on.handle
            )
        )
        return vectors

    def _check_tokens(self, name: str, ids: NDArray[np.int64] | OnGpu) -> None:
        if not isinstance(ids, np.ndarray) or ids.dtype != np.int64:
            return
        wrong = (ids < 0) | (ids >= self._rows[name])
        if wrong.any():
            entity = int(np.argwhere(wrong)[0][0])
            raise BackendError(
                f"entity {entity}: a token is no row of the {name} codebook, which has {self._rows[name]}."
            )

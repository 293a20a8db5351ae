"""TuckerCore: the Tucker product of two vectors with a core, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, check, instruction_set_name, instruction_set_number, loaded_library, pool

_NAN = 2  # mmkg_status
# In the order of mmkg_precision; numpy has no bfloat16, so its bits come as whole numbers.
_PRECISIONS = {"float32": "float32", "uint16": "bfloat16", "float16": "float16"}


class TuckerWeights:
    """The weights of a core as the library takes them.

    Attributes:
        core, relation_weight, shift: C-contiguous; the core [width, width * width].
        width: of a vector.

    Raises:
        BackendError: a weight is misshapen or of another dtype.
    """

    def __init__(self, core: NDArray[Any], relation_weight: NDArray[Any], shift: NDArray[np.float32]) -> None:
        self.width = core.shape[0] if core.ndim else 0
        if core.dtype.name not in _PRECISIONS:
            raise BackendError(f"core is {core.dtype}; expected float32, float16, or bfloat16 as uint16.")
        if core.ndim == 3:
            core = core.reshape(len(core), -1)
        self.core = _array("core", core, core.dtype, (self.width, self.width**2))
        self.relation_weight = _array("relation_weight", relation_weight, core.dtype, (self.width, self.width))
        self.shift = _array("shift", shift, np.dtype(np.float32), (self.width,))

    @property
    def precision(self) -> str:
        """How the core is stored: "float32", "float16" or "bfloat16"."""
        return _PRECISIONS[self.core.dtype.name]

    def arguments(self) -> tuple[Any, ...]:
        """Those of mmkg_tucker_open: core, precision, relation_weight, shift, width."""
        precision = list(_PRECISIONS).index(self.core.dtype.name)
        return address(self.core), precision, address(self.relation_weight), address(self.shift), self.width


class TuckerCore:
    """relation, context -> their product with the core, without a [batch, width, width] tensor in between.

    out[b, o] = sum over i and j of relation[b, i] * context[b, j] * core[i, j, o]
                + sum over i of relation[b, i] * relation_weight[i, o] + shift[o]

    Weights are used as the float32 numbers that they are, and everything else is float32. A row of the answer depends
    on that row of the arguments alone, to the bit: not on batch or threads; as to processors see `mmkg_sdk.kernels`.
    Safe to call from several threads; a forked child may go on using it.

    Args:
        core: float32, float16, or bfloat16 as uint16 bits; [width, width, width] or, as a bundle has it,
            [width, width * width]; finite. It is read where it lies, without a copy if it is C-contiguous, so it must
            not change; a memory map is as fast as memory.
        relation_weight: [width, width] as (in, out), of the core's dtype, finite.
        shift: float32 [width], finite.
        threads: of a call; None takes `default_threads()`.
        instruction_set: one of `instruction_sets()`; None takes the best. avx2_vnni stands for avx2,
            avx512_bf16 for avx512.

    Raises:
        BackendError: no library; a weight that is misshapen or not finite.
    """

    def __init__(
        self,
        core: NDArray[Any],
        relation_weight: NDArray[Any],
        shift: NDArray[np.float32],
        threads: int | None = None,
        instruction_set: str | None = None,
    ) -> None:
        self._library = loaded_library()
        weights = TuckerWeights(core, relation_weight, shift)
        self.width, self._core = weights.width, weights.core
        handle = ctypes.c_void_p()
        status = self._library.mmkg_tucker_open(
            *weights.arguments(),
            instruction_set_number(instruction_set),
            pool(threads),
            ctypes.byref(handle),
        )
        check(status)
        self._handle = handle
        # Arguments are kept until then, so the core outlives the handle.
        weakref.finalize(self, _close, self._library, handle, self._core)

    @property
    def precision(self) -> str:
        """How the core is stored: "float32", "float16" or "bfloat16"."""
        return _PRECISIONS[self._core.dtype.name]

    @property
    def instruction_set(self) -> str:
        """Name of what it runs on."""
        return instruction_set_name(self._library.mmkg_tucker_instruction_set(self._handle))

    @property
    def handle(self) -> ctypes.c_void_p:
        """The library's, open as long as this object lives."""
        return self._handle

    def apply(self, context: NDArray[np.float32], relation: NDArray[np.float32]) -> NDArray[np.float32]:
        """The products of some pairs, float32 [batch, width].

        Args:
            context, relation: float32 [batch, width], finite.

        Raises:
            BackendError: wrong shape or dtype, vectors that are not finite, a product that float32 cannot hold.
        """
        shape = (len(context), self.width)
        context = _array("context", context, np.dtype(np.float32), shape)
        relation = _array("relation", relation, np.dtype(np.float32), shape)
        out = np.empty(shape, np.float32)
        status = self._library.mmkg_tucker_apply(
            self._handle, address(context), address(relation), shape[0], address(out)
        )
        if status == _NAN:
            raise BackendError(
                "the Tucker product gave NaN or infinity: float32 cannot hold what the core makes of a query. Export "
                "from a sound run."
            )
        check(status)
        return out


def _array(name: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected {dtype} {list(shape)}.")
    return np.ascontiguousarray(array)


def _close(library: ctypes.CDLL, handle: ctypes.c_void_p, core: NDArray[Any]) -> None:
    library.mmkg_tucker_close(handle)

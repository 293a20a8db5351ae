"""TokenTableEncoder: MyGO's one-layer entity encoder from tables, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, check, instruction_set_name, instruction_set_number, loaded_library, pool
from .weights import HIDDEN, LAYER_REST, NORM_EPSILON, WIDTH, contiguous_weight, expected_names, two_axes

_NAN = 2  # mmkg_status
_STORAGES = ("float32", "bfloat16")  # in the order of mmkg_storage

# Field of mmkg_token_table_weights (include/mmkg_encoder.h) -> weight of the graph and its axes.
_HEADS, _ROWS = "heads", "rows"
_WEIGHTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "structure_norm_weight": ("structure.norm.weight", (WIDTH,)),
    "structure_norm_bias": ("structure.norm.bias", (WIDTH,)),
    "type_vector": ("structure.type_vector", (WIDTH,)),
    "logit_weight": ("logit_weight", (WIDTH, _HEADS)),
    "logits": ("logits", (_ROWS, _HEADS)),
    "values": ("multiplied_values", (_ROWS, WIDTH)),
    "value_weight": ("value.multiplied_weight", (WIDTH, WIDTH)),
    "value_bias": ("value.bias", (WIDTH,)),
    "pooled": ("pooled", (WIDTH,)),
    "pooled_logits": ("pooled_logits", (_HEADS,)),
    "pooled_value": ("pooled_value", (WIDTH,)),
    **LAYER_REST,
}


class _Weights(ctypes.Structure):
    """mmkg_token_table_weights."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (WIDTH, _HEADS, HIDDEN, "visual_rows", "text_rows")),
        ("norm_epsilon", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in _WEIGHTS),
    )


class TokenTableWeights:
    """The weights of the graph as the library takes them. They must stay until it has opened the encoder.

    Attributes:
        address: of mmkg_token_table_weights.
        width: of a vector.
        visual_rows, text_rows: of the codebooks.

    Raises:
        BackendError: a weight is missing, unknown or misshapen.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]], visual_rows: int) -> None:
        sizes = _sizes(weights)
        self.width = sizes[WIDTH]
        rows = sizes[_ROWS]
        if not 0 <= visual_rows <= rows:
            raise BackendError(f"visual_rows is {visual_rows}, the tables have {rows:,} rows.")
        self.visual_rows, self.text_rows = visual_rows, rows - visual_rows
        self._arrays = {
            field: contiguous_weight(name, weights[name], tuple(sizes[axis] for axis in axes))
            for field, (name, axes) in _WEIGHTS.items()
        }
        self._described = _Weights(
            visual_rows=visual_rows,
            text_rows=self.text_rows,
            norm_epsilon=NORM_EPSILON,
            **{axis: sizes[axis] for axis in (WIDTH, _HEADS, HIDDEN)},
            **{field: address(array) for field, array in self._arrays.items()},
        )
        self.address = ctypes.addressof(self._described)


def storage_number(storage: str) -> int:
    """mmkg_storage of how values of tokens are kept.

    Raises:
        BackendError: unknown.
    """
    if storage not in _STORAGES:
        raise BackendError(f"storage is {storage!r}; expected one of {_STORAGES}.")
    return _STORAGES.index(storage)


class TokenTableEncoder:
    """The graph `entity_encoder_token_table` in float32, fused over blocks of entities.

    The vector of an entity depends on nothing but its inputs, to the bit: not on the batch, threads or padding; as to
    processors see `mmkg_sdk.kernels`. Safe to call from several threads; a forked child may go on using it. The weights
    are copied, so the arrays may go.

    Args:
        weights: of the graph by name (without the graph's), float32.
        visual_rows: rows of the visual codebook, which come first in the tables.
        threads: of a call; None takes `default_threads()`.
        instruction_set: one of `instruction_sets()`; None takes the best. What extends avx2 or
            avx512 stands for it.
        storage: how values of tokens are kept: "float32", or "bfloat16", half the memory, each rounded by up to 2^-8 of
            itself. That changes the vectors, by about 1e-3 of their root mean square.

    Raises:
        BackendError: no library; a weight that is missing, unknown, misshapen or not finite.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        visual_rows: int,
        threads: int | None = None,
        instruction_set: str | None = None,
        storage: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        self._library = loaded_library()
        number = storage_number(storage)
        described = TokenTableWeights(weights, visual_rows)
        self.width = described.width
        handle = ctypes.c_void_p()
        status = self._library.mmkg_token_table_open(
            described.address,
            number,
            instruction_set_number(instruction_set),
            pool(threads),
            ctypes.byref(handle),
        )
        check(status)
        self._handle = handle
        weakref.finalize(self, self._library.mmkg_token_table_close, handle)

    @property
    def instruction_set(self) -> str:
        """Name of what it runs on."""
        return instruction_set_name(self._library.mmkg_token_table_instruction_set(self._handle))

    def encode(
        self,
        structure: NDArray[np.float32],
        visual_tokens: NDArray[np.int64],
        visual_mask: NDArray[np.bool_],
        text_tokens: NDArray[np.int64],
        text_mask: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """The vectors of some entities, float32 [batch, width].

        Args:
            structure: float32 [batch, width], finite.
            visual_tokens, text_tokens: int64 [batch, any number of tokens], rows of each codebook.
            visual_mask, text_mask: bool of the same shapes, True = not attended to.

        Raises:
            BackendError: wrong shape or dtype, a structure that is not finite, a token that the codebook does not
                have, a vector that float32 cannot hold.
        """
        batch = len(structure)
        structure = _input("structure", structure, np.float32, (batch, self.width))
        tokens: list[Any] = []
        for name, ids, mask in (("visual", visual_tokens, visual_mask), ("text", text_tokens, text_mask)):
            count = ids.shape[1] if ids.ndim == 2 else 0
            ids = _input(f"{name}_tokens", ids, np.int64, (batch, count))
            mask = _input(f"{name}_mask", mask, np.bool_, (batch, count))
            tokens += [ids, mask, count]
        vectors = np.empty((batch, self.width), np.float32)
        # `tokens` keeps the arrays until the call has returned.
        places = [part if isinstance(part, int) else address(part) for part in tokens]
        status = self._library.mmkg_token_table_encode(
            self._handle, batch, address(structure), *places, address(vectors)
        )
        if status == _NAN:
            raise BackendError(
                "entity_encoder_token_table gave NaN or infinity: float32 cannot hold what the weights make of an "
                "entity. Export from a sound run."
            )
        check(status)
        return vectors


def _sizes(weights: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Sizes of the axes, from two of the weights."""
    expected_names(weights, {name for name, _ in _WEIGHTS.values()}, unread=frozenset({"head_of_column"}))
    logits, hidden = two_axes(weights, "logits"), two_axes(weights, "rest.hidden.multiplied_weight")
    return dict(zip((_ROWS, _HEADS, WIDTH, HIDDEN), (*logits, *hidden), strict=True))


def _input(name: str, array: NDArray[Any], dtype: type[np.generic], shape: tuple[int, int]) -> NDArray[Any]:
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(
            f"{name}: {array.dtype} {list(array.shape)}; expected {np.dtype(dtype)} {list(shape)} (entities, "
            f"{'width' if name == 'structure' else 'tokens'})."
        )
    return np.ascontiguousarray(array)

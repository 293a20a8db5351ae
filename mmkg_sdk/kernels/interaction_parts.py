"""What MIMIC's late interaction takes, as the library reads it: weights and pieces, checked. On the CPU and on GPUs."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, in_place

Arrays = Mapping[str, NDArray[Any]]

ENTITY_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))  # in the order of mmkg_entity_dtype
# That of torch's LayerNorm, which a weight file does not hold (families/mimic/config.py).
_NORM_EPSILON = 1e-5

# Fields of mmkg_mention_pieces and mmkg_entity_pieces (include/mmkg_link.h) -> axes.
_LENGTH, _TEXT_UNIT, _TEXT, _IMAGE_UNIT, _FUSED = "length", "text_unit", "text", "image_unit", "cross_modal_unit"
Axes = Mapping[str, tuple[str | int, ...]]
MENTION: Axes = {
    "keys": (_LENGTH, _TEXT_UNIT),
    "values": (_LENGTH, _TEXT_UNIT),
    "text": (_TEXT,),
    "dual_key": (3, _IMAGE_UNIT),
    "dual_query": (3, _IMAGE_UNIT),
    "fused": (_FUSED,),
}
ENTITY: Axes = {
    "queries": (_LENGTH, _TEXT_UNIT),
    "cls": (_TEXT_UNIT,),
    "text": (_TEXT,),
    "dual_query": (3, _IMAGE_UNIT),
    "dual_key": (3, _IMAGE_UNIT),
    "fused": (_FUSED,),
}


def _structure(vectors: tuple[str, ...], numbers: tuple[str, ...] = ()) -> type[ctypes.Structure]:
    fields = [*((name, ctypes.c_void_p) for name in vectors), *((name, ctypes.c_float) for name in numbers)]
    return type("_Pointers", (ctypes.Structure,), {"_fields_": fields})


# mmkg_mention_pieces and mmkg_entity_pieces; with addresses of a GPU, mmkg_gpu_mention_pieces and so on.
MentionPieces, EntityPieces = _structure(tuple(MENTION)), _structure(tuple(ENTITY))
_DualWeights = _structure(("to_gate", "context", "scale", "shift"), ("gate_offset", "context_square"))


class InteractionWeights(ctypes.Structure):
    """mmkg_interaction_weights."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (_LENGTH, _TEXT_UNIT, _TEXT, _IMAGE_UNIT, _FUSED)),
        ("norm_epsilon", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("context_weight", "context_bias")),
        ("by_entity", _DualWeights),
        ("by_mention", _DualWeights),
    )


def interaction_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Extents of the axes.

    Args:
        shapes: of each entity piece by name, without the axis of entities (families/mimic/pieces.py).
    """
    return {
        _LENGTH: shapes["entity_queries"][0],
        _TEXT_UNIT: shapes["entity_queries"][1],
        _TEXT: shapes["entity_text"][0],
        _IMAGE_UNIT: shapes["entity_dual_query"][1],
        _FUSED: shapes["entity_fused"][0],
    }


def entity_dtype_of(name: str) -> np.dtype[Any]:
    """That of all entity pieces.

    Raises:
        BackendError: it is none of float32 and float16.
    """
    if np.dtype(name) not in ENTITY_DTYPES:
        raise BackendError(f"entity_dtype is {name!r}; expected 'float32' or 'float16'.")
    return np.dtype(name)


def interaction_weights(weights: Arrays, sizes: Mapping[str, int]) -> tuple[InteractionWeights, list[NDArray[Any]]]:
    """The weights as the library reads them, and the arrays that must be kept until it has.

    Args:
        weights: of the graph by name (without the graph's), float32.

    Raises:
        BackendError: one is missing, unknown or misshapen.
    """
    unknown = set(weights) - _names(sizes).keys()
    if unknown:
        raise BackendError(f"weights of another graph: unknown {sorted(unknown)!r:.200}. Export the bundle again.")
    checked = {name: _weight(weights, name, shape) for name, shape in _names(sizes).items()}
    duals = {side: _dual(checked, side, sizes[_IMAGE_UNIT]) for side in ("by_entity", "by_mention")}
    described = InteractionWeights(
        norm_epsilon=_NORM_EPSILON,
        context_weight=address(checked["context_norm.weight"]),
        context_bias=address(checked["context_norm.bias"]),
        **{side: _DualWeights(**pointers(parts)) for side, parts in duals.items()},
        **sizes,
    )
    kept = [part for parts in duals.values() for part in parts.values() if isinstance(part, np.ndarray)]
    return described, [*checked.values(), *kept]


def pieces_of(
    side: str, axes: Axes, given: Mapping[str, Any], dtype: np.dtype[Any], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The pieces of one side by field, checked; arrays of the host as the library reads them.

    Args:
        side: "mention" or "entity".
        axes: MENTION or ENTITY.
        given: by name, [items, ...], of the host or of a GPU.

    Raises:
        BackendError: one is missing, or of another shape or dtype.
    """
    found: dict[str, Any] = {}
    count = None
    for field, shape in axes.items():
        name = f"{side}_{field}"
        if name not in given:
            raise BackendError(f"no {name} among {sorted(given)!r:.200}.")
        array = given[name]
        count = array.shape[0] if count is None and array.shape else count
        expected = (count, *(sizes.get(str(axis), axis) for axis in shape))
        if array.shape != expected or array.dtype != dtype:
            raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected {dtype} {list(expected)}.")
        found[field] = in_place(array) if isinstance(array, np.ndarray) else array
    return found


def checked_candidates(candidates: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Rows of entities, C-contiguous; None = all.

    Raises:
        BackendError: they are no int64 with one axis.
    """
    if candidates is None:
        return None
    if candidates.ndim != 1 or candidates.dtype != np.int64:
        raise BackendError(f"candidates: {candidates.dtype} {list(candidates.shape)}; expected int64 [any].")
    return np.ascontiguousarray(candidates)


def not_finite() -> BackendError:
    """The error for a score that is NaN or infinite."""
    return BackendError(
        "interaction gave NaN or infinity: a piece of a mention or an entity is not finite, or too large for "
        "float32. Export again with --precision fp32."
    )


def pointers(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as addresses; numbers as they are."""
    return {name: address(part) if isinstance(part, np.ndarray) else part for name, part in parts.items()}


def _names(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Weights of the graph (`Interaction` in families/mimic/pairs.py): shapes."""
    text, image = sizes[_TEXT_UNIT], sizes[_IMAGE_UNIT]
    names: dict[str, tuple[int, ...]] = {"context_norm.weight": (text,), "context_norm.bias": (text,)}
    for side in ("by_entity", "by_mention"):
        names |= {f"{side}.scale": (image,), f"{side}.gate_offset": (), f"{side}.context_square": ()}
        names |= {f"{side}.of_key": (3 * image, 3), f"{side}.of_query": (3 * image, 4)}
    return names


def _weight(weights: Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = weights.get(name)
    if array is None or array.shape != shape or array.dtype != np.float32:
        what = "missing" if array is None else f"{array.dtype} {list(array.shape)}"
        raise BackendError(f"{name} is {what}; expected float32 {list(shape)}. Export the bundle again.")
    return np.ascontiguousarray(array)


def _dual(weights: Arrays, side: str, width: int) -> dict[str, Any]:
    """What mmkg_dual_weights holds. The graph has its vectors as columns, each for one of three parts."""
    of_key, of_query = weights[f"{side}.of_key"], weights[f"{side}.of_query"]
    return {
        "to_gate": np.ascontiguousarray(of_key[:width, 0]),
        "context": np.ascontiguousarray(of_key[width : 2 * width, 1]),
        "scale": weights[f"{side}.scale"],
        "shift": np.ascontiguousarray(of_query[2 * width :, 3]),
        "gate_offset": weights[f"{side}.gate_offset"].item(),
        "context_square": weights[f"{side}.context_square"].item(),
    }

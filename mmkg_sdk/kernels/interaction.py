"""LateInteraction: MIMIC's scores of mentions and entities from the pieces of both, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, check, instruction_set_name, instruction_set_number, loaded_library, pool

Arrays = Mapping[str, NDArray[Any]]

_NAN = 2  # mmkg_status
_LOGITS = ("float32", "int16")  # in the order of mmkg_logits
_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))  # in the order of mmkg_entity_dtype
# That of torch's LayerNorm, which a weight file does not hold (families/mimic/config.py).
_NORM_EPSILON = 1e-5

# Fields of mmkg_mention_pieces and mmkg_entity_pieces (include/mmkg_link.h) -> axes.
_LENGTH, _TEXT_UNIT, _TEXT, _IMAGE_UNIT, _FUSED = "length", "text_unit", "text", "image_unit", "cross_modal_unit"
_MENTION: dict[str, tuple[str | int, ...]] = {
    "keys": (_LENGTH, _TEXT_UNIT),
    "values": (_LENGTH, _TEXT_UNIT),
    "text": (_TEXT,),
    "dual_key": (3, _IMAGE_UNIT),
    "dual_query": (3, _IMAGE_UNIT),
    "fused": (_FUSED,),
}
_ENTITY: dict[str, tuple[str | int, ...]] = {
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


_MentionPieces, _EntityPieces = _structure(tuple(_MENTION)), _structure(tuple(_ENTITY))
_DualWeights = _structure(("to_gate", "context", "scale", "shift"), ("gate_offset", "context_square"))


class _Weights(ctypes.Structure):
    """mmkg_interaction_weights."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (_LENGTH, _TEXT_UNIT, _TEXT, _IMAGE_UNIT, _FUSED)),
        ("norm_epsilon", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("context_weight", "context_bias")),
        ("by_entity", _DualWeights),
        ("by_mention", _DualWeights),
    )


class LateInteraction:
    """The graph `interaction` in float32 sums, fused: no tensor has an entry for each position of each pair.

    The scores of a pair depend on nothing but its pieces, to the bit: not on the other mentions and candidates, nor on
    threads; as to processors see `mmkg_sdk.kernels`. Safe to call from several threads; a forked child may go on using
    it. The weights are copied, so the arrays may go.

    Args:
        weights: of the graph by name (without the graph's), float32.
        sizes: the shape of each entity piece by name, without the axis of entities (families/mimic/pieces.py).
        entity_dtype: "float32" or "float16", of all entity pieces; they are converted as they are read.
        logits: how TGLU's logits are multiplied: "float32", or "int16", in a third less time: queries and keys without
            their means, rounded to 16 bits. That changes text scores by about 3e-6 of their root mean square, where
            half precision pieces change them by 2e-4. None takes "int16" for such pieces, else "float32".
        threads: of a call; None takes `default_threads()`.
        instruction_set: one of `instruction_sets()`; None takes the best. avx512 stands for avx2,
            avx512_bf16 for avx512_vnni.

    Raises:
        BackendError: no library; a weight that is missing, unknown, misshapen or not finite.
    """

    def __init__(
        self,
        weights: Arrays,
        sizes: Mapping[str, tuple[int, ...]],
        entity_dtype: str = "float32",
        logits: Literal["float32", "int16"] | None = None,
        threads: int | None = None,
        instruction_set: str | None = None,
    ) -> None:
        self._library = loaded_library()
        if np.dtype(entity_dtype) not in _DTYPES:
            raise BackendError(f"entity_dtype is {entity_dtype!r}; expected 'float32' or 'float16'.")
        self._dtype = np.dtype(entity_dtype)
        self.logits = logits or ("int16" if self._dtype == np.float16 else "float32")
        if self.logits not in _LOGITS:
            raise BackendError(f"logits is {logits!r}; expected one of {_LOGITS}.")
        self._sizes = {
            _LENGTH: sizes["entity_queries"][0],
            _TEXT_UNIT: sizes["entity_queries"][1],
            _TEXT: sizes["entity_text"][0],
            _IMAGE_UNIT: sizes["entity_dual_query"][1],
            _FUSED: sizes["entity_fused"][0],
        }
        unknown = set(weights) - _names(self._sizes).keys()
        if unknown:
            raise BackendError(f"weights of another graph: unknown {sorted(unknown)!r:.200}. Export the bundle again.")
        # `checked` keeps the arrays until the weights are copied.
        checked = {name: _weight(weights, name, shape) for name, shape in _names(self._sizes).items()}
        duals = {side: _dual(checked, side, self._sizes[_IMAGE_UNIT]) for side in ("by_entity", "by_mention")}
        described = _Weights(
            norm_epsilon=_NORM_EPSILON,
            context_weight=address(checked["context_norm.weight"]),
            context_bias=address(checked["context_norm.bias"]),
            **{side: _DualWeights(**_pointers(parts)) for side, parts in duals.items()},
            **self._sizes,
        )
        handle = ctypes.c_void_p()
        status = self._library.mmkg_interaction_open(
            ctypes.byref(described),
            _DTYPES.index(self._dtype),
            _LOGITS.index(self.logits),
            instruction_set_number(instruction_set),
            pool(threads),
            ctypes.byref(handle),
        )
        check(status)
        self._handle = handle
        weakref.finalize(self, self._library.mmkg_interaction_close, handle)

    @property
    def instruction_set(self) -> str:
        """Name of what it runs on."""
        return instruction_set_name(self._library.mmkg_interaction_instruction_set(self._handle))

    def scores(
        self, mentions: Arrays, entities: Arrays, candidates: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """The scores by unit (text, image, image with text) of every mention with every candidate.

        Args:
            mentions: the pieces that the graph `mention_side` gives, float32 [mentions, ...] by name.
            entities: the pieces of all entities, [entities, ...] by name; read where they are, if they are
                C-contiguous.
            candidates: int64 [candidates], rows of the entities in any order; None = all.

        Returns:
            float32 [3, mentions, candidates].

        Raises:
            BackendError: wrong shape or dtype, a candidate that there is not, a score that is NaN or infinite.
        """
        asked = self._pieces("mention", _MENTION, mentions, np.dtype(np.float32))
        known = self._pieces("entity", _ENTITY, entities, self._dtype)
        count, rows = len(asked["text"]), len(known["text"])
        if candidates is not None:
            if candidates.ndim != 1 or candidates.dtype != np.int64:
                raise BackendError(f"candidates: {candidates.dtype} {list(candidates.shape)}; expected int64 [any].")
            candidates = np.ascontiguousarray(candidates)
        width = rows if candidates is None else len(candidates)
        scores = np.empty((3, count, width), np.float32)
        status = self._library.mmkg_interaction_scores(
            self._handle,
            ctypes.byref(_MentionPieces(**_pointers(asked))),
            count,
            ctypes.byref(_EntityPieces(**_pointers(known))),
            rows,
            address(candidates),
            width,
            *(address(unit) for unit in scores),
        )
        if status == _NAN:
            raise BackendError(
                "interaction gave NaN or infinity: a piece of a mention or an entity is not finite, or too large for "
                "float32. Export again with --precision fp32."
            )
        check(status)
        return scores

    def _pieces(
        self, side: str, axes: Mapping[str, tuple[str | int, ...]], given: Arrays, dtype: np.dtype[Any]
    ) -> dict[str, NDArray[Any]]:
        found, count = {}, None
        for field, shape in axes.items():
            name = f"{side}_{field}"
            if name not in given:
                raise BackendError(f"no {name} among {sorted(given)!r:.200}.")
            array = given[name]
            count = len(array) if count is None and array.ndim else count
            expected = (count, *(self._sizes.get(str(axis), axis) for axis in shape))
            if array.shape != expected or array.dtype != dtype:
                raise BackendError(f"{name}: {array.dtype} {list(array.shape)}; expected {dtype} {list(expected)}.")
            if not (array.flags.c_contiguous and array.flags.aligned):
                array = np.require(array, requirements=["C", "A"])
            found[field] = array
        return found


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


def _pointers(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: address(part) if isinstance(part, np.ndarray) else part for name, part in parts.items()}

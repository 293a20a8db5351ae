"""QueryContext: from the ids of queries to what MyGO's query transformer makes of them, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, check, in_place, instruction_set_name, instruction_set_number, loaded_library, pool
from .weights import HIDDEN, LAYER_REST, NORM_EPSILON, WIDTH, contiguous_weight, expected_names, two_axes

_NAN = 2  # mmkg_status

# Field of mmkg_query_layer (include/mmkg_query.h) -> weight of a layer and its axes.
_LAYER: dict[str, tuple[str, tuple[str, ...]]] = {
    "query_weight": ("query.multiplied_weight", (WIDTH, WIDTH)),
    "query_bias": ("query.bias", (WIDTH,)),
    "key_weight": ("key.multiplied_weight", (WIDTH, WIDTH)),
    "key_bias": ("key.bias", (WIDTH,)),
    "value_weight": ("value.multiplied_weight", (WIDTH, WIDTH)),
    "value_bias": ("value.bias", (WIDTH,)),
    **LAYER_REST,
}


class _Layer(ctypes.Structure):
    """mmkg_query_layer."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in _LAYER)


class _Weights(ctypes.Structure):
    """mmkg_query_weights."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (WIDTH, "heads", HIDDEN, "num_relations", "num_layers")),
        ("norm_epsilon", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("known_slots", "missing_slots", "relations", "layers")),
    )


class QueryWeights:
    """The weights of the graph as the library takes them. They must stay until it has opened the transformer.

    Attributes:
        address: of mmkg_query_weights.
        width: of a vector.
        num_relations: how many.

    Raises:
        BackendError: a weight is missing, unknown or misshapen.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]], heads: int) -> None:
        layers = 1
        while f"layers.{layers}.query.bias" in weights:
            layers += 1
        names = [f"layers.{layer}.{name}" for layer in range(layers) for name, _ in _LAYER.values()]
        expected_names(weights, {"known_slot", "missing", "relations", *names})
        self.num_relations, self.width = two_axes(weights, "relations")
        sizes = {WIDTH: self.width, HIDDEN: two_axes(weights, "layers.0.rest.hidden.multiplied_weight")[1]}
        shapes: dict[str, tuple[int, ...]]
        shapes = {
            "known_slot": (2, self.width),
            "missing": (2, self.width),
            "relations": (self.num_relations, self.width),
        }
        shapes |= {
            f"layers.{layer}.{name}": tuple(sizes[axis] for axis in axes)
            for layer in range(layers)
            for name, axes in _LAYER.values()
        }
        self._arrays = arrays = {name: contiguous_weight(name, weights[name], shape) for name, shape in shapes.items()}
        self._layers = (_Layer * layers)(
            *(
                _Layer(**{field: address(arrays[f"layers.{layer}.{name}"]) for field, (name, _) in _LAYER.items()})
                for layer in range(layers)
            )
        )
        self._described = _Weights(
            **sizes,
            heads=heads,
            num_relations=self.num_relations,
            num_layers=layers,
            norm_epsilon=NORM_EPSILON,
            known_slots=address(arrays["known_slot"]),
            missing_slots=address(arrays["missing"]),
            relations=address(arrays["relations"]),
            layers=ctypes.addressof(self._layers),
        )
        self.address = ctypes.addressof(self._described)


class QueryContext:
    """The graph `query_encoder` up to its Tucker core, in float32, fused over blocks of queries.

    What a query gives depends on nothing but that query, to the bit: not on the batch or threads; as to processors see
    `mmkg_sdk.kernels`. Safe to call from several threads; a forked child may go on using it. The weights are copied, so
    the arrays may go.

    Args:
        weights: of the graph by name (without the graph's and without the core's), float32.
        heads: of the attention.
        threads: of a call; None takes `default_threads()`.
        instruction_set: one of `instruction_sets()`; None takes the best. avx2_vnni stands for avx2,
            avx512_bf16 for avx512.

    Raises:
        BackendError: no library; a weight that is missing, unknown, misshapen or not finite.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        heads: int,
        threads: int | None = None,
        instruction_set: str | None = None,
    ) -> None:
        self._library = loaded_library()
        described = QueryWeights(weights, heads)
        self.width = described.width
        handle = ctypes.c_void_p()
        number = instruction_set_number(instruction_set)
        arguments = (described.address, number, pool(threads))
        check(self._library.mmkg_query_context_open(*arguments, ctypes.byref(handle)))
        self._handle = handle
        weakref.finalize(self, self._library.mmkg_query_context_close, handle)

    @property
    def instruction_set(self) -> str:
        """Name of what it runs on."""
        return instruction_set_name(self._library.mmkg_query_context_instruction_set(self._handle))

    @property
    def handle(self) -> ctypes.c_void_p:
        """The library's, open as long as this object lives."""
        return self._handle

    def encode(
        self,
        table: NDArray[np.float32],
        entity: NDArray[np.int64],
        relation: NDArray[np.int64],
        direction: NDArray[np.int64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the last layer makes of the missing entity (the context) and of the relation.

        Args:
            table: float32 [entities, width]; read where it is if C-contiguous and aligned.
            entity, relation, direction: int64 [batch]: a row of the table, a relation, 0 (the tail is missing) or 1.

        Returns:
            Context and relation, float32 [batch, width] each.

        Raises:
            BackendError: wrong shape or dtype, an id out of range, what float32 cannot hold.
        """
        if table.ndim != 2 or table.shape[1] != self.width or table.dtype != np.float32:
            raise BackendError(f"table: {table.dtype} {list(table.shape)}; expected float32 [entities, {self.width}].")
        table = in_place(table)
        batch = len(entity)
        ids = []
        for name, column in (("entity", entity), ("relation", relation), ("direction", direction)):
            if column.shape != (batch,) or column.dtype != np.int64:
                raise BackendError(f"{name}: {column.dtype} {list(column.shape)}; expected int64 [{batch}].")
            ids.append(in_place(column))
        found = np.empty((2, batch, self.width), np.float32)
        status = self._library.mmkg_query_context_encode(
            self._handle, address(table), len(table), batch, *map(address, ids), address(found[0]), address(found[1])
        )
        if status == _NAN:
            raise BackendError(
                "query_encoder gave NaN or infinity: float32 cannot hold what the weights make of a query. Export "
                "from a sound run."
            )
        check(status)
        return found[0], found[1]

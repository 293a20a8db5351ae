"""LateInteraction: MIMIC's scores of mentions and entities from the pieces of both, by the compiled library."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .interaction_parts import (
    ENTITY,
    ENTITY_DTYPES,
    MENTION,
    Arrays,
    EntityPieces,
    MentionPieces,
    checked_candidates,
    entity_dtype_of,
    interaction_sizes,
    interaction_weights,
    not_finite,
    pieces_of,
    pointers,
)
from .library import address, check, instruction_set_name, instruction_set_number, loaded_library, pool

_NAN = 2  # mmkg_status
_LOGITS = ("float32", "int16")  # in the order of mmkg_logits


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
        instruction_set: one of `instruction_sets()`; None takes the best. avx512 and avx2_vnni
            stand for avx2, avx512_bf16 for avx512_vnni.

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
        self._dtype = entity_dtype_of(entity_dtype)
        self.logits = logits or ("int16" if self._dtype == np.float16 else "float32")
        if self.logits not in _LOGITS:
            raise BackendError(f"logits is {logits!r}; expected one of {_LOGITS}.")
        self._sizes = interaction_sizes(sizes)
        described, kept = interaction_weights(weights, self._sizes)
        handle = ctypes.c_void_p()
        status = self._library.mmkg_interaction_open(
            ctypes.byref(described),
            ENTITY_DTYPES.index(self._dtype),
            _LOGITS.index(self.logits),
            instruction_set_number(instruction_set),
            pool(threads),
            ctypes.byref(handle),
        )
        check(status)
        del kept  # read until here
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
        asked = pieces_of("mention", MENTION, mentions, np.dtype(np.float32), self._sizes)
        known = pieces_of("entity", ENTITY, entities, self._dtype, self._sizes)
        count, rows = len(asked["text"]), len(known["text"])
        candidates = checked_candidates(candidates)
        width = rows if candidates is None else len(candidates)
        scores = np.empty((3, count, width), np.float32)
        status = self._library.mmkg_interaction_scores(
            self._handle,
            ctypes.byref(MentionPieces(**pointers(asked))),
            count,
            ctypes.byref(EntityPieces(**pointers(known))),
            rows,
            address(candidates),
            width,
            *(address(unit) for unit in scores),
        )
        if status == _NAN:
            raise not_finite()
        check(status)
        return scores

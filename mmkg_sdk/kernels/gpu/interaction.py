"""GpuInteraction: MIMIC's scores of mentions and entities on a GPU, from the pieces of both.

NOT RUN ON A GPU YET: its logic is tested on CPUs, with a stand-in for NVIDIA's driver and Triton's interpreter.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..interaction_parts import (
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
from ..library import address, in_place
from .arguments import OnGpu, gpu_of
from .device import GpuArray, Stream
from .library import check, gpu_library

_NAN = 2  # mmkg_status
# MMKG_MAX_GPU_TEXT_LENGTH of include/mmkg_cuda_link.h.
MAX_LENGTH = 128
# Queries lie on the GPU with their width rounded up to a multiple of this.
_CHUNK, _PADDED = 32, "padded_text_unit"
_ENTITY_ON_GPU = {**ENTITY, "queries": ("length", _PADDED)}


class GpuInteraction:
    """The graph `interaction` on a GPU, fused: no tensor has an entry for each position of each pair.

    Scores are those of `kernels.LateInteraction` but for rounding: about 4e-6 of their root mean square, as
    include/mmkg_cuda_link.h says of each part. Safe to call from several threads, which do not wait for each other:
    each has its own stream.

    Args:
        weights: of the graph by name (without the graph's), float32.
        sizes: the shape of each entity piece by name, without the axis of entities (families/mimic/pieces.py).
        entity_dtype: "float32" or "float16", of all entity pieces.
        device: "cuda" or "cuda:1".

    Raises:
        BackendError: names what is missing: the driver, the GPU, memory, kernels for it or for texts of this length; or
            what is wrong with a weight.
    """

    def __init__(
        self,
        weights: Arrays,
        sizes: Mapping[str, tuple[int, ...]],
        entity_dtype: str = "float32",
        device: str = "cuda",
    ) -> None:
        self._dtype = entity_dtype_of(entity_dtype)
        self._sizes = interaction_sizes(sizes)
        padded = -(-self._sizes["text_unit"] // _CHUNK) * _CHUNK
        self._sizes_on_gpu = self._sizes | {_PADDED: padded}
        described, kept = interaction_weights(weights, self._sizes)
        self.gpu = gpu_of(device)
        self._library = gpu_library()
        self._streams = threading.local()
        handle = ctypes.c_void_p()
        dtype = ENTITY_DTYPES.index(self._dtype)
        opened = (self.gpu.handle, ctypes.byref(described), dtype, ctypes.byref(handle))
        check(self._library.mmkg_gpu_interaction_open(*opened))
        del kept  # read until here
        self._handle = handle
        weakref.finalize(self, self._library.mmkg_gpu_interaction_close, handle).atexit = False

    def place(self, entities: Arrays) -> dict[str, GpuArray]:
        """The pieces of all entities on the GPU, for `scores`; they stay there as long as what this gives.

        Raises:
            BackendError: wrong shape or dtype, or not enough memory; the text says how much was asked for.
        """
        pieces = pieces_of("entity", ENTITY, entities, self._dtype, self._sizes)
        missing = self._sizes_on_gpu[_PADDED] - self._sizes["text_unit"]
        if missing:
            pieces["queries"] = np.pad(pieces["queries"], ((0, 0), (0, 0), (0, missing)))
        return {f"entity_{field}": self.gpu.array(piece) for field, piece in pieces.items()}

    def scores(
        self,
        mentions: Arrays,
        entities: Mapping[str, OnGpu],
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> NDArray[np.float32]:
        """The scores by unit (text, image, image with text) of every mention with every candidate.

        Args:
            mentions: the pieces that the graph `mention_side` gives, float32 [mentions, ...] by name, on the host.
            entities: the pieces of all entities on this GPU, as `place` gives them.
            candidates: int64 [candidates], rows of the entities in any order; None = all.
            stream: CUstream to run on; None: one of the calling thread.

        Returns:
            float32 [3, mentions, candidates].

        Raises:
            BackendError: wrong shape or dtype, a candidate that there is not, a score that is NaN or infinite, not
                enough memory.
        """
        asked, known = self._given(mentions, entities)
        candidates = checked_candidates(candidates)
        count, width = len(asked["text"]), known["text"].shape[0] if candidates is None else len(candidates)
        scores = np.empty((3, count, width), np.float32)
        _check(
            self._library.mmkg_gpu_interaction_scores(
                *(self._handle, *_sides(asked, known)),
                *(address(candidates), width, *(address(unit) for unit in scores)),
                self._stream() if stream is None else stream,
            )
        )
        return scores

    def best(
        self,
        mentions: Arrays,
        entities: Mapping[str, OnGpu],
        k: int,
        candidates: NDArray[np.int64] | None = None,
        stream: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The candidates among the k best of some mention by the mean of the units; no score of others leaves the GPU.

        Args:
            k: at most the number of candidates.

        Returns:
            int32 [chosen], places among the candidates, ascending, of equal scores the first ones; and the scores by
            unit of every mention with each of them, float32 [3, mentions, chosen], the bits that `scores` gives.

        Raises:
            BackendError: as of `scores`; a k out of range.
        """
        asked, known = self._given(mentions, entities)
        candidates = checked_candidates(candidates)
        count, width = len(asked["text"]), known["text"].shape[0] if candidates is None else len(candidates)
        if not 1 <= k <= max(1, width):
            raise BackendError(f"k is {k}; expected 1 to {width}, the number of candidates.")
        room = min(count * k, width)
        places, scores, chosen = np.empty(room, np.int32), np.empty((3, count * room), np.float32), ctypes.c_int64()
        _check(
            self._library.mmkg_gpu_interaction_best(
                *(self._handle, *_sides(asked, known)),
                *(address(candidates), width, k, address(places), ctypes.byref(chosen)),
                *(address(unit) for unit in scores),
                self._stream() if stream is None else stream,
            )
        )
        found = chosen.value
        return places[:found], scores[:, : count * found].reshape(3, count, found)

    def ranks(
        self,
        mentions: Arrays,
        entities: Mapping[str, OnGpu],
        targets: NDArray[np.int64],
        stream: int | None = None,
    ) -> NDArray[np.int32]:
        """Where one entity stands among all for every mention by the mean of the units; no score leaves the GPU.

        Args:
            targets: int64 [mentions], rows of the entities.

        Returns:
            int32 [mentions], from 1; of equal scores the lower row comes first.

        Raises:
            BackendError: as of `scores`; a target that there is not.
        """
        asked, known = self._given(mentions, entities)
        count = len(asked["text"])
        if targets.shape != (count,) or targets.dtype != np.int64:
            raise BackendError(f"targets: {targets.dtype} {list(targets.shape)}; expected int64 [{count}].")
        targets, ranks = in_place(targets), np.empty(count, np.int32)
        _check(
            self._library.mmkg_gpu_interaction_ranks(
                *(self._handle, *_sides(asked, known)),
                *(address(targets), address(ranks), self._stream() if stream is None else stream),
            )
        )
        return ranks

    def _given(self, mentions: Arrays, entities: Mapping[str, OnGpu]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The pieces of mentions and of entities by field, checked."""
        asked = pieces_of("mention", MENTION, mentions, np.dtype(np.float32), self._sizes)
        for name, piece in entities.items():
            if isinstance(piece, np.ndarray):
                raise BackendError(f"{name} is on the host; expected it on the GPU, from `place`.")
        return asked, pieces_of("entity", _ENTITY_ON_GPU, entities, self._dtype, self._sizes_on_gpu)

    def _stream(self) -> int:
        mine = getattr(self._streams, "mine", None)
        if mine is None:
            mine = self._streams.mine = Stream(self.gpu)
        return int(mine.handle)


def _sides(asked: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Any, int, Any, int]:
    """Mentions and entities as arguments, each with their number."""
    placed = EntityPieces(**{name: piece.pointer for name, piece in known.items()})
    mentioned = MentionPieces(**pointers(asked))
    return ctypes.byref(mentioned), len(asked["text"]), ctypes.byref(placed), known["text"].shape[0]


def _check(status: int) -> None:
    if status == _NAN:
        raise not_finite()
    check(status)

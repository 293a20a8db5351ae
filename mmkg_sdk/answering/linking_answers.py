"""What saving asks of a Linker, and the fixed questions to it (asked.py has those of the sentence tasks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..bundle import Bundle
from ..families import contract
from .candidate_table import CandidateTable

_MENTIONS = 2

Pieces = dict[str, NDArray[Any]]


class LinkingModel(Protocol):
    """A Linker (entity_linking.py)."""

    bundle: Bundle
    backend: Backend
    compiled: bool

    @property
    def has_stand_ins(self) -> bool: ...

    def encode_tokens(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], pixel_values: NDArray[np.float32]
    ) -> Pieces: ...

    def score_pieces(self, pieces: Mapping[str, NDArray[np.float32]]) -> Pieces: ...

    def unit_scores(
        self, entities: CandidateTable, pieces: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


def noise_mentions(linker: LinkingModel) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The arguments of `encode_tokens` for two of noise: with all tokens and an image; with half of them and none."""
    config, random = contract.linking_config(linker.bundle.config), np.random.default_rng(0)
    ids = random.integers(0, config.vocabulary_size, (_MENTIONS, config.text_length))
    mask = np.ones_like(ids)
    mask[1, (config.text_length + 1) // 2 :] = 0
    pixels = random.standard_normal((_MENTIONS, 3, config.image_size, config.image_size), np.float32)
    pixels[1] = 0
    return ids, mask, pixels


def linking_answers(linker: LinkingModel) -> Pieces:
    """The scores of `noise_mentions` by unit, float32 [mentions, entities] each."""
    return {**linker.score_pieces(linker.encode_tokens(*noise_mentions(linker)))}

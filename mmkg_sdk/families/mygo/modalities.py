"""The modalities of an entity's sequence, in their order: visual, text, then further ones by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...bundle.config import check_numbers
from ...errors import DataError
from ...registry import PUBLISHED_MODALITIES, check_further_modality


@dataclass(frozen=True)
class TokenModality:
    """One modality.

    Attributes:
        name: that of its tokens in data, graphs and messages.
        codebook_rows: tokens that there are.
        codebook_width: numbers that each token stands for.
        num_tokens: of each entity, the most frequent ones.
        dropout: on its tokens, in [0, 1).
    """

    name: str
    codebook_rows: int
    codebook_width: int
    num_tokens: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in PUBLISHED_MODALITIES:
            check_further_modality(self.name)
        check_numbers(self, f"{self.name}: ")
        if not self.dropout < 1:
            raise DataError(f"{self.name}: dropout is {self.dropout!r}; a dropout rate lies in [0, 1).")


def token_inputs(modalities: Iterable[TokenModality]) -> tuple[str, ...]:
    """What the entity encoder is fed of modalities, in its order: NAME_tokens and NAME_mask of each."""
    return tuple(f"{one.name}_{part}" for one in modalities for part in ("tokens", "mask"))

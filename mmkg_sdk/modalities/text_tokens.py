"""Texts to the tokens of a learned WordPiece vocabulary: pieces that tell entities apart, from rare to common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .readers import Parts, listed_parts
from .text import piece_ids, word_piece_tokenizer
from .tokenizer_rules import UNKNOWN

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COMMON_SHARE = 0.25
FEW_TEXTS = 20
SHORTEST_PART = 3


@dataclass(frozen=True)
class TextTokenizer:
    """A learned text tokenizer: its vocabulary, and how common every piece is among the texts that it was learned of.

    A piece is left out if it holds no letter or digit, if it is a part of a word with fewer than three characters, or
    if it occurs in more than a quarter of the texts (with 20 texts or more) or in none: such pieces say little about an
    entity, and selection by frequency would keep little else. A text that would lose all its pieces keeps its parts.
    Selection prefers what comes first among equals, so a list goes from rare to common pieces; those of one text only,
    which connect it with no other, come last.

    Attributes:
        pieces: in the order of their ids.
        num_texts_of: int64 [pieces], the texts that hold each.
        num_texts: all of them.
    """

    reads: ClassVar[Literal["texts"]] = "texts"

    pieces: tuple[str, ...]
    num_texts_of: NDArray[np.int64]
    num_texts: int

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """See TextReader.of_parts."""
        if {name: (array.dtype.name, array.ndim) for name, array in parts.items()} != {
            "pieces": ("uint8", 1),
            "num_texts_of": ("int64", 1),
            "num_texts": ("int64", 1),
        }:
            raise ValueError(f"a text tokenizer of {listed_parts(parts)}, of other types or shapes")
        pieces, counts = parts["pieces"].tobytes().decode().split("\n"), parts["num_texts_of"]
        if len(set(pieces)) != len(pieces) or "" in pieces or UNKNOWN not in pieces:
            raise ValueError(f"pieces that are empty, stand there twice, or lack {UNKNOWN}")
        if parts["num_texts"].shape != (1,) or counts.shape != (len(pieces),):
            raise ValueError(f"counts of {len(counts):,} pieces, of which there are {len(pieces):,}")
        if counts.min() < 0 or counts.max() > parts["num_texts"][0]:
            raise ValueError("a piece of more texts than there are, or of fewer than none")
        return cls(tuple(pieces), counts, int(parts["num_texts"][0]))

    def parts(self) -> dict[str, NDArray[Any]]:
        """See TextReader.parts."""
        return {
            "pieces": np.frombuffer("\n".join(self.pieces).encode(), np.uint8),
            "num_texts_of": self.num_texts_of,
            "num_texts": np.array([self.num_texts]),
        }

    @classmethod
    def learn(cls, pieces: Sequence[str], texts: Sequence[str]) -> TextTokenizer:
        """Of a vocabulary that has [UNK]."""
        num_texts_of = np.zeros(len(pieces), np.int64)
        for tokens in piece_ids(word_piece_tokenizer(pieces), texts):
            num_texts_of[list(set(tokens))] += 1
        return cls(tuple(pieces), num_texts_of, len(texts))

    @property
    def size(self) -> int:
        """Tokens that there are."""
        return len(self.pieces)

    def piece(self, token: int) -> str:
        """See TextReader.piece."""
        return self.pieces[token]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of every text; none where nothing tells it from others.

        Raises:
            QueryError: an item is no text, or holds half of a surrogate pair.
        """
        return [self._kept(tokens) for tokens in piece_ids(self._word_pieces, texts)]

    def _kept(self, tokens: Sequence[int]) -> list[int]:
        left = [position for position, token in enumerate(tokens) if not self._dropped[token]]
        longer = [position for position in left if not self._short_part(position, tokens)]
        kept = [tokens[position] for position in longer or left]
        # The sort is stable: equally common pieces stay in the order of the text.
        return sorted(kept, key=lambda token: (self.num_texts_of[token] == 1, self.num_texts_of[token]))

    def _short_part(self, position: int, tokens: Sequence[int]) -> bool:
        """Whether the piece at a position is a part of a word and has fewer than three characters."""
        piece = self.pieces[tokens[position]]
        continued = position + 1 < len(tokens) and self.pieces[tokens[position + 1]].startswith("##")
        return (piece.startswith("##") or continued) and len(piece.removeprefix("##")) < SHORTEST_PART

    @cached_property
    def _word_pieces(self) -> Tokenizer:
        # Without special tokens, so that a text with a literal `[UNK]` is not taken for the piece.
        return word_piece_tokenizer(self.pieces)

    @cached_property
    def _dropped(self) -> NDArray[np.bool_]:
        dropped = np.array([piece == UNKNOWN or not any(char.isalnum() for char in piece) for piece in self.pieces])
        dropped |= self.num_texts_of == 0
        if self.num_texts >= FEW_TEXTS:
            dropped |= self.num_texts_of > COMMON_SHARE * self.num_texts
        return dropped

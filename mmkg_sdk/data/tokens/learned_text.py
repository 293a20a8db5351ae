"""A small text tokenizer learned from the texts at hand: WordPiece vocabulary and a co-occurrence codebook.

Rules, all deterministic:
1. Text is lower-cased and stripped of accents, words and punctuation are separated, and a WordPiece
   vocabulary of at most 2,000 pieces is trained on it.
2. A piece is left out of the lists if it holds no letter or digit, if it is a part of a word with fewer than
   three characters, or if it occurs in more than a quarter of the texts (with 20 texts or more): such pieces
   say little about an entity, and selection by frequency would keep little else. A text that would lose all
   its pieces keeps its parts. Selection prefers what comes first among equals, so a list goes from rare to
   common pieces; those of one text only, which connect it with no other, come last.
3. Codebook: the matrix of positive pointwise mutual information of two different pieces in the same text (log
   of their joint frequency over the product of the single ones, negative values set to 0), cut to its at most
   32 largest positive eigenvalues: each eigenvector times the root of its eigenvalue, signed so that its
   largest entry is positive, and the whole scaled to a mean square of 1. The negative half of the spectrum is
   left out because it would push apart exactly the pieces that stand together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, missing_package
from ...modalities.text import learn_bert_vocabulary, piece_ids, word_piece_tokenizer
from ...modalities.tokenizer_rules import UNKNOWN
from ..graph import RawTokens

MAX_PIECES = 2000
WIDTH = 32
COMMON_SHARE = 0.25
FEW_TEXTS = 20
SHORTEST_PART = 3
_BLOCK_TEXTS = 4096


def learn_text_tokens(texts: Mapping[str, str]) -> RawTokens:
    """Tokens of every text, codebook float32 [pieces, at most 32]; a text of common pieces only is left out.

    Raises:
        DataError: if no piece remains in any text.
        BackendError: if the package tokenizers is missing.
    """
    contents = list(texts.values())
    pieces = learn_bert_vocabulary(contents, MAX_PIECES, tokens=(UNKNOWN,))
    # Without special tokens, so that a text with a literal `[UNK]` is not taken for the piece.
    encoded = piece_ids(word_piece_tokenizer(pieces), contents)
    num_texts_of = np.zeros(len(pieces), dtype=np.int64)
    for tokens in encoded:
        num_texts_of[list(set(tokens))] += 1
    dropped = np.array([piece == UNKNOWN or not any(char.isalnum() for char in piece) for piece in pieces])
    if len(encoded) >= FEW_TEXTS:
        dropped |= num_texts_of > COMMON_SHARE * len(encoded)
    lists: dict[str, list[int]] = {}
    for label, tokens in zip(texts, encoded, strict=True):
        left = [position for position, token in enumerate(tokens) if not dropped[token]]
        longer = [position for position in left if not _short_part(position, tokens, pieces)]
        kept = [tokens[position] for position in longer or left]
        if kept:
            # The sort is stable: equally common pieces stay in the order of the text.
            lists[label] = sorted(kept, key=lambda token: (num_texts_of[token] == 1, num_texts_of[token]))
    if not lists:
        raise DataError(f"the {len(texts)} texts share all their words; nothing tells the entities apart.")
    codebook = _co_occurrence_codebook(list(lists.values()), len(pieces))
    return RawTokens(lists, codebook, len(codebook), len(codebook) - 1, "learned-wordpiece")


def _short_part(position: int, tokens: Sequence[int], pieces: Sequence[str]) -> bool:
    """Whether the piece at a position is a part of a word and has fewer than three characters."""
    piece = pieces[tokens[position]]
    continued = position + 1 < len(tokens) and pieces[tokens[position + 1]].startswith("##")
    return (piece.startswith("##") or continued) and len(piece.removeprefix("##")) < SHORTEST_PART


def _co_occurrence_codebook(texts: Sequence[Sequence[int]], num_pieces: int) -> NDArray[np.float32]:
    """Rule 3 of the module for the pieces of every text."""
    together = np.zeros((num_pieces, num_pieces), dtype=np.float64)
    for start in range(0, len(texts), _BLOCK_TEXTS):
        block = texts[start : start + _BLOCK_TEXTS]
        present = np.zeros((len(block), num_pieces), dtype=np.float32)
        for row, tokens in enumerate(block):
            present[row, tokens] = 1
        together += present.T @ present  # whole numbers below 2^24: exact in any order
    np.fill_diagonal(together, 0.0)
    single = together.sum(axis=1)
    total = single.sum()
    expected = np.outer(single, single)
    information = np.zeros_like(together)
    seen = together > 0
    information[seen] = np.maximum(np.log(together[seen] * total / expected[seen]), 0.0)
    values, vectors = _eigen(information)
    # eigh sorts ascending. Tiny eigenvalues are rounding; without any other the pieces are all alike.
    largest_first = np.arange(len(values))[::-1][:WIDTH]
    kept = [column for column in largest_first if values[column] > 1e-9 * max(values[-1], 1.0)] or [len(values) - 1]
    codebook = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))
    peaks = codebook[np.argmax(np.abs(codebook), axis=0), np.arange(len(kept))]
    codebook *= np.where(peaks < 0, -1.0, 1.0)
    scale = np.sqrt(np.mean(codebook**2))
    return (codebook / scale if scale > 0 else codebook).astype(np.float32)


def _eigen(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues and eigenvectors, on one thread: with several, the last bits depend on their number."""
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as err:
        raise missing_package("scikit-learn", "train", "learning a text tokenizer") from err
    with threadpool_limits(limits=1):
        values, vectors = np.linalg.eigh(matrix)
    return values, vectors

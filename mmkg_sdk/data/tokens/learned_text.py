"""A small text tokenizer learned from the texts at hand: WordPiece vocabulary and a co-occurrence codebook.

Rules, all deterministic:
1. Text is lower-cased and stripped of accents, words and punctuation are separated, and a WordPiece
   vocabulary of at most 2,000 pieces is trained on it.
2. Which pieces of a text are left out, and in which order the others stand, is said in modalities/text_tokens.py.
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
from ...modalities.text import learn_bert_vocabulary
from ...modalities.text_tokens import TextTokenizer
from ...modalities.tokenizer_rules import UNKNOWN
from ..graph import RawTokens

MAX_PIECES = 2000
WIDTH = 32
_BLOCK_TEXTS = 4096


def learn_text_tokens(texts: Mapping[str, str]) -> RawTokens:
    """Tokens of every text, codebook float32 [pieces, at most 32]; a text of common pieces only is left out.

    Raises:
        DataError: if no piece remains in any text.
        BackendError: if the package tokenizers is missing.
    """
    contents = list(texts.values())
    tokenizer = TextTokenizer.learn(learn_bert_vocabulary(contents, MAX_PIECES, tokens=(UNKNOWN,)), contents)
    lists = {label: kept for label, kept in zip(texts, tokenizer.tokens(contents), strict=True) if kept}
    if not lists:
        raise DataError(f"the {len(texts)} texts share all their words; nothing tells the entities apart.")
    codebook = _co_occurrence_codebook(list(lists.values()), len(tokenizer.pieces))
    return RawTokens(lists, codebook, len(codebook), len(codebook) - 1, "learned-wordpiece", tokenizer)


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

"""The texts of a graph as arrays, and its queries as rows of tokens; without torch and without a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ....ranking.known_triples import Queries
from ..config import MKGformerConfig
from ..texts.preparation import LinkTexts, SpecialTokens, link_query

# Text and visual tokens in one run of a graph: bounds what its feed-forward layers hold (48 MiB at the published width
# of 3,072), and is enough to keep a processor busy.
CHUNK_TOKENS = 4096
_MAX_BATCH = 256


class Pieces(Sequence[Sequence[int]]):
    """Texts of different lengths in one array: those of text i are ids[offsets[i]:offsets[i + 1]]."""

    def __init__(self, offsets: NDArray[Any], ids: NDArray[Any]) -> None:
        self._offsets, self._ids = offsets, ids

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, row: int) -> list[int]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[int]]: ...
    def __getitem__(self, row: int | slice) -> list[int] | list[list[int]]:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        found: list[int] = self._ids[self._offsets[row] : self._offsets[row + 1]].tolist()
        return found


def text_arrays(texts: LinkTexts) -> dict[str, NDArray[Any]]:
    """What `stored_texts` reads: offsets int64 [texts + 1], everything else int32."""
    arrays: dict[str, NDArray[Any]] = {"special_tokens": np.array(astuple(texts.special), np.int32)}
    for name, rows in (("entity", texts.entities), ("relation", texts.relations)):
        arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        arrays[f"{name}_pieces"] = np.array([piece for row in rows for piece in row], np.int32)
    arrays["opening"], arrays["closing"] = np.array(texts.opening, np.int32), np.array(texts.closing, np.int32)
    return arrays


def stored_texts(arrays: Mapping[str, NDArray[Any]], config: MKGformerConfig) -> LinkTexts:
    """The texts of a run or a bundle; nothing is copied."""
    assert config.num_entities is not None
    return LinkTexts(
        SpecialTokens(*arrays["special_tokens"].tolist()),
        Pieces(arrays["entity_offsets"], arrays["entity_pieces"]),
        Pieces(arrays["relation_offsets"], arrays["relation_pieces"]),
        tuple(arrays["opening"].tolist()),
        tuple(arrays["closing"].tolist()),
        config.base_vocabulary_size,
        config.base_vocabulary_size + config.num_entities,
        config.max_length,
    )


def queries_by_length(
    texts: LinkTexts, queries: Queries, visual_tokens: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Queries of equal length together, so that none is padded.

    What the model says of a query depends on how far it is padded: the images look at the padding, too (spec, quirk
    3). Each query is encoded at its own length, as if it were alone in a batch of the authors' code, so an answer does
    not depend on what else is asked. The authors' evaluation pads to the longest of a batch; its numbers differ a
    little with the batch size.

    Args:
        visual_tokens: that each query is read with; it limits how many queries go together.

    Yields:
        int64 [batch], which queries; int64 [batch, length], their tokens.
    """
    asked = zip(queries.entity.tolist(), queries.relation.tolist(), queries.direction.tolist(), strict=True)
    tokens = [link_query(texts, *query) for query in asked]
    lengths = np.array([len(row) for row in tokens], np.int64)
    for length in np.unique(lengths).tolist():
        same = np.flatnonzero(lengths == length)
        batch = min(_MAX_BATCH, max(1, CHUNK_TOKENS // (visual_tokens + length)))
        for start in range(0, len(same), batch):
            rows = same[start : start + batch]
            yield rows, np.array([tokens[row] for row in rows], np.int64)

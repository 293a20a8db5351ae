"""From token lists to the index and mask that a model reads (MyGO's selection rule)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...modalities.selection import most_frequent
from ..graph import RawTokens


@dataclass(frozen=True)
class ModalityTokens:
    """The tokens of one modality that a model sees.

    Attributes:
        index: int64 [entities, count], rows of the codebook.
        mask: bool [entities, count], True = padding, hidden as an attention key.
    """

    index: NDArray[np.int64]
    mask: NDArray[np.bool_]


def select_tokens(raw: RawTokens | None, entities: Labels, count: int) -> ModalityTokens:
    """The `count` most frequent tokens of every entity, in ascending order of codebook row.

    Equal frequencies are settled by first appearance in the entity's list. A token id up to `vocabulary_size`
    is its own codebook row; the ids above it get the rows vocabulary_size + 1, + 2, ... in the order in which
    they are first kept, going through the entities as `raw.lists` has them and, inside an entity, from its
    most to its least frequent token. Unused slots come last, hold `pad_id` and are masked.

    Args:
        raw: the lists and their codebook; None means that no entity has the modality: index 0 everywhere, all
            masked.
        entities: row order of the result.
        count: tokens to keep per entity, from 1.

    Raises:
        DataError: on an unknown entity, a negative id, or a row that the codebook does not have.
    """
    if count < 1:
        raise DataError(f"{count} tokens per entity asked for; expected 1 or more.")
    index = np.zeros((len(entities), count), dtype=np.int64)
    mask = np.ones((len(entities), count), dtype=np.bool_)
    if raw is None:
        return ModalityTokens(index, mask)
    rows = len(raw.codebook)
    if not 0 <= raw.pad_id < rows:
        raise DataError(f"pad id {raw.pad_id} is no row of the codebook ({raw.tokenizer}, {rows} rows).")
    index[:] = raw.pad_id
    for label, columns in kept_rows(raw, count):
        row = entities.find(label)
        if row is None:
            near = "".join(f" near: {name!r}." for name in entities.near(label, 1))
            raise DataError(f"the token lists name {label!r}, which is none of the {len(entities)} entities.{near}")
        index[row, : len(columns)] = sorted(columns)
        mask[row, : len(columns)] = False
    return ModalityTokens(index, mask)


def kept_rows(raw: RawTokens, count: int) -> Iterator[tuple[str, list[int]]]:
    """Of every entity the codebook rows of its `count` most frequent tokens, the most frequent first.

    Raises:
        DataError: a row that the codebook does not have.
    """
    rows, moved = len(raw.codebook), moved_rows(raw, count)
    for label, tokens in raw.lists.items():
        columns = []
        for token in most_frequent(tokens, count):
            column = moved.get(token, int(token))
            if not 0 <= column < rows:
                raise DataError(
                    f"entity {label!r}: token {token} stands for codebook row {column}, but the codebook "
                    f"({raw.tokenizer}) has {rows} rows. Take the codebook that belongs to this tokenizer."
                )
            columns.append(column)
        yield label, columns


def moved_rows(raw: RawTokens, count: int) -> dict[int, int]:
    """The rows of the token ids above `vocabulary_size` that are kept, see `select_tokens`."""
    moved: dict[int, int] = {}
    for tokens in raw.lists.values():
        if max(tokens, default=0) > raw.vocabulary_size:
            for token in most_frequent(tokens, count):
                if token > raw.vocabulary_size:
                    moved.setdefault(int(token), raw.vocabulary_size + 1 + len(moved))
    return moved

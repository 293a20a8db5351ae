"""What a data set holds, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import SPLITS, DataSet, RawTokens


def summarize(dataset: DataSet) -> dict[str, Any]:
    """Counts of a data set as plain numbers and texts, ready for JSON.

    Keys: name, entities, relations, train, valid, test, entities_without_triples, descriptions, visual, text.
    The last two are None or: tokenizer, entities (with at least one token), coverage (their share),
    tokens_per_entity (mean), distinct_tokens_per_entity (mean), codebook_rows, codebook_width,
    vocabulary_size, pad_id.
    """
    graph = dataset.graph
    used = np.unique(graph.triples[:, [0, 2]])
    return {
        "name": graph.name,
        "entities": len(graph.entities),
        "relations": len(graph.relations),
        **{split: len(graph.split(split)) for split in SPLITS},
        "entities_without_triples": len(graph.entities) - len(used),
        "descriptions": len(dataset.descriptions),
        "visual": _modality(dataset.visual, len(graph.entities)),
        "text": _modality(dataset.text, len(graph.entities)),
    }


def _modality(raw: RawTokens | None, num_entities: int) -> dict[str, Any] | None:
    if raw is None:
        return None
    lists = [tokens for tokens in raw.lists.values() if len(tokens)]
    count = len(lists)
    return {
        "tokenizer": raw.tokenizer,
        "entities": count,
        "coverage": count / num_entities if num_entities else 0.0,
        "tokens_per_entity": sum(map(len, lists)) / count if count else 0.0,
        "distinct_tokens_per_entity": sum(len(set(tokens)) for tokens in lists) / count if count else 0.0,
        "codebook_rows": raw.codebook.shape[0],
        "codebook_width": raw.codebook.shape[1],
        "vocabulary_size": raw.vocabulary_size,
        "pad_id": raw.pad_id,
    }

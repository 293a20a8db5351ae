"""What a data set holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ...registry import (
    ENTITY_LINKING,
    ENTITY_RECOGNITION,
    LINK_PREDICTION,
    PUBLISHED_MODALITIES,
    RELATION_EXTRACTION,
)
from ..graph import SPLITS, DataSet, Features, RawTokens
from ..mentions import LinkingData
from ..sentences import RelationData, RelationSentence, TaggedSentence, TaggingData
from .remarks import remarks


def summarize(data: DataSet | LinkingData | RelationData | TaggingData) -> dict[str, Any]:
    """Counts of a data set as plain numbers and texts, ready for JSON.

    Keys of every kind: kind, name, train, valid, test (triples, mentions or sentences), remarks (a list of sentences,
    see `remarks`).

    * Knowledge graph: entities, relations, entities_without_triples, entities_with_image, entities_with_text (of any
      kind), descriptions, entity_texts, relation_texts, visual, text, visual_features, text_features, and NAME_tokens
      and NAME_features of each further modality. Tokens are None or: tokenizer, entities (with at least one token),
      coverage (their share of 1), tokens_per_entity (mean), distinct_tokens_per_entity (mean), codebook_rows,
      codebook_width, vocabulary_size, pad_id. Features are None or: entities (with a vector), coverage, width.
    * Entity linking: entities, entities_with_text, entities_with_image, entities_sharing_a_name,
      entities_with_mentions, mentions_with_sentence, mentions_with_image, distinct_mentions (different texts),
      ambiguous_mentions (texts that mean several entities), mentions_unlike_the_name (mentions that are not the name
      of their entity).
    * Relation extraction: relations, words_per_sentence (mean), longest_sentence, sentences_with_image,
      sentences_with_crops, label_counts (relation -> sentences of all splits).
    * Entity recognition: the same without relations, and label_counts (type -> entities of all splits).
    """
    return _counts(data) | {"remarks": remarks(data)}


def _counts(data: DataSet | LinkingData | RelationData | TaggingData) -> dict[str, Any]:
    if isinstance(data, LinkingData):
        return _linking(data)
    if isinstance(data, RelationData):
        counts = Counter(sentence.relation for split in SPLITS for sentence in data.split(split))
        about = {"kind": RELATION_EXTRACTION, "name": data.name, "relations": len(data.relations)}
        return about | _sentences(data) | {"label_counts": {name: counts[name] for name in data.relations}}
    if isinstance(data, TaggingData):
        types = Counter(name for split in SPLITS for sentence in data.split(split) for name in _entity_types(sentence))
        return (
            {"kind": ENTITY_RECOGNITION, "name": data.name}
            | _sentences(data)
            | {"label_counts": dict(sorted(types.items()))}
        )
    return _graph(data)


def _graph(dataset: DataSet) -> dict[str, Any]:
    graph = dataset.graph
    used = np.unique(graph.triples[:, [0, 2]])
    return {
        "kind": LINK_PREDICTION,
        "name": graph.name,
        "entities": len(graph.entities),
        "relations": len(graph.relations),
        **{split: len(graph.split(split)) for split in SPLITS},
        "entities_without_triples": len(graph.entities) - len(used),
        "entities_with_image": sum(label in dataset.images for label in graph.entities),
        "entities_with_text": sum(
            bool(dataset.descriptions.get(label) or dataset.entity_texts.get(label)) for label in graph.entities
        ),
        "descriptions": len(dataset.descriptions),
        "entity_texts": len(dataset.entity_texts),
        "relation_texts": len(dataset.relation_texts),
        **{name: _modality(dataset.tokens.get(name), len(graph.entities)) for name in PUBLISHED_MODALITIES},
        **{f"{name}_features": _features(dataset.features.get(name)) for name in PUBLISHED_MODALITIES},
        **{
            key: found
            for name in dataset.modalities
            if name not in PUBLISHED_MODALITIES
            for key, found in (
                (f"{name}_tokens", _modality(dataset.tokens.get(name), len(graph.entities))),
                (f"{name}_features", _features(dataset.features.get(name))),
            )
        },
    }


def _linking(data: LinkingData) -> dict[str, Any]:
    mentions = [mention for split in SPLITS for mention in data.split(split)]
    meanings: dict[str, set[int]] = {}
    for mention in mentions:
        meanings.setdefault(mention.text, set()).add(mention.entity)
    names = Counter(data.names)
    return {
        "kind": ENTITY_LINKING,
        "name": data.name,
        "entities": len(data.entities),
        **{split: len(data.split(split)) for split in SPLITS},
        "entities_with_text": sum(map(bool, data.texts)),
        "entities_with_image": sum(image is not None for image in data.images),
        "entities_sharing_a_name": sum(names[name] > 1 for name in data.names),
        "entities_with_mentions": len(set().union(*meanings.values())),
        "mentions_with_sentence": sum(bool(mention.sentence) for mention in mentions),
        "mentions_with_image": sum(mention.image is not None for mention in mentions),
        "distinct_mentions": len(meanings),
        "ambiguous_mentions": sum(len(entities) > 1 for entities in meanings.values()),
        "mentions_unlike_the_name": sum(mention.text != data.names[mention.entity] for mention in mentions),
    }


def _sentences(data: RelationData | TaggingData) -> dict[str, Any]:
    sentences: list[RelationSentence | TaggedSentence] = [one for split in SPLITS for one in data.split(split)]
    lengths = [len(sentence.words) for sentence in sentences]
    return {
        **{split: len(data.split(split)) for split in SPLITS},
        "words_per_sentence": sum(lengths) / len(lengths) if lengths else 0.0,
        "longest_sentence": max(lengths, default=0),
        "sentences_with_image": sum(sentence.images.main is not None for sentence in sentences),
        "sentences_with_crops": sum(bool(sentence.images.aux or sentence.images.rcnn) for sentence in sentences),
    }


def _entity_types(sentence: TaggedSentence) -> Iterator[str]:
    """The type of every entity; one starts at a B tag, or at an I tag that continues none of its type."""
    before = "O"
    for tag in sentence.tags:
        if tag != "O" and (tag[0] == "B" or before[2:] != tag[2:]):
            yield tag[2:]
        before = tag


def _share(holds: Iterable[bool]) -> float:
    values = list(holds)
    return sum(values) / len(values) if values else 0.0


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


def _features(features: Features | None) -> dict[str, Any] | None:
    if features is None:
        return None
    return {
        "entities": int(features.present.sum()),
        "coverage": _share(features.present.tolist()),
        "width": features.vectors.shape[1],
    }

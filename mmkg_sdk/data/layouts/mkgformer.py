"""The layout of MKGformer's link prediction: train.tsv, dev.tsv, test.tsv with lines `head TAB relation TAB tail`.

* `entity2textlong.txt`, else `entity2text.txt`: id, tab, text. Its lines are the entities, in this order, also those
  without a triple: the id of the model's entity token is the line number.
* `relations.txt`: one id a line, in the order of the relation tokens; `relation2text.txt`: id, tab, text.

Triples with an id that has no text are left out with a warning, as the authors do. Labels are the ids, except that
* `*entity2text-new.txt`, or entity2text.txt beside a long one, gives readable names;
* entities that are all WordNet offsets are called by the words before the first comma of their text.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import at_place, find_file, need_file, read_columns, read_lines
from ..graph import SPLITS, DataSet, Features, KnowledgeGraph
from ..sentences import SentenceImages
from .descriptions import (
    EntityTexts,
    find_entity_texts,
    linked_relation_labels,
    read_entity_texts,
    read_named_texts,
    read_published_texts,
    warn_unused,
)
from .mygo import ReadGraph
from .names import WORDNET, NameTable, distinct
from .triples import need_training, to_triples

_FILES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
_MOST_IMAGES = 7


def read_mkgformer_layout(folder: Path) -> ReadGraph:
    """Graph, spellings and texts of a folder in this layout; row = line of the entity text file.

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    path = find_entity_texts(folder) or need_file(folder, "entity2text.txt")
    texts = read_published_texts(path)
    if not texts:
        raise DataError(f"{path} lists no entity.")
    ids = list(texts)
    beside = read_entity_texts(folder, ids, ids, numbered=False)
    entities = Labels(distinct(_readable(folder, texts, beside), ids), kind="entity")
    relation_path = need_file(folder, "relations.txt")
    with at_place(str(relation_path)):
        published = Labels(read_lines(relation_path), kind="relation")
    relations = Labels(linked_relation_labels(folder, published, list(published), numbered=True), kind="relation")
    known = read_published_texts(need_file(folder, "relation2text.txt"))
    relation_texts = {label: known[name] for label, name in zip(relations, published, strict=True) if name in known}
    rows = {name: row for row, name in enumerate(ids)}
    relation_rows = {name: row for row, name in enumerate(published) if name in known}
    triples = {split: _read_split(need_file(folder, name), rows, relation_rows) for split, name in _FILES.items()}
    need_training(triples["train"], need_file(folder, _FILES["train"]))
    graph = KnowledgeGraph(folder.resolve().name, entities, relations, **triples)
    by_label = dict(zip(entities, texts.values(), strict=True))
    decimal = [str(row) for row in range(len(ids))]
    source_ids = {label: name for label, name in zip(entities, ids, strict=True) if label != name}
    return ReadGraph(
        graph,
        NameTable(entities, ids, decimal),
        NameTable(relations, published),
        {label: text for label, text in by_label.items() if text},
        by_label,
        relation_texts,
        source_ids,
        {name: entities[row] for name, row in beside.other_names.items()},
    )


def with_published_texts(read: ReadGraph, folder: Path) -> ReadGraph:
    """The graph of another layout with the texts of MKGformer that lie beside it.

    Entities of the text file that the graph lacks are kept, under a readable name where one is there. A file that
    names nothing of the graph is left out with a warning.

    Raises:
        DataError: if a file is malformed, with file and line.
    """
    entity_texts, relation_texts = read.entity_texts, read.relation_texts
    source_ids = read.source_ids
    if not entity_texts and (path := find_entity_texts(folder)):
        texts = read_published_texts(path)
        labels = {name: read.graph.entities[row] for name, row in read.entities.known_rows(texts).items()}
        if labels:
            strangers = _stranger_labels(read, folder, [name for name in texts if name not in labels])
            labels |= strangers
            entity_texts = {labels[name]: text for name, text in texts.items()}
            source_ids = source_ids | {label: name for name, label in strangers.items() if label != name}
        elif texts:
            warn_unused(path, f"it names none of the entities, the first is {next(iter(texts))[:80]!r}")
    if not relation_texts and (path := find_file(folder, "relation2text.txt")):
        texts = read_published_texts(path)
        rows = read.relations.known_rows(texts)
        relation_texts = {read.graph.relations[row]: texts[name] for name, row in rows.items()}
        if texts and not rows:
            warn_unused(path, f"it names none of the relations, the first is {next(iter(texts))[:80]!r}")
    return replace(read, entity_texts=entity_texts, relation_texts=relation_texts, source_ids=source_ids)


def _stranger_labels(read: ReadGraph, folder: Path, strangers: Sequence[str]) -> dict[str, str]:
    """Labels of entities that the text file names and the graph lacks, by what the file calls them."""
    names = read_named_texts(folder).names
    readable = [names.get(name, name) for name in strangers]
    counts = Counter([*readable, *read.graph.entities])
    return {
        name: label if counts[label] == 1 else f"{label} ({name})"
        for name, label in zip(strangers, readable, strict=True)
    }


def in_text_order(dataset: DataSet) -> DataSet:
    """The same data set with the entities of `entity_texts` as rows, in its order.

    That is the order of MKGformer's entity tokens; entities without a triple are candidates too. The relations stay.
    Without entity texts the data set comes back as it is. Triples of entities or relations without a text are left out
    with a warning.

    Raises:
        DataError: if no training triple is left.
    """
    graph = dataset.graph
    if not dataset.entity_texts:
        return dataset
    entities = Labels(dataset.entity_texts, kind="entity")
    rows = np.array([-1 if (row := entities.find(label)) is None else row for label in graph.entities], np.int64)
    has_text = np.array([not dataset.relation_texts or name in dataset.relation_texts for name in graph.relations])
    splits = {}
    for split in SPLITS:
        triples = graph.split(split).copy()
        triples[:, [0, 2]] = rows[triples[:, [0, 2]]]
        kept = (triples[:, [0, 2]] >= 0).all(axis=1) & has_text[triples[:, 1]]
        splits[split] = triples[kept]
        _warn_of_lost(len(triples) - int(kept.sum()), len(triples), f"{graph.name} {split}")
    if not len(splits["train"]):
        raise DataError(f"{graph.name}: no training triple has a text for both entities and the relation.")
    return replace(
        dataset,
        graph=KnowledgeGraph(graph.name, entities, graph.relations, **splits),
        unnumbered=tuple(kind for kind in dataset.unnumbered if kind != entities.kind),
        features={name: _reordered(found, rows, len(entities)) for name, found in dataset.features.items()},
    )


def choose_images(images: Sequence[Path]) -> SentenceImages:
    """The images that MKGformer reads of an entity: the first as a whole, the next three and three more smaller.

    Of more than seven a sample of seven is taken, the same on every call. The authors take the files as the file
    system lists them, which differs between machines; give them sorted.
    """
    chosen = random.Random(1).sample(images, _MOST_IMAGES) if len(images) > _MOST_IMAGES else images
    return SentenceImages(next(iter(chosen), None), tuple(chosen[1:4]), tuple(chosen[4:_MOST_IMAGES]))


def _readable(folder: Path, texts: Mapping[str, str], beside: EntityTexts) -> list[str]:
    """A name for every entity, on one line; its id where there is none."""
    names = dict(zip(texts, (beside.names.get(row, "") for row in range(len(texts))), strict=True))
    short = find_file(folder, "entity2text.txt")
    if not beside.names and find_file(folder, "entity2textlong.txt") and short:
        names.update(read_published_texts(short))
    elif not beside.names and all(WORDNET.fullmatch(name) for name in texts):
        names.update((name, text.partition(", ")[0]) for name, text in texts.items())
    return [" ".join(names.get(name, "").split()) or name for name in texts]


def _read_split(path: Path, entities: Mapping[str, int], relations: Mapping[str, int]) -> NDArray[np.int64]:
    rows = []
    count = 0
    for _, (head, relation, tail) in read_columns(path, 3):
        count += 1
        if head in entities and relation in relations and tail in entities:
            rows.append((entities[head], relations[relation], entities[tail]))
    _warn_of_lost(count - len(rows), count, str(path))
    return to_triples(rows)


def _warn_of_lost(lost: int, total: int, place: str) -> None:
    if lost:
        warnings.warn(
            f"{place}: {lost:,} of {total:,} triples have an id without a text; they are left out.", stacklevel=3
        )


def _reordered(features: Features, rows: NDArray[np.int64], count: int) -> Features:
    """Features in the order of new rows (-1: no longer there); entities that had no row have no vector."""
    vectors, present = np.zeros((count, features.vectors.shape[1]), np.float32), np.zeros(count, np.bool_)
    kept = rows >= 0
    vectors[rows[kept]], present[rows[kept]] = features.vectors[kept], features.present[kept]
    return Features(vectors, present)

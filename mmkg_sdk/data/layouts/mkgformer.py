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
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.listing import list_files, list_folders
from ...files.text import at_place, find_file, need_file, read_columns, read_lines
from ..graph import SPLITS, DataSet, Features, KnowledgeGraph
from ..image_files import SUFFIXES
from ..sentences import SentenceImages
from .descriptions import find_entity_texts, read_named_texts, read_published_texts
from .mygo import ReadGraph
from .names import NameTable, distinct
from .triples import need_training, to_triples

_FILES = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
_WORDNET = re.compile(r"[0-9]{8}", re.ASCII)
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
    entities = Labels(distinct(_readable(folder, texts), ids), kind="entity")
    relation_path = need_file(folder, "relations.txt")
    with at_place(str(relation_path)):
        relations = Labels(read_lines(relation_path), kind="relation")
    known = read_published_texts(need_file(folder, "relation2text.txt"))
    relation_texts = {name: known[name] for name in relations if name in known}
    rows = {name: row for row, name in enumerate(ids)}
    relation_rows = {name: row for row, name in enumerate(relations) if name in known}
    triples = {split: _read_split(need_file(folder, name), rows, relation_rows) for split, name in _FILES.items()}
    need_training(triples["train"], need_file(folder, _FILES["train"]))
    graph = KnowledgeGraph(folder.resolve().name, entities, relations, **triples)
    by_label = dict(zip(entities, texts.values(), strict=True))
    decimal = [str(row) for row in range(len(ids))]
    source_ids = {label: name for label, name in zip(entities, ids, strict=True) if label != name}
    return ReadGraph(
        graph,
        NameTable(entities, ids, decimal),
        {label: text for label, text in by_label.items() if text},
        by_label,
        relation_texts,
        source_ids,
    )


def with_published_texts(
    read: ReadGraph, folder: Path, ids: Sequence[str], names: Mapping[int | str, str]
) -> ReadGraph:
    """The graph of another layout with the texts of MKGformer that lie beside it.

    Args:
        ids: what the files call the entities of the graph, in row order.
        names: readable names by id; entities of the text file that the graph lacks get one, too.

    Raises:
        DataError: if a file is malformed, with file and line.
    """
    path, relation_path = find_entity_texts(folder), find_file(folder, "relation2text.txt")
    texts = read_published_texts(path) if path else {}
    labels = dict(zip(ids, read.graph.entities, strict=True))
    strangers = [name for name in texts if name not in labels]
    readable = [names.get(name, name) for name in strangers]
    counts = Counter([*readable, *read.graph.entities])
    labels |= {
        name: label if counts[label] == 1 else f"{label} ({name})"
        for name, label in zip(strangers, readable, strict=True)
    }
    relation_texts = read_published_texts(relation_path) if relation_path else {}
    return replace(
        read,
        entity_texts={labels[name]: text for name, text in texts.items()},
        relation_texts={name: text for name, text in relation_texts.items() if name in read.graph.relations},
        source_ids=read.source_ids | {labels[name]: name for name in strangers if labels[name] != name},
    )


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
        visual_features=_reordered(dataset.visual_features, rows, len(entities)),
        text_features=_reordered(dataset.text_features, rows, len(entities)),
    )


def find_entity_images(folder: Path, dataset: DataSet) -> dict[str, list[Path]]:
    """Entity label -> its image files by name, from a folder with one folder or one image per entity.

    They are called by the entity's label or by its published id: `n` and the digits of a WordNet offset, `m.xyz` for
    `/m/xyz`. Entities without one are left out, and so are images of others.
    """
    found: dict[str, list[Path]] = {}
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with images of entities.")
    # Some file systems decompose accents in names. A folder wins over an image of its name.
    entries = {path.stem: path for path in list_files(folder)} | {path.name: path for path in list_folders(folder)}
    places = {unicodedata.normalize("NFC", name): path for name, path in entries.items()}
    for label in dataset.graph.entities:
        published = image_folder_name(dataset.source_ids.get(label, label))
        place = places.get(published) or places.get(unicodedata.normalize("NFC", label))
        files = [] if place is None else list_files(place) if place.is_dir() else [place]
        images = [path for path in files if path.suffix.lower() in SUFFIXES]
        if images:
            found[label] = images
    return found


def image_folder_name(source_id: str) -> str:
    """The name of an entity's image folder in the published archives."""
    if _WORDNET.fullmatch(source_id):
        return f"n{source_id}"
    return "m." + source_id.removeprefix("/m/") if source_id.startswith("/m/") else source_id


def choose_images(images: Sequence[Path]) -> SentenceImages:
    """The images that MKGformer reads of an entity: the first as a whole, the next three and three more smaller.

    Of more than seven a sample of seven is taken, the same on every call. The authors take the files as the file
    system lists them, which differs between machines; give them sorted.
    """
    chosen = random.Random(1).sample(images, _MOST_IMAGES) if len(images) > _MOST_IMAGES else images
    return SentenceImages(next(iter(chosen), None), tuple(chosen[1:4]), tuple(chosen[4:_MOST_IMAGES]))


def _readable(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """A name for every entity, on one line; its id where there is none."""
    names = dict(read_named_texts(folder).names)
    short = find_file(folder, "entity2text.txt")
    if not names and find_file(folder, "entity2textlong.txt") and short:
        names.update(read_published_texts(short))
    elif not names and all(_WORDNET.fullmatch(name) for name in texts):
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


def _reordered(features: Features | None, rows: NDArray[np.int64], count: int) -> Features | None:
    """Features in the order of new rows (-1: no longer there); entities that had no row have no vector."""
    if features is None:
        return None
    vectors, present = np.zeros((count, features.vectors.shape[1]), np.float32), np.zeros(count, np.bool_)
    kept = rows >= 0
    vectors[rows[kept]], present[rows[kept]] = features.vectors[kept], features.present[kept]
    return Features(vectors, present)

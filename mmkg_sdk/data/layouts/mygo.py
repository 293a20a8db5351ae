"""The layout of MyGO and of this SDK: triples by name in train.txt, valid.txt, test.txt, or .tsv, .csv; see `triples`.

Beside them, all optional: entities.txt and relations.txt (one name a line, id = line number from 0),
entity2id.txt and relation2id.txt (`name id`, no count line). In the published DB15K, MKG-W and MKG-Y the
names in the triples are decimal ids and the readable names stand in entity2id.txt; without any list the ids
follow the first appearance in the triples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import find_file, read_lines
from ..graph import KnowledgeGraph
from .descriptions import EntityTexts, read_entity_links, read_entity_table, read_optional_texts
from .names import NameTable, distinct, last_part, read_name_ids, relation_labels
from .triples import NameTriples, need_training, read_name_triples, to_triples, unknown_name


@dataclass(frozen=True)
class ReadGraph:
    """A graph with every spelling of its entities, and what lies beside it (see the fields of DataSet)."""

    graph: KnowledgeGraph
    entities: NameTable
    descriptions: dict[str, str]
    entity_texts: dict[str, str] = field(default_factory=dict)
    relation_texts: dict[str, str] = field(default_factory=dict)
    source_ids: dict[str, str] = field(default_factory=dict)


def read_mygo_layout(folder: Path, ending: str = "txt") -> ReadGraph:
    """Graph, spellings and descriptions of a folder in this layout.

    Args:
        ending: of the files with triples; see `read_name_triples`.

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    splits = read_name_triples(folder, ending)
    heads_and_tails = [name for lines in splits.values() for triple in lines.triples for name in (triple[0], triple[2])]
    relation_names = [triple[1] for lines in splits.values() for triple in lines.triples]
    entity_keys, entity_names = _read_names(folder, "entities.txt", "entity2id.txt", heads_and_tails)
    relation_keys, raw_relations = _read_names(folder, "relations.txt", "relation2id.txt", relation_names)

    texts = _read_texts(folder, entity_names, len(entity_keys))
    entities = Labels(_entity_labels(entity_keys, entity_names, texts), kind="entity")
    relations = Labels(_relation_labels(folder, relation_keys, raw_relations), kind="relation")
    triples = {
        split: _to_ids(lines, entities, relations, entity_keys, relation_keys) for split, lines in splits.items()
    }
    need_training(triples["train"], splits["train"].path)
    graph = KnowledgeGraph(folder.resolve().name, entities, relations, **triples)
    spellings = [entity_names, entity_keys] if entity_names is not None else [entity_keys]
    descriptions = {entities[int(row)]: text for row, text in texts.descriptions.items()}
    beside = {
        name: read_optional_texts(folder, f"{name}.tsv") for name in ("entity_texts", "relation_texts", "source_ids")
    }
    return ReadGraph(graph, NameTable(entities, *spellings), descriptions, **beside)


def _read_names(folder: Path, listing: str, mapping: str, used: list[str]) -> tuple[list[str], list[str] | None]:
    """The names that the triples use and those of `mapping` (None without that file), both in id order."""
    list_path, map_path = find_file(folder, listing), find_file(folder, mapping)
    names = read_name_ids(map_path, counted=False) if map_path else None
    if list_path is None:
        if names is None:
            return list(dict.fromkeys(used)), None
        # Published triples hold decimal ids; in other sets they hold the names of the mapping itself.
        ids = [str(row) for row in range(len(names))]
        known_names, known_ids = set(names), set(ids)
        by_name, by_id = sum(name in known_names for name in used), sum(name in known_ids for name in used)
        return (names if by_name >= by_id else ids), names
    keys = read_lines(list_path)
    _check_distinct(keys, list_path)
    if names is None or keys == names:
        return keys, names
    if len(keys) != len(names):
        raise DataError(f"{list_path} has {len(keys)} names, {map_path} has {len(names)}; they list the same things.")
    if sorted(keys) != sorted(str(row) for row in range(len(names))):
        raise DataError(
            f"{list_path} and {map_path} do not agree: {listing} must hold the names of {mapping} in id "
            "order, or the ids."
        )
    return keys, [names[int(key)] for key in keys]


def _check_distinct(names: list[str], path: Path) -> None:
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise DataError(f"{path}:{number}: empty name; expected one name a line.")
        if first.setdefault(name, number) != number:
            raise DataError(f"{path}:{number}: {name!r} stands on line {first[name]} already; names are distinct.")


def _read_texts(folder: Path, entity_names: list[str] | None, num_entities: int) -> EntityTexts:
    table = find_file(folder, "entity2text.tsv")
    if table is not None:
        return read_entity_table(table, entity_names, num_entities)
    links = find_file(folder, "ent_links.txt")
    if links is not None and entity_names is not None:
        return read_entity_links(links, entity_names)
    return EntityTexts({}, {})


def _entity_labels(keys: list[str], names: list[str] | None, texts: EntityTexts) -> list[str]:
    # Names of entities.txt are labels already; only those of entity2id.txt are URIs to be made readable.
    readable = keys if names is None else [last_part(name) for name in names]
    chosen = [texts.names.get(row, name) for row, name in enumerate(readable)]
    sources = readable if len(set(readable)) == len(readable) else (keys if names is None else names)
    return distinct(chosen, sources)


def _relation_labels(folder: Path, keys: list[str], raw: list[str] | None) -> list[str]:
    if raw is None:
        return keys
    path = find_file(folder, "rel_links.txt")
    properties = [last_part(name) for name in raw]
    if path is None or not all(re.fullmatch(r"P[0-9]+", name) for name in properties):
        return relation_labels(raw)
    readable = read_lines(path)
    if len(readable) != len(raw):
        raise DataError(f"{path} names {len(readable)} relations, but there are {len(raw)}.")
    return distinct(readable, properties)


def _to_ids(
    lines: NameTriples,
    entities: Labels,
    relations: Labels,
    entity_keys: list[str],
    relation_keys: list[str],
) -> NDArray[np.int64]:
    entity_ids = {name: row for row, name in enumerate(entity_keys)}
    relation_ids = {name: row for row, name in enumerate(relation_keys)}
    rows = []
    for number, (head, relation, tail) in enumerate(lines.triples, lines.first):
        try:
            rows.append((entity_ids[head], relation_ids[relation], entity_ids[tail]))
        except KeyError:
            if relation not in relation_ids:
                raise unknown_name(relation, relations, lines.path, number) from None
            name = head if head not in entity_ids else tail
            raise unknown_name(name, entities, lines.path, number) from None
    return to_triples(rows)

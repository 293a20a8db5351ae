"""The layout of triples by name; see `triples` for their files.

MyGO's and ours end in .txt, as RotatE's and PyKEEN's do; DGL-KE's in .tsv, LibKGE's in .del, where all names are ids.
Beside them, all optional: entities.txt and relations.txt (one name a line, id = line number from 0), and a list of
names with their ids (`id_lists`). In the published DB15K, MKG-W and MKG-Y the names in the triples are decimal ids and
the readable names stand in entity2id.txt. Without any list, the decimal names 0 to n - 1 are ids; other names follow
the first appearance in the triples, and nothing that goes by ids is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import find_file, read_lines
from ..graph import KnowledgeGraph
from .descriptions import EntityTexts, linked_relation_labels, read_entity_texts, read_optional_texts
from .id_lists import ENTITY_LISTS, RELATION_LISTS, find_id_list
from .names import NameTable, distinct, last_part, relation_labels
from .triples import NameTriples, need_training, read_name_triples, to_triples, unknown_name


@dataclass(frozen=True)
class ReadGraph:
    """A graph with every spelling of its names, and what lies beside it (see the fields of DataSet)."""

    graph: KnowledgeGraph
    entities: NameTable
    relations: NameTable
    descriptions: dict[str, str]
    entity_texts: dict[str, str] = field(default_factory=dict)
    relation_texts: dict[str, str] = field(default_factory=dict)
    source_ids: dict[str, str] = field(default_factory=dict)
    other_names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Names:
    """Entities or relations in id order: as the triples call them, and as a list of ids does (None without one)."""

    keys: list[str]
    listed: list[str] | None = None
    numbered: bool = True

    @property
    def published(self) -> list[str]:
        return self.keys if self.listed is None else self.listed


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
    by_id = ending == "del"
    entity = _read_names(folder, "entities.txt", ENTITY_LISTS, heads_and_tails, by_id)
    relation = _read_names(folder, "relations.txt", RELATION_LISTS, relation_names, by_id)

    texts = read_entity_texts(folder, entity.keys, entity.listed, numbered=entity.numbered)
    entities = Labels(_entity_labels(entity, texts), kind="entity")
    relations = Labels(_relation_labels(folder, relation), kind="relation")
    triples = {
        split: _to_ids(lines, entities, relations, entity.keys, relation.keys) for split, lines in splits.items()
    }
    need_training(triples["train"], splits["train"].path)
    own = {
        name: read_optional_texts(folder, f"{name}.tsv") for name in ("entity_texts", "relation_texts", "source_ids")
    }
    published = {label: name for label, name in zip(entities, entity.published, strict=True) if label != name}
    return ReadGraph(
        KnowledgeGraph(folder.resolve().name, entities, relations, **triples),
        _table(entities, entity),
        _table(relations, relation),
        {entities[row]: text for row, text in texts.descriptions.items()},
        **own | {"source_ids": published | own["source_ids"]},
        other_names={name: entities[row] for name, row in texts.other_names.items()},
    )


def _table(labels: Labels, names: _Names) -> NameTable:
    short = [last_part(name) for name in names.published]
    return NameTable(labels, names.published, names.keys, short, numbered=names.numbered)


def _read_names(folder: Path, listing: str, numbered: Sequence[str], used: list[str], by_id: bool) -> _Names:
    """The names that the triples use and those of the list of ids, both in id order.

    Args:
        listing: the file of names alone; `numbered`: the lists of names with ids.
        used: every name in the triples.
        by_id: whether these are ids wherever there is a list.
    """
    list_path, found = find_file(folder, listing), find_id_list(folder, numbered)
    if list_path is None:
        return _without_listing(None if found is None else found[1], used, by_id)
    keys = read_lines(list_path)
    _check_distinct(keys, list_path)
    if found is None or keys == found[1]:
        return _Names(keys, None if found is None else found[1])
    path, names = found
    if len(keys) != len(names):
        raise DataError(f"{list_path} has {len(keys)} names, {path} has {len(names)}; they list the same things.")
    if sorted(keys) != sorted(str(row) for row in range(len(names))):
        raise DataError(
            f"{list_path} and {path} do not agree: {listing} must hold the names of {path.name} in id order, or the "
            "ids."
        )
    return _Names(keys, [names[int(key)] for key in keys])


def _without_listing(names: list[str] | None, used: list[str], by_id: bool) -> _Names:
    if names is None:
        distinct_names = list(dict.fromkeys(used))
        ids = [str(row) for row in range(len(distinct_names))]
        decimal = {*distinct_names} == {*ids}
        return _Names(ids if decimal else distinct_names, numbered=decimal or len(ids) == 1)
    # Published triples hold decimal ids; in other sets they hold the names of the list itself.
    ids = [str(row) for row in range(len(names))]
    known_names, known_ids = set(names), set(ids)
    by_name = sum(name in known_names for name in used) >= sum(name in known_ids for name in used)
    return _Names(names if by_name and not by_id else ids, names)


def _check_distinct(names: list[str], path: Path) -> None:
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise DataError(f"{path}:{number}: empty name; expected one name a line.")
        if first.setdefault(name, number) != number:
            raise DataError(f"{path}:{number}: {name!r} stands on line {first[name]} already; names are distinct.")


def _entity_labels(entity: _Names, texts: EntityTexts) -> list[str]:
    # Names of entities.txt are labels already; only those of a list of ids are URIs to be made readable.
    readable = entity.keys if entity.listed is None else [last_part(name) for name in entity.listed]
    chosen = [texts.names.get(row, name) for row, name in enumerate(readable)]
    return distinct(chosen, readable if len(set(readable)) == len(readable) else entity.published)


def _relation_labels(folder: Path, relation: _Names) -> list[str]:
    labels = relation.keys if relation.listed is None else relation_labels(relation.listed)
    return linked_relation_labels(folder, relation.published, labels, numbered=relation.numbered)


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

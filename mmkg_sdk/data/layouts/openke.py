"""The OpenKE layout: train2id.txt, valid2id.txt, test2id.txt with a count line and then `head tail relation`.

The relation comes LAST. entity2id.txt and relation2id.txt start with a count line too. Entities that the
triples know by a Freebase mid or a WordNet offset get the readable name of `*entity2text-new.txt` where that
file is present. The texts of MKGformer (entity2textlong.txt, else entity2text.txt, and relation2text.txt) are kept in
their line order, those of entities without a triple too: see `mkgformer_layout.in_text_order`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import need_file, parse_integer, read_lines
from ..graph import SPLITS, KnowledgeGraph
from .descriptions import linked_relation_labels, read_entity_texts
from .id_lists import check_count_line, read_name_ids
from .mygo import ReadGraph
from .names import NameTable, distinct
from .triples import need_training, to_triples


def read_openke_layout(folder: Path) -> ReadGraph:
    """Graph, spellings and descriptions of a folder in this layout.

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    raw_names = read_name_ids(need_file(folder, "entity2id.txt"), counted=True)
    raw_relations = read_name_ids(need_file(folder, "relation2id.txt"), counted=True)
    relations = Labels(linked_relation_labels(folder, raw_relations, raw_relations, numbered=True), kind="relation")
    texts = read_entity_texts(folder, raw_names, raw_names)
    readable = [texts.names.get(row, name) for row, name in enumerate(raw_names)]
    entities = Labels(distinct(readable, raw_names), kind="entity")
    triples = {
        split: _read_split(need_file(folder, f"{split}2id.txt"), len(entities), len(relations)) for split in SPLITS
    }
    need_training(triples["train"], need_file(folder, "train2id.txt"))
    ids = [str(row) for row in range(len(entities))]
    return ReadGraph(
        KnowledgeGraph(folder.resolve().name, entities, relations, **triples),
        NameTable(entities, raw_names, ids),
        NameTable(relations, raw_relations),
        {entities[row]: text for row, text in texts.descriptions.items()},
        source_ids={label: name for label, name in zip(entities, raw_names, strict=True) if label != name},
        other_names={name: entities[row] for name, row in texts.other_names.items()},
    )


def _read_split(path: Path, num_entities: int, num_relations: int) -> NDArray[np.int64]:
    lines = read_lines(path)
    if not lines:
        return np.empty((0, 3), dtype=np.int64)
    check_count_line(lines, path)
    rows = []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split()
        if len(fields) != 3:
            raise DataError(
                f"{path}:{number}: expected 3 columns (head tail relation), found {len(fields)}: {line[:80]!r}."
            )
        head, tail, relation = (parse_integer(field, path, number, "an id") for field in fields)
        if max(head, tail) >= num_entities or relation >= num_relations:
            raise DataError(
                f"{path}:{number}: head {head}, tail {tail}, relation {relation}, but there are "
                f"{num_entities} entities "
                f"and {num_relations} relations. Columns are head tail relation."
            )
        rows.append((head, relation, tail))
    return to_triples(rows)

"""Names and descriptions that lie beside the triples of public data sets.

Files known here (each also as .xz or .gz):
* `descriptions.tsv`: label, tab, text; our own layout. `\\n`, `\\t`, `\\r` and `\\\\` in the text stand for a
  line feed, a tab, a carriage return and a backslash. `entity_texts.tsv`, `relation_texts.tsv` and `source_ids.tsv`
  are of the same kind and hold the fields of DataSet by these names.
* `entity2text.tsv`: id, name, Freebase mid, description (4 columns), or id, QID, name, source, description
  (5).
* `ent_links.txt`: DBpedia URI, tab, Wikidata URI: names for data sets that know their entities by QID only.
* `*entity2text-new.txt`: name of the triples, tab, `readable name -- description` (the second half may be
  missing).
* `entity2text.txt`, `entity2textlong.txt`, `relation2text.txt`: name of the triples, tab, text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...files.listing import list_files
from ...files.text import SUFFIXES, find_file, parse_integer, read_columns, read_lines
from .names import last_part

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
_PLAIN = {short: char for char, short in _ESCAPES.items()}


@dataclass(frozen=True)
class EntityTexts:
    """Readable names and descriptions, each a mapping from row or name to text."""

    names: Mapping[int | str, str]
    descriptions: Mapping[int | str, str]


def read_optional_texts(folder: Path, name: str) -> dict[str, str]:
    """Label -> text from a file of our own layout; empty without it."""
    path = find_file(folder, name)
    return {} if path is None else read_own_texts(path)


def read_own_texts(path: Path) -> dict[str, str]:
    """Label -> text from `descriptions.tsv` and its like; a label may stand there once."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        label, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{path}:{number}: expected label, tab, text; found {line[:80]!r}.")
        if label in found:
            raise DataError(f"{path}:{number}: {label!r} is described a second time.")
        found[label] = unescape(text)
    return found


def escape(text: str) -> str:
    """A text as one field of a line; `unescape` undoes it."""
    return re.sub(r"[\n\t\r\\]", lambda match: _ESCAPES[match[0]], text)


def unescape(field: str) -> str:
    """The text that `escape` made a field of; a backslash before any other character stays."""
    return re.sub(r"\\[ntr\\]", lambda match: _PLAIN[match[0]], field)


def read_entity_table(path: Path, raw_names: list[str] | None, num_entities: int) -> EntityTexts:
    """Names and descriptions by row from `entity2text.tsv`.

    The names of the 4-column file are taken only when there is no `entity2id.txt` (`raw_names` None): its
    URIs name the entities already. The QIDs of the 5-column file are compared with those of `entity2id.txt`.
    """
    names: dict[int | str, str] = {}
    descriptions: dict[int | str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split("\t")
        if len(fields) not in (4, 5):
            raise DataError(f"{path}:{number}: expected 4 or 5 columns separated by one tab, found {len(fields)}.")
        row = parse_integer(fields[0], path, number, "the entity id")
        if row >= num_entities:
            raise DataError(f"{path}:{number}: entity id {row}, but there are {num_entities} entities.")
        if len(fields) == 5:
            if raw_names is not None and last_part(raw_names[row]) != fields[1]:
                raise DataError(
                    f"{path}:{number}: entity {row} is {fields[1]!r} here, {raw_names[row]!r} in entity2id.txt."
                )
            if fields[2]:
                names[row] = fields[2]
        elif raw_names is None and fields[1]:
            names[row] = fields[1]
        if fields[-1]:
            descriptions[row] = fields[-1]
    return EntityTexts(names, descriptions)


def read_entity_links(path: Path, raw_names: list[str]) -> EntityTexts:
    """Names by row from `ent_links.txt`: the DBpedia name of every Wikidata URI in `raw_names`."""
    by_qid = {last_part(fields[1]): last_part(fields[0]) for _, fields in read_columns(path, 2)}
    qids = (last_part(name) for name in raw_names)
    return EntityTexts({row: by_qid[qid] for row, qid in enumerate(qids) if qid in by_qid}, {})


def read_named_texts(folder: Path) -> EntityTexts:
    """Names and descriptions by triple name from `*entity2text-new.txt` or `entity2text.txt`."""
    names: dict[int | str, str] = {}
    descriptions: dict[int | str, str] = {}
    endings = tuple(f"entity2text-new.txt{suffix}" for suffix in SUFFIXES)
    found = [path for path in list_files(folder) if path.name.endswith(endings)]
    path = found[0] if found else find_file(folder, "entity2text.txt")
    if path is None:
        return EntityTexts(names, descriptions)
    for _, (name, text) in read_columns(path, 2):
        if not found:
            descriptions[name] = text
            continue
        readable, _, description = text.partition(" -- ")
        if readable.strip():
            names[name] = readable.strip()
        if description.strip():
            descriptions[name] = description.strip()
    return EntityTexts(names, descriptions)


def read_published_texts(path: Path) -> dict[str, str]:
    """Name -> text in file order from `entity2text.txt` and its like; a name may stand there once."""
    found: dict[str, str] = {}
    for number, (name, text) in read_columns(path, 2):
        if not name or name in found:
            problem = "stands there a second time" if name else "is empty"
            raise DataError(f"{path}:{number}: name {name[:80]!r} {problem}; expected one line for each name.")
        found[name] = text
    return found


def find_entity_texts(folder: Path) -> Path | None:
    """The file of texts that MKGformer reads: the long ones where they are there."""
    return find_file(folder, "entity2textlong.txt") or find_file(folder, "entity2text.txt")

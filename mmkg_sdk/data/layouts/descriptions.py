"""Names and descriptions that lie beside the triples of public data sets.

Files known here (each also as .xz or .gz):
* `descriptions.tsv`: label, tab, text; our own layout. `\\n`, `\\t`, `\\r` and `\\\\` in the text stand for a
  line feed, a tab, a carriage return and a backslash. `entity_texts.tsv`, `relation_texts.tsv` and `source_ids.tsv`
  are of the same kind and hold the fields of DataSet by these names.
* `entity2text.tsv`: id, name, Freebase mid, description (4 columns), or id, QID, name, source, description
  (5).
* `ent_links.txt`: DBpedia URI, tab, Wikidata URI: names for data sets that know their entities by QID only.
* `rel_links.txt`: a name on each line, in the order of the relations; for relations called by Wikidata properties.
* `*entity2text-new.txt`: name of the triples, tab, `readable name -- description` (the second half may be
  missing).
* `entity2text.txt`, `entity2textlong.txt`, `relation2text.txt`: name of the triples, tab, text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DataError
from ...files.listing import list_files
from ...files.text import SUFFIXES, find_file, parse_integer, read_columns, read_lines
from ..graph import no_numbers
from .names import best_spelling, distinct, last_part, rows_by_name

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
_PLAIN = {short: char for char, short in _ESCAPES.items()}


@dataclass(frozen=True)
class NamedTexts:
    """Readable names and descriptions by what the files call the entities."""

    names: dict[str, str]
    descriptions: dict[str, str]


@dataclass(frozen=True)
class EntityTexts:
    """Readable names and descriptions by row, and rows by further published names."""

    names: Mapping[int, str]
    descriptions: Mapping[int, str]
    other_names: Mapping[str, int] = field(default_factory=dict)


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


def read_entity_texts(
    folder: Path, keys: Sequence[str], listed: Sequence[str] | None, *, numbered: bool = True
) -> EntityTexts:
    """Names and descriptions by row from the files beside the triples; what stands in a table wins over the others.

    Args:
        keys: what the triples call the entities, in row order.
        listed: what the list of ids calls them; None without one.
        numbered: whether their row numbers are ids.

    Raises:
        DataError: if a file is malformed, with file and line; or a table of ids is there, and they have none.
    """
    raw = keys if listed is None else listed
    named = read_named_texts(folder)
    known = best_spelling(rows_by_name(raw, keys, [last_part(name) for name in raw]), named.descriptions | named.names)
    if named.names and not any(name in known for name in named.names):
        warn_unused(folder / "*entity2text-new.txt", f"it names none of the entities, which are called like {raw[0]!r}")
    found = [
        EntityTexts(
            {known[name]: text for name, text in named.names.items() if name in known},
            {known[name]: text for name, text in named.descriptions.items() if name in known},
        )
    ]
    if links := find_file(folder, "ent_links.txt"):
        found.append(read_entity_links(links, raw))
    if table := find_file(folder, "entity2text.tsv"):
        if not numbered:
            raise no_numbers(str(table), "entity", len(keys))
        found.append(read_entity_table(table, listed, len(keys)))
    descriptions = {row: text for texts in found for row, text in texts.descriptions.items()}
    return EntityTexts(
        {row: name for texts in found for row, name in texts.names.items()},
        dict(sorted(descriptions.items())),
        {name: row for texts in found for name, row in texts.other_names.items()},
    )


def read_entity_table(path: Path, raw_names: Sequence[str] | None, num_entities: int) -> EntityTexts:
    """Names and descriptions by row from `entity2text.tsv`.

    The names of the 4-column file are taken only when there is no `entity2id.txt` (`raw_names` None): its
    URIs name the entities already. The QIDs of the 5-column file are compared with those of `entity2id.txt`.
    """
    names: dict[int, str] = {}
    descriptions: dict[int, str] = {}
    others: dict[str, int] = {}
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
        published = fields[1] if len(fields) == 5 else fields[2]
        if published:
            others[published] = row
    return EntityTexts(names, descriptions, others)


def read_entity_links(path: Path, raw_names: Sequence[str]) -> EntityTexts:
    """Names by row from `ent_links.txt`: the DBpedia name of every Wikidata URI in `raw_names`, or the other way round.

    Entities that are called by their DBpedia name keep it; their Wikidata id is a further name.
    """
    links = [(last_part(fields[0]), last_part(fields[1])) for _, fields in read_columns(path, 2)]
    rows = {last_part(name): row for row, name in enumerate(raw_names)}
    names = {rows[wikidata]: dbpedia for dbpedia, wikidata in links if wikidata in rows}
    others = {dbpedia: rows[wikidata] for dbpedia, wikidata in links if wikidata in rows}
    others |= {wikidata: rows[dbpedia] for dbpedia, wikidata in links if dbpedia in rows}
    if links and not others:
        warn_unused(path, f"it links none of the entities, which are called like {raw_names[0]!r}")
    return EntityTexts(names, {}, others)


def linked_relation_labels(folder: Path, raw: Sequence[str], labels: list[str], *, numbered: bool) -> list[str]:
    """The names of `rel_links.txt` for relations called by Wikidata properties; the labels as they are without it.

    Args:
        raw: what the files call the relations, in row order.
        numbered: whether a list gives that order.

    Raises:
        DataError: it names another number of relations.
    """
    path = find_file(folder, "rel_links.txt")
    if path is None:
        return labels
    properties = [last_part(name) for name in raw]
    strange = next((name for name in properties if not re.fullmatch(r"P[0-9]+", name)), None)
    if strange is not None or not numbered:
        properties_only = f"it is for relations called by Wikidata properties (P31), and here is {strange!r}"
        reason = properties_only if strange is not None else "no list numbers the relations"
        warn_unused(path, reason)
        return labels
    readable = read_lines(path)
    if len(readable) != len(raw):
        raise DataError(f"{path} names {len(readable)} relations, but there are {len(raw)}.")
    return distinct(readable, properties)


def warn_unused(path: Path, reason: str) -> None:
    """Say that a file beside the triples is left out."""
    warnings.warn(f"{path} is not used: {reason}.", stacklevel=3)


def read_named_texts(folder: Path) -> NamedTexts:
    """Names and descriptions by triple name from `*entity2text-new.txt`, else from the texts of MKGformer.

    Raises:
        DataError: there are several files of names.
    """
    names: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    endings = tuple(f"entity2text-new.txt{suffix}" for suffix in SUFFIXES)
    found = [path for path in list_files(folder) if path.name.endswith(endings)]
    if len(found) > 1:
        raise DataError(f"{folder} has {', '.join(path.name for path in found)}. Keep one.")
    path = found[0] if found else find_entity_texts(folder)
    if path is None:
        return NamedTexts(names, descriptions)
    for _, (name, text) in read_columns(path, 2):
        if not found:
            descriptions[name] = text
            continue
        readable, _, description = text.partition(" -- ")
        if readable.strip():
            names[name] = readable.strip()
        if description.strip():
            descriptions[name] = description.strip()
    return NamedTexts(names, descriptions)


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

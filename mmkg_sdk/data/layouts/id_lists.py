"""Lists that number entities or relations, under the names that public projects give them.

Each line is a name and its id, separated by a tab or a space; ids run from 0 without a gap. Which comes first:

* `entity2id.txt`, `relation2id.txt` (OpenKE, with a first line that counts; MoMoK, without one) and
  `entity_ids.txt`, `relation_ids.txt`: the name;
* `entities.dict`, `relations.dict` (RotatE), `entity_ids.del`, `relation_ids.del` (LibKGE), `entities.tsv`,
  `relations.tsv` (DGL-KE): the id;
* `entity_to_id.tsv`, `relation_to_id.tsv` (PyKEEN): what its first line says, `id label`.

Where only the other column holds numbers, that one is the id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import DataError
from ...files.text import find_file, parse_integer, read_lines

ENTITY_LISTS = (
    "entity2id.txt",
    "entities.dict",
    "entity_ids.txt",
    "entity_ids.del",
    "entity_to_id.tsv",
    "entities.tsv",
)
RELATION_LISTS = (
    "relation2id.txt",
    "relations.dict",
    "relation_ids.txt",
    "relation_ids.del",
    "relation_to_id.tsv",
    "relations.tsv",
)
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


def find_id_list(folder: Path, listings: Sequence[str]) -> tuple[Path, list[str]] | None:
    """The list that numbers the entities or relations, with their names in id order; None without one.

    Args:
        listings: ENTITY_LISTS or RELATION_LISTS.

    Raises:
        DataError: a list is malformed, or two do not agree.
    """
    found = [(path, read_name_ids(path)) for name in listings if (path := find_file(folder, name))]
    for path, names in found[1:]:
        if names != found[0][1]:
            raise DataError(f"{found[0][0]} and {path} number different names. Keep the list that goes with the data.")
    return found[0] if found else None


def read_name_ids(path: Path, *, counted: bool = False) -> list[str]:
    """The names of a list in id order.

    Args:
        counted: whether the first line must be the number of names (OpenKE); it may be, in any case.

    Raises:
        DataError: on a wrong count, or when the ids are not 0, 1, 2, ... each once.
    """
    lines = read_lines(path)
    first = 0
    if counted or (lines and _NUMBER.fullmatch(lines[0].strip())):
        check_count_line(lines, path)
        first = 1
    id_first = path.name.split(".")[1] in ("dict", "del", "tsv")
    heading = lines[first].casefold().split() if lines[first:] else []
    if len(heading) == 2 and "id" in heading and not any(map(_NUMBER.fullmatch, heading)):
        id_first = heading[0] == "id"
        first += 1
    if not _numbers(lines[first:], id_first) and _numbers(lines[first:], not id_first):
        id_first = not id_first
    return _in_order(lines, first, id_first, path)


def _in_order(lines: Sequence[str], first: int, id_first: bool, path: Path) -> list[str]:
    """The names of the lines from position `first` on, in the order of their ids."""
    names: list[str | None] = [None] * (len(lines) - first)
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[first:], first + 1):
        text, name = _split(line, id_first)
        if not name:
            expected = "id name" if id_first else "name id"
            raise DataError(f"{path}:{number}: expected `{expected}`, found {line[:80]!r}.")
        position = parse_integer(text, path, number, "the id")
        if position >= len(names):
            raise DataError(f"{path}:{number}: id {position} of {len(names)} names; ids run from 0 without a gap.")
        if names[position] is not None:
            raise DataError(f"{path}:{number}: id {position} was given before, to {names[position]!r}.")
        if seen.setdefault(name, number) != number:
            raise DataError(f"{path}:{number}: {name!r} was given an id before, on line {seen[name]}.")
        names[position] = name
    return [name for name in names if name is not None]


def _split(line: str, id_first: bool) -> tuple[str, str]:
    """Id and name of a line; a name may hold spaces."""
    if id_first:
        number, _, name = re.sub(r"[\t ]+", "\t", line, count=1).partition("\t")
        return number, name
    name, _, number = re.sub(r"[\t ]+(?=[^\t ]*$)", "\t", line).rpartition("\t")
    return number, name


def _numbers(lines: Sequence[str], id_first: bool) -> bool:
    """Whether every line has a number where its id would be."""
    return all(_NUMBER.fullmatch(_split(line, id_first)[0]) for line in lines)


def check_count_line(lines: Sequence[str], path: Path) -> None:
    """Raise DataError unless the first line is the number of lines after it."""
    if not lines:
        raise DataError(f"{path} is empty; expected a first line with the number of lines that follow.")
    count = parse_integer(lines[0].strip(), path, 1, "the count line")
    if count != len(lines) - 1:
        raise DataError(f"{path}:1: the count line says {count}, but {len(lines) - 1} lines follow.")

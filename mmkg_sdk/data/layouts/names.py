"""Names of entities and relations as public data sets spell them, and the readable labels made of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import parse_integer, read_lines

_URI = re.compile(r"<?(https?://[^<>]*)>?")


def read_name_ids(path: Path, *, counted: bool) -> list[str]:
    """Names in id order from lines `name id`, split at the last tabs or spaces.

    Args:
        counted: whether the first line is the number of names (OpenKE) or already a name (MyGO).

    Raises:
        DataError: on a wrong count, or when the ids are not 0, 1, 2, ... each once.
    """
    lines = read_lines(path)
    first = 1 if counted else 0
    if counted:
        check_count_line(lines, path)
    names: list[str | None] = [None] * (len(lines) - first)
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[first:], first + 1):
        fields = re.split(r"[\t ]+", line[::-1], maxsplit=1)
        if len(fields) != 2 or not fields[1]:
            raise DataError(f"{path}:{number}: expected `name id`, found {line[:80]!r}.")
        position = parse_integer(fields[0][::-1], path, number, "the id")
        if position >= len(names):
            raise DataError(f"{path}:{number}: id {position} of {len(names)} names; ids run from 0 without a gap.")
        if names[position] is not None:
            raise DataError(f"{path}:{number}: id {position} was given before, to {names[position]!r}.")
        name = fields[1][::-1]
        if seen.setdefault(name, number) != number:
            raise DataError(f"{path}:{number}: {name!r} was given an id before, on line {seen[name]}.")
        names[position] = name
    return [name for name in names if name is not None]


def check_count_line(lines: Sequence[str], path: Path) -> None:
    """Raise DataError unless the first line is the number of lines after it."""
    if not lines:
        raise DataError(f"{path} is empty; expected a first line with the number of lines that follow.")
    count = parse_integer(lines[0].strip(), path, 1, "the count line")
    if count != len(lines) - 1:
        raise DataError(f"{path}:1: the count line says {count}, but {len(lines) - 1} lines follow.")


def last_part(name: str) -> str:
    """The readable end of a URI: after `/resource/` or `/entity/`, else the last path segment or fragment.

    A name that is no URI comes back as it is.
    """
    match = _URI.fullmatch(name)
    if match is None:
        return name
    uri = match[1]
    for marker in ("/resource/", "/entity/"):
        if marker in uri and not uri.endswith(marker):
            return uri.split(marker, 1)[1]
    return re.split(r"[/#]", uri.rstrip("/#"))[-1]


def distinct(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The names, with ` (source)` added to every one that occurs more than once; the sources are distinct."""
    counts = Counter(names)
    if len(counts) == len(names):
        return list(names)
    longer = [f"{name} ({source})" if counts[name] > 1 else name for name, source in zip(names, sources, strict=True)]
    return distinct(longer, sources)


def relation_labels(names: Sequence[str]) -> list[str]:
    """Last path segment or fragment of each URI; where that repeats, as much of the path as is needed."""
    parts = [re.split(r"([/#])", name.strip("<>").rstrip("/#")) if _URI.fullmatch(name) else [name] for name in names]
    labels = [_tail(part, 1) for part in parts]
    for depth in range(2, max((len(part) for part in parts), default=0) // 2 + 2):
        counts = Counter(labels)
        if len(counts) == len(labels):
            break
        labels = [_tail(part, depth) if counts[label] > 1 else label for part, label in zip(parts, labels, strict=True)]
    return labels


def _tail(parts: Sequence[str], depth: int) -> str:
    """The last `depth` segments with the separators between them."""
    return "".join(parts[-(2 * depth - 1) :])


class NameTable:
    """Every spelling of the entities (or relations) of one data set, and the label of each row.

    Attributes:
        labels: what the SDK shows; row number = id.
        spellings: name lists in row order, in the order in which a file is compared with them.
    """

    def __init__(self, labels: Labels, *spellings: Sequence[str]) -> None:
        self.labels = labels
        lists = [list(names) for names in (*spellings, labels)]
        self.spellings: list[dict[str, int]] = [{name: row for row, name in enumerate(names)} for names in lists]

    def rows_of(self, names: Mapping[str, object] | Sequence[str], source: str) -> list[int]:
        """Rows of the names in a file that uses one spelling throughout.

        A decimal name can be a title and an id at once, so the spelling is settled for the file, not per
        name: the first list that knows every name.

        Raises:
            DataError: naming the first name that the best fitting spelling does not know.
        """
        best: dict[str, int] = {}
        best_known = -1
        for spelling in self.spellings:
            known = sum(name in spelling for name in names)
            if known > best_known:
                best, best_known = spelling, known
            if known == len(names):
                break
        for number, name in enumerate(names, 1):
            if name not in best:
                near = self.labels.near(name)
                raise DataError(
                    f"{source}: {self.labels.kind} {name[:80]!r} (name {number} of {len(names)}) is not in "
                    "the data set" + (f"; near: {', '.join(repr(label) for label in near)}." if near else ".")
                )
        return [best[name] for name in names]

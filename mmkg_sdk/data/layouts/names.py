"""Names of entities and relations as public data sets spell them, and the readable labels made of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ...errors import DataError
from ...files.labels import Labels
from ..graph import no_numbers

_URI = re.compile(r"<?(https?://[^<>]*)>?")
WORDNET = re.compile(r"[0-9]{8}", re.ASCII)


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


def rows_by_name(*lists: Sequence[str]) -> list[dict[str, int]]:
    """Each list of names as row by name; without those that give two rows one name."""
    tables = [{name: row for row, name in enumerate(names)} for names in lists]
    return [rows for rows, names in zip(tables, lists, strict=True) if len(rows) == len(names)]


def best_spelling(spellings: Sequence[Mapping[str, int]], names: Collection[str]) -> Mapping[str, int]:
    """The spelling of a file: the first that knows every name, else the one that knows most of them.

    A decimal name can be a title and an id at once, so the spelling is settled for the file, not per name.
    """
    return max(spellings, key=lambda spelling: sum(name in spelling for name in names))


class NameTable:
    """Every spelling of the entities (or relations) of one data set, and the label of each row.

    Attributes:
        labels: what the SDK shows; row number = id.
        spellings: rows by name, in the order in which a file is compared with them. A list that gives two rows one
            name is left out.
        numbered: whether row numbers mean anything outside of the triples; see `DataSet.unnumbered`.
    """

    def __init__(self, labels: Labels, *spellings: Sequence[str], numbered: bool = True) -> None:
        self.labels = labels
        self.numbered = numbered
        self.spellings = rows_by_name(*spellings, labels)

    def known_rows(self, names: Collection[str]) -> dict[str, int]:
        """Rows of those names of a file that its spelling knows; the file may name more than the data set has."""
        best = best_spelling(self.spellings, names)
        return {name: best[name] for name in names if name in best}

    def rows_of(self, names: Collection[str], source: str) -> list[int]:
        """Rows of the names in a file that uses one spelling throughout.

        Raises:
            DataError: naming the first name that the best fitting spelling does not know.
        """
        best = best_spelling(self.spellings, names)
        for number, name in enumerate(names, 1):
            if name not in best:
                if not self.numbered and is_id(name, len(self.labels)):
                    raise no_numbers(source, self.labels.kind, len(self.labels))
                near = self.labels.near(name)
                raise DataError(
                    f"{source}: {self.labels.kind} {name[:80]!r} (name {number} of {len(names)}) is not in "
                    "the data set" + (f"; near: {', '.join(repr(label) for label in near)}." if near else ".")
                )
        return [best[name] for name in names]


def is_id(name: str, count: int) -> bool:
    """Whether a name is one of the ids 0 to count - 1, in decimal digits."""
    return re.fullmatch(r"0|[1-9][0-9]{0,9}", name) is not None and int(name) < count

"""Labels: the two-way mapping between names and row numbers, and the file that holds it, one name per line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .near import alike, most_compared, plain, slips
from .regular import open_regular, read_whole
from .stored_lines import StoredLines

# A longer line is no name; it would stand in every message and answer.
_MAX_LENGTH = 10_000
_MARK = "\ufeff"  # byte order mark
# From so many bytes on, labels stay in the memory of their file: each as an object would take some 150 bytes more.
_MANY_BYTES = 1 << 20
# So many names are looked up one by one, and more together: that may make an index first.
_FEW = 4
# What one label of a file is called in messages.
SINGULAR = {"entities": "entity", "relations": "relation"}


class Labels(Sequence[str]):
    """An ordered list of distinct names; the position of a name is its id.

    Raises:
        DataError: if a name is empty, repeated, longer than 10,000 characters, or holds a line break (it could not
            be written to a label file).
    """

    def __init__(self, names: Iterable[str], *, kind: str = "entity") -> None:
        self.kind = kind
        # Those of a large file, and behind them the others. Lists that were extended share these, and each knows how
        # many of the names are its own.
        self._lines: StoredLines | None = None
        self._names: list[str] = []
        self._ids: dict[str, int] = {}
        self._count = 0
        self._add(names)

    @classmethod
    def of_lines(cls, lines: StoredLines, *, kind: str = "entity") -> Labels:
        """Those of a large file, which was checked."""
        labels = cls((), kind=kind)
        labels._lines, labels._count = lines, len(lines)
        return labels

    def extended(self, names: Iterable[str]) -> Labels:
        """These and others behind them, in the time that the others take; one thread at a time.

        Raises:
            DataError: a name that is none, or taken.
        """
        labels = Labels((), kind=self.kind)
        labels._lines, labels._names, labels._ids, labels._count = self._lines, self._names, self._ids, self._count
        if self._stored + len(self._names) > self._count:  # others were put behind these already
            labels._names = self._names[: self._count - self._stored]
            labels._ids = {name: self._stored + place for place, name in enumerate(labels._names)}
        labels._add(names)
        return labels

    def _add(self, names: Iterable[str]) -> None:
        """Put names behind these; all of them or, if one is wrong, none."""
        added: dict[str, int] = {}
        names = list(names)
        known = self.find_all(names).tolist() if self._count and len(names) > _FEW else None
        for position, name in enumerate(names, start=self._count):
            if not name or "\n" in name or "\r" in name:
                raise DataError(
                    f"{self.kind} label {position} is {name!r:.80}; a label is one non-empty line. Rename it in the "
                    "data."
                )
            if len(name) > _MAX_LENGTH:
                raise DataError(
                    f"{self.kind} label {position} has {len(name):,} characters; a label has at most {_MAX_LENGTH:,}. "
                    "Rename it in the data."
                )
            if known is None:
                first = self.find(name) if self._count else None
            else:
                first = known[position - self._count] if known[position - self._count] >= 0 else None
            first = added.setdefault(name, position) if first is None else first
            if first != position:
                raise DataError(
                    f"{self.kind} label {name!r:.80} stands at {first} and again at {position}; rename one."
                )
        self._names.extend(added)
        self._ids.update(added)
        self._count += len(added)

    @property
    def _stored(self) -> int:
        return 0 if self._lines is None else len(self._lines)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[str, ...]: ...
    def __getitem__(self, position: int | slice) -> str | tuple[str, ...]:
        if isinstance(position, slice):
            return tuple(self[i] for i in range(self._count)[position])
        place = range(self._count)[position]  # as a tuple has it: from the end, or an IndexError
        stored = self._stored
        if self._lines is not None and place < stored:
            return self._lines[place]
        return self._names[place - stored]

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self._lines or (), itertools.islice(self._names, self._count - self._stored))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Labels) or len(self) != len(other):
            return False
        return all(name == its for name, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash((len(self), self[0], self[-1]) if self._count else ())

    def __repr__(self) -> str:
        shown = ", ".join(self[:3]) + (", ..." if len(self) > 3 else "")
        return f"Labels({len(self):,} x {self.kind}: {shown})"

    def find(self, name: str) -> int | None:
        """The id of a name, or None."""
        found = self._ids.get(name)
        if found is not None and found < self._count:
            return found
        return None if self._lines is None else self._lines.find(name)

    def find_all(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The ids of many names, -1 for one that is not there, int64 [len(names)]."""
        ids = np.fromiter((self._ids.get(name, -1) for name in names), np.int64, len(names))
        ids[ids >= self._count] = -1
        if self._lines is not None:
            rest = np.flatnonzero(ids < 0)
            ids[rest] = self._lines.find_all([names[i] for i in rest.tolist()])
        return ids

    def of_ids(self, ids: Sequence[int]) -> list[str]:
        """The names of ids that are in range."""
        if self._lines is not None:
            return [self[number] for number in ids]
        names = self._names
        return [names[number] for number in ids]

    def taken(self, names: Sequence[str]) -> str | None:
        """The first of some names that is one of these, or None."""
        if len(names) <= _FEW:
            return next((name for name in names if self.find(name) is not None), None)
        found = np.flatnonzero(self.find_all(names) >= 0)
        return names[found[0]] if len(found) else None

    def near(self, name: str, count: int = 3) -> list[str]:
        """Up to `count` labels that look like `name`, best first, in milliseconds.

        Case and underscores do not matter. Of many labels (50,000; without rapidfuzz 500) only those that are one slip
        away are found.
        """
        if len(self) > most_compared():
            tried = slips(name, self[:1000])
            found = (text for text, number in zip(tried, self.find_all(tried).tolist(), strict=True) if number >= 0)
            return list(itertools.islice(found, count))
        return [self._by_plain[text] for text in alike(name, self._by_plain, count)]

    @cached_property
    def _by_plain(self) -> dict[str, str]:
        return {plain(name): name for name in reversed(list(self))}


def is_line(label: str) -> bool:
    """Whether a label can be read back from a file: it has a UTF-8 form, and begins with no byte order mark."""
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return not label.startswith(_MARK)


def write_labels(path: Path, labels: Labels) -> None:
    """Write one label per line, UTF-8, every line ended by one line feed; into a folder that appears as a whole.

    Raises:
        DataError: if a label cannot be written as UTF-8 (a lone surrogate).
    """
    lines = []
    for position, label in enumerate(labels):
        try:
            lines.append(label.encode("utf-8"))
        except UnicodeEncodeError as err:
            raise DataError(
                f"{labels.kind} label {position} is {label!r}, which has no UTF-8 form. Rename it."
            ) from err
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def read_labels(path: Path, kind: str = "entity") -> Labels:
    """The labels of a file with one label per line; the line number, from 0, is the id.

    Lines end at a line feed and nowhere else, so a label may hold any other character. The last line feed may
    lack.

    Raises:
        DataError: file absent, no regular one, empty or larger than `most_bytes`; not UTF-8, a byte order mark or
            carriage return, an empty or repeated label, with the line where it stands, from 1.
    """
    try:
        with open_regular(path) as file:
            return parse_labels(read_whole(file, path), path, kind)
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror}. Expected one {kind} label per line.") from err


def parse_labels(content: bytes | memoryview, path: Path, kind: str = "entity", *, known: bool = False) -> Labels:
    """Like `read_labels`, of the content of a file, which must not change; the path is for messages.

    Args:
        known: these very bytes were found right before.
    """
    if len(content) >= _MANY_BYTES:
        stored = StoredLines(content)
        if known or (stored.are_texts(_MAX_LENGTH) and stored.are_distinct()):
            return Labels.of_lines(stored, kind=kind)
    # A few, or what is wrong is found line by line.
    lines = bytes(content).split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path} is empty; expected one {kind} label per line.")
    names: list[str] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = _label(line, f"{path}:{number}", kind)
        first = first_lines.setdefault(name, number)
        if first != number:
            raise DataError(f"{path}:{number}: {kind} label {name!r} stands in line {first} already; rename one.")
        names.append(name)
    return Labels(names, kind=kind)


def _label(line: bytes, place: str, kind: str) -> str:
    """One line as a label, or an error that names the place."""
    try:
        name = line.decode("utf-8")
    except UnicodeDecodeError as err:
        raise DataError(f"{place}: {line[:40]!r} is not UTF-8. Convert the file to UTF-8.") from err
    if not name:
        raise DataError(f"{place}: empty line; expected one {kind} label per line.")
    if "\r" in name:
        raise DataError(f"{place}: {name[:40]!r} holds a carriage return. Convert the line ends to LF.")
    if name.startswith(_MARK):
        raise DataError(f"{place}: the line begins with a byte order mark. Save as UTF-8 without it.")
    return name

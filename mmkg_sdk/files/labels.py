"""Labels: the two-way mapping between names and row numbers, and the file that holds it, one name per line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

from ..errors import DataError
from .near import alike, most_compared, plain, slips
from .regular import open_regular, read_whole

# A longer line is no name; it would stand in every message and answer.
_MAX_LENGTH = 10_000
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
        self._names = tuple(names)
        self._ids: dict[str, int] = {}
        for position, name in enumerate(self._names):
            if not name or "\n" in name or "\r" in name:
                raise DataError(
                    f"{kind} label {position} is {name!r:.80}; a label is one non-empty line. Rename it in the data."
                )
            if len(name) > _MAX_LENGTH:
                raise DataError(
                    f"{kind} label {position} has {len(name):,} characters; a label has at most {_MAX_LENGTH:,}. "
                    "Rename it in the data."
                )
            first = self._ids.setdefault(name, position)
            if first != position:
                raise DataError(f"{kind} label {name!r:.80} stands at {first} and again at {position}; rename one.")

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[str, ...]: ...
    def __getitem__(self, position: int | slice) -> str | tuple[str, ...]:
        return self._names[position]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._names == other._names

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:3]) + (", ..." if len(self) > 3 else "")
        return f"Labels({len(self):,} x {self.kind}: {shown})"

    def find(self, name: str) -> int | None:
        """The id of a name, or None."""
        return self._ids.get(name)

    def near(self, name: str, count: int = 3) -> list[str]:
        """Up to `count` labels that look like `name`, best first, in milliseconds.

        Case and underscores do not matter. Of many labels (50,000; without rapidfuzz 500) only those that are one slip
        away are found.
        """
        if len(self) > most_compared():
            return slips(name, self._ids, self._names[:1000], count)
        return [self._by_plain[text] for text in alike(name, self._by_plain, count)]

    @cached_property
    def _by_plain(self) -> dict[str, str]:
        return {plain(name): name for name in reversed(self._names)}


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


def parse_labels(content: bytes, path: Path, kind: str = "entity") -> Labels:
    """Like `read_labels`, of the content of a file; the path is for messages."""
    lines = content.split(b"\n")
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
    if name.startswith("\ufeff"):
        raise DataError(f"{place}: the line begins with a byte order mark. Save as UTF-8 without it.")
    return name

"""Labels: the two-way mapping between names and row numbers."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from .errors import DataError

# A longer line is no name; it would stand in every message and answer.
_MAX_LENGTH = 10_000
# Labels compared with an unknown one: about a second's work.
_NEAR_LIMIT = 20_000


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
        """Up to `count` labels that look like `name`, best first; case and underscores do not matter."""

        def plain(text: str) -> str:
            return text.casefold().replace("_", " ")

        wanted = plain(name)[:200]
        by_plain: dict[str, str] = {}
        for label in self._names:
            by_plain.setdefault(plain(label), label)
        similar = heapq.nsmallest(_NEAR_LIMIT, by_plain, key=lambda text: abs(len(text) - len(wanted)))
        found = difflib.get_close_matches(wanted, similar, n=count, cutoff=0.6)
        return [by_plain[key] for key in found]

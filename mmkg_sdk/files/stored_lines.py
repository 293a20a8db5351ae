"""StoredLines: a million distinct lines of text in the memory of their file, with an index, and no object for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bytes, and lines, that are looked at in one go.
_BLOCK_BYTES = 1 << 24
_BLOCK_LINES = 1 << 16
_SEARCHES = 4
_FEED, _RETURN, _MARK = 0x0A, 0x0D, b"\xef\xbb\xbf"


class StoredLines:
    """The lines of a file by number and by text. Beside the file: 8 bytes a line, and 16 for the index.

    The index is made when the fifth line is searched for: who asks one query had better not wait for it. It is of
    Python's hashes of the lines, whose key is drawn anew for each process, so nobody can write a file whose lines
    collide.

    Args:
        content: of the file, which must not change; lines end at a line feed, which the last one may lack.
    """

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)
        self._searches = 0
        self._starts = _starts(np.frombuffer(content, np.uint8))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        return self._line(number).decode()

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks():
            yield from (line.decode() for line in block)

    def __reduce__(self) -> tuple[Any, ...]:
        # A memory map cannot travel to another process, and hashes have another key there.
        return StoredLines, (bytes(self._content),)

    def find(self, text: str) -> int | None:
        """The number of a line, or None."""
        if "_index" not in self.__dict__ and self._searches < _SEARCHES:
            self._searches += 1
            return self._search(text)
        (number,) = self.find_all([text]).tolist()
        return None if number < 0 else int(number)

    def find_all(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The number of the line that each text is, or -1, int64 [len(texts)]."""
        hashes, numbers = self._index
        # A text with half of a surrogate pair is no line of a file: its bytes in this form are none of UTF-8.
        wanted = [text.encode("utf-8", "surrogatepass") for text in texts]
        asked = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        places = hashes.searchsorted(asked)
        found = np.full(len(wanted), -1, np.int64)
        for i in np.flatnonzero(hashes[np.minimum(places, len(hashes) - 1)] == asked).tolist():
            place = int(places[i])
            while place < len(hashes) and hashes[place] == asked[i]:
                if self._line(int(numbers[place])) == wanted[i]:
                    found[i] = numbers[place]
                place += 1
        return found

    def are_texts(self, longest: int) -> bool:
        """Whether all is UTF-8 without carriage returns, and every line has 1 to `longest` characters and no byte order
        mark at its start."""
        lengths = np.diff(self._starts) - 1
        if not len(self) or lengths.min() < 1:
            return False
        content = np.frombuffer(self._content, np.uint8)
        marked = self._numbers(content[self._starts[:-1]] == _MARK[0])
        if any(self._line(number).startswith(_MARK) for number in marked):
            return False
        try:
            if any(len(self[number]) > longest for number in self._numbers(lengths > longest)):
                return False
            for start, stop in self._cuts(_BLOCK_BYTES):
                str(self._content[start:stop], "utf-8")
                if (content[start:stop] == _RETURN).any():
                    return False
        except UnicodeDecodeError:
            return False
        return True

    def are_distinct(self) -> bool:
        """Whether no line stands twice."""
        hashes, numbers = self._index
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        alike = {int(number) for place in same.tolist() for number in numbers[place : place + 2]}
        return len({self._line(number) for number in alike}) == len(alike)

    @cached_property
    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The hashes of the lines, ascending, and whose they are."""
        hashes = np.empty(len(self), np.int64)
        done = 0
        for block in self._blocks():
            hashes[done : done + len(block)] = np.fromiter(map(hash, block), np.int64, len(block))
            done += len(block)
        numbers = np.argsort(hashes)
        return hashes[numbers], numbers

    def _search(self, text: str) -> int | None:
        """`find` without an index: every line is looked at."""
        line = text.encode("utf-8", "surrogatepass") + b"\n"
        if b"\n" in line[:-1] or len(line) < 2:
            return None
        for start, stop in self._cuts(_BLOCK_BYTES):
            block = bytes(self._content[start:stop])
            if stop == len(self._content) and not block.endswith(b"\n"):
                block += b"\n"
            place = -1 if block.startswith(line) else block.find(b"\n" + line)
            if place >= 0 or block.startswith(line):
                return int(self._starts.searchsorted(start + place + 1))
        return None

    def _line(self, number: int) -> bytes:
        return bytes(self._content[self._starts[number] : self._starts[number + 1] - 1])

    def _blocks(self) -> Iterator[list[bytes]]:
        """The lines, many at a time."""
        for first in range(0, len(self), _BLOCK_LINES):
            last = min(first + _BLOCK_LINES, len(self))
            yield bytes(self._content[self._starts[first] : self._starts[last] - 1]).split(b"\n")

    def _cuts(self, size: int) -> Iterator[tuple[int, int]]:
        """Where the content may be cut into blocks of some size between two lines."""
        start = 0
        while start < len(self._content):
            line = int(self._starts.searchsorted(start + size))
            stop = min(int(self._starts[min(line, len(self))]), len(self._content))
            yield start, stop
            start = stop

    def _numbers(self, chosen: NDArray[np.bool_]) -> list[int]:
        found: list[int] = np.flatnonzero(chosen).tolist()
        return found


def _starts(content: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where each line starts, and where one behind the last would."""
    blocks = (
        start + 1 + np.flatnonzero(content[start : start + _BLOCK_BYTES] == _FEED)
        for start in range(0, len(content), _BLOCK_BYTES)
    )
    starts = np.concatenate([np.zeros(1, np.int64), *blocks])
    ends_open = len(content) > 0 and content[-1] != _FEED
    return np.append(starts, len(content) + 1) if ends_open else starts

"""Choices that come out alike on every machine and in every version of Python: they are made by hashing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def number(*key: object) -> int:
    """An integer of 64 bits that looks random and depends on the key alone."""
    digest = hashlib.sha256("\t".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def pick(options: Sequence[T], *key: object) -> T:
    """One of the options."""
    return options[number(*key) % len(options)]


def ordered(options: Iterable[T], *key: object) -> list[T]:
    """The options in an order of chance; a new option moves no other one past another."""
    return sorted(options, key=lambda option: number(*key, option))


def split_of(*key: object) -> str:
    """The split of something: "train" for eight keys of ten, "valid" and "test" for one each."""
    return {0: "test", 1: "valid"}.get(number("split", *key) % 10, "train")

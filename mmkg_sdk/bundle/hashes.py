"""The hashes of a file: SHA-256 of all of it, and of large ones a tree, so that all cores hash one file.

The tree has two levels: SHA-256 over the SHA-256 of each 8 MiB of the file, one behind the other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BundleError
from ..files.tensors import map_file

TREE_CHUNK = 8 << 20
_READ_CHUNK = 1 << 20
_MOST_THREADS = 8


def file_entry(path: Path) -> dict[str, Any]:
    """What bundle.json says of a file: its SHA-256, its size and, if it has more than one part, its tree."""
    with path.open("rb") as file:
        content = map_file(file)
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        if len(content) > TREE_CHUNK:
            with _threads() as threads:
                entry["sha256_tree"] = _tree(content, threads)
    return entry


def check_hashes(folder: Path, files: Mapping[str, memoryview], entries: Mapping[str, Any], *, all_of: bool) -> None:
    """Whether files are what bundle.json says of them; all cores look.

    Args:
        all_of: both hashes, where a file has two. Otherwise its tree, which says as much.

    Raises:
        BundleError: one is not.
    """
    with _threads() as threads:
        plain = {
            name: threads.submit(_digest, content)
            for name, content in files.items()
            if all_of or "sha256_tree" not in entries[name]
        }
        for name, content in files.items():
            if "sha256_tree" in entries[name]:
                _compare(folder / name, "SHA-256 tree", _tree(content, threads), entries[name]["sha256_tree"])
            if name in plain:
                _compare(folder / name, "SHA-256", plain[name].result(), entries[name]["sha256"])


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of the rest of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_READ_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _compare(path: Path, kind: str, digest: str, expected: str) -> None:
    if digest != expected:
        raise BundleError(
            f"{path} was changed: its {kind} is {digest}, bundle.json says {expected}. Fetch the bundle again."
        )


def _tree(content: memoryview, threads: Executor) -> str:
    parts = (content[start : start + TREE_CHUNK] for start in range(0, len(content), TREE_CHUNK))
    digests = threads.map(lambda part: hashlib.sha256(part).digest(), parts)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _digest(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _threads() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, _MOST_THREADS))

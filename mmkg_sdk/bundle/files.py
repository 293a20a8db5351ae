"""The files of a bundle: opened where links may lead, hashed, and read from what was hashed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BundleError
from ..files.tensors import map_file

_GRAPH_LIMIT = 16 << 20
_HASH_CHUNK = 1 << 20


def open_plain_file(path: Path, *, follow_links: bool = False) -> BufferedReader:
    """Open a plain file: no device, no pipe; checked on the opened file, not on the name.

    A link is followed within the folder of `path` (as Kubernetes mounts a ConfigMap), into the blobs of a Hugging Face
    cache that the folder is a snapshot of, and elsewhere with `follow_links`.
    """
    try:
        target = Path(os.path.realpath(path, strict=True))
        if path.is_symlink() and not follow_links and not any(target.is_relative_to(p) for p in _places(path.parent)):
            raise BundleError(
                f"{path} is a link out of its folder, to {target}. If that is meant, pass follow_links=True, or copy "
                "the folder with `cp -rL`."
            )
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(target, flags)
    except OSError as err:
        raise BundleError(f"{path} cannot be opened as a plain file ({err.strerror}). Fetch the bundle again.") from err
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a plain file. A bundle holds plain files only; fetch it again.")
    return os.fdopen(descriptor, "rb")


def _places(folder: Path) -> Iterator[Path]:
    """Where links in a folder may lead."""
    folder = Path(os.path.realpath(folder))
    yield folder
    for parent in folder.parents:  # REPOSITORY/snapshots/REVISION/..., whose files are links into REPOSITORY/blobs
        if parent.name == "snapshots":
            yield parent.parent / "blobs"


def read_verified(path: Path, entry: dict[str, Any], *, mapped: bool, follow_links: bool = False) -> memoryview:
    """The content of a file, whose size and SHA-256 are those of its entry in bundle.json.

    Args:
        mapped: as a memory map, for what is large and read as it is needed. Otherwise it is read.

    Raises:
        BundleError: they are not, or it is no plain file.
    """
    if not os.path.lexists(path):
        raise BundleError(f"{path} is missing. The copy is incomplete; fetch the bundle again.")
    with open_plain_file(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            raise BundleError(
                f"{path} has {size:,} bytes, bundle.json says {entry['bytes']:,}. "
                "The copy is incomplete or was changed; fetch the bundle again."
            )
        if path.suffix == ".onnx" and size > _GRAPH_LIMIT:
            raise BundleError(f"{path} has {size:,} bytes; a graph keeps its weights outside and is small.")
        try:
            content = map_file(file) if mapped else memoryview(bytearray(size))
        except (MemoryError, OverflowError, OSError) as err:
            raise BundleError(f"{path} has {size:,} bytes, and there is no memory for them.") from err
        if mapped:
            digest = sha256_of(file)
        else:
            read = file.readinto(content)
            digest = hashlib.sha256(content[:read]).hexdigest()
    if digest != entry["sha256"]:
        raise BundleError(
            f"{path} was changed: its SHA-256 is {digest}, bundle.json says {entry['sha256']}. Fetch the bundle again."
        )
    return content


def file_entry(path: Path) -> dict[str, Any]:
    """What bundle.json says of a file: its SHA-256 and size."""
    with path.open("rb") as file:
        return {"sha256": sha256_of(file), "bytes": path.stat().st_size}


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of the rest of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

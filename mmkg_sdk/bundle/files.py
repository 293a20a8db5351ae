"""The files of a bundle: opened where links may lead, each once, and read or mapped."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..files.tensors import map_file

_GRAPH_LIMIT = 16 << 20
_LARGE_BYTES = 16 << 20
# What a hole makes of a file is no matter for a map, but takes hours to hash.
_MOST_BYTES = 1 << 40


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


@dataclass(frozen=True)
class OpenedFile:
    """A file of a bundle, not hashed yet.

    Attributes:
        content: what was read, or a memory map of what is large.
        status: what the system said of the file when it was opened.
    """

    content: memoryview
    status: os.stat_result
    is_mapped: bool

    @property
    def is_large(self) -> bool:
        """Whether it takes a while to hash it."""
        return self.is_mapped and len(self.content) >= _LARGE_BYTES


def release(content: memoryview) -> None:
    """Let go of the memory of a memory map that was looked at; what is read again comes back by itself."""
    if isinstance(content.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.obj.madvise(mmap.MADV_DONTNEED)


def mapped_folder(folder: Path) -> dict[str, memoryview]:
    """All files of a folder that is being written, as an opened bundle has them."""
    contents = {}
    for path in folder.iterdir():
        with path.open("rb") as file:
            contents[path.name] = map_file(file)
    return contents


def open_file(path: Path, entry: dict[str, Any], *, mapped: bool, follow_links: bool = False) -> OpenedFile:
    """The content of a file whose size is that of its entry in bundle.json.

    Args:
        mapped: as a memory map, however small it is; what has 16 MiB or more is mapped anyway.

    Raises:
        BundleError: it has another size, or is no plain file.
    """
    if not os.path.lexists(path):
        raise BundleError(f"{path} is missing. The copy is incomplete; fetch the bundle again.")
    with open_plain_file(path, follow_links=follow_links) as file:
        status = os.fstat(file.fileno())
        size = status.st_size
        if size != entry["bytes"]:
            raise BundleError(
                f"{path} has {size:,} bytes, bundle.json says {entry['bytes']:,}. "
                "The copy is incomplete or was changed; fetch the bundle again."
            )
        if path.suffix == ".onnx" and size > _GRAPH_LIMIT:
            raise BundleError(f"{path} has {size:,} bytes; a graph keeps its weights outside and is small.")
        if size > _MOST_BYTES:
            raise BundleError(f"{path} has {size:,} bytes; a file of a bundle has at most 1 TiB.")
        mapped = (mapped or size >= _LARGE_BYTES) and size > 0
        try:
            content = map_file(file) if mapped else memoryview(bytearray(size))
        except (MemoryError, OverflowError, OSError) as err:
            raise BundleError(f"{path} has {size:,} bytes, and there is no memory for them.") from err
        if not mapped:
            content = content[: file.readinto(content)]
    return OpenedFile(content, status, mapped)

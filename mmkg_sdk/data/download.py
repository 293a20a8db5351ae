"""One file from the network: resumed where it broke off, checked before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..files.atomic import shortage

ATTEMPTS = 4
TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Download:
    """An address and what must lie there: SHA-256 in hexadecimal and size in bytes."""

    url: str
    sha256: str
    size: int


def download(wanted: Download, path: Path) -> None:
    """Fetch `wanted` to `path`; nothing happens if the right content is there already.

    What arrived of a broken transfer stays in `path` + ".part"; the next attempt, in this call or a later
    one, asks for the rest with a Range header. A server that ignores it sends everything again.

    Raises:
        DataError: if the file cannot be had after 4 attempts, the disk does not take it, or its content is not the
            expected one.
    """
    if path.is_file():
        check_content(path.read_bytes(), wanted.sha256, str(path))
        return
    part = path.with_name(path.name + ".part")
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            _continue(wanted, part)
        except urllib.error.HTTPError as err:
            problem = err
            if err.code == 416:  # the part is longer than the file: it is not a beginning of it
                part.unlink(missing_ok=True)
            elif err.code < 500:
                break
        except (OSError, http.client.HTTPException) as err:
            problem = err
        if part.is_file() and part.stat().st_size >= wanted.size:
            break
    if not part.is_file() or part.stat().st_size < wanted.size:
        have = part.stat().st_size if part.is_file() else 0
        raise DataError(
            f"{wanted.url} could not be fetched: {problem or 'the transfer ended early'} ({have:,} of "
            f"{wanted.size:,} bytes "
            "are kept). Run the command again to go on, or use a copy: --from DIR."
        ) from problem
    try:
        check_content(part.read_bytes(), wanted.sha256, wanted.url)
    except DataError:
        part.unlink()
        raise
    part.rename(path)


def check_content(content: bytes, sha256: str, source: str) -> None:
    """Raise DataError, naming both digests, unless the content has this SHA-256."""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{source} has SHA-256 {found} ({len(content):,} bytes), expected {sha256}. It is not the "
            "published file; "
            "fetch it again or get it from another place."
        )


def _continue(wanted: Download, part: Path) -> None:
    """Append what is missing of the file to `part`."""
    have = part.stat().st_size if part.is_file() else 0
    if have >= wanted.size:
        return
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "mmkg-sdk"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with contextlib.closing(urllib.request.urlopen(request, timeout=TIMEOUT_S)) as response:
        # 206 = the rest; anything else is the whole file again. One byte too many shows that it is another
        # file.
        resumed = response.status == 206 and _starts_at(response.headers.get("Content-Range"), have)
        limit = wanted.size + 1 - (have if resumed else 0)
        with _writing(part, limit):
            file = part.open("ab" if resumed else "wb", buffering=0)
        with file:
            while limit > 0 and (block := response.read(min(_BLOCK_BYTES, limit))):
                with _writing(part, limit):
                    limit -= len(block)
                    while block:
                        block = block[file.write(block) :]


@contextlib.contextmanager
def _writing(part: Path, needed: int) -> Iterator[None]:
    """Tell what the disk does not take from what the network does not give; only the latter is tried again."""
    try:
        yield
    except OSError as err:
        raise DataError(
            f"{part} could not be written ({shortage(err, part.parent, f'{needed:,}')}). What arrived is kept; make "
            "room and run the command again, or name another cache folder."
        ) from err


def _starts_at(content_range: str | None, start: int) -> bool:
    return content_range is not None and content_range.startswith(f"bytes {start}-")

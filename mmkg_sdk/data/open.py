"""Opening a data set by what a user calls it: the embedded one, a fetched name, or a folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from .folders import cache_folder
from .graph import DataSet
from .readers import read_dataset

ATLAS = "atlas"


def open_dataset(
    source: str | Path,
    *,
    cache: Path | None = None,
    tokens: Path | None = None,
    visual: str | None = None,
    text: str | None = None,
) -> DataSet:
    """The data set that `source` names.

    Args:
        source: "atlas" (the embedded data set, tokenised with the learned tokenizers on first use), the name
            of a fetched public data set ("db15k", "mkg-w", "mkg-y"), or a folder. A Path is always a folder.
        cache: where fetched and tokenised data sets lie; None: $MMKG_CACHE, else ~/.cache/mmkg_sdk.
        tokens, visual, text: see `read_dataset`.

    Raises:
        DataError: if there is no such data set; the message says how to get it.
    """
    folder = _tokenized_atlas(cache_folder(cache)) if source == ATLAS else find_folder(source, cache=cache)
    return read_dataset(folder, tokens=tokens, visual=visual, text=text)


def find_folder(source: str | Path, *, cache: Path | None = None) -> Path:
    """The folder of a fetched public data set, or the folder that `source` is."""
    from .registry import PUBLIC

    if isinstance(source, str) and source in PUBLIC:
        fetched = cache_folder(cache) / source
        if fetched.is_dir():
            return fetched
        if not Path(source).is_dir():
            raise DataError(f"{source} is not in {cache_folder(cache)} yet. Run: mmkg-sdk data fetch {source}")
    folder = Path(source)
    if not folder.is_dir():
        names = ", ".join((ATLAS, *PUBLIC))
        raise DataError(f"{str(source)!r} is neither a folder nor a known data set ({names}).")
    return folder


@contextlib.contextmanager
def raw_dataset(
    source: str | Path,
    *,
    cache: Path | None = None,
    tokens: Path | None = None,
    visual: str | None = None,
    text: str | None = None,
) -> Iterator[tuple[DataSet, Path | None]]:
    """The data set as it is before tokenising, and its folder `images` (None without one).

    The files of the atlas are written to a temporary folder that goes when the block ends; of other data sets
    the folder itself is read. Arguments as for `open_dataset`.
    """
    with contextlib.ExitStack() as stack:
        if source == ATLAS:
            from .atlas import write_atlas

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmkg-atlas-"))) / ATLAS
            write_atlas(folder)
        else:
            folder = find_folder(source, cache=cache)
        dataset = read_dataset(folder, tokens=tokens, visual=visual, text=text)
        images = folder / "images"
        yield dataset, images if images.is_dir() else None


def _tokenized_atlas(cache: Path) -> Path:
    """The tokenised atlas of this package version in the cache, made on first use."""
    from .. import __version__
    from .tokenize import tokenize_dataset
    from .write import write_dataset

    folder = cache / f"made-by-{__version__}" / ATLAS
    if folder.is_dir():
        return folder
    with raw_dataset(ATLAS) as (dataset, images):
        tokenized = tokenize_dataset(dataset, images=images)
    try:
        write_dataset(tokenized, folder)
    except DataError:
        # Another process may have finished first; its folder is as good as ours.
        if not folder.is_dir():
            raise
    return folder

"""Opening a data set by what a user calls it: an embedded one, a fetched name, or a folder."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import DataError
from ..files.cache_folder import cache_folder
from ..files.folders import folder_lock, new_folder
from ..registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION
from ..version import __version__
from .atlas import sentences, write_atlas
from .atlas.edition import edition
from .folders import DATA_SET
from .graph import DataSet
from .layouts.kinds import find_kind
from .layouts.linking import read_linking
from .layouts.sentences import read_relations, read_tagging
from .mentions import LinkingData
from .readers import read_dataset
from .registry import PUBLIC
from .sentences import RelationData, TaggingData
from .tokens.tokenize import tokenize_dataset
from .write import write_dataset

ATLAS = "atlas"
# Embedded as well -> what writes it.
ATLAS_SENTENCES: dict[str, Callable[[Path], None]] = {
    "atlas-mentions": sentences.write_mentions,
    "atlas-relations": sentences.write_relations,
    "atlas-tags": sentences.write_tags,
}
AnyData = DataSet | LinkingData | RelationData | TaggingData

_KINDS: dict[type, str] = {
    DataSet: "a knowledge graph",
    LinkingData: "mentions and entities",
    RelationData: "sentences with relations",
    TaggingData: "sentences with tags",
}
Kind = TypeVar("Kind", DataSet, LinkingData, RelationData, TaggingData)


def kind_of(data: AnyData) -> str:
    """What data are, in words, for messages."""
    return _KINDS[type(data)]


def open_kind(source: str | Path, kind: type[Kind]) -> Kind:
    """`open_data`, of one kind.

    Raises:
        DataError: what `open_data` raises; or it holds something else.
    """
    found = open_data(source)
    if not isinstance(found, kind):
        raise DataError(f"{source} holds {kind_of(found)}; expected {_KINDS[kind]}. Name other data.")
    return found


def open_data(
    source: str | Path,
    *,
    cache: Path | None = None,
    images: Path | None = None,
    tokens: Path | None = None,
    visual: str | None = None,
    text: str | None = None,
) -> AnyData:
    """The data that `source` names, of whichever kind it is.

    Args:
        source: "atlas" (a knowledge graph), "atlas-mentions" (entity linking), "atlas-relations" (relation
            extraction), "atlas-tags" (entity recognition), the name of a fetched data set, or a folder. A Path is
            always a folder.
        cache: where fetched and embedded data sets lie; None: $MMKG_CACHE, else ~/.cache/mmkg_sdk.
        images: where the images of mentions or sentences lie; None: in the folder itself.
        tokens, visual, text: of a knowledge graph only; see `read_dataset`.

    Raises:
        DataError: if there is no such data set, its kind is not recognised, or a file is malformed.
    """
    folder = _tokenized_atlas(cache_folder(cache)) if source == ATLAS else find_folder(source, cache=cache)
    kind = find_kind(folder)
    if kind == LINK_PREDICTION:
        if images is not None:
            raise DataError(
                f"{folder} holds a knowledge graph; images= goes with mentions and sentences. Leave it out."
            )
        return read_dataset(folder, tokens=tokens, visual=visual, text=text)
    for name, value in (("tokens", tokens), ("visual", visual), ("text", text)):
        if value is not None:
            raise DataError(f"{folder} holds data for {kind}; {name}= goes with a knowledge graph. Leave it out.")
    if kind == ENTITY_LINKING:
        return read_linking(folder, images)
    return read_tagging(folder, images) if kind == ENTITY_RECOGNITION else read_relations(folder, images)


def open_dataset(
    source: str | Path,
    *,
    cache: Path | None = None,
    tokens: Path | None = None,
    visual: str | None = None,
    text: str | None = None,
) -> DataSet:
    """The knowledge graph that `source` names, with its modalities.

    Args:
        source: "atlas" (the embedded data set, tokenised with the learned tokenizers on first use), the name
            of a fetched public data set ("db15k", "mkg-w", "mkg-y"), or a folder. A Path is always a folder.
        cache: where fetched and tokenised data sets lie; None: $MMKG_CACHE, else ~/.cache/mmkg_sdk.
        tokens, visual, text: see `read_dataset`.

    Raises:
        DataError: if there is no such data set, or it is of another kind; the message says what to do.
    """
    data = open_data(source, cache=cache, tokens=tokens, visual=visual, text=text)
    if not isinstance(data, DataSet):
        raise DataError(
            f"{source} holds {kind_of(data)}, expected a knowledge graph. Use open_data, or another data set."
        )
    return data


def find_folder(source: str | Path, *, cache: Path | None = None) -> Path:
    """The folder of a fetched public data set or of embedded sentences, or the folder that `source` is."""
    if isinstance(source, str) and source in ATLAS_SENTENCES:
        return _atlas_sentences(source, cache_folder(cache))
    if isinstance(source, str) and source in PUBLIC:
        fetched = cache_folder(cache) / source
        if fetched.is_dir():
            return fetched
        if not Path(source).is_dir():
            raise DataError(f"{source} is not in {cache_folder(cache)} yet. Run: mmkg-sdk data fetch {source}")
    folder = Path(source)
    if not folder.is_dir():
        names = ", ".join((ATLAS, *ATLAS_SENTENCES, *PUBLIC))
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
) -> Iterator[tuple[DataSet, Mapping[str, Sequence[Path]] | None]]:
    """The data set as it is before tokenising, and its images by entity (None without any).

    The files of the atlas are written to a temporary folder that goes when the block ends; of other data sets
    the folder itself is read. Arguments as for `open_dataset`.
    """
    with contextlib.ExitStack() as stack:
        if source == ATLAS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmkg-atlas-"))) / ATLAS
            write_atlas(folder)
        else:
            folder = find_folder(source, cache=cache)
        dataset = read_dataset(folder, tokens=tokens, visual=visual, text=text)
        yield dataset, dataset.images or None


def _tokenized_atlas(cache: Path) -> Path:
    """The tokenised atlas of this package version in the cache, with its flags, made on first use."""

    def write(folder: Path) -> None:
        with raw_dataset(ATLAS) as (dataset, images):
            write_dataset(tokenize_dataset(dataset, images=images), folder)
            (folder / "images").mkdir()
            for files in dataset.images.values():
                for path in files:
                    shutil.copy(path, folder / "images")

    return _made_once(ATLAS, cache, write)


def _atlas_sentences(name: str, cache: Path) -> Path:
    """Embedded mentions or sentences in the cache, written on first use."""
    return _made_once(name, cache, ATLAS_SENTENCES[name])


def _made_once(name: str, cache: Path, write: Callable[[Path], None]) -> Path:
    """The folder in the cache that this version made of this edition of the atlas; it appears when it is complete."""
    folder = cache / f"made-by-{__version__}-{edition()}" / name
    if folder.is_dir():
        return folder
    # The processes of a torchrun come here together: one makes it, the others wait for it.
    with folder_lock(folder, DATA_SET, wait=True):
        if not folder.is_dir():
            with new_folder(folder, DATA_SET) as place:
                write(place)
    return folder

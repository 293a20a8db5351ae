"""What kind of data a folder holds, told from the files in it."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataError
from ...files.listing import list_files, list_folders
from ...files.text import find_file
from ...registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from .linking import linking_layouts
from .mnre import split_files
from .triples import triple_files

_FILES = {
    LINK_PREDICTION: "train.txt, .tsv, .csv or .del with one triple a line, or train2id.txt",
    ENTITY_LINKING: "entities.tsv, kb_entity.json, *-MEL.json or WikiDiverse.json",
    RELATION_EXTRACTION: "relations-train.jsonl or *train.txt with one dict per line",
    ENTITY_RECOGNITION: "tags-train.jsonl or *train.txt with IMGID: lines",
}
# Names that a message shows of a folder that holds nothing known.
_SHOWN = 8


def find_kind(folder: Path) -> str:
    """The kind of data in a folder, one of the four names of this module.

    Raises:
        DataError: if it holds none or several of them; the message says what it found.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder of a data set.")
    relations, tags = split_files(folder, "relations"), split_files(folder, "tags")
    found = {
        LINK_PREDICTION: _graph_files(folder, {*relations.values(), *tags.values()}),
        ENTITY_LINKING: linking_layouts(folder),
        RELATION_EXTRACTION: _named(folder, "relations-train.jsonl") + [path.name for path in relations.values()],
        ENTITY_RECOGNITION: _named(folder, "tags-train.jsonl") + [path.name for path in tags.values()],
    }
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        listed = "; ".join(f"{kind} ({', '.join(found[kind])})" for kind in kinds)
        raise DataError(f"{folder} holds data of several kinds: {listed}. Give each a folder of its own.")
    expected = "; ".join(f"{kind}: {files}" for kind, files in _FILES.items())
    raise DataError(f"{folder} holds no data set that is known here. Found {_listing(folder)}. Expected {expected}.")


def _graph_files(folder: Path, sentences: set[Path]) -> list[str]:
    """Files of triples; a train.txt of sentences is none."""
    return [name for name in triple_files(folder) if find_file(folder, name) not in sentences]


def _named(folder: Path, name: str) -> list[str]:
    return [name] if find_file(folder, name) else []


def _listing(folder: Path) -> str:
    names = [path.name for path in (*list_folders(folder), *list_files(folder))]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "no file"

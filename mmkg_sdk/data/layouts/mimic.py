"""MIMIC's own files for entity linking: cleaned candidates and one mention per item.

* `kb_entity.json`: list of `{id, entity_name, attr, image_list, ...}`; ids are 0, 1, 2, ... and are the rows.
* `qid2id.json`: Wikidata id -> row.
* `*_train.json`, `*_dev.json`, `*_test.json`: lists of `{mentions, sentence, imgPath, answer, ...}`; `answer` is a
  Wikidata id, or "nil": such mentions are left out, as the official evaluation does.

Names are URL-decoded. The image of an entity is the first of its list, that of a mention is `imgPath` cut at the
first dot with `.jpg`; they lie in the folders `kb_image` and `mention_image` (`mention_images` in one published
archive) or deeper, and may have another suffix. An image that is not there is no image; a warning counts them. Other
keys are not read.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...errors import DataError
from ...files.labels import Labels
from ...files.listing import list_files, walk_files
from ...files.strict_json import need_text, need_texts, read_json_list, read_json_object
from ...files.text import SUFFIXES, need_file
from ..mentions import LabelledMention, LinkingData
from .images.named import NamedImages, warn_of_missing
from .names import distinct

_ENTITY_FOLDERS = ("kb_image", "kb_images")
_MENTION_FOLDERS = ("mention_image", "mention_images")


def read_mimic_layout(folder: Path, images: Path | None) -> LinkingData:
    """Candidates and mentions of a folder in this layout.

    Args:
        images: where `kb_image` and `mention_image` lie; None: in the same folder, if at all.

    Raises:
        DataError: if a file is missing or malformed, with file and item.
    """
    path = need_file(folder, "kb_entity.json")
    items = _read_entities(path)
    rows = _read_rows(need_file(folder, "qid2id.json"), len(items))
    names = [unquote(need_text(item, "entity_name", f"{path}: id {row}")) for row, item in enumerate(items)]
    entity_images = named_images(images or folder, _ENTITY_FOLDERS)
    first_images = tuple(entity_images.find(_first_image(item, f"{path}: id {row}")) for row, item in enumerate(items))
    mention_images = named_mention_images(images or folder)
    splits = {
        split: _read_mentions(_split_file(folder, official), rows, mention_images)
        for split, official in (("train", "train"), ("valid", "dev"), ("test", "test"))
    }
    if not splits["train"]:
        raise DataError(f"{_split_file(folder, 'train')} has no mention with an entity; training needs some.")
    warn_of_missing((entity_images, mention_images))
    return LinkingData(
        folder.resolve().name,
        readable_labels(names, _sources(rows, len(items))),
        tuple(names),
        tuple(_optional_text(item, "attr", f"{path}: id {row}") for row, item in enumerate(items)),
        first_images,
        **splits,
    )


def readable_labels(names: Sequence[str], sources: Sequence[str]) -> Labels:
    """Names on one line as labels, with ` (source)` where one repeats; the source alone for an empty name."""
    lines = [" ".join(name.split()) or source for name, source in zip(names, sources, strict=True)]
    return Labels(distinct(lines, sources), kind="entity")


def named_mention_images(folder: Path) -> NamedImages:
    """The images of mentions in the folder that holds their folder."""
    return named_images(folder, _MENTION_FOLDERS)


def named_images(folder: Path, choices: tuple[str, ...]) -> NamedImages:
    """The images of the first sub-folder that is there."""
    place = next((folder / name for name in choices if (folder / name).is_dir()), None)
    if place is None:
        return NamedImages(folder, lacks=f"a folder {' or '.join(choices)}")
    return NamedImages(place, walk_files(place))


def mention_image(images: NamedImages, name: str) -> Path | None:
    """The image of a mention by MIMIC's rule, the file name up to its first dot, then `.jpg`; else the file itself."""
    stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
    return images.find(f"{stem}.jpg" if stem else "", name)


def _read_entities(path: Path) -> list[dict[str, Any]]:
    """The items in row order."""
    items = read_json_list(path)
    if not items:
        raise DataError(f"{path} lists no entity.")
    ordered: list[dict[str, Any] | None] = [None] * len(items)
    for number, item in enumerate(items):
        row = _as_row(item.get("id"), len(items), f"{path}: item {number} (from 0): id")
        if ordered[row] is not None:
            raise DataError(f"{path}: item {number} (from 0): id {row} was given before; ids run from 0 without a gap.")
        ordered[row] = item
    return [item for item in ordered if item is not None]


def _read_rows(path: Path, count: int) -> dict[str, int]:
    return {qid: _as_row(row, count, f"{path}: {qid[:80]!r}") for qid, row in read_json_object(path).items()}


def _as_row(value: Any, count: int, place: str) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise DataError(f"{place} is {value!r:.80}; expected a whole number from 0 to {count - 1}.")
    return value


def _sources(rows: Mapping[str, int], count: int) -> list[str]:
    """What tells entities of one name apart: the first Wikidata id of each, else its row."""
    sources = [f"#{row}" for row in range(count)]
    for qid, row in reversed(list(rows.items())):
        sources[row] = qid
    return sources


def _split_file(folder: Path, split: str) -> Path:
    endings = tuple(f"_{split}.json{suffix}" for suffix in SUFFIXES)
    found = [path for path in list_files(folder) if path.name.endswith(endings)]
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: expected one file *_{split}.json (or .xz, .gz), found {listed}.")
    return found[0]


def _read_mentions(path: Path, rows: Mapping[str, int], images: NamedImages) -> tuple[LabelledMention, ...]:
    mentions = []
    items = read_json_list(path)
    for number, item in enumerate(items):
        place = f"{path}: item {number} (from 0)"
        answer = need_text(item, "answer", place)
        if answer == "nil":
            continue
        if answer not in rows:
            raise DataError(f"{place}: answer {answer[:80]!r} is not in qid2id.json.")
        text, sentence = unquote(need_text(item, "mentions", place)), need_text(item, "sentence", place)
        image = mention_image(images, _optional_text(item, "imgPath", place))
        mentions.append(LabelledMention(text, sentence, image, rows[answer]))
    if len(mentions) < len(items):
        warnings.warn(
            f"{path}: {len(items) - len(mentions):,} of {len(items):,} mentions have no entity (nil) and are left out.",
            stacklevel=2,
        )
    return tuple(mentions)


def _optional_text(item: dict[str, Any], key: str, place: str) -> str:
    return need_text(item, key, place) if item.get(key) is not None else ""


def _first_image(item: dict[str, Any], place: str) -> str:
    listed = need_texts(item, "image_list", place) if item.get("image_list") is not None else ()
    return listed[0] if listed else ""

"""Sentences for relation extraction and entity recognition in a folder: which layout they have, and our own layout.

Our own layout: one JSON object per line, UTF-8, every file also as .xz or .gz; `split` is train, valid or test.

* `relations-{split}.jsonl`: `{"words": [...], "head": [start, end], "tail": [start, end], "relation": "..."}`; a span
  runs from its first word, counted from 0, to the one after its last.
* `relations.txt`: the classes, one a line; line order = class order. Without it see `class_order`.
* `tags-{split}.jsonl`: `{"words": [...], "tags": [...]}`, one of `TAGS` for each word.

Both may name images by a path relative to the folder: "image", the whole image, and the lists "aux" and "rcnn" of
crops of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...errors import DataError
from ...files.folders import new_folder
from ...files.labels import Labels
from ...files.strict_json import need_text, need_texts, read_json_lines
from ...files.text import at_place, find_file, need_file, read_lines, write_lines
from ..folders import DATA_SET
from ..graph import SPLITS
from ..lookalikes import warn_of_lookalikes
from ..sentences import RelationData, RelationSentence, SentenceImages, TaggedSentence, TaggingData
from .images.own import copy_images, own_image
from .mnre import read_mnre_layout, read_twitter_layout

_RELATION_KEYS = ("words", "head", "tail", "relation")
_TAG_KEYS = ("words", "tags")
_IMAGE_KEYS = ("image", "aux", "rcnn")
# The first of these that a data set has is the class of sentences without a relation.
NEGATIVE_CLASSES = ("NA", "na", "no_relation", "Other", "Others", "none", "None")

_Sentence = TypeVar("_Sentence", RelationSentence, TaggedSentence)


def read_relations(folder: Path, images: Path | None = None) -> RelationData:
    """The sentences with relations in a folder of our own layout or of MNRE's.

    Args:
        folder: the folder with the data files.
        images: where the images lie; None: in the same folder.

    Raises:
        DataError: if the layout is unknown or a file is malformed, with file and line.
    """
    folder, image_folder = _folders(folder, images)
    if not find_file(folder, "relations-train.jsonl"):
        sentences, classes = read_mnre_layout(folder, image_folder)
    else:
        sentences = {split: _read_own(folder, image_folder, f"relations-{split}.jsonl", _relation) for split in SPLITS}
        classes = _read_classes(folder)
    if classes is None:
        classes = class_order(sentence.relation for split in SPLITS for sentence in sentences[split])
    for split in SPLITS:
        for number, sentence in enumerate(sentences[split], 1):
            if sentence.relation not in classes:
                near = ", ".join(map(repr, classes.near(sentence.relation))) or "none"
                raise DataError(
                    f"{folder}: line {number} of the {split} split: relation {sentence.relation[:80]!r} is none of the "
                    f"{len(classes)} classes; near: {near}."
                )
    warn_of_lookalikes(classes, folder)
    return RelationData(folder.resolve().name, classes, **sentences)


def read_tagging(folder: Path, images: Path | None = None) -> TaggingData:
    """The sentences with tags in a folder of our own layout or of Twitter-2017's.

    Arguments and errors as for `read_relations`.
    """
    folder, image_folder = _folders(folder, images)
    if not find_file(folder, "tags-train.jsonl"):
        return TaggingData(folder.resolve().name, **read_twitter_layout(folder, image_folder))
    sentences = {split: _read_own(folder, image_folder, f"tags-{split}.jsonl", _tagged) for split in SPLITS}
    return TaggingData(folder.resolve().name, **sentences)


def class_order(relations: Iterable[str]) -> Labels:
    """The classes of a data set that lists none: first the one for no relation, then the others by code point."""
    names = set(relations)
    negative = next((name for name in NEGATIVE_CLASSES if name in names), None)
    return Labels(sorted(names, key=lambda name: (name != negative, name)), kind="relation")


def write_relations(data: RelationData, folder: Path) -> None:
    """Write a new folder in our own layout, images included; all or nothing.

    The name of the data set is not stored: reading gives it the folder's name.

    Raises:
        DataError: if the folder has content already, a text cannot be written as UTF-8, or an image is not there.
    """
    with new_folder(folder, DATA_SET) as place:
        write_lines(place / "relations.txt", data.relations)
        _write(place, "relations", data, _RELATION_KEYS)


def write_tagging(data: TaggingData, folder: Path) -> None:
    """Like `write_relations`, for sentences with tags."""
    with new_folder(folder, DATA_SET) as place:
        _write(place, "tags", data, _TAG_KEYS)


def _folders(folder: Path, images: Path | None) -> tuple[Path, Path]:
    """Data folder and image folder, both there."""
    for given in (folder, images):
        if given is not None and not Path(given).is_dir():
            raise DataError(f"{given} is not a folder. Give the folder of the data files and that of the images.")
    return Path(folder), Path(images or folder)


def _read_own(
    folder: Path, image_folder: Path, name: str, make: Callable[[dict[str, Any], str, SentenceImages], _Sentence]
) -> tuple[_Sentence, ...]:
    path = need_file(folder, name)
    sentences = []
    for place, item in read_json_lines(path):
        sentences.append(make(item, place, _read_images(item, image_folder, place)))
    if name.endswith("-train.jsonl") and not sentences:
        raise DataError(f"{path} has no sentence; training needs some (valid and test may be empty).")
    return tuple(sentences)


def _read_classes(folder: Path) -> Labels | None:
    path = find_file(folder, "relations.txt")
    if path is None:
        return None
    with at_place(str(path)):
        return Labels(read_lines(path), kind="relation")


def _relation(item: dict[str, Any], place: str, images: SentenceImages) -> RelationSentence:
    _check_keys(item, _RELATION_KEYS, place)
    words, relation = need_texts(item, "words", place), need_text(item, "relation", place)
    head, tail = (_span(item, key, place) for key in ("head", "tail"))
    with at_place(place):
        return RelationSentence(words, head, tail, relation, images)


def _tagged(item: dict[str, Any], place: str, images: SentenceImages) -> TaggedSentence:
    _check_keys(item, _TAG_KEYS, place)
    words, tags = need_texts(item, "words", place), need_texts(item, "tags", place)
    with at_place(place):
        return TaggedSentence(words, tags, images)


def _check_keys(item: dict[str, Any], expected: Sequence[str], place: str) -> None:
    unknown = item.keys() - {*expected, *_IMAGE_KEYS}
    if unknown:
        raise DataError(f"{place}: unknown key {min(unknown)[:80]!r}; expected {', '.join((*expected, *_IMAGE_KEYS))}.")
    if not item.get("words"):
        raise DataError(f"{place}: no words; a sentence has at least one, under 'words'.")


def _span(item: dict[str, Any], key: str, place: str) -> tuple[int, int]:
    value = item.get(key)
    if not isinstance(value, list) or [type(index) for index in value] != [int, int]:
        raise DataError(f"{place}: {key!r} is {str(value)[:80]!r}; expected [start, end], two word indices.")
    return value[0], value[1]


def _read_images(item: dict[str, Any], image_folder: Path, place: str) -> SentenceImages:
    main = own_image(image_folder, need_text(item, "image", place), place) if "image" in item else None
    crops = []
    for key in ("aux", "rcnn"):
        names = need_texts(item, key, place) if key in item else ()
        crops.append(tuple(path for name in names if (path := own_image(image_folder, name, place)) is not None))
    return SentenceImages(main, *crops)


def _write(place: Path, stem: str, data: RelationData | TaggingData, keys: Sequence[str]) -> None:
    """The lines of every split; a sentence without an image has no key for it."""
    posts = [sentence.images for split in SPLITS for sentence in data.split(split)]
    names = copy_images((path for post in posts for path in (post.main, *post.aux, *post.rcnn)), place)
    for split in SPLITS:
        lines = []
        for sentence in data.split(split):
            item = {key: getattr(sentence, key) for key in keys}
            if sentence.images.main:
                item["image"] = names[sentence.images.main]
            for key in ("aux", "rcnn"):
                if crops := getattr(sentence.images, key):
                    item[key] = [names[path] for path in crops]
            lines.append(json.dumps(item, ensure_ascii=False))
        write_lines(place / f"{stem}-{split}.jsonl", lines)

"""The public layouts of the two sentence tasks, MNRE for relations and Twitter-2017 for tags.

MNRE: `*train.txt`, `*val.txt`, `*test.txt` with one JSON object or one Python dict literal per line: `token` (words),
`h` and `t` (each `{'name': ..., 'pos': [start, end]}`), `img_id`, `relation`. Other keys are not read. A file
`*rel2id.json` (`{relation: id}`) gives the class order.

Twitter-2017: `train.txt`, `valid.txt`, `test.txt`; each sentence is a line `IMGID:<id>`, lines `word TAB tag`, and an
empty line. OTHER in a tag stands for MISC.

The files may end in .tsv, too. They may lie in a sub-folder `txt`. See `images.posts` for the images.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ...errors import DataError
from ...files.labels import Labels
from ...files.listing import list_files
from ...files.strict_json import NotStrict, need_text, need_texts, read_json_object, strict_json
from ...files.text import SUFFIXES, at_place, read_lines, read_start
from ..graph import SPLITS
from ..sentences import TAGS, RelationSentence, TaggedSentence
from .images.named import warn_of_missing
from .images.posts import PostImages, find_post_images, warn_of_unused

_ENDINGS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
_STARTS = {
    # A list of objects, and words with tags but without IMGID, count, too: they are no triples, and the reader says
    # what they lack.
    "relations": re.compile(r"""\s*\[?\s*\{\s*['"]"""),
    "tags": re.compile(r"\s*(IMGID:|\S+(\t| +(\S+ +)*)(O|[BI]-\w+)\r?(\n|$))"),
}
_SHOWN_STARTS = {"relations": "{", "tags": "IMGID:"}
# A literal of the data has a few hundred characters and three levels; Python's parser is kept from more.
_MAX_LITERAL, _MAX_DEPTH = 100_000, 8
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_PLAIN = re.compile(r"(?:[\[\]{}(),: 0-9]|None|True|False)*")

_Sentence = TypeVar("_Sentence", RelationSentence, TaggedSentence)


def split_files(folder: Path, kind: str) -> dict[str, Path]:
    """The text file of each split whose first line is of that kind; empty if there is none.

    Args:
        kind: "relations" or "tags".

    Raises:
        DataError: if several files fit one split.
    """
    found: dict[str, Path] = {}
    for path in list_files(_texts(folder)):
        match = re.fullmatch(r"(.*?)(train|valid|val|dev|test)\.(?:txt|tsv)(\.xz|\.gz)?", path.name)
        if match is None or not _STARTS[kind].match(read_start(path)):
            continue
        split = next(split for split, endings in _ENDINGS.items() if match[2] in endings)
        # x.txt beside x.txt.xz is one file in two forms; the plain one sorts and counts first.
        if split in found and not path.name.startswith(found[split].name):
            raise DataError(f"{path.parent}: {found[split].name} and {path.name} are both {split} files. Keep one.")
        found.setdefault(split, path)
    return found


def read_mnre_layout(folder: Path, image_folder: Path) -> tuple[dict[str, tuple[RelationSentence, ...]], Labels | None]:
    """The sentences of each split, and the classes in the order of `*rel2id.json` (None without one).

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    paths = _need_splits(folder, "relations", "relations-train.jsonl (own layout) or *train.txt (MNRE)")
    return _read_splits(paths, folder, image_folder, _read_relations), _read_classes(folder)


def read_twitter_layout(folder: Path, image_folder: Path) -> dict[str, tuple[TaggedSentence, ...]]:
    """The sentences of each split.

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    paths = _need_splits(folder, "tags", "tags-train.jsonl (own layout) or train.txt that starts with IMGID:")
    return _read_splits(paths, folder, image_folder, _read_tags)


def _read_splits(
    paths: Mapping[str, Path],
    folder: Path,
    image_folder: Path,
    read: Callable[[Path, PostImages], Iterator[_Sentence]],
) -> dict[str, tuple[_Sentence, ...]]:
    images = {split: find_post_images(image_folder, _texts(folder), split) for split in paths}
    sentences = {split: tuple(read(path, images[split])) for split, path in paths.items()}
    warn_of_unused(image_folder, _texts(folder))
    warn_of_missing(lookup for found in images.values() for lookup in found.lookups)
    return sentences


def _texts(folder: Path) -> Path:
    return folder / "txt" if (folder / "txt").is_dir() else folder


def _need_splits(folder: Path, kind: str, expected: str) -> dict[str, Path]:
    found = split_files(folder, kind)
    if not found:
        raise DataError(f"{folder} has no sentences with {kind}; expected {expected}.")
    for split in SPLITS:
        if split not in found:
            names = " or ".join(f"*{ending}.txt" for ending in _ENDINGS[split])
            beside = ", ".join(path.name for path in found.values())
            raise DataError(f"{folder} has no {names} that starts with {_SHOWN_STARTS[kind]!r} beside {beside}.")
    return {split: found[split] for split in SPLITS}


def _read_relations(path: Path, images: PostImages) -> Iterator[RelationSentence]:
    for number, line in enumerate(read_lines(path), 1):
        place = f"{path}:{number}"
        item = _parse_line(line, place)
        words, relation = need_texts(item, "token", place), need_text(item, "relation", place)
        image = need_text(item, "img_id", place)
        head, tail = (_span(item, key, place) for key in ("h", "t"))
        with at_place(place):
            sentence = RelationSentence(words, head, tail, relation, images.of_line(number - 1, image))
        yield sentence


def _span(item: Mapping[str, Any], key: str, place: str) -> tuple[int, int]:
    part = item.get(key)
    position = part.get("pos") if isinstance(part, dict) else None
    if not isinstance(position, list | tuple) or [type(index) for index in position] != [int, int]:
        raise DataError(
            f"{place}: {key!r} is {ascii(part)[:80]}; expected {{'name': ..., 'pos': [start, end]}}, two word indices."
        )
    return position[0], position[1]


def _parse_line(line: str, place: str) -> dict[str, Any]:
    """The object that a line spells, as JSON where it is JSON, else as a Python literal.

    An escape stands for other texts in the two: `\\/` is a slash in JSON, and `\\ud83c\\udf89` one character.
    """
    try:
        item = strict_json(line)
    except NotStrict as err:
        raise DataError(f"{place}: {err}.") from err
    except (ValueError, RecursionError):
        item = _parse_literal(line)
    if not isinstance(item, dict) or not all(isinstance(key, str) for key in item):
        raise DataError(
            f"{place}: expected one JSON object or Python dict of texts, lists and whole numbers: {line[:80]!r}."
        )
    return item


def _parse_literal(line: str) -> Any:
    """What a line spells as a Python literal, which is never run as code; None if it is none.

    ast.literal_eval evaluates nothing, but a line of nested brackets or signs can exhaust the stack of Python's
    parser. So what stands outside of strings must be brackets, commas, colons, digits, blanks and the three words, a
    few levels deep.
    """
    outside = _STRING.sub("", line) if len(line) <= _MAX_LITERAL else "?"
    depth = highest = 0
    for char in outside:
        depth += (char in "[{(") - (char in ")}]")
        highest = max(highest, depth)
    if not _PLAIN.fullmatch(outside) or highest > _MAX_DEPTH:
        return None
    try:
        return ast.literal_eval(line)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _read_classes(folder: Path) -> Labels | None:
    places = dict.fromkeys((_texts(folder), folder))
    endings = tuple(f"rel2id.json{suffix}" for suffix in SUFFIXES)
    found = [path for place in places for path in list_files(place) if path.name.endswith(endings)]
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"{folder} has several lists of classes: {', '.join(path.name for path in found)}. Keep one.")
    content = read_json_object(found[0])
    if any(type(value) is not int for value in content.values()) or sorted(content.values()) != [*range(len(content))]:
        raise DataError(f"{found[0]}: expected relation -> id with the ids 0 to {len(content) - 1}, each once.")
    return Labels(sorted(content, key=lambda name: int(content[name])), kind="relation")


def _read_tags(path: Path, images: PostImages) -> Iterator[TaggedSentence]:
    image: str | None = None
    start = 0
    words: list[str] = []
    tags: list[str] = []
    # An empty line at the end closes the last sentence as it closes the others.
    for number, line in enumerate([*read_lines(path), ""], 1):
        if line.startswith("IMGID:") and not words:
            if image is not None:
                raise DataError(f"{path}:{number}: an IMGID line after that of line {start}, with no word between.")
            image, start = line.removeprefix("IMGID:").strip(), number
        elif line:
            word, tab, tag = line.partition("\t")
            if not tab or not word.strip() or "\t" in tag:
                raise DataError(f"{path}:{number}: expected word, tab, tag; found {line[:80]!r}.")
            if image is None:
                raise DataError(
                    f"{path}:{number}: a sentence without its line IMGID:<id> before it; any id will do "
                    "where there is no image."
                )
            tag = tag.replace("OTHER", "MISC")
            if tag not in TAGS:
                raise DataError(f"{path}:{number}: unknown tag {tag[:80]!r}; expected one of {', '.join(TAGS)}.")
            words.append(word)
            tags.append(tag)
        elif words:
            yield TaggedSentence(tuple(words), tuple(tags), images.of_image(f"{image}.jpg"))
            image, words, tags = None, [], []
    if image is not None:
        raise DataError(f"{path}:{start}: IMGID without a sentence; the file is cut off.")

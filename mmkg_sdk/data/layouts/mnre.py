"""The public layouts of the two sentence tasks, MNRE for relations and Twitter-2017 for tags.

MNRE: `*train.txt`, `*val.txt`, `*test.txt` with one Python dict literal per line: `token` (words), `h` and `t` (each
`{'name': ..., 'pos': [start, end]}`), `img_id`, `relation`. A file `*rel2id.json` (`{relation: id}`) gives the class
order.

Twitter-2017: `train.txt`, `valid.txt`, `test.txt`; each sentence is a line `IMGID:<id>`, lines `word TAB tag`, and an
empty line. OTHER in a tag stands for MISC.

The files may lie in a sub-folder `txt`. See `post_images` for the images.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files.labels import Labels
from ...files.strict_json import read_json_object
from ...files.text import SUFFIXES, at_place, read_lines, read_start
from ..graph import SPLITS
from ..sentences import TAGS, RelationSentence, TaggedSentence
from .post_images import PostImages, find_post_images

_ENDINGS = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
_STARTS = {"relations": ("{'", '{"'), "tags": ("IMGID:",)}
# A literal of the data has a few hundred characters and three levels; Python's parser is kept from more.
_MAX_LITERAL, _MAX_DEPTH = 100_000, 8
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


def split_files(folder: Path, kind: str) -> dict[str, Path]:
    """The text file of each split whose first line is of that kind; empty if there is none.

    Args:
        kind: "relations" or "tags".

    Raises:
        DataError: if several files fit one split.
    """
    found: dict[str, Path] = {}
    for path in sorted(_texts(folder).iterdir()):
        match = re.fullmatch(r"(.*?)(train|valid|val|dev|test)\.txt(\.xz|\.gz)?", path.name)
        if match is None or not path.is_file() or not read_start(path).startswith(_STARTS[kind]):
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
    images = {split: find_post_images(image_folder, _texts(folder), split) for split in SPLITS}
    sentences = {split: tuple(_read_literals(path, images[split])) for split, path in paths.items()}
    return sentences, _read_classes(folder)


def read_twitter_layout(folder: Path, image_folder: Path) -> dict[str, tuple[TaggedSentence, ...]]:
    """The sentences of each split.

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    paths = _need_splits(folder, "tags", "tags-train.jsonl (own layout) or train.txt that starts with IMGID:")
    images = {split: find_post_images(image_folder, _texts(folder), split) for split in SPLITS}
    return {split: tuple(_read_tags(path, images[split])) for split, path in paths.items()}


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
            raise DataError(f"{folder} has no {names} that starts with {_STARTS[kind][0]!r} beside {beside}.")
    return {split: found[split] for split in SPLITS}


def _read_literals(path: Path, images: PostImages) -> Iterator[RelationSentence]:
    for number, line in enumerate(read_lines(path), 1):
        item = _parse_literal(line, f"{path}:{number}")
        try:
            words, relation, image = item["token"], item["relation"], item["img_id"]
            spans = [item[key]["pos"] for key in ("h", "t")]
        except (KeyError, TypeError) as err:
            raise DataError(
                f"{path}:{number}: expected token, h and t with pos, img_id and relation; no {err} in {line[:80]!r}."
            ) from err
        texts = [*words, relation, image] if isinstance(words, list) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"{path}:{number}: token must be a list of words, relation and img_id texts: {line[:80]!r}."
            )
        for span in spans:
            if not isinstance(span, list | tuple) or [type(index) for index in span] != [int, int]:
                raise DataError(f"{path}:{number}: pos is {str(span)[:80]}; expected [start, end], two word indices.")
        head, tail = ((span[0], span[1]) for span in spans)
        with at_place(f"{path}:{number}"):
            sentence = RelationSentence(tuple(words), head, tail, relation, images.of_line(number - 1, image))
        yield sentence


def _parse_literal(line: str, place: str) -> dict[str, Any]:
    """The dict that a line spells, read as a literal and never as code.

    ast.literal_eval evaluates nothing, but a line of nested brackets or signs can exhaust the stack of Python's
    parser. So what stands outside of strings must be brackets, commas, colons, digits and blanks, a few levels deep.
    """
    problem = DataError(f"{place}: expected one Python dict of texts, lists and whole numbers: {line[:80]!r}.")
    outside = _STRING.sub("", line) if len(line) <= _MAX_LITERAL else "?"
    depth = highest = 0
    for char in outside:
        depth += (char in "[{(") - (char in ")}]")
        highest = max(highest, depth)
    if not re.fullmatch(r"[\[\]{}(),: 0-9]*", outside) or highest > _MAX_DEPTH:
        raise problem
    try:
        item = ast.literal_eval(line)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as err:
        raise problem from err
    if not isinstance(item, dict):
        raise problem
    return item


def _read_classes(folder: Path) -> Labels | None:
    places = dict.fromkeys((_texts(folder), folder))
    endings = tuple(f"rel2id.json{suffix}" for suffix in SUFFIXES)
    found = [path for place in places for path in sorted(place.iterdir()) if path.name.endswith(endings)]
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
                raise DataError(f"{path}:{number}: a sentence without its line IMGID:<id> before it.")
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

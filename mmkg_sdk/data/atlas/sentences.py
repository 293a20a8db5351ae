"""The atlas as data for the sentence tasks: mentions to link, relations and tags, each as a folder of our own layout.

`linking_layout` and `sentence_layout` describe the files. Images are flags, 96 x 64 pixels, in `images/`; most
sentences have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...files.folders import new_folder
from ...files.text import write_lines
from ..folders import DATA_SET
from ..graph import SPLITS
from .flags import draw_flag
from .graph import RELATIONS
from .mentions import candidates, mentions
from .relations import NONE, relations
from .tags import tagged


def write_mentions(folder: Path) -> None:
    """Writes candidates and mentions for entity linking into a new folder, which appears only when complete.

    Raises:
        DataError: if the folder already holds something, or cannot be made.
        BackendError: if Pillow is not installed.
    """
    with new_folder(folder, DATA_SET) as place:
        rows = [(one.label, one.name, one.text, _image(one.flag)) for one in candidates()]
        write_lines(place / "entities.tsv", map("\t".join, [("label", "name", "text", "image"), *rows]))
        for split in SPLITS:
            rows = [(one.text, one.sentence, one.entity, _image(one.flag)) for one in mentions() if one.split == split]
            header = ("mention", "sentence", "entity", "image")
            write_lines(place / f"mentions-{split}.tsv", map("\t".join, [header, *rows]))
        _draw([*(one.flag for one in candidates()), *(one.flag for one in mentions())], place)


def write_relations(folder: Path) -> None:
    """Like `write_mentions`, sentences with a relation between two spans; the first class is the negative one."""
    with new_folder(folder, DATA_SET) as place:
        write_lines(place / "relations.txt", (NONE, *RELATIONS))
        for split in SPLITS:
            chosen = [one for one in relations() if one.split == split]
            lines = [
                _line(one.flag, words=one.words, head=one.head, tail=one.tail, relation=one.relation) for one in chosen
            ]
            write_lines(place / f"relations-{split}.jsonl", lines)
        _draw((one.flag for one in relations()), place)


def write_tags(folder: Path) -> None:
    """Like `write_mentions`, sentences with a tag for each word."""
    with new_folder(folder, DATA_SET) as place:
        for split in SPLITS:
            chosen = [one for one in tagged() if one.split == split]
            write_lines(
                place / f"tags-{split}.jsonl", [_line(one.flag, words=one.words, tags=one.tags) for one in chosen]
            )
        _draw((one.flag for one in tagged()), place)


def _line(flag: str | None, **fields: Sequence[str] | Sequence[int]) -> str:
    """One sentence as JSON; without an image there is no key for it."""
    return json.dumps({**fields, "image": _image(flag)} if flag else fields, ensure_ascii=False)


def _image(flag: str | None) -> str:
    """The path of a flag in the folder; an empty text where there is none."""
    return f"images/{flag}.png" if flag else ""


def _draw(flags: Iterable[str | None], place: Path) -> None:
    """Writes every flag that is used."""
    (place / "images").mkdir()
    for flag in sorted({flag for flag in flags if flag}):
        draw_flag(flag).save(place / _image(flag), optimize=True)

"""Entity linking data in a folder: which layout it has, and our own layout.

Our own layout, UTF-8, one tab between columns; every file also as .xz or .gz:

* `entities.tsv`: header `label name text image`, then one line per candidate; line order = row order. Labels are
  distinct, names may repeat.
* `mentions-train.tsv`, `mentions-valid.tsv`, `mentions-test.tsv`: header `mention sentence entity image`; `entity` is
  a label.

`image` is a path relative to the folder, or empty. In the other fields `\\n`, `\\t`, `\\r` and `\\\\` stand for a line
feed, a tab, a carriage return and a backslash.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import DataError
from ...files.folders import new_folder
from ...files.labels import Labels
from ...files.text import find_file, need_file, read_columns, write_lines
from ..folders import DATA_SET
from ..graph import SPLITS
from ..lookalikes import warn_of_lookalikes
from ..mentions import LabelledMention, LinkingData
from .descriptions import escape, unescape
from .images.own import copy_images, own_image
from .melbench import has_melbench_layout, read_melbench_layout
from .mimic import read_mimic_layout
from .triples import triple_files

_ENTITY_COLUMNS = ["label", "name", "text", "image"]
_MENTION_COLUMNS = ["mention", "sentence", "entity", "image"]


def read_linking(folder: Path, images: Path | None = None) -> LinkingData:
    """The candidates and mentions in a folder of MIMIC's layout, of the public originals, or of our own.

    Args:
        folder: the folder with the data files.
        images: where the images lie; None: in the same folder. Our own layout takes it as the start of its
            relative paths; the others look there for the folders `kb_image` and `mention_image(s)`.

    Raises:
        DataError: if the layout is unknown or a file is malformed, with file and line or item.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give a folder with entities.tsv or kb_entity.json.")
    if images is not None and not Path(images).is_dir():
        raise DataError(f"{images} is not a folder; the images were to be there.")
    image_folder = None if images is None else Path(images)
    data = _read_layout(folder, image_folder)
    warn_of_lookalikes(data.entities, folder)
    return data


def _read_layout(folder: Path, image_folder: Path | None) -> LinkingData:
    layouts = linking_layouts(folder)
    if len(layouts) > 1:
        raise DataError(f"{folder} has {' and '.join(layouts)}, {len(layouts)} layouts. Keep the files of one.")
    if "entities.tsv" in layouts:
        return _read_own(folder, image_folder or folder)
    if "kb_entity.json" in layouts:
        return read_mimic_layout(folder, image_folder)
    if layouts:
        return read_melbench_layout(folder, image_folder)
    raise DataError(
        f"{folder} has neither entities.tsv (own layout), kb_entity.json (MIMIC) nor a sample list with its splits "
        "(WikiMEL, RichpediaMEL, WikiDiverse)."
    )


def linking_layouts(folder: Path) -> list[str]:
    """The file by which each layout of entity linking that is in the folder is known.

    An `entities.tsv` beside triples and without mentions is a list of the triples' entities.
    """
    found = [name for name in ("entities.tsv", "kb_entity.json") if find_file(folder, name)]
    if triple_files(folder) and not find_file(folder, "mentions-train.tsv"):
        found = [name for name in found if name != "entities.tsv"]
    return found + (["a sample list"] if has_melbench_layout(folder) else [])


def write_linking(data: LinkingData, folder: Path) -> None:
    """Write a new folder in our own layout, images included; all or nothing.

    The name of the data set is not stored: reading gives it the folder's name.

    Raises:
        DataError: if the folder has content already, a text cannot be written as UTF-8, or an image is not there.
    """
    mentions = [mention for split in SPLITS for mention in data.split(split)]
    with new_folder(folder, DATA_SET) as place:
        names = copy_images([*data.images, *(mention.image for mention in mentions)], place)

        def line(*texts: str, image: Path | None) -> str:
            return "\t".join([*map(escape, texts), names[image] if image else ""])

        rows = zip(data.entities, data.names, data.texts, data.images, strict=True)
        entity_lines = (line(label, name, text, image=image) for label, name, text, image in rows)
        write_lines(place / "entities.tsv", ["\t".join(_ENTITY_COLUMNS), *entity_lines])
        for split in SPLITS:
            mention_lines = (
                line(mention.text, mention.sentence, data.entities[mention.entity], image=mention.image)
                for mention in data.split(split)
            )
            write_lines(place / f"mentions-{split}.tsv", ["\t".join(_MENTION_COLUMNS), *mention_lines])


def _read_own(folder: Path, image_folder: Path) -> LinkingData:
    path = need_file(folder, "entities.tsv")
    rows: list[list[str]] = []
    images: list[Path | None] = []
    first: dict[str, str] = {}
    for place, fields, image in _read_table(path, _ENTITY_COLUMNS):
        if not fields[0]:
            raise DataError(f"{place}: empty label; expected a name that no other entity has.")
        if fields[0] in first:
            raise DataError(f"{place}: label {fields[0][:80]!r} stands at {first[fields[0]]} already; labels differ.")
        first[fields[0]] = place
        rows.append(fields)
        images.append(own_image(image_folder, image, place))
    if not rows:
        raise DataError(f"{path} lists no entity; expected one a line after the header.")
    entities = Labels((label for label, _, _ in rows), kind="entity")
    splits = {
        split: _read_mentions(need_file(folder, f"mentions-{split}.tsv"), entities, image_folder) for split in SPLITS
    }
    if not splits["train"]:
        raise DataError(f"{need_file(folder, 'mentions-train.tsv')} has no mention; training needs some.")
    names, texts = (tuple(row[column] for row in rows) for column in (1, 2))
    return LinkingData(folder.resolve().name, entities, names, texts, tuple(images), **splits)


def _read_mentions(path: Path, entities: Labels, image_folder: Path) -> tuple[LabelledMention, ...]:
    mentions = []
    for place, (text, sentence, label), image in _read_table(path, _MENTION_COLUMNS):
        row = entities.find(label)
        if row is None:
            near = ", ".join(map(repr, entities.near(label))) or "none"
            raise DataError(f"{place}: entity {label[:80]!r} is not in entities.tsv; near: {near}.")
        mentions.append(LabelledMention(text, sentence, own_image(image_folder, image, place), row))
    return tuple(mentions)


def _read_table(path: Path, columns: list[str]) -> Iterator[tuple[str, list[str], str]]:
    """`file:line`, the texts and the image of every line after the header."""
    lines = read_columns(path, len(columns))
    _, header = next(lines, (1, [""]))
    if header != columns:
        tab = "\t"
        raise DataError(f"{path}:1: the header is {tab.join(header)[:80]!r}; expected {tab.join(columns)!r}.")
    for number, fields in lines:
        yield f"{path}:{number}", [unescape(field) for field in fields[:-1]], fields[-1]

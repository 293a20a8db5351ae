"""Pictures of entities: a folder with one folder or one picture for each, called by any of the entity's names."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

from ..errors import DataError
from ..files.listing import list_files, list_folders
from .graph import DataSet, no_numbers
from .images.files import SUFFIXES
from .layouts.names import WORDNET, is_id, last_part


def find_entity_images(folder: Path, dataset: DataSet) -> dict[str, list[Path]]:
    """Entity label -> its pictures, first those of its folder by name, then files; entities without one are left out.

    A folder, or a picture without its suffix, is called by the entity's label, by a published name (`Q42` of a URI,
    `n` and the digits of a WordNet offset, `m.xyz` for `/m/xyz`) or by its decimal id. Where some decimal names are no
    labels, all that can be are ids. Pictures of no entity are counted in a warning.

    Raises:
        DataError: the folder is missing; or pictures go by ids, and no list numbers the entities.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with pictures, as <label>.png or <label>/*.png.")
    groups = picture_groups(folder)
    entities, known = dataset.graph.entities, _labels_by_name(dataset)
    ids = [name for name in groups if is_id(name, len(entities))]
    go_by_id = any(name not in known for name in ids)
    if go_by_id and entities.kind in dataset.unnumbered:
        raise no_numbers(f"{folder} (its first picture of {min(ids, key=int)})", entities.kind, len(entities))
    found: dict[str, list[Path]] = {}
    strangers: list[Path] = []
    for name, pictures in groups.items():
        label = entities[int(name)] if go_by_id and name in ids else known.get(name)
        if label is None:
            strangers.extend(pictures)
        else:
            found.setdefault(label, []).extend(pictures)
    if strangers:
        warnings.warn(
            f"{folder}: {len(strangers)} images belong to no entity and are left out, the first is "
            f"{strangers[0].relative_to(folder)}. Name them by label, published name or id.",
            stacklevel=2,
        )
    return {label: found[label] for label in (*entities, *dataset.entity_texts) if label in found}


def picture_groups(folder: Path) -> dict[str, list[Path]]:
    """Pictures by the name of their folder, or their own; some file systems decompose accents in names."""
    groups: dict[str, list[Path]] = {}
    named = [(path.name, list_files(path)) for path in list_folders(folder)]
    named += [(path.stem, [path]) for path in list_files(folder)]
    for name, files in named:
        if pictures := [path for path in files if path.suffix.lower() in SUFFIXES]:
            groups.setdefault(unicodedata.normalize("NFC", name), []).extend(pictures)
    return groups


def _labels_by_name(dataset: DataSet) -> dict[str, str]:
    """Every entity's label by each of its names. A name of several is left out, unless it is the label of one."""
    labels = (*dataset.graph.entities, *dataset.entity_texts)
    pairs = [(name, label) for label, name in dataset.source_ids.items()]
    pairs += [*dataset.other_names.items(), *((label, label) for label in labels)]
    owners: dict[str, set[str]] = {}
    for name, label in pairs:
        for spelling in (name, last_part(name), folder_name(name)):
            owners.setdefault(spelling, set()).add(label)
    known = {name: label for name, [label, *others] in owners.items() if not others} | {name: name for name in labels}
    return {unicodedata.normalize("NFC", name): label for name, label in known.items()}


def folder_name(published: str) -> str:
    """The name of an entity's folder in the published archives of pictures."""
    if WORDNET.fullmatch(published):
        return f"n{published}"
    return "m." + published.removeprefix("/m/") if published.startswith("/m/") else published

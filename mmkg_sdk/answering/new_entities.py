"""New entities as a table of text with a line each, and the bundle that has them: `mmkg-sdk bundle add`.

The first line names the columns, which tabs separate: `label`; for entity linking `text`, and `name`, what texts call
it where that is not the label; for link prediction of a modality

    NAME_tokens      codebook rows, separated by blanks; none where the entity lacks the modality (MyGO)
    NAME_features    the entity's row in the matrix of that modality, from 0; nothing where it lacks it (AdaMF-MAT)
    text, NAME_text  words, where the bundle holds what made its tokens of texts; nothing where it lacks them

Pictures come from a folder, called by the labels. A matrix without a column has one row per entity, in the order of the
lines.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.entity_images import picture_groups
from ..data.features.matrices import read_matrix
from ..errors import BundleError, DataError
from ..files.text import parse_integer, read_columns, read_lines
from .entity_linking import Linker
from .link_prediction import Model
from .opening import load

_LABEL, _NAME, _TOKENS, _FEATURES, _TEXT = "label", "name", "_tokens", "_features", "text"
Columns = dict[str, list[str]]


def add_to_bundle(
    bundle: str | Path,
    entities: Path,
    out: Path,
    *,
    features: Mapping[str, Path] | None = None,
    images: Path | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write the bundle with more entities; see `add_entities` and `save` of `Model` and `Linker`.

    Args:
        bundle: of link prediction or entity linking.
        entities: the table; also compressed as .xz or .gz.
        features: by modality a file with a matrix float [rows, width], as data sets have them.
        images: a folder with LABEL.png or LABEL/*.png; an entity without one lacks the modality.
        overwrite: replace a bundle that stands at `out`.

    Returns:
        How many were added, and how many there are then.

    Raises:
        BundleError: the bundle is not as it should be, or for a task without entities.
        DataError: a file is missing or not as it should be; the message names the line.
        QueryError: a label that is taken, a token that the codebook has not, other modalities than the model's.
        ExportError: the target is taken, the disk is full, or the new bundle answers otherwise; nothing is written.
    """
    columns = _read_columns(entities)
    labels = columns.pop(_LABEL)
    pictures = None if images is None else _images(images, labels)
    with load(bundle, device="cpu") as opened:
        if isinstance(opened, Linker):
            opened.add_entities(labels, **_linked(columns, labels, pictures, entities, features or {}))
        elif isinstance(opened, Model):
            given = _modalities(columns, len(labels), entities, features or {})
            opened.add_entities(labels, **given, **({} if pictures is None else {"images": pictures}))
        else:
            raise BundleError(
                f"{opened.bundle.path} is for {opened.task}, which has no entities. Pass a bundle for link prediction "
                "or entity linking."
            )
        opened.save(out, overwrite=overwrite)
        return len(labels), len(opened.entities)


def _read_columns(path: Path) -> Columns:
    """The fields of every column, by its name."""
    lines = read_lines(path)
    names = lines[0].split("\t") if lines else []
    for name in names:
        known = name in (_LABEL, _NAME, _TEXT) or name.endswith((_TOKENS, _FEATURES, f"_{_TEXT}"))
        if not known or names.count(name) > 1:
            raise DataError(
                f"{path}:1: column {name!r:.80}; expected `{_LABEL}` and, for each modality, NAME{_TOKENS}, "
                f"NAME{_FEATURES}, or {_TEXT} and NAME_{_TEXT}, or `{_NAME}`, each once, separated by tabs."
            )
    if _LABEL not in names:
        raise DataError(f"{path}:1: no column `{_LABEL}`; expected a first line that names the columns.")
    rows = [fields for _, fields in read_columns(path, len(names))][1:]
    if not rows:
        raise DataError(f"{path} has no line below the names of its columns; expected one for each new entity.")
    return {name: [fields[place] for fields in rows] for place, name in enumerate(names)}


def _linked(
    columns: Columns, labels: list[str], pictures: list[list[Path] | None] | None, path: Path, files: Mapping[str, Path]
) -> dict[str, Any]:
    """The arguments of `Linker.add_entities`."""
    if odd := [*(name for name in columns if name not in (_NAME, _TEXT)), *files]:
        raise DataError(f"{path}: {odd[0]!r:.80} is given; entity linking takes `{_NAME}`, `{_TEXT}` and pictures.")
    given: dict[str, Any] = {}
    if _TEXT in columns:
        given["texts"] = columns[_TEXT]
    if _NAME in columns:
        given["names"] = [name or label for name, label in zip(columns[_NAME], labels, strict=True)]
    if pictures is not None:
        for label, own in zip(labels, pictures, strict=True):
            if own and len(own) > 1:
                raise DataError(f"{own[1]} is a second picture of {label!r:.80}; entity linking sees one. Leave one.")
        given["images"] = [own[0] if own else None for own in pictures]
    return given


def _modalities(columns: Columns, count: int, path: Path, files: Mapping[str, Path]) -> dict[str, Any]:
    """The arguments of `Model.add_entities`."""
    tokens, places, texts = {}, {}, {}
    if _NAME in columns:
        raise DataError(f"{path}:1: column `{_NAME}` is of entity linking, and this bundle predicts links.")
    for name, fields in columns.items():
        if name == _TEXT or name.endswith(f"_{_TEXT}"):
            texts[name.removesuffix(f"_{_TEXT}")] = [field or None for field in fields]
            continue
        numbers = [
            [parse_integer(text, path, line, name) for text in field.split()] for line, field in enumerate(fields, 2)
        ]
        if name.endswith(_TOKENS):
            tokens[name.removesuffix(_TOKENS)] = numbers
            continue
        for line, row in enumerate(numbers, 2):
            if len(row) > 1:
                raise DataError(f"{path}:{line}: {name} is {fields[line - 2]!r:.40}; expected one row, or nothing.")
        places[name.removesuffix(_FEATURES)] = numbers
    for modality in places:
        if modality not in files:
            raise DataError(f"{path}: column {modality}{_FEATURES} goes with a matrix: --features {modality}=FILE.")
    matrices, masks = {}, {}
    for modality, file in files.items():
        matrix = read_matrix(file, f"{modality} matrix")
        rows = places.get(modality, [[row] for row in range(count)])
        matrices[modality], masks[modality] = _rows(matrix, rows, file, path, whole=modality not in places)
    found: dict[str, Any] = {"tokens": tokens} if tokens else {}
    found |= {"texts": texts} if texts else {}
    return found | ({"features": matrices, "masks": masks} if matrices else {})


def _images(folder: Path, labels: list[str]) -> list[list[Path] | None]:
    """The pictures of each entity, None where it has none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with pictures, as <label>.png or <label>/*.png.")
    groups = picture_groups(folder)
    found = [groups.get(unicodedata.normalize("NFC", label)) for label in labels]
    if not any(found):
        raise DataError(f"{folder} has no picture of any of the {len(labels):,} new entities. Name files <label>.png.")
    return found


def _rows(
    matrix: NDArray[np.float32], rows: list[list[int]], file: Path, path: Path, *, whole: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The rows of a matrix that entities have, zeros for those that lack one, and which do."""
    if whole and len(matrix) != len(rows):
        raise DataError(
            f"{file} has {len(matrix):,} rows, and {path} {len(rows):,} entities. Name the row of each in a column."
        )
    for line, row in enumerate(rows, 2):
        if row and row[0] >= len(matrix):
            raise DataError(f"{path}:{line}: row {row[0]:,} of {file}, which has {len(matrix):,}.")
    missing = np.array([not row for row in rows])
    found = np.zeros((len(rows), matrix.shape[1]), np.float32)
    found[~missing] = matrix[[row[0] for row in rows if row]]
    return found, missing

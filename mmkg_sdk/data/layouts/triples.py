"""Triples: the files they stand in, the lines of those that hold names, and the rows of ids made of them.

Triples by name: train, valid (or dev, val) and test with lines `head TAB relation TAB tail` in .txt, .tsv or .del, or
as columns of a .csv. A first line that says `head relation tail`, or the like, is left out with a warning.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.labels import Labels
from ...files.text import find_file, need_file, read_columns, read_lines
from ..graph import SPLITS

# The file of training triples by which each layout is known.
BY_NAME = ("train.txt", "train.tsv", "train.csv", "train.del")
BY_ID = "train2id.txt"
_MKGFORMER_TEXTS = ("entity2text.txt", "entity2textlong.txt", "relation2text.txt")

_SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "dev", "val"), "test": ("test",)}
_COLUMNS = {
    "head": ("head", "h", "subject", "subj", "s", "source", "from"),
    "relation": ("relation", "rel", "r", "predicate", "pred", "p", "edge", "label"),
    "tail": ("tail", "t", "object", "obj", "o", "target", "to"),
}
_COLUMN_OF = {name: column for column, names in _COLUMNS.items() for name in names}


def triple_files(folder: Path) -> list[str]:
    """The files of training triples in a folder, by their names without .xz or .gz."""
    return [name for name in (*BY_NAME, BY_ID) if find_file(folder, name)]


def is_mkgformer(folder: Path) -> bool:
    """Whether the train.tsv of a folder is MKGformer's: texts lie beside it, and the valid split is called dev."""
    return any(find_file(folder, name) for name in _MKGFORMER_TEXTS) and not find_file(folder, "valid.tsv")


@dataclass(frozen=True)
class NameTriples:
    """The triples of one split by name, with the path they came from.

    Attributes:
        first: line number of the first triple.
    """

    path: Path
    triples: list[list[str]]
    first: int = 1


def read_name_triples(folder: Path, ending: str = "txt") -> dict[str, NameTriples]:
    """The triples of every split by name.

    Args:
        ending: of the files: "txt", "tsv", "csv" or "del".

    Raises:
        DataError: if a file is missing or malformed, with file and line.
    """
    paths = {split: _split_file(folder, split, ending) for split in SPLITS}
    splits = {split: NameTriples(path, _read_rows(path)) for split, path in paths.items()}
    headed = [split for split in SPLITS if _names_columns(splits[split].triples[:1])]
    used = {row[1] for split in SPLITS for row in splits[split].triples[1 if split in headed else 0 :]}
    for split in headed:
        # Where other triples have such a relation, the line is a triple like them.
        if splits[split].triples[0][1] not in used:
            splits[split] = _without_header(splits[split])
    return splits


def _split_file(folder: Path, split: str, ending: str) -> Path:
    names = [f"{name}.{ending}" for name in _SPLIT_NAMES[split]]
    found = [path for name in names if (path := find_file(folder, name))]
    if len(found) > 1:
        raise DataError(f"{folder} has {found[0].name} and {found[1].name}, two {split} splits. Keep one.")
    return found[0] if found else need_file(folder, names[0])


def _read_rows(path: Path) -> list[list[str]]:
    if ".csv" not in path.suffixes:
        return [fields for _, fields in read_columns(path, 3)]
    reader = csv.reader(read_lines(path), strict=True)
    rows = []
    try:
        for row in reader:
            if len(row) != 3:
                raise DataError(
                    f"{path}:{reader.line_num}: expected 3 columns (head, relation, tail) separated by commas, found "
                    f"{len(row)}: {','.join(row)[:80]!r}."
                )
            rows.append(row)
    except csv.Error as err:
        raise DataError(f"{path}:{reader.line_num}: not a line of a CSV file: {err}.") from err
    return rows


def _names_columns(first: list[list[str]]) -> bool:
    """Whether the first line, if there is one, says what the columns are."""
    return any(sorted(map(_column, row)) == sorted(_COLUMNS) for row in first)


def _column(name: str) -> str:
    """Which column a name means; "" for a name of anything else."""
    plain = name.strip().lstrip("#").casefold()
    return _COLUMN_OF.get(plain.removesuffix("_id").removesuffix("_name").removesuffix("_label"), "")


def _without_header(lines: NameTriples) -> NameTriples:
    header = lines.triples[0]
    if [_column(name) for name in header] != list(_COLUMNS):
        raise DataError(
            f"{lines.path}:1: the columns are {', '.join(header)}; expected head, relation, tail. Put them in this "
            "order."
        )
    warnings.warn(f"{lines.path}:1: {' '.join(header)!r} is taken for names of columns and left out.", stacklevel=2)
    return NameTriples(lines.path, lines.triples[1:], first=2)


def to_triples(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Triples int64 [triples, 3] of one split in file order.

    Repeated lines are kept, because published figures count every line: DB15K's validation split has 9,904 lines
    of which 7,481 are distinct. See `remarks`.
    """
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def need_training(train: NDArray[np.int64], path: Path) -> None:
    """Raise DataError if the training split is empty."""
    if not len(train):
        raise DataError(f"{path} has no triples; a data set needs training triples (valid and test may be empty).")


def unknown_name(name: str, labels: Labels, path: Path, number: int) -> DataError:
    """The error for a name in a triple that is neither a label nor an id."""
    near = labels.near(name)
    ending = f"; near: {', '.join(repr(label) for label in near)}." if near else "."
    return DataError(f"{path}:{number}: unknown {labels.kind} {name[:80]!r} ({len(labels):,} are listed){ending}")

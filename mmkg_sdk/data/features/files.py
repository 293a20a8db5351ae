"""Feature files: one vector per entity and modality, in AdaMF-MAT's layout, in our own and in the usual others.

AdaMF-MAT: `{set}-visual.pth` and `{set}-textual.pth`, each one tensor [entities, width] saved by torch; the row number
is the id. Our own, written by `write_dataset`: `features.safetensors` with float32 tensors `visual` and `text`, and
those of further modalities by their names. Others: a file of any kind that `matrices` reads, whose name ends in a word
for the modality (`visual`, `image`, `img`; `textual`, `text`, `txt`), perhaps with `features` or `embeddings` behind
it. It holds one matrix by row number, or one vector per entity under the entity's name.

None of them marks missing rows; a row of zeros is taken for one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...files.tensors import write_tensors
from ...files.text import at_place
from ...modalities.stored_tokenizers import TOKENIZERS
from ...registry import check_further_modality
from ..graph import DataSet, Features, no_numbers
from ..layouts.names import NameTable
from ..places import Place
from .matrices import SUFFIXES, check_matrix, only_array, read_arrays, read_safetensors

_OWN = "features.safetensors"
_WORDS = {"visual": "visual|vis|images?|imgs?", "text": "textual|texts?|txt"}
_NAMES = {
    modality: re.compile(
        rf"(.+[-_. ])?({words})([-_. ]?(features?|feats?|embeddings?|embs?|vectors?|vecs?))?", re.IGNORECASE
    )
    for modality, words in _WORDS.items()
}
# Features of relations are called like those of entities.
_RELATIONS = re.compile(r"(^|[-_. ])rel(ations?)?[-_. ]", re.IGNORECASE)
# Not opened: they may hold code, or several arrays under any names.
_UNREADABLE = (".pkl", ".pickle", ".npz", ".mat")
_PACKED = re.compile(r"\.(zip|gz|xz)$", re.IGNORECASE)
_LOOKED_FOR = {
    "visual": f"*visual, *image or *img as {', '.join(SUFFIXES)}",
    "text": f"*textual, *text or *txt as {', '.join(SUFFIXES)}",
}


def looked_for(modality: str) -> str:
    """The files that would hold the features of a modality, in words."""
    return _LOOKED_FOR.get(modality, f"{modality} in {_OWN}")


def further_features(places: Sequence[Place]) -> list[str]:
    """The modalities beyond the published ones that have features in our own layout.

    Raises:
        DataError: the file is malformed.
    """
    own = [path for place in places for path in place.files() if path.name == _OWN]
    return sorted({name for path in own for name in _own_tensors(path)} - {*_NAMES})


def read_features(
    places: Sequence[Place], modality: str, names: NameTable, codebooks: Collection[Path] = ()
) -> Features | None:
    """The vectors of one modality, or None if there are none.

    Args:
        places: where files of the data set lie.
        modality: a published one, or one of `further_features`.
        names: spellings of the entities, in row order.
        codebooks: files that belong to tokens; MyGO calls a codebook `visual.pth`.

    Raises:
        DataError: several files fit, a file is malformed or cannot be read, it has not one finite row per entity, or
            it goes by row numbers and no list numbers the entities.
    """
    files = [path for place in places for path in place.files() if path not in codebooks]
    found = [path for path in files if _is_called(path, modality, SUFFIXES)]
    own = [(path, tensors) for path in files if path.name == _OWN and modality in (tensors := _own_tensors(path))]
    if len(found) + len(own) > 1:
        listed = ", ".join(str(path) for path in [*found, *(path for path, _ in own)])
        raise DataError(f"several files hold {modality} features: {listed}. Keep one.")
    if own:
        return _features({modality: own[0][1][modality]}, own[0][0], modality, names)
    if found:
        return _features(read_arrays(found[0]), found[0], modality, names)
    for path in files:
        if _is_called(Path(_PACKED.sub("", path.name)), modality, (*SUFFIXES, *_UNREADABLE)):
            raise DataError(
                f"{path} is not opened: it is no plain matrix. Unpack or save it as .npy, .safetensors or .pth."
            )
    return None


def warn_of_unread(folders: Iterable[Path], codebooks: Collection[Path]) -> None:
    """Say which matrices of a data set's folders are read as nothing: of further modalities, or under other names."""
    unread = [
        str(path)
        for folder in dict.fromkeys(folders)
        for path in Place(folder).files()
        if path.suffix.lower() in SUFFIXES
        and path not in codebooks
        and path.name not in (_OWN, TOKENIZERS, "codebooks.safetensors")
        and not any(_is_called(path, modality, SUFFIXES) for modality in _NAMES)
    ]
    if unread:
        looked = "; ".join(_LOOKED_FOR.values())
        warnings.warn(
            f"not read: {', '.join(unread)}; features are {looked}. `data tokenize --features NAME=FILE` makes a "
            "further modality of others.",
            stacklevel=2,
        )


def write_features(folder: Path, dataset: DataSet) -> None:
    """Write features.safetensors, if the data set has features."""
    found = {
        modality: np.ascontiguousarray(features.vectors, dtype=np.float32)
        for modality, features in dataset.features.items()
    }
    if found:
        with (folder / _OWN).open("wb") as file:
            write_tensors(file, found)


def _is_called(path: Path, modality: str, suffixes: Collection[str]) -> bool:
    if modality not in _NAMES:
        return False
    named = _NAMES[modality].fullmatch(path.stem) and not _RELATIONS.search(path.stem)
    return bool(named) and path.suffix.lower() in suffixes


def _own_tensors(path: Path) -> dict[str, NDArray[Any]]:
    tensors = read_safetensors(path)
    with at_place(str(path)):
        for name in {*tensors} - {*_NAMES}:
            check_further_modality(name)
    return tensors


def read_feature_file(path: Path, modality: str, names: NameTable) -> Features:
    """The vectors of one file, whatever it is called: one matrix by row number, or one vector under each entity's name.

    Raises:
        DataError: it is no such file, or has not one finite row per entity.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is no feature file; expected {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(f"{path} is no file; it was to hold features.")
    return _features(read_arrays(path), path, modality, names)


def _features(arrays: Mapping[str, NDArray[Any]], path: Path, modality: str, names: NameTable) -> Features:
    what = f"{modality} feature table"
    if arrays and all(array.ndim == 1 for array in arrays.values()) and "" not in arrays:
        vectors = _by_name(arrays, path, what, names)
    else:
        vectors = check_matrix(only_array(arrays, path), path, what)
        if len(vectors) != len(names.labels):
            codebook = " A codebook needs its token file beside it." if path.stem in ("visual", "textual") else ""
            raise DataError(
                f"{path}: the {what} has {len(vectors)} rows; expected one for each of {len(names.labels)} entities."
                f"{codebook}"
            )
        if not names.numbered:
            raise no_numbers(f"{path} (row number = id)", names.labels.kind, len(names.labels))
    return Features(vectors, np.any(vectors != 0, axis=1))


def _by_name(arrays: Mapping[str, NDArray[Any]], path: Path, what: str, names: NameTable) -> NDArray[np.float32]:
    """Vectors under the names of entities as rows; entities that have none get zeros."""
    rows = names.rows_of(arrays, str(path))
    widths = {len(array) for array in arrays.values()}
    if len(widths) > 1:
        raise DataError(
            f"{path}: the vectors have {', '.join(map(str, sorted(widths)))} numbers; expected as many each."
        )
    found = check_matrix(np.stack(list(arrays.values())), path, what)
    vectors = np.zeros((len(names.labels), found.shape[1]), np.float32)
    vectors[rows] = found
    return vectors

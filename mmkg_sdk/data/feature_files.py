"""Feature files: one vector per entity and modality, in AdaMF-MAT's layout and in our own.

AdaMF-MAT: `{set}-visual.pth` and `{set}-textual.pth`, each one tensor
[entities, width] saved by torch; the row number is the id.
Our own, written by `write_dataset`: `features.safetensors` with float32 tensors `visual` and `text`.

Neither marks missing rows; a row of zeros is taken for one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.listing import list_files
from ..files.tensors import write_tensors
from .graph import DataSet, Features
from .matrix_files import check_matrix, read_safetensors, read_torch_matrix

_OFFICIAL = {"visual": "-visual.pth", "text": "-textual.pth"}
_OWN = "features.safetensors"


def read_features(folder: Path, modality: str, num_entities: int) -> Features | None:
    """The vectors of one modality, or None if the folder has none.

    Args:
        modality: "visual" or "text".

    Raises:
        DataError: several files fit, a file is malformed, or it has not one finite row per entity.
    """
    own = folder / _OWN
    official = [path for path in list_files(folder) if path.name.endswith(_OFFICIAL[modality])]
    tensors = read_safetensors(own) if own.is_file() else {}
    if modality in tensors:
        official.append(own)
    if not official:
        return None
    if len(official) > 1:
        listed = ", ".join(path.name for path in official)
        raise DataError(f"{folder} has several files of {modality} features: {listed}. Keep one.")
    path, what = official[0], f"{modality} feature table"
    vectors = check_matrix(tensors[modality], path, what) if path == own else read_torch_matrix(path, what)
    if len(vectors) != num_entities:
        raise DataError(
            f"{path}: the {what} has {len(vectors)} rows; expected one for each of {num_entities} entities."
        )
    return Features(vectors, np.any(vectors != 0, axis=1))


def write_features(folder: Path, dataset: DataSet) -> None:
    """Write features.safetensors, if the data set has features."""
    found: dict[str, NDArray[np.float32]] = {}
    for modality, features in (("visual", dataset.visual_features), ("text", dataset.text_features)):
        if features is not None:
            found[modality] = np.ascontiguousarray(features.vectors, dtype=np.float32)
    if found:
        with (folder / _OWN).open("wb") as file:
            write_tensors(file, found)

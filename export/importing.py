"""Official checkpoint -> run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import sha256_of
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_data
from mmkg_sdk.errors import DataError, ExportError, missing_package
from mmkg_sdk.families import contract
from mmkg_sdk.files.regular import check_length, open_regular
from mmkg_sdk.files.text import read_text
from mmkg_sdk.registry import MODALITIES, family_name
from mmkg_sdk.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from mmkg_sdk.bundle.config import FamilyConfig


def import_checkpoint(
    family: str,
    checkpoint: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    tokens: str | Path | None = None,
    visual: str | None = None,
    text: str | None = None,
    images: str | Path | None = None,
    inputs: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_missing: Collection[str] = (),
    overwrite: bool = False,
) -> Run:
    """Turn an official checkpoint into a run.

    What a checkpoint does not hold (triples, tokens, the number of heads) comes from `data` and `settings`, or from
    `inputs` and `config`.

    Args:
        data: a data set folder, "atlas", or a fetched name.
        tokens: the folder with the token files and codebooks of `data`; None: that of the data set.
        visual, text: tokenizer or token file, where there are several.
        images: the folder with the images of mentions or sentences; None: that of the data set.
        inputs: an .npz with token indices, masks and triples.
        config: a JSON file with the authors' option names.
        settings: settings of the family's configuration that tensors do not tell; they win over `config`.
        allow_missing: "image" or "text": what `data` may lack although the checkpoint was trained with it. Answers then
            differ from those of the checkpoint, which a warning says.

    Raises:
        ExportError: the checkpoint is damaged, carries code, is of another family or does not fit the data; or the data
            lack what it was trained with.
    """
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", "import") from err

    family = family_name(family)
    parts, prepare, checkpoint = contract.checkpoint_part(family), contract.inputs_part(family), Path(checkpoint)
    if (data is None) == (inputs is None):
        raise ExportError("pass either a data set (--data) or an inputs file (--inputs with --config).")
    folders = {name: Path(folder) for name, folder in (("tokens", tokens), ("images", images)) if folder is not None}
    choices = {name: choice for name, choice in (("visual", visual), ("text", text)) if choice is not None}
    reading: dict[str, Any] = folders | choices
    if inputs is not None and (reading or allow_missing):
        name = next(iter(reading), "allow_missing")
        raise ExportError(f"{name} goes with a data set (--data); an inputs file holds everything. Leave it out.")
    state = parts.read_checkpoint(checkpoint)
    model_config = _model_config(parts, state, checkpoint, config, settings or {})
    if inputs is not None:
        contents = prepare.stored_data(_read_arrays(Path(inputs)), Path(inputs), model_config)
        prepare.check_data(contents, model_config)
    else:
        assert data is not None
        dataset = open_data(data, **reading)
        if isinstance(dataset, DataSet):
            dataset.need_numbers(f"{checkpoint} (row number = id)")
        contents = prepare.run_data(dataset, model_config)
        prepare.check_data(contents, model_config)
        _check_missing(prepare.missing_modalities(dataset, contents, state), allow_missing)
    model = contract.model_part(family).build(model_config.to_json(), contents.tensors.get("inputs", {}))
    parts.check_state(state, model.state_dict())
    with checkpoint.open("rb") as file:
        source = {"checkpoint": checkpoint.name, "sha256": sha256_of(file), "data": contents.name}
    source |= {name: Path(value).name for name, value in {**reading, "inputs": inputs}.items() if value is not None}
    return Run.create(
        out,
        family=family,
        config=model_config.to_json(),
        data=contents,
        source=source | ({"allow_missing": sorted(allow_missing)} if allow_missing else {}),
        weights={name: torch.as_tensor(tensor) for name, tensor in (model.state_dict() | state).items()},
        overwrite=overwrite,
    )


def _model_config(
    parts: contract.CheckpointPart,
    state: dict[str, Tensor],
    checkpoint: Path,
    config: str | Path | None,
    settings: Mapping[str, Any],
) -> FamilyConfig:
    """The configuration that tensors, the authors' options and settings tell together."""
    chosen = {} if config is None else parts.official_settings(_read_json(Path(config)))
    chosen |= settings
    for name, published in parts.UNTOLD_SETTINGS.items():
        if name not in chosen:
            raise ExportError(f"{name} is in no tensor of a checkpoint; pass --set {name}=... ({published}).")
    try:
        return parts.config_from_checkpoint(state, **chosen)
    except (DataError, TypeError) as err:  # TypeError: an unknown setting
        raise ExportError(f"{checkpoint} and these settings make no model: {err}") from err


def _check_missing(missing: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse data that lack what the checkpoint was trained with, or say so where that is allowed."""
    if unknown := set(allowed) - set(MODALITIES):
        raise ExportError(f"allow_missing has {min(unknown)!r}; expected {' or '.join(map(repr, MODALITIES))}.")
    for modality, lacking in missing.items():
        found = f"the checkpoint was trained with {modality}s, but {lacking}"
        if modality not in allowed:
            raise ExportError(
                f"{found} Or pass --allow-missing {modality} (allow_missing={[modality]}): without them it answers "
                "otherwise than it was trained to."
            )
        warnings.warn(f"{found} Without them it answers otherwise than it was trained to.", stacklevel=3)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with open_regular(path) as packed, np.load(packed, allow_pickle=False) as file:
            check_length(path, sum(member.file_size for member in file.zip.infolist()))
            return dict(file)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile, MemoryError) as err:
        # TypeError, AttributeError: a single .npy array. MemoryError: a shape that the file does not fill.
        raise ExportError(f"{path} is not an .npz file without pickles ({err}).") from err


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_text(path))
    except (DataError, ValueError) as err:
        raise ExportError(f"{path} is not a readable JSON file ({err}).") from err
    if not isinstance(values, dict):
        raise ExportError(f"{path} holds a {type(values).__name__}; expected an object of options.")
    return values

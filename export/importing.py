"""Official checkpoint -> run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_data
from mmkg_sdk.errors import DataError, ExportError, missing_package
from mmkg_sdk.families import contract
from mmkg_sdk.run import Run


def import_checkpoint(
    family: str,
    checkpoint: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    inputs: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Run:
    """Turn an official checkpoint into a run.

    What a checkpoint does not hold (triples, tokens, the number of heads) comes from `data` and `settings`, or from
    `inputs` and `config`.

    Args:
        data: a data set folder, "atlas", or a fetched name.
        inputs: an .npz with token indices, masks and triples.
        config: a JSON file with the authors' option names.
        settings: settings of the family's configuration that tensors do not tell; they win over `config`.

    Raises:
        ExportError: the checkpoint is damaged, carries code, is of another family or does not fit the data.
    """
    try:
        import torch
    except ModuleNotFoundError as err:
        raise missing_package("torch", "train", "import") from err

    parts = contract.checkpoint_part(family)
    if (data is None) == (inputs is None):
        raise ExportError("pass either a data set (--data) or an inputs file (--inputs with --config).")
    state = parts.read_checkpoint(Path(checkpoint))
    chosen = {} if config is None else parts.official_settings(_read_json(Path(config)))
    chosen |= dict(settings or {})
    for name, published in parts.UNTOLD_SETTINGS.items():
        if name not in chosen:
            raise ExportError(f"{name} is in no tensor of a checkpoint; pass --set {name}=... ({published}).")
    try:
        model_config = parts.config_from_checkpoint(state, **chosen)
    except (DataError, TypeError) as err:  # TypeError: an unknown setting
        raise ExportError(f"{checkpoint} and these settings make no model: {err}") from err
    prepare = contract.inputs_part(family)
    if inputs is not None:
        contents = prepare.stored_data(_read_arrays(Path(inputs)), Path(inputs), model_config)
    else:
        assert data is not None
        dataset = open_data(data)
        if isinstance(dataset, DataSet):
            dataset.need_numbers(f"{checkpoint} (row number = id)")
        contents = prepare.run_data(dataset, model_config)
    prepare.check_data(contents, model_config)
    model = contract.model_part(family).build(model_config.to_json(), contents.tensors.get("inputs", {}))
    parts.check_state(state, model.state_dict())
    run = Run.create(
        out,
        family=family,
        config=model_config.to_json(),
        data=contents,
        source={"checkpoint": Path(checkpoint).name, "data": contents.name},
        overwrite=overwrite,
    )
    run.save_weights({name: torch.as_tensor(tensor) for name, tensor in (model.state_dict() | state).items()})
    return run


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as err:
        # TypeError, AttributeError: a single .npy array.
        raise ExportError(f"{path} is not an .npz file without pickles ({err}).") from err


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ExportError(f"{path} is not a readable JSON file ({err}).") from err
    if not isinstance(values, dict):
        raise ExportError(f"{path} holds a {type(values).__name__}; expected an object of options.")
    return values

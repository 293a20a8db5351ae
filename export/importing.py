"""Official checkpoint -> run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.data.graph import KnowledgeGraph
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError, ExportError, missing_package
from mmkg_sdk.families import family_part
from mmkg_sdk.labels import Labels
from mmkg_sdk.run import Run

# Input of the encoder -> field of the golden layout's inputs.npz.
_INPUT_FIELDS = {
    "visual_tokens": "visual_token_index",
    "visual_mask": "visual_mask",
    "text_tokens": "text_token_index",
    "text_mask": "text_mask",
}


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

    parts = family_part(family, "checkpoint")
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
    if inputs is not None:
        graph, arrays = _golden_layout(Path(inputs), model_config)
    else:
        assert data is not None
        dataset = open_dataset(data)
        graph = dataset.graph
        counts = {f"num_{name}": getattr(model_config, f"num_{name}") for name in ("visual_tokens", "text_tokens")}
        arrays = family_part(family, "inputs").encoder_inputs(dataset, **counts)
    _check_fit(model_config, graph, arrays)
    counts = {f"num_{name}": arrays[name].shape[1] for name in ("visual_tokens", "text_tokens")}
    model_config = replace(model_config, **counts)
    model = family_part(family, "model").build(model_config.to_json(), arrays)
    parts.check_state(state, model.state_dict())
    run = Run.create(
        out,
        family=family,
        config=model_config.to_json(),
        graph=graph,
        inputs=arrays,
        source={"checkpoint": Path(checkpoint).name, "data": graph.name},
        overwrite=overwrite,
    )
    run.save_weights({name: torch.as_tensor(tensor) for name, tensor in (model.state_dict() | state).items()})
    return run


def _golden_layout(path: Path, config: Any) -> tuple[KnowledgeGraph, dict[str, NDArray[Any]]]:
    """Token indices, masks and triples from an .npz; entities and relations are named by their ids."""
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = dict(file)
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as err:
        # TypeError, AttributeError: a single .npy array.
        raise ExportError(f"{path} is not an .npz file without pickles ({err}).") from err
    wanted = [*_INPUT_FIELDS.values(), "train_triples", "valid_triples", "test_triples"]
    if absent := [name for name in wanted if name not in fields]:
        raise ExportError(f"{path} has no array {absent[0]!r}; expected {', '.join(wanted)}.")
    for name in wanted:
        kind = "b" if name.endswith("mask") else "iu"
        if fields[name].ndim != 2 or fields[name].dtype.kind not in kind:
            raise ExportError(
                f"{path}: {name} is {fields[name].dtype} {list(fields[name].shape)}; expected two axes of "
                f"{'booleans' if kind == 'b' else 'integers'}."
            )
    try:
        graph = KnowledgeGraph(
            path.parent.name,
            Labels((f"entity {i}" for i in range(config.num_entities)), kind="entity"),
            Labels((f"relation {i}" for i in range(config.num_relations)), kind="relation"),
            *(fields[f"{split}_triples"].astype(np.int64) for split in ("train", "valid", "test")),
        )
    except DataError as err:
        raise ExportError(f"{path} does not fit the checkpoint: {err}") from err
    dtypes = {name: bool if name.endswith("mask") else np.int64 for name in _INPUT_FIELDS}
    return graph, {name: fields[field].astype(dtypes[name]) for name, field in _INPUT_FIELDS.items()}


def _check_fit(config: Any, graph: KnowledgeGraph, arrays: Mapping[str, NDArray[Any]]) -> None:
    found = (len(graph.entities), len(graph.relations))
    if found != (config.num_entities, config.num_relations):
        raise ExportError(
            f"the checkpoint has {config.num_entities} entities and {config.num_relations} relations, the data set "
            f"{graph.name} has {found[0]} and {found[1]}. Pass the data set that the checkpoint was trained on."
        )
    for modality in ("visual", "text"):
        rows = getattr(config, f"{modality}_codebook_rows")
        tokens, mask = arrays[f"{modality}_tokens"], arrays[f"{modality}_mask"]
        if len(tokens) != config.num_entities or not tokens.size or tokens.min() < 0 or tokens.max() >= rows:
            ids = f"ids {tokens.min()} to {tokens.max()}" if tokens.size else "no ids"
            raise ExportError(
                f"{modality} tokens are {list(tokens.shape)} with {ids}; the checkpoint has {config.num_entities} "
                f"entities and a codebook of {rows} rows."
            )
        if mask.shape != tokens.shape:
            raise ExportError(f"{modality} mask is {list(mask.shape)}, its tokens are {list(tokens.shape)}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise ExportError(f"{path} is not a readable JSON file ({err}).") from err
    if not isinstance(values, dict):
        raise ExportError(f"{path} holds a {type(values).__name__}; expected an object of options.")
    return values

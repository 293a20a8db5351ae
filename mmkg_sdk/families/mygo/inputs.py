"""From a data set to what MyGO's entity encoder is fed: selected tokens, masks, codebooks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.graph import DataSet, RawTokens
from ...data.inspection.coverage import Coverage, token_coverage
from ...data.open import AnyData
from ...data.tokens.inputs import moved_rows, select_tokens
from ...errors import ExportError
from ...modalities.model_text_tokens import ModelTextTokenizer
from ...modalities.readers import AnyReader
from ...modalities.stored_tokenizers import TOKENIZERS, packed_tokenizers
from ...registry import MODALITIES, PUBLISHED_MODALITIES
from ...run import RunData
from ..further import further_settings
from ..link_prediction import check_graph_sizes, knowledge_graph, link_prediction_data, numbered_graph
from ..official import stored_array
from .config import MyGOConfig


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> MyGOConfig:
    """The configuration: sizes from the data, the rest from settings."""
    dataset = knowledge_graph(dataset, "mygo")
    further = {
        name: dict(zip(("codebook_rows", "codebook_width"), raw.codebook.shape, strict=True))
        for name, raw in dataset.tokens.items()
        if name not in PUBLISHED_MODALITIES
    }
    further_modalities = further_settings(settings.get("further_modalities", []), further)
    return MyGOConfig.from_json({**settings, **data_sizes(dataset), "further_modalities": further_modalities})


def coverage(dataset: AnyData) -> list[Coverage]:
    """What it finds of images and texts in a data set."""
    return token_coverage(knowledge_graph(dataset, "mygo"))


def run_data(dataset: AnyData, config: MyGOConfig) -> RunData:
    """What a run holds of a data set."""
    dataset = knowledge_graph(dataset, "mygo")
    made_by = {
        one.name: reader
        for one in config.modalities
        if (reader := _reader(dataset.tokens.get(one.name), one.num_tokens)) is not None
    }
    files = {TOKENIZERS: packed_tokenizers(made_by)} if made_by else {}
    return link_prediction_data(dataset.graph, encoder_inputs(dataset, config), files)


def _reader(raw: RawTokens | None, num_tokens: int) -> AnyReader | None:
    """What makes codebook rows of new texts or pictures, as `select_tokens` did of the data's tokens."""
    if raw is None or not isinstance(raw.made_by, ModelTextTokenizer):  # no other has an id above vocabulary_size
        return None if raw is None else raw.made_by
    return raw.made_by.moved(moved_rows(raw, num_tokens), raw.vocabulary_size)


def encoder_inputs(dataset: DataSet, config: MyGOConfig) -> dict[str, NDArray[Any]]:
    """NAME_tokens and NAME_mask of every modality: int64 and bool [num_entities, tokens]."""
    arrays: dict[str, NDArray[Any]] = {}
    for modality in config.modalities:
        chosen = select_tokens(dataset.tokens.get(modality.name), dataset.graph.entities, modality.num_tokens)
        arrays |= {f"{modality.name}_tokens": chosen.index, f"{modality.name}_mask": chosen.mask}
    return arrays


def initial_weights(dataset: AnyData, config: MyGOConfig) -> dict[str, NDArray[np.float32]]:
    """The frozen codebooks by parameter name; a modality that the data lacks gets one row that nothing attends to."""
    dataset = knowledge_graph(dataset, "mygo")
    names = [modality.name for modality in config.modalities]
    return {f"{name}_token_embedding.weight": _codebook(dataset.tokens.get(name)) for name in names}


def data_sizes(dataset: DataSet) -> dict[str, int]:
    """The part of MyGOConfig that the data set decides, without its further modalities."""
    sizes = {"num_entities": len(dataset.graph.entities), "num_relations": len(dataset.graph.relations)}
    for name in PUBLISHED_MODALITIES:
        rows, width = _codebook(dataset.tokens.get(name)).shape
        sizes |= {f"{name}_codebook_rows": rows, f"{name}_codebook_width": width}
    return sizes


def missing_modalities(dataset: AnyData, data: RunData, state: Mapping[str, Any]) -> dict[str, str]:
    """What a data set lacks of what a checkpoint was trained with, by "image" or "text", and where it comes from.

    A codebook of one row stands for a modality that training did not have, see `initial_weights`.

    Raises:
        ExportError: tokens stand for rows of another codebook than the checkpoint's.
    """
    dataset = knowledge_graph(dataset, "mygo")
    mask = data.tensors["inputs"]["visual_mask"]
    if short := int((mask.any(axis=1) & ~mask.all(axis=1)).sum()):
        warnings.warn(
            f"{short:,} of {len(mask):,} entities have some visual tokens, but fewer than num_visual_tokens = "
            f"{mask.shape[1]}. The authors' program stops at such an entity, so the checkpoint was trained with other "
            "tokens or another number of them.",
            stacklevel=3,
        )
    lacking = {}
    for name, modality in MODALITIES.items():
        raw = dataset.tokens.get(modality)
        trained = state[f"{modality}_token_embedding.weight"].numpy()
        if raw is not None and any(raw.lists.values()):
            _check_codebook(raw, trained, modality)
        elif len(trained) > 1:
            lacking[name] = (
                f"{dataset.graph.name} has no {modality} tokens. Pass the folder with the authors' token files and "
                "codebooks as --tokens DIR (tokens=...); or make tokens with the tokenizer of that codebook: "
                "mmkg-sdk data tokenize DATA --out DIR --text-model ... --image-model ..."
            )
    return lacking


def _check_codebook(raw: RawTokens, trained: NDArray[np.float32], modality: str) -> None:
    """The codebook of the tokens is that of the checkpoint, where training left it as it was; a half one is as good."""
    if raw.codebook.shape != trained.shape:
        found = f"has {list(raw.codebook.shape)} numbers, the checkpoint's {list(trained.shape)}"
    elif not (same := np.isclose(raw.codebook, trained, rtol=1e-2, atol=1e-4)).all():
        found = f"has another row {np.flatnonzero(~same.all(axis=1))[0]} than the checkpoint's"
    else:
        return
    raise ExportError(
        f"the codebook of the {modality} tokens ({raw.tokenizer}) {found}, so they stand for other things. Pass the "
        "token files and the codebook that it was trained with as --tokens DIR (tokens=...)."
    )


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: MyGOConfig) -> RunData:
    """What a run holds, from the authors' tensors, which they call ..._token_index and ..._mask.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    graph = numbered_graph(path, fields, config.num_entities, config.num_relations)
    arrays: dict[str, NDArray[Any]] = {}
    for modality in PUBLISHED_MODALITIES:
        tokens = stored_array(fields, f"{modality}_token_index", "iu", path)
        arrays[f"{modality}_tokens"] = tokens.astype(np.int64)
        arrays[f"{modality}_mask"] = stored_array(fields, f"{modality}_mask", "b", path)
    return link_prediction_data(graph, arrays)


def check_data(data: RunData, config: MyGOConfig) -> None:
    """Whether the data fit a configuration: sizes, shapes, and tokens within the codebooks.

    Raises:
        ExportError: they do not.
    """
    check_graph_sizes(data, config.num_entities, config.num_relations)
    arrays = data.tensors["inputs"]
    for modality in config.modalities:
        name, rows, shape = modality.name, modality.codebook_rows, (config.num_entities, modality.num_tokens)
        tokens, mask = arrays[f"{name}_tokens"], arrays[f"{name}_mask"]
        if tokens.shape != shape or tokens.min() < 0 or tokens.max() >= rows:
            ids = f"ids {tokens.min()} to {tokens.max()}" if tokens.size else "no ids"
            raise ExportError(
                f"{name} tokens are {list(tokens.shape)} with {ids}; expected {list(shape)} (entities, "
                f"num_{name}_tokens) and ids below {rows}, the rows of the checkpoint's codebook."
            )
        if mask.shape != tokens.shape:
            raise ExportError(f"{name} mask is {list(mask.shape)}, its tokens are {list(tokens.shape)}.")


def _codebook(raw: RawTokens | None) -> NDArray[np.float32]:
    return np.zeros((1, 1), dtype=np.float32) if raw is None else raw.codebook

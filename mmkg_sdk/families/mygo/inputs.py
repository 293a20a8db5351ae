"""From a data set to what MyGO's entity encoder is fed: selected tokens, masks, codebooks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.graph import DataSet, RawTokens
from ...data.tokens import select_tokens


def encoder_inputs(dataset: DataSet, *, num_visual_tokens: int, num_text_tokens: int) -> dict[str, NDArray[Any]]:
    """visual_tokens, visual_mask, text_tokens, text_mask: int64 and bool [num_entities, tokens]."""
    visual = select_tokens(dataset.visual, dataset.graph.entities, num_visual_tokens)
    text = select_tokens(dataset.text, dataset.graph.entities, num_text_tokens)
    return {
        "visual_tokens": visual.index,
        "visual_mask": visual.mask,
        "text_tokens": text.index,
        "text_mask": text.mask,
    }


def codebooks(dataset: DataSet) -> dict[str, NDArray[np.float32]]:
    """The frozen codebooks by parameter name; a modality that the data lacks gets one row that nothing attends to."""
    return {
        "visual_token_embedding.weight": _codebook(dataset.visual),
        "text_token_embedding.weight": _codebook(dataset.text),
    }


def data_sizes(dataset: DataSet) -> dict[str, int]:
    """The part of MyGOConfig that the data set decides."""
    visual, text = (_codebook(raw).shape for raw in (dataset.visual, dataset.text))
    return {
        "num_entities": len(dataset.graph.entities),
        "num_relations": len(dataset.graph.relations),
        "visual_codebook_rows": visual[0],
        "visual_codebook_width": visual[1],
        "text_codebook_rows": text[0],
        "text_codebook_width": text[1],
    }


def _codebook(raw: RawTokens | None) -> NDArray[np.float32]:
    return np.zeros((1, 1), dtype=np.float32) if raw is None else raw.codebook

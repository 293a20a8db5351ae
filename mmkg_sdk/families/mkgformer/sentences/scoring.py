"""How the torch model answers sentences: what evaluation measures and export is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....run import Run
from ..config import MKGformerConfig
from ..encoder import Images, Texts
from ..images import image_groups
from .model import EntityTagger, RelationExtractor

_BATCH = 32
Arrays = Mapping[str, NDArray[Any]]


def relation_scores(model: RelationExtractor, run: Run, split: str, count: int) -> NDArray[np.floating]:
    """The scores of all relations for the first sentences of a split, float [count, num_labels]."""
    parts = [relation_scores_of(model, *batch) for batch in _batches(run, split, count)]
    return np.concatenate(parts) if parts else np.empty((0, model.classifier.out_features))


def relation_scores_of(model: RelationExtractor, texts: Arrays, pixels: Arrays) -> NDArray[np.floating]:
    """The scores of all relations, float [n, num_labels], in the model's own dtype.

    Args:
        model: on its device; left in eval mode.
        texts: input_ids, attention_mask, token_type_ids, int64 [n, max_length].
        pixels: aux_values and rcnn_values, float32 [n, images, 3, size, size]; of 0 images, or lacking, where the model
            has no such group.
    """
    with torch.inference_mode():
        scores: NDArray[np.floating] = model.eval()(*_inputs(model, texts, pixels)).cpu().numpy()
    return scores


def tag_scores(model: EntityTagger, run: Run, split: str, count: int) -> NDArray[np.int64]:
    """The tags of the first sentences of a split, int64 [count, max_length] with -1 on padding."""
    parts = [tag_scores_of(model, *batch)[0] for batch in _batches(run, split, count)]
    return np.concatenate([np.empty((0, model.config.max_length), np.int64), *parts])


def tag_scores_of(model: EntityTagger, texts: Arrays, pixels: Arrays) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Tags int64 [n, max_length] with -1 on padding, and the emissions that they come from.

    Arguments as for `relation_scores_of`.
    """
    with torch.inference_mode():
        inputs = _inputs(model.eval(), texts, pixels)
        emissions = model(*inputs)
        tags = model.crf.decode(emissions, inputs[0].attention_mask)
    return tags.cpu().numpy(), emissions.cpu().numpy()


def path_scores(
    model: EntityTagger, emissions: NDArray[np.float64], tags: NDArray[np.int64], mask: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What the CRF gives the tags of each sentence together, [n]; `mask` is 1 on the text."""
    with torch.inference_mode():
        arrays = (torch.as_tensor(array) for array in (emissions, np.maximum(tags, 0), mask))
        scores: NDArray[np.float64] = model.crf.path_score(*arrays).numpy()
    return scores


def image_inputs(run: Run, split: str, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """aux_values and rcnn_values of some sentences, as `encode_images` takes them: of 0 images without such a group."""
    shown = torch.as_tensor(run.tensors(f"sentences-{split}")["image_rows"][rows])
    found, config = image_groups(run.tensors("images")).images(shown), MKGformerConfig.from_json(run.config)
    sizes = {"aux": config.aux_image_size, "rcnn": config.rcnn_image_size}
    pixels = {"aux": found.aux, "rcnn": found.rcnn}
    return {
        f"{name}_values": np.zeros((len(rows), 0, 3, size, size), np.float32)
        if (group := pixels[name]) is None
        else group.numpy()
        for name, size in sizes.items()
    }


def _batches(run: Run, split: str, count: int) -> Iterator[tuple[Arrays, Arrays]]:
    sentences, groups = run.tensors(f"sentences-{split}"), image_groups(run.tensors("images"))
    for start in range(0, count, _BATCH):
        part = {name: array[start : min(start + _BATCH, count)] for name, array in sentences.items()}
        images = groups.images(torch.as_tensor(part["image_rows"]))
        pixels = {"aux_values": images.aux, "rcnn_values": images.rcnn}
        yield part, {name: group.numpy() for name, group in pixels.items() if group is not None}


def _inputs(model: RelationExtractor | EntityTagger, texts: Arrays, pixels: Arrays) -> tuple[Texts, Images]:
    model.check_texts(torch.as_tensor(texts["input_ids"]))
    device = next(model.parameters()).device
    groups = {
        name: torch.as_tensor(pixels[f"{name}_values"], device=device)
        for name in ("aux", "rcnn")
        if getattr(model.config, f"num_{name}_images")
    }
    return Texts(*(torch.as_tensor(texts[name], device=device) for name in Texts._fields)), Images(**groups)

"""A run's mentions against all of its entities, with the torch model: what validation during training uses.

It goes the way of the exported graphs, in float32, so that memory holds one set of pieces per entity and nothing per
pair beyond a block of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...run import Run
from .config import UNITS
from .graphs import graph_modules
from .inputs import StoredPixels
from .model import Encoded, Mimic
from .pieces import entity_pieces as shapes_of_entity_pieces

# Items encoded at a time.
_ENCODED = 64
# Pairs scored at a time: on a processor what its cache holds, on a GPU what keeps it busy (1.7 GB at L = 40).
_PAIRS = {"cpu": 512, "cuda": 1 << 17}
_MENTIONS = 8

Pieces = tuple[Tensor, ...]
Modules = Mapping[str, nn.Module]


def scorer(model: Mimic, run: Run) -> Callable[[str, slice], Tensor]:
    """Scores of mentions of a split, by row, with every entity: float32 [rows, entities], on the model's device.

    Args:
        model: on its device; left in eval mode. All entities are encoded now.
    """
    model.eval()
    device = next(model.parameters()).device
    modules = graph_modules(model, torch.float32)
    parts = list(encode_items(modules, run, "entities", "entity_side", device))
    entities = tuple(torch.cat(piece) for piece in zip(*parts, strict=True))

    def scores(split: str, rows: slice) -> Tensor:
        name = f"mentions-{split}"
        found = [_block_scores(modules, block, entities) for block in _mentions(modules, run, name, rows, device)]
        return torch.cat([torch.empty((0, len(entities[0])), device=device), *found])

    return scores


def entity_pieces(model: Mimic, run: Run) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What a bundle keeps of every entity, some entities at a time, by name."""
    modules, device = graph_modules(model, torch.float32), next(model.parameters()).device
    names = list(shapes_of_entity_pieces(model.config))
    for pieces in encode_items(modules, run, "entities", "entity_side", device):
        yield {name: piece.cpu().numpy() for name, piece in zip(names, pieces, strict=True)}


def reference_scores(
    model: Mimic, run: Run, split: str, mentions: NDArray[np.int64], entities: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Scores of some mentions and entities by unit, with the model of the paper in its own dtype, on the CPU.

    Args:
        mentions, entities: rows, int64.
    """
    side, answer = (
        encoded_items(model, run, name, rows)
        for name, rows in ((f"mentions-{split}", mentions), ("entities", entities))
    )
    with torch.inference_mode():
        scores = model.matcher(side, answer)
    return {name: getattr(scores, name).numpy() for name in UNITS}


def token_inputs(run: Run, split: str, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """input_ids, attention_mask and pixel_values of some mentions, as `Linker.encode_tokens` takes them."""
    items = run.tensors(f"mentions-{split}")
    pixels = StoredPixels(run.tensors("images")["pixels"])
    return items["input_ids"][rows], items["attention_mask"][rows], pixels[items["image_rows"][rows]]


def encoded_items(model: Mimic, run: Run, name: str, rows: NDArray[np.int64]) -> Encoded:
    """What the model's encoder gives for some items, by row, in the model's dtype on the CPU; with their images.

    Args:
        name: "entities" or "mentions-SPLIT".
    """
    items = {key: array[rows] for key, array in run.tensors(name).items()}
    pixels = StoredPixels(run.tensors("images")["pixels"])
    images, image_of = np.unique(items["image_rows"], return_inverse=True)
    texts = (torch.tensor(items[name]) for name in ("input_ids", "attention_mask"))
    shown = torch.from_numpy(pixels[images]).to(next(model.parameters()).dtype)
    with torch.inference_mode():
        return model.encoder(*texts, shown, torch.as_tensor(image_of))  # type: ignore[no-any-return]


def encode_items(
    modules: Modules,
    run: Run,
    name: str,
    side: str,
    device: torch.device,
    rows: slice = slice(None),
    chunk: int = _ENCODED,
) -> Iterator[Pieces]:
    """The pieces of a run's items, `chunk` at a time.

    Args:
        modules: of `graph_modules`.
        name: "entities" or "mentions-SPLIT".
        side: "entity_side" or "mention_side".
    """
    pixels = StoredPixels(run.tensors("images")["pixels"])
    items = {key: array[rows] for key, array in run.tensors(name).items()}
    for start in range(0, len(items["input_ids"]), chunk):
        part = {key: array[start : start + chunk] for key, array in items.items()}
        with torch.inference_mode():
            yield modules[side](*encode_towers(modules, part, pixels, device))


def encode_towers(
    modules: Modules, items: Mapping[str, NDArray[Any]], pixels: StoredPixels, device: torch.device
) -> Pieces:
    """What a side takes: text_embeds, text_tokens, image_embeds, image_tokens. An image of several items runs once."""
    texts = (torch.tensor(items[name], device=device) for name in ("input_ids", "attention_mask"))
    images, place = np.unique(items["image_rows"], return_inverse=True)
    found = modules["image_encoder"](torch.from_numpy(pixels[images]).to(device))
    return (*modules["text_encoder"](*texts), *(part[torch.as_tensor(place, device=device)] for part in found))


def _mentions(modules: Modules, run: Run, name: str, rows: slice, device: torch.device) -> Iterator[Pieces]:
    return encode_items(modules, run, name, "mention_side", device, rows, _MENTIONS)


def _block_scores(modules: Modules, mentions: Pieces, entities: Pieces) -> Tensor:
    step = max(1, _PAIRS.get(mentions[0].device.type, _PAIRS["cpu"]) // len(mentions[0]))
    found = []
    with torch.inference_mode():
        for start in range(0, len(entities[0]), step):
            text, image, image_text = modules["interaction"](*mentions, *(p[start : start + step] for p in entities))
            found.append((text + image + image_text) / 3)
        return torch.cat(found, dim=1)

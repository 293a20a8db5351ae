"""From a data set to what MIMIC is fed: token ids and images of candidates and mentions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.graph import SPLITS
from ...data.inspection.coverage import Coverage, raw_coverage
from ...data.mentions import LinkingData
from ...data.open import AnyData, kind_of
from ...errors import DataError, ExportError
from ...files.labels import Labels
from ...files.tensors import scratch_array
from ...modalities.images import clip_colours, normalised
from ...run import RunData
from ..official import stored_rows
from .config import LEARNED, NO_TOKENIZER, MimicConfig
from .tokenizer import encode_clip, joined, make_tokenizer

TOKENIZER = "tokenizer.json"
_NO_IMAGE = -1
_TEXT = ("input_ids", "attention_mask")


class StoredPixels:
    """Images of a run by row: uint8 from files, normalised when they are asked for, or float32 as given."""

    def __init__(self, stored: NDArray[Any]) -> None:
        self._stored = stored

    def __getitem__(self, rows: NDArray[Any], /) -> NDArray[np.float32]:
        """float32 [rows, 3, image_size, image_size] for int64 [rows]; zeros for -1."""
        shown = rows >= 0
        found = self._stored[rows[shown]]
        pixels = np.zeros((len(rows), *self._stored.shape[1:]), np.float32)
        pixels[shown] = normalised(found) if found.dtype == np.uint8 else found
        return pixels


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> MimicConfig:
    """The configuration: sizes of CLIP from the pretrained one, if there is one; no size depends on the data."""
    _linking_data(dataset)
    chosen = dict(settings)
    if source := chosen.get("pretrained_clip"):
        from .model import pretrained_clip

        chosen = {"tokenizer": source} | chosen | pretrained_clip(source)[0]
    return MimicConfig.from_json(chosen)


def coverage(dataset: AnyData) -> list[Coverage]:
    """What it finds of images and texts in a data set."""
    return raw_coverage(dataset)


def run_data(dataset: AnyData, config: MimicConfig) -> RunData:
    """What a run holds of a data set, by NAME.safetensors:

    * entities, mentions-train, mentions-valid, mentions-test: input_ids and attention_mask int64 [n, text_length]; cut
      bool [n], whether the text is longer, which a warning counts; image_rows int64 [n], rows of the images or -1; of
      mentions also answers int64 [n], rows of the entities.
    * images: pixels uint8 [images, 3, image_size, image_size], resized and cut.

    An image that cannot be read is none, with a warning, as in the authors' code.
    """
    data = _linking_data(dataset)
    texts = [joined(name, text) for name, text in zip(data.names, data.texts, strict=True)]
    mentions = {split: [joined(one.text, one.sentence) for one in data.split(split)] for split in SPLITS}
    tokenizer = make_tokenizer(config, [*texts, *mentions["train"]])
    shown = [*data.images, *(one.image for split in SPLITS for one in data.split(split))]
    pixels, rows = _read_images(shown, config.image_size)

    def side(texts: list[str], images: Iterable[Path | None]) -> dict[str, NDArray[Any]]:
        image_rows = np.array([rows.get(image, _NO_IMAGE) for image in images], np.int64)
        return {**encode_clip(tokenizer, texts, config.text_length)._asdict(), "image_rows": image_rows}

    tensors: dict[str, dict[str, NDArray[Any]]] = {"entities": side(texts, data.images), "images": {"pixels": pixels}}
    for split in SPLITS:
        answers = np.array([one.entity for one in data.split(split)], np.int64)
        images = [one.image for one in data.split(split)]
        tensors[f"mentions-{split}"] = {**side(mentions[split], images), "answers": answers}
    cut = {name: int(arrays["cut"].sum()) for name, arrays in tensors.items() if "cut" in arrays}
    if any(cut.values()):
        found = ", ".join(f"{count:,} of {len(tensors[name]['cut']):,} {name}" for name, count in cut.items() if count)
        warnings.warn(
            f"{data.name}: {found} have more text than the {config.text_length} tokens that the model reads "
            "(text_length); what is behind is not read, as with the authors.",
            stacklevel=2,
        )
    return RunData(data.name, {"entities": data.entities}, tensors, {TOKENIZER: tokenizer.to_str().encode()})


def initial_weights(dataset: AnyData, config: MimicConfig) -> dict[str, Any]:
    """The pretrained CLIP by parameter name; nothing without one."""
    if not config.pretrained_clip:
        return {}
    from .model import pretrained_clip

    return pretrained_clip(config.pretrained_clip)[1]


def missing_modalities(dataset: AnyData, data: RunData, state: Mapping[str, Any]) -> dict[str, str]:
    """What a data set lacks of what a checkpoint was trained with, by "image" or "text", and where it comes from."""
    if len(data.tensors["images"]["pixels"]):
        return {}
    return {
        "image": f"{data.name} has none that can be read, of an entity or of a mention. They are published apart from "
        "the texts: put them into the folder of the data set, or pass theirs as --images DIR (images=...)."
    }


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: MimicConfig) -> RunData:
    """What a run holds, from the authors' tensors: mentions are the test split, and with `train_entity_index` also the
    train split. Entities are named by their rows; an image that is all zero is none.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    length, size = config.text_length, config.image_size
    sides, images, row = {}, [], 0
    for side in ("mention", "entity"):
        texts = {name: stored_rows(fields, f"{side}_{name}", "iu", (length,), path) for name in _TEXT}
        pixels = stored_rows(fields, f"{side}_pixel_values", "f", (3, size, size), path)
        shown = pixels.reshape(len(pixels), -1).any(axis=1)
        rows = np.where(shown, row + np.cumsum(shown) - 1, _NO_IMAGE)
        sides[side] = {name: array.astype(np.int64) for name, array in (texts | {"image_rows": rows}).items()}
        images.append(pixels[shown].astype(np.float32))
        row += int(shown.sum())
    mention, nobody = sides["mention"], {name: array[:0] for name, array in sides["mention"].items()}
    answers = {"test": stored_rows(fields, "answer", "iu", (), path)}
    if "train_entity_index" in fields:
        answers["train"] = stored_rows(fields, "train_entity_index", "iu", (), path)
    tensors: dict[str, dict[str, NDArray[Any]]] = {
        "entities": sides["entity"],
        "images": {"pixels": np.concatenate(images)},
    }
    for split in SPLITS:
        found = answers.get(split, np.empty(0, np.int64)).astype(np.int64)
        tensors[f"mentions-{split}"] = {**(mention if split in answers else nobody), "answers": found}
    labels = Labels(f"entity {row}" for row in range(len(sides["entity"]["input_ids"])))
    files = {}
    if config.tokenizer != NO_TOKENIZER:
        if config.tokenizer == LEARNED:
            raise ExportError(f"{path} holds token ids, from which no tokenizer can be learned; name one or 'none'.")
        files = {TOKENIZER: make_tokenizer(config, ()).to_str().encode()}
    return RunData(path.parent.name, {"entities": labels}, tensors, files)


def check_data(data: RunData, config: MimicConfig) -> None:
    """Whether the data fit a configuration.

    Raises:
        ExportError: token ids or rows out of range, an empty text, unequally many arrays of a side, or a tokenizer with
            another number of tokens than the checkpoint.
    """
    if TOKENIZER in data.files:
        size = len(json.loads(data.files[TOKENIZER])["model"]["vocab"])
        if size != config.vocabulary_size:
            raise ExportError(
                f"tokenizer {config.tokenizer!r} has {size:,} tokens, the checkpoint {config.vocabulary_size:,}; they "
                "do not belong together. Pass --set tokenizer=... with that of its CLIP."
            )
    entities, images = len(data.labels["entities"]), len(data.tensors["images"]["pixels"])
    limits = {"input_ids": config.vocabulary_size, "attention_mask": 2, "cut": 2, "image_rows": images}
    limits["answers"] = entities
    for name, side in data.tensors.items():
        if name == "images":
            continue
        if len({len(array) for array in side.values()}) > 1:
            sizes = ", ".join(f"{len(array)} {part}" for part, array in side.items())
            raise ExportError(f"{data.name}: {name} has {sizes}; expected equally many.")
        for part, array in side.items():
            least = _NO_IMAGE if part == "image_rows" else 0
            if array.size and not least <= array.min() <= array.max() < limits[part]:
                raise ExportError(
                    f"{data.name}: {part} of {name} goes from {array.min()} to {array.max()}; expected {least} to "
                    f"{limits[part] - 1}. Pass the data that the checkpoint was trained on."
                )
        if not side["attention_mask"].any(axis=1).all():
            raise ExportError(f"{data.name}: {name} has an attention mask without a token; expected one at least.")


def _linking_data(dataset: AnyData) -> LinkingData:
    if not isinstance(dataset, LinkingData):
        raise DataError(f"mimic links mentions to entities, but these data hold {kind_of(dataset)}.")
    return dataset


def _read_images(images: Iterable[Path | None], size: int) -> tuple[NDArray[np.uint8], dict[Path | None, int]]:
    """Each distinct image once: uint8 [images, 3, size, size], on the disk, and the row of every readable one."""
    distinct = [image for image in dict.fromkeys(images) if image is not None]
    pixels = scratch_array((len(distinct), 3, size, size), "u1")
    rows: dict[Path | None, int] = {}
    for image in distinct:
        colours = clip_colours(image, size, squash=True)
        if colours is not None:
            pixels[len(rows)] = colours
            rows[image] = len(rows)
    return pixels[: len(rows)], rows

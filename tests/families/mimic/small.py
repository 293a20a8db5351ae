"""A small world with namesakes, and a random model of it as a run: enough for every question but a right answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmkg_sdk.data.mentions import LabelledMention, LinkingData
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.inputs import run_data
from mmkg_sdk.families.mimic.model import build
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run

TINY: dict[str, Any] = {
    "vocabulary_size": 600,
    "text_length": 12,
    "text_positions": 16,
    "text_width": 16,
    "text_feedforward_dim": 20,
    "num_text_layers": 1,
    "num_text_heads": 2,
    "image_size": 8,
    "patch_size": 4,
    "image_width": 12,
    "image_feedforward_dim": 20,
    "num_image_layers": 1,
    "num_image_heads": 3,
    "image_feature_dim": 8,
    "text_unit_dim": 8,
    "image_unit_dim": 8,
    "cross_modal_unit_dim": 8,
}
LABELS = ("Georgia (country)", "Georgia (state)", "Georgia (font)", "Tbilisi", "Atlanta", "Jordan", "Jordan (river)")


def picture(path: Path, seed: int, mode: str = "RGB") -> Path:
    from PIL import Image

    values = np.random.default_rng(seed).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(values).convert(mode).save(path)
    return path


def world(folder: Path) -> LinkingData:
    images = [picture(folder / f"{row}.png", row) if row % 2 else None for row in range(len(LABELS))]
    names = tuple(label.split(" (")[0] for label in LABELS)

    def mention(entity: int, sentence: str, image: Path | None = None) -> LabelledMention:
        return LabelledMention(names[entity], sentence, image, entity)

    train = tuple(mention(row, f"The {name} of the news.") for row, name in enumerate(names))
    valid = (mention(0, "Georgia borders Armenia."), mention(5, "Jordan is a kingdom.", images[5]))
    test = (
        mention(1, "Georgia grows peaches.", images[1]),
        mention(0, "Georgia has old wine."),
        mention(3, "Tbilisi."),
    )
    texts = ("A country.", "A state.", "", "A capital.", "A city.", "A kingdom.", "A river.")
    return LinkingData("world", Labels(LABELS), names, texts, tuple(images), train, valid, test)


def random_run(folder: Path, data: LinkingData, **settings: Any) -> Run:
    config = MimicConfig.from_json({**TINY, **settings})
    run = Run.create(folder, family="mimic", config=config.to_json(), data=run_data(data, config))
    torch.manual_seed(3)
    run.save_weights(build(run.config, {}).state_dict())
    return run

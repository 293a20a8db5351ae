"""Small runs and bundles of the sentence tasks, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmkg_sdk.data.layouts.sentences import read_relations, read_tagging
from mmkg_sdk.data.sentences import RelationData, TaggingData
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.families.mkgformer.inputs import config_for, run_data
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.run import Run
from tests.families.mkgformer.cases import FOLDER, golden

TEXTS = FOLDER / "text_prep"
# Towers that are traced and asked within a second; a picture of 32 pixels makes 16 patches.
TINY: dict[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "text_feedforward_dim": 24,
    "vision_feedforward_dim": 24,
    "num_positions": 160,
    "patch_size": 8,
    "image_size": 32,
    "aux_image_size": 32,
    "rcnn_image_size": 16,
    "fusion_start_layer": 1,
}
# Lengths that the authors' preparation used for the toy texts.
LENGTHS = {"mre": 24, "mner": 18}


def import_case(name: str, folder: Path) -> Run:
    """A golden checkpoint as a run."""
    case = FOLDER / name
    length = golden(name).inputs["input_ids"].shape[1]
    return import_checkpoint(
        "mkgformer",
        case / "checkpoint.pt",
        folder,
        inputs=case / "inputs.npz",
        config=case / "config.json",
        settings={"max_length": length},
    )


def toy_data(task: str, folder: Path) -> RelationData | TaggingData:
    """The toy texts of the golden folder as a data set in the public layout; all splits are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        (folder / f"{split}.txt").write_bytes((TEXTS / f"{task}_train.txt").read_bytes())
    if task == "mner":
        return read_tagging(folder)
    (folder / "rel2id.json").write_bytes((TEXTS / "mre_rel2id.json").read_bytes())
    return read_relations(folder)


def random_run(data: RelationData | TaggingData, folder: Path, **settings: Any) -> Run:
    """A run with a tiny model of random weights."""
    config = config_for(data, {**TINY, **settings})
    run = Run.create(folder, family="mkgformer", config=config.to_json(), data=run_data(data, config))
    torch.manual_seed(1)
    run.save_weights(build(run.config, run.inputs).state_dict())
    return run


def toy_bundle(task: str, folder: Path, **settings: Any) -> Path:
    """A bundle of a tiny random model on the toy texts and their vocabulary."""
    vocabulary = str(TEXTS / "vocab.txt")
    data = toy_data(task, folder / "data")
    run = random_run(data, folder / "run", max_length=LENGTHS[task], tokenizer=vocabulary, **settings)
    export_bundle(run, folder / "bundle")
    return folder / "bundle"

"""Short trainings on the atlas whose bundles carry what made their tokens; made once for a run of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.atlas.folder import write_atlas
from mmkg_sdk.data.tokens.tokenize import tokenize_dataset
from mmkg_sdk.export import export_bundle
from mmkg_sdk.training.session import start_training
from tests.once import once

MYGO = {"epochs": 1, "embedding_dim": 16, "feedforward_dim": 16, "num_visual_tokens": 6}
ADAMF = {"epochs": 1, "embedding_dim": 8, "num_negatives": 4, "missing_modalities": "mask"}


def raw_mygo(factory: pytest.TempPathFactory) -> Path:
    """The atlas as "raw", tokenised in "data" with a further text, its first letters; "run" and "bundle"."""

    def make(out: Path) -> None:
        write_atlas(out / "raw")
        dataset = read_dataset(out / "raw")
        further = {label: text[: len(text) // 2] for label, text in dataset.descriptions.items() if label[0] < "N"}
        tokenized = tokenize_dataset(
            dataset, images=out / "raw" / "images", image_model="learned-views", texts={"half": further}
        )
        write_dataset(tokenized, out / "data")
        run, _ = start_training("mygo", str(out / "data"), out / "run", settings=MYGO, preset="atlas")
        export_bundle(run, out / "bundle")

    return once(factory, "mygo-raw-input", make)


def raw_adamf(factory: pytest.TempPathFactory, *, train_features: bool = True) -> Path:
    """The atlas as "raw", tokenised in "data"; "run" and "bundle"."""
    settings = {**ADAMF, "train_features": train_features}

    def make(out: Path) -> None:
        write_atlas(out / "raw")
        dataset = read_dataset(out / "raw")
        tokenized = tokenize_dataset(dataset, images=out / "raw" / "images", image_model="learned-views")
        write_dataset(tokenized, out / "data")
        run, _ = start_training("adamf_mat", str(out / "data"), out / "run", settings=settings, preset="cpu")
        export_bundle(run, out / "bundle")

    return once(factory, "adamf-raw-input" if train_features else "adamf-features-as-made", make)

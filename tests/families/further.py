"""A tiny graph with four modalities, and models of it that were trained and exported; each is made once a process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.data import DataSet, KnowledgeGraph, tokenize_dataset, write_dataset
from mmkg_sdk.data.graph import Features
from mmkg_sdk.export import export_bundle
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import start_training

ENTITIES, RELATIONS = 12, 2
NAMES = ["visual", "text", "german", "sound"]
SETTINGS: dict[str, dict[str, Any]] = {
    "mygo": {
        "embedding_dim": 8,
        "feedforward_dim": 12,
        "contrastive_weight": 0.1,
        "num_text_tokens": 3,
        "further_modalities": [{"name": "german", "num_tokens": 2, "dropout": 0.0}],
    },
    "adamf_mat": {
        "embedding_dim": 4,
        "num_negatives": 4,
        "adversarial_weight": 0.1,
        "missing_modalities": "mask",
    },
}
WORDS = ["red", "blue", "green", "stone", "iron", "river", "hill", "cold", "warm", "old", "new", "big"]


@cache
def data() -> Path:
    """Images as a matrix, texts, texts in German of every second entity, and sounds of all but three."""
    draw = np.random.default_rng(0)
    splits = [
        np.stack([draw.integers(0, size, count) for size in (ENTITIES, RELATIONS, ENTITIES)], axis=1)
        for count in (30, 4, 6)
    ]
    entities = Labels(f"entity {row}" for row in range(ENTITIES))
    graph = KnowledgeGraph("tiny", entities, Labels(["r", "s"], kind="relation"), *splits)
    matrices = {name: draw.normal(size=(ENTITIES, 6)).astype(np.float32) for name in ("visual", "sound")}
    present = {"visual": np.ones(ENTITIES, bool), "sound": np.arange(ENTITIES) > 2}
    dataset = tokenize_dataset(
        DataSet(graph, descriptions=_texts(draw, range(ENTITIES))),
        images=None,
        texts={"german": _texts(draw, range(0, ENTITIES, 2))},
        features={name: Features(rows * present[name][:, None], present[name]) for name, rows in matrices.items()},
        parts=3,
    )
    folder = Path(tempfile.mkdtemp(prefix="mmkg-further-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_dataset(dataset, folder / "tiny")
    return folder / "tiny"


@cache
def trained(family: str) -> Run:
    """For two epochs."""
    settings = SETTINGS[family] | {"epochs": 2, "batch_size": 16, "validate_every": 2, "threads": 1}
    with warnings.catch_warnings(action="ignore"):
        out = data().parent / family
        return start_training(family, str(data()), out, settings=settings, preset="none", device="cpu")[0]


@cache
def exported(family: str) -> Path:
    """The bundle; exporting compares every graph with the model in float64."""
    folder = data().parent / f"{family}-bundle"
    export_bundle(trained(family), folder)
    return folder


def _texts(draw: np.random.Generator, rows: range) -> dict[str, str]:
    return {f"entity {row}": " ".join(draw.choice(WORDS, 4)) for row in rows}

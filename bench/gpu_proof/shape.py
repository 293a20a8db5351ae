"""Step "bundle": MyGO in DB15K's shape with random weights, as a run and as a bundle, from nothing.

The time of a graph does not depend on its weights; ranks of such a model mean nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .job import Job
from .record import Record

if TYPE_CHECKING:
    from mmkg_sdk.run import Run

# Entities, relations, triples to train on, rows of both codebooks.
DB15K = (12_842, 279, 79_222, 8192, 30_522)
_TINY = (60, 5, 300, 32, 40)
# Triples to validate and test on, of a model that learns nothing.
_HELD_OUT = 100


def run(job: Job, record: Record) -> None:
    """Export the bundle, unless one stands there."""
    from mmkg_sdk.export import export_bundle

    if (Path(job.bundle) / "bundle.json").is_file():
        record.add(bundle=Path(job.bundle).name, made=False)
        return
    made = random_run(job.folder / "run", rehearsed=job.rehearsed)
    export_bundle(made, job.bundle, precision="fp32")
    record.add(bundle=Path(job.bundle).name, made=True)


def random_run(folder: Path, *, rehearsed: bool) -> Run:
    """A run of the published settings with random weights and triples; one that stands there is opened."""
    import torch

    from mmkg_sdk.data.graph import KnowledgeGraph
    from mmkg_sdk.families.link_prediction import link_prediction_data
    from mmkg_sdk.files.labels import Labels
    from mmkg_sdk.registry import family_part
    from mmkg_sdk.run import Run

    if folder.is_dir():
        return Run.open(folder)
    entities, relations, triples, visual_rows, text_rows = _TINY if rehearsed else DB15K
    config_part = family_part("mygo", "config")
    known = config_part.Config.__dataclass_fields__
    settings = {name: value for name, value in config_part.PRESETS["db15k"].items() if name in known}
    settings |= {"embedding_dim": 32, "feedforward_dim": 64, "contrastive_samples": 16} if rehearsed else {}
    sizes = {"num_entities": entities, "num_relations": relations}
    sizes |= {"visual_codebook_rows": visual_rows, "visual_codebook_width": 32}
    sizes |= {"text_codebook_rows": text_rows, "text_codebook_width": 32 if rehearsed else 768}
    config = config_part.Config.from_json({**settings, **sizes})
    random = np.random.default_rng(0)
    splits = [
        random.integers([entities, relations, entities], size=(count, 3)) for count in (triples, _HELD_OUT, _HELD_OUT)
    ]
    labels, relation_labels = (
        Labels([f"{kind} {i}" for i in range(count)]) for kind, count in (("e", entities), ("r", relations))
    )
    graph = KnowledgeGraph("random numbers in DB15K's shape", labels, relation_labels, *splits)
    tokens = {
        "visual_tokens": random.integers(visual_rows, size=(entities, config.num_visual_tokens)),
        "text_tokens": random.integers(text_rows, size=(entities, config.num_text_tokens)),
    }
    masks = {name.replace("tokens", "mask"): np.zeros(array.shape, bool) for name, array in tokens.items()}
    made = Run.create(folder, family="mygo", config=config.to_json(), data=link_prediction_data(graph, tokens | masks))
    torch.manual_seed(0)
    made.save_weights(family_part("mygo", "model").build(made.config, made.inputs).state_dict())
    return made

"""Bundles of random weights with more entities than the released ones."""

from __future__ import annotations

from pathlib import Path

from mmkg_sdk.bench.studies.random_runs import adamf_run, mygo_run
from mmkg_sdk.families.adamf_mat.config import AdaMFConfig
from mmkg_sdk.families.mygo.config import MyGOConfig


def random_bundle(folder: Path, family: str, entities: int) -> Path:
    """An export of a model with 16 numbers an entity, 3 relations and 8 known triples an entity."""
    import torch

    from mmkg_sdk.export import export_bundle
    from mmkg_sdk.families.mygo.model import build

    if family == "adamf_mat":
        adamf_run(folder / "run", AdaMFConfig(entities, 3, 8, 8, 8), 8 * entities)
    else:
        run = mygo_run(folder / "run", MyGOConfig(entities, 3, 64, 8, 64, 8, 2, 2, 16, 32), 8 * entities)
        torch.manual_seed(0)
        run.save_weights(build(run.config, run.inputs).state_dict())
    export_bundle(folder / "run", folder / "bundle")
    return folder / "bundle"

"""Runs of random weights on a graph of random triples: of any size, for what does not depend on values."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmkg_sdk.data.graph import KnowledgeGraph
from mmkg_sdk.families.adamf_mat.config import AdaMFConfig
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.families.mygo.config import MyGOConfig
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run


def mygo_run(folder: Path, config: MyGOConfig, triples: int) -> Run:
    """Not trained yet."""
    random, inputs = np.random.default_rng(0), {}
    for kind, tokens, rows in (
        ("visual", config.num_visual_tokens, config.visual_codebook_rows),
        ("text", config.num_text_tokens, config.text_codebook_rows),
    ):
        inputs[f"{kind}_tokens"] = random.integers(rows, size=(config.num_entities, tokens))
        inputs[f"{kind}_mask"] = np.zeros((config.num_entities, tokens), bool)
    data = link_prediction_data(_graph(config.num_entities, config.num_relations, triples), inputs)
    return Run.create(folder, family="mygo", config=config.to_json(), data=data)


def adamf_run(folder: Path, config: AdaMFConfig, triples: int) -> Run:
    """With weights."""
    import torch

    from mmkg_sdk.families.adamf_mat.model import build

    masks = {f"{kind}_mask": np.zeros(config.num_entities, bool) for kind in ("visual", "text")}
    data = link_prediction_data(_graph(config.num_entities, config.num_relations, triples), masks)
    run = Run.create(folder, family="adamf_mat", config=config.to_json(), data=data)
    torch.manual_seed(0)
    model = build(run.config, run.inputs)
    for features in ("img_embeddings.weight", "text_embeddings.weight"):
        torch.nn.init.normal_(model.get_parameter(features))
    run.save_weights(model.state_dict())
    return run


def _graph(entities: int, relations: int, triples: int) -> KnowledgeGraph:
    random = np.random.default_rng(1)
    names, kinds = (Labels(f"{kind}{i}" for i in range(count)) for kind, count in (("e", entities), ("r", relations)))
    splits = [random.integers([entities, relations, entities], size=(count, 3)) for count in (triples, 100, 100)]
    return KnowledgeGraph("random numbers", names, kinds, *splits)

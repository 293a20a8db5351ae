"""A small real model to train: DistMult with dropout on random triples, and the MRR of its tails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkg_sdk.data.graph import KnowledgeGraph
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.families.objective import TrainingObjective
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run
from mmkg_sdk.training import TrainingSettings
from mmkg_sdk.training.seeding import seed_everything
from tests.places import ROOT

REPO_ROOT = ROOT
ENTITIES, RELATIONS, TRIPLES = 12, 3, 50

SETTINGS = TrainingSettings(
    epochs=6,
    batch_size=8,
    learning_rate=0.05,
    step_size=2,
    clip_norm=1.0,
    validate_every=2,
    seed=7,
    threads=1,
)


class DistMult(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entities = nn.Parameter(torch.randn(ENTITIES, 8))
        self.relations = nn.Parameter(torch.randn(RELATIONS, 8))
        self.unused = nn.Parameter(torch.ones(2))  # as the dead tensors of an official checkpoint
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)  # as a codebook

    def scores(self, triples: Tensor, rate: float = 0.0) -> Tensor:
        product = self.entities[triples[:, 0]] * self.relations[triples[:, 1]]
        return F.dropout(product, rate, self.training) @ self.entities.T


class Objective(TrainingObjective):
    def __init__(self, triples: Tensor, dropout: float) -> None:
        super().__init__(DistMult())
        self.triples, self.dropout = triples, dropout

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(len(self.triples), generator=generator)
        for rows in order.split(batch_size):
            yield self.triples[rows], self.triples[rows, 2]

    def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
        loss = F.cross_entropy(self.model.scores(triples, self.dropout).float(), tails)
        return {"loss": loss, "perplexity": loss.detach().exp()}


def random_graph() -> KnowledgeGraph:
    draw = np.random.default_rng(0)
    triples = np.stack([draw.integers(0, size, TRIPLES) for size in (ENTITIES, RELATIONS, ENTITIES)], axis=1)
    return KnowledgeGraph(
        name="random",
        entities=Labels(f"entity {number}" for number in range(ENTITIES)),
        relations=Labels([f"relation {number}" for number in range(RELATIONS)], kind="relation"),
        train=triples[:40],
        valid=triples[40:],
        test=triples[:0],
    )


def new_run(folder: Path) -> Run:
    # The loop never looks at the family, so the one that exists lends its name.
    return Run.create(folder, family="mygo", config={"width": 8}, data=link_prediction_data(random_graph(), {}))


def new_objective(*, dropout: float = 0.3) -> Objective:
    seed_everything(7)
    return Objective(torch.as_tensor(random_graph().train), dropout)


def validation(objective: Objective) -> Callable[[], dict[str, float]]:
    valid = torch.as_tensor(random_graph().valid)

    def validate() -> dict[str, float]:
        triples = valid.to(objective.model.entities.device)
        scores = objective.model.scores(triples)
        ranks = (scores > scores.gather(1, triples[:, 2:])).sum(1) + 1
        return {"mrr": float((1 / ranks.double()).mean())}

    return validate


def without_times(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Metrics without what depends on the speed of the machine."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "triples_per_second")} for row in rows]


def child_environment() -> dict[str, str]:
    """For a Python child process that imports this module."""
    return os.environ | {"PYTHONPATH": str(REPO_ROOT), "OMP_NUM_THREADS": "1"}

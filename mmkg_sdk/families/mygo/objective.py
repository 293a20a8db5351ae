"""MyGO's training objective: cross-entropy over all entities, and fine-grained contrastive learning (spec 3)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...run import Run
from ..objective import TrainingObjective
from .model import MyGO


class Objective(TrainingObjective):
    """The loss of one batch of queries.

    Args:
        model: the model to train.
        triples: int64 [triples, 3] training triples: head, relation, tail.
    """

    model: MyGO

    def __init__(self, model: MyGO, triples: Tensor) -> None:
        super().__init__(model)
        self.triples = triples

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled epoch of (queries, answers): int64 [B, 3] with N at the missing place, int64 [B].

        Each triple gives one query an epoch, asking for its head or its tail with equal chance. A last batch of
        one query is left out, because batch norm has no variance there.
        """
        missing = self.model.config.num_entities
        order = torch.randperm(len(self.triples), generator=generator)
        side = torch.randint(0, 2, (len(order),), generator=generator) * 2
        triples = self.triples[order]
        answers = triples.gather(1, side[:, None])[:, 0]
        queries = triples.scatter(1, side[:, None], missing)
        for start in range(0, len(order), batch_size):
            batch = slice(start, start + batch_size)
            if len(answers[batch]) > 1:
                yield queries[batch], answers[batch]

    def forward(self, queries: Tensor, answers: Tensor) -> dict[str, Tensor]:
        """The loss, with its parts: {"loss", "cross_entropy"[, "contrastive"]}."""
        config = self.model.config
        entities = self.model.entity_table()
        scores = self.model.scores(entities, self.model.relation_table(), queries)
        cross_entropy = F.cross_entropy(scores.float(), answers, label_smoothing=config.label_smoothing)
        if not config.contrastive_weight:
            return {"loss": cross_entropy, "cross_entropy": cross_entropy.detach()}
        contrastive = self.contrastive_per_view(entities, self.select_rows()).mean()
        return {
            "loss": cross_entropy + config.contrastive_weight * contrastive,
            "cross_entropy": cross_entropy.detach(),
            "contrastive": contrastive.detach(),
        }

    def select_rows(self) -> Tensor:
        """The rows of the entity table that take part in the contrastive loss, int64 [at most 512].

        Drawn where they are used: from the CPU, they would have to be waited for at every step.
        """
        rows = torch.randperm(self.model.config.num_entities + 1, device=self.model.lp_token.device)
        return rows[: self.model.config.contrastive_samples]

    def views(self, selected: Tensor) -> Tensor:
        """Four views of the selected rows, [4, rows, d]: pooled token, all positions, visual slots, text slots.

        A second pass with dropout of its own. Only the selected rows are encoded: the official code encodes all
        entities and then drops the rest. The text view leaves the last slot out, and padded slots count, as there.
        """
        config = self.model.config
        missing = selected == config.num_entities
        outputs = self.model.entity_outputs(torch.where(missing, 0, selected))
        text_start = 2 + config.num_visual_tokens
        pooled = outputs[:, 0]
        views = [pooled, outputs.mean(1), outputs[:, 2:text_start].mean(1), outputs[:, text_start:-1].mean(1)]
        return torch.where(missing[:, None], self.model.lp_token, torch.stack(views))

    def contrastive_per_view(self, entities: Tensor, selected: Tensor) -> Tensor:
        """[4]: cross-entropy of cosine similarity / temperature, anchors against each view of the same rows."""
        anchors = F.normalize(entities[selected].float(), dim=-1, eps=1e-8)
        views = F.normalize(self.views(selected).float(), dim=-1, eps=1e-8)
        similarity = anchors @ views.transpose(1, 2) / self.model.config.contrastive_temperature
        own = torch.arange(len(selected), device=similarity.device)
        return torch.stack([F.cross_entropy(view, own) for view in similarity])


def objective_of(run: Run, model: MyGO) -> Objective:
    """The objective of a run's training."""
    return Objective(model, torch.as_tensor(run.graph.train))

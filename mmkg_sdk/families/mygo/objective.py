"""MyGO's training objective: cross-entropy over all entities, and fine-grained contrastive learning (spec 3).

Over a sample of the entities, if it is asked for: ours, and not the authors'.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...run import Run
from ..objective import Batch, TrainingObjective
from . import candidate_loss
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

    def prepared(self, *batch: Tensor) -> Batch:
        """With a sampled loss, the entities that the batch names, too, each once, and their places in it."""
        if self.model.config.sampled_entities is None:
            return batch
        queries, answers = batch
        missing = self.model.config.num_entities
        named, places = torch.cat([queries[:, [0, 2]].flatten(), answers]).unique(return_inverse=True)  # type: ignore[no-untyped-call]
        assert named[-1] == missing, "every query asks for an entity"
        ends, places = places[: 2 * len(queries)].view(-1, 2), places[2 * len(queries) :]
        return torch.stack([ends[:, 0], queries[:, 1], ends[:, 1]], dim=1), answers, named[:-1], places

    def forward(self, queries: Tensor, answers: Tensor, *named: Tensor) -> dict[str, Tensor]:
        """The loss, with its parts: {"loss", "cross_entropy"[, "contrastive"]}."""
        config = self.model.config
        if named:
            cross_entropy = self._sampled(queries, answers, *named)
        else:
            entities = self.model.entity_table()
            vectors = self.model.query_vectors(entities, self.model.relation_table(), queries)
            cross_entropy = candidate_loss.cross_entropy(vectors, entities[:-1], answers, config.label_smoothing)
        if not config.contrastive_weight:
            return {"loss": cross_entropy, "cross_entropy": cross_entropy.detach()}
        selected = self.select_rows()
        anchors = self._rows(selected) if named else entities[selected]
        contrastive = self.contrastive_per_view(anchors, selected).mean()
        return {
            "loss": cross_entropy + config.contrastive_weight * contrastive,
            "cross_entropy": cross_entropy.detach(),
            "contrastive": contrastive.detach(),
        }

    def _sampled(self, queries: Tensor, answers: Tensor, named: Tensor, places: Tensor) -> Tensor:
        """The cross-entropy over a sample of the entities, for which the others are not encoded.

        Args:
            queries: of places in `named`; its length stands for the missing entity.
            answers: int64 [B], entities.
            named: int64 [n], the entities of the batch; places: int64 [B], where the answers are in it.
        """
        config = self.model.config
        sample = torch.randperm(config.num_entities, device=answers.device)[: config.sampled_entities]
        encoded = self.model.encoded(torch.cat([named, sample]))
        entities = torch.cat([encoded[: len(named)], self.model.lp_token])
        return candidate_loss.sampled_cross_entropy(
            self.model.query_vectors(entities, self.model.relation_table(), queries),
            F.embedding(places, entities),
            encoded[len(named) :],
            answers[:, None] == sample,
            config.label_smoothing,
            num_candidates=config.num_entities,
        )

    def _rows(self, selected: Tensor) -> Tensor:
        """The selected rows of the entity table, [rows, d], where it is not made as a whole."""
        missing = selected == self.model.config.num_entities
        return torch.where(missing[:, None], self.model.lp_token, self.model.encoded(torch.where(missing, 0, selected)))

    def select_rows(self) -> Tensor:
        """The rows of the entity table that take part in the contrastive loss, int64 [at most 512].

        Drawn where they are used: from the CPU, they would have to be waited for at every step.
        """
        rows = torch.randperm(self.model.config.num_entities + 1, device=self.model.lp_token.device)
        return rows[: self.model.config.contrastive_samples]

    def views(self, selected: Tensor) -> Tensor:
        """Views of the selected rows, [2 + modalities, rows, d]: pooled token, all positions, slots of each modality.

        A second pass with dropout of its own. Only the selected rows are encoded: the official code encodes all
        entities and then drops the rest. The text view leaves the last slot out, and padded slots count, as there. The
        paper has two modalities; a view of each further one is ours.
        """
        config = self.model.config
        missing = selected == config.num_entities
        outputs = self.model.entity_outputs(torch.where(missing, 0, selected))
        views, start = [outputs[:, 0], outputs.mean(1)], 2
        for modality in config.modalities:
            stop = start + modality.num_tokens
            views.append(outputs[:, start : stop - 1 if modality.name == "text" else stop].mean(1))
            start = stop
        return torch.where(missing[:, None], self.model.lp_token, torch.stack(views))

    def contrastive_per_view(self, anchors: Tensor, selected: Tensor) -> Tensor:
        """[views]: cross-entropy of cosine similarity / temperature, anchors against each view of the same rows.

        Args:
            anchors: [rows, d], the selected rows of the entity table.
        """
        anchors = F.normalize(anchors.float(), dim=-1, eps=1e-8)
        views = F.normalize(self.views(selected).float(), dim=-1, eps=1e-8)
        similarity = anchors @ views.transpose(1, 2) / self.model.config.contrastive_temperature
        own = torch.arange(len(selected), device=similarity.device)
        return torch.stack([F.cross_entropy(view, own) for view in similarity])


def objective_of(run: Run, model: MyGO) -> Objective:
    """The objective of a run's training."""
    return Objective(model, torch.as_tensor(run.graph.train))

"""AdaMF-MAT's training objective: self-adversarial negative sampling, and modality adversarial training (spec 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...run import Run
from ..objective import TrainingObjective
from .modalities import FeatureModality
from .model import AdaMF, rotated
from .negatives import negative_distances
from .sampler import Sampler, torch_numbers

GENERATOR_WIDTH = 512


class Generator(nn.Module):
    """From noise and a structural vector to one that passes for a projected modality."""

    def __init__(self, noise_dim: int, width: int) -> None:
        super().__init__()
        self.generator_model = nn.Sequential(
            nn.Linear(noise_dim + width, GENERATOR_WIDTH), nn.LeakyReLU(0.01), nn.Linear(GENERATOR_WIDTH, width)
        )

    def forward(self, noise: Tensor, structure: Tensor) -> Tensor:
        """noise [P, z], structure [P, 2d] -> [P, 2d] in the dtype of structure."""
        made: Tensor = self.generator_model(torch.cat([noise, structure], dim=-1))
        return made.to(structure.dtype)


class Adversary(nn.Module):
    """A generator for each modality. They exist in training only and the official checkpoint does not hold them.

    The paper has two, of images and texts; those of further modalities are ours.
    """

    def __init__(self, noise_dim: int, width: int, modalities: Sequence[FeatureModality]) -> None:
        super().__init__()
        self.names = [f"{modality.short_name}_generator" for modality in modalities]
        for name in self.names:
            self.add_module(name, Generator(noise_dim, width))

    def made_vectors(self, model: AdaMF, positives: Tensor, noise: Tensor) -> Tensor:
        """[2, P, M, 2d]: for heads and tails, the structure with what was made of each modality.

        Args:
            positives: int64 [P, 3].
            noise: [2 (M - 1), P, z], of each modality for heads, then for tails: image of head, image of tail, ...
        """
        structure = F.embedding(positives[:, [0, 2]].T, model.ent_embeddings.weight)
        made = [
            torch.stack(
                [vectors, *(self.get_submodule(name)(z, vectors) for name, z in zip(self.names, own, strict=True))],
                dim=1,
            )
            for vectors, own in zip(structure, (noise[0::2], noise[1::2]), strict=True)
        ]
        return torch.stack(made)

    def fake_scores(
        self, model: AdaMF, positives: Tensor, noise: Tensor, heads: Tensor, rotations: Tensor, tails: Tensor
    ) -> Tensor:
        """[3, P]: scores of the positives with a fake head, with a fake tail, and with both.

        Args:
            positives, noise: as in `made_vectors`.
            heads, tails: [P, 2d], fused vectors of the positives; rotations: [P, 2d].
        """
        made = self.made_vectors(model, positives, noise)
        fake_heads, fake_tails = model.fuse(made[0]), model.fuse(made[1])
        return torch.stack(
            [
                model.triple_scores(fake_heads, rotations, tails),
                model.triple_scores(heads, rotations, fake_tails),
                model.triple_scores(fake_heads, rotations, fake_tails),
            ]
        )

    def loss(self, model: AdaMF, positives: Tensor, noise: Tensor) -> Tensor:
        """What the generators minimise: fakes in the place of positives, positives in that of negatives."""
        with torch.no_grad():
            heads, tails = model.entity_table(positives[:, 0]), model.entity_table(positives[:, 2])
            rotations = F.embedding(positives[:, 1], model.relation_table())
            real = model.triple_scores(heads, rotations, tails)[:, None]
        fakes = self.fake_scores(model, positives, noise, heads, rotations, tails)
        # One negative per row: its weight is 1 at any temperature.
        return torch.stack([self_adversarial_loss(fake, real, 1.0) for fake in fakes]).sum()


class Objective(TrainingObjective):
    """The loss of one batch of triples with their negatives.

    With an `adversarial_weight` above 0 there is an `adversary`: the generators, saved with the objective's state.

    Args:
        model: the model to train.
        triples: int64 [triples, 3] training triples: head, relation, tail.
    """

    model: AdaMF
    adversary: Adversary | None

    def __init__(self, model: AdaMF, triples: Tensor) -> None:
        super().__init__(model)
        config = model.config
        self.sampler = Sampler(triples.cpu().numpy(), config.num_entities, config.num_relations)
        if config.adversarial_weight:
            self.adversary = Adversary(config.noise_dim, 2 * config.embedding_dim, config.modalities)
            self.adversary_learning_rate = config.generator_learning_rate

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """One epoch of (positives, negatives, replaces_tail): int64 [P, 3], int64 [P, negatives], bool [P, negatives].

        Positives are drawn with replacement, so an epoch is as many batches as fit into the training set and not a
        pass over it. A set smaller than a batch gives one batch of its size.
        """
        size = min(batch_size, len(self.sampler))
        for _ in range(len(self.sampler) // size):
            numbers = torch_numbers(generator, size, self.model.config.num_negatives)
            positives, negatives, replaces_tail = self.sampler.batch(numbers)
            yield torch.as_tensor(positives), torch.as_tensor(negatives), torch.as_tensor(replaces_tail)

    def forward(self, positives: Tensor, negatives: Tensor, replaces_tail: Tensor) -> dict[str, Tensor]:
        """The model's loss, with its parts: {"loss", "negative_sampling"[, "against_fakes"]}."""
        config = self.model.config
        entities, relations = self.model.entity_table(), self.model.relation_table()
        scores = self.scores(entities, relations, positives, negatives, replaces_tail)
        real = scores[:, :1]
        sampling = self_adversarial_loss(real, scores[:, 1:], config.adversarial_temperature)
        if self.adversary is None:
            return {"loss": sampling, "negative_sampling": sampling.detach()}
        fakes = self.adversary.fake_scores(
            self.model,
            positives,
            self.draw_noise(positives),
            F.embedding(positives[:, 0], entities),
            F.embedding(positives[:, 1], relations),
            F.embedding(positives[:, 2], entities),
        )
        against = torch.stack([self_adversarial_loss(real, f, config.adversarial_temperature) for f in fakes]).sum()
        return {
            "loss": sampling + config.adversarial_weight * against,
            "negative_sampling": sampling.detach(),
            "against_fakes": against.detach(),
        }

    def adversary_loss(self, positives: Tensor, negatives: Tensor, replaces_tail: Tensor) -> Tensor:
        """The adversary's loss on the same batch, after the model's step; negatives play no part in it."""
        assert self.adversary is not None, "adversarial_weight is 0: there are no generators to train"
        return self.adversary.loss(self.model, positives, self.draw_noise(positives))

    def draw_noise(self, positives: Tensor) -> Tensor:
        """[2 (M - 1), P, z] standard normal, in the order of `Adversary.made_vectors`."""
        config = self.model.config
        return torch.randn(2 * len(config.modalities), len(positives), config.noise_dim, device=positives.device)

    def scores(
        self, entities: Tensor, relations: Tensor, positives: Tensor, negatives: Tensor, replaces_tail: Tensor
    ) -> Tensor:
        """[P, 1 + negatives]: of each positive, then of its negatives; the tables as in the model."""
        heads, tails = F.embedding(positives[:, 0], entities), F.embedding(positives[:, 2], entities)
        rotations = F.embedding(positives[:, 1], relations)
        cosine, sine = rotations.chunk(2, dim=-1)
        tail_anchors, head_anchors = rotated(heads, rotations), rotated(tails, torch.cat([cosine, -sine], dim=-1))
        moduli = torch.linalg.vector_norm(torch.stack((tail_anchors - tails).chunk(2, dim=-1)), dim=0)
        against = negative_distances(entities, tail_anchors, head_anchors, negatives, replaces_tail)
        return self.model.margin - torch.cat([moduli.sum(dim=-1, keepdim=True), against], dim=1)


def objective_of(run: Run, model: AdaMF) -> Objective:
    """The objective of a run's training."""
    return Objective(model, torch.as_tensor(run.graph.train))


def self_adversarial_loss(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """-(mean log sigmoid(positive) + mean over rows of the weighted sum of log sigmoid(-negative)) / 2.

    The weights are softmax(temperature * negative) along the last axis, without gradient (Sun et al. 2019). A flat
    array of negatives is one row: the authors' code weighs fakes over the batch.
    """
    weights = (temperature * negative).softmax(dim=-1).detach()
    negative_part = (weights * F.logsigmoid(-negative)).sum(dim=-1).mean()
    return -(F.logsigmoid(positive).mean() + negative_part) / 2

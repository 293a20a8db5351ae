"""MIMIC's training objective: each unit, and their mean, must tell a mention's entity from the batch's (spec 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...modalities.images import PixelTable
from ...run import Run
from ..objective import TrainingObjective
from .inputs import StoredPixels
from .model import Encoded, Mimic, Scores


@dataclass(frozen=True)
class Items:
    """n mentions or entities before the encoder.

    Attributes:
        input_ids, attention_mask: int64 [n, text_length].
        image_rows: int64 [n, most], rows of the pixel table; where an item has fewer images, -1 behind its last.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_rows: Tensor


class Objective(TrainingObjective):
    """The loss of one batch of mentions and their entities.

    The entities of the other mentions are the wrong answers. Where two mentions of a batch mean the same entity, each
    has it as a wrong answer as well: the authors' code does not look (spec, quirk 10).

    Args:
        model: the model to train.
        mentions: of the training split; at most one image each.
        entities: all that the answers refer to.
        answers: int64 [mentions], row of each mention's entity.
        pixels: images of both sides.
    """

    model: Mimic

    def __init__(self, model: Mimic, mentions: Items, entities: Items, answers: Tensor, pixels: PixelTable) -> None:
        super().__init__(model)
        self.mentions, self.entities, self.answers, self.pixels = mentions, entities, answers, pixels

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """One shuffled epoch of (mentions, mention images, entities, entity images): int64 rows, [batch] each.

        An item with several images shows one of them, picked anew each time; -1 stands for none.
        """
        order = torch.randperm(len(self.answers), generator=generator)
        for mentions in torch.split(order, batch_size):
            entities = self.answers[mentions]
            mention_images = _pick(self.mentions.image_rows[mentions], generator)
            yield mentions, mention_images, entities, _pick(self.entities.image_rows[entities], generator)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Biases do not decay. The weights of norms do, as in the authors' training."""
        trained = [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]
        return [
            {"params": [weight for name, weight in trained if "bias" not in name]},
            {"params": [weight for name, weight in trained if "bias" in name], "weight_decay": 0.0},
        ]

    def forward(
        self, mentions: Tensor, mention_images: Tensor, entities: Tensor, entity_images: Tensor
    ) -> dict[str, Tensor]:
        """The loss, with its four parts: {"loss", "overall", "text", "image", "image_text"}."""
        mention = self.encoded(self.mentions, mentions, mention_images)
        scores: Scores = self.model.matcher(mention, self.encoded(self.entities, entities, entity_images))
        losses = unit_losses(scores)
        total = torch.stack(list(losses.values())).sum()
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def encoded(self, items: Items, rows: Tensor, images: Tensor) -> Encoded:
        """The encoder's view of some items, each with one image row or -1; where the rows are, there is the result."""
        here = rows.cpu()
        texts = (items.input_ids[here].to(rows.device), items.attention_mask[here].to(rows.device))
        distinct, image_of = images.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        return self.model.encoder(*texts, self.pixel_values(distinct), image_of)  # type: ignore[no-any-return]

    def pixel_values(self, images: Tensor) -> Tensor:
        """float32 [rows, 3, image_size, image_size], zero where the row is -1."""
        size = self.model.config.image_size
        found = torch.zeros(len(images), 3, size, size)
        shown = images.cpu() >= 0
        if shown.any():
            found[shown] = torch.as_tensor(self.pixels[images.cpu()[shown].numpy()]).float()
        return found.to(images.device)


def unit_losses(scores: Scores) -> dict[str, Tensor]:
    """Cross-entropy of each score matrix [B, B] along the entities; row i's answer is column i."""
    answers = torch.arange(len(scores.overall), device=scores.overall.device)
    return {name: F.cross_entropy(part.float(), answers) for name, part in scores._asdict().items()}


def _pick(image_rows: Tensor, generator: torch.Generator) -> Tensor:
    """[n]: one image of each item at random, -1 for items without; image_rows [n, most] with -1 at the end."""
    count = (image_rows >= 0).sum(dim=1)
    # float64, because the float32 product can round up to the count itself.
    chosen = (torch.rand(len(count), generator=generator, dtype=torch.float64) * count).long()
    return image_rows.gather(1, chosen[:, None])[:, 0]


def objective_of(run: Run, model: Mimic) -> Objective:
    """The objective of a run's data."""
    mentions = run.tensors("mentions-train")
    pixels = StoredPixels(run.tensors("images")["pixels"])
    return Objective(
        model, _items(mentions), _items(run.tensors("entities")), torch.tensor(mentions["answers"]), pixels
    )


def _items(side: Mapping[str, NDArray[Any]]) -> Items:
    texts = [torch.tensor(side[name]) for name in ("input_ids", "attention_mask")]
    return Items(texts[0], texts[1], torch.tensor(side["image_rows"])[:, None])

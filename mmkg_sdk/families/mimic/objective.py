"""MIMIC's training objective: each unit, and their mean, must tell a mention's entity from the batch's (spec 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...modalities.training_images import StoredImages, TrainingImages
from ...run import Run
from ..objective import TrainingObjective
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


class Side(NamedTuple):
    """n items of one batch.

    Attributes:
        input_ids, attention_mask: int64 [n, text_length].
        images: int64 [m], the different images that they show, rows of the pixel table or -1.
        image_of: int64 [n], the one of these that each shows.
    """

    input_ids: Tensor
    attention_mask: Tensor
    images: Tensor
    image_of: Tensor


class Objective(TrainingObjective):
    """The loss of one batch of mentions and their entities.

    The entities of the other mentions are the wrong answers. Where two mentions of a batch mean the same entity, each
    has it as a wrong answer as well: the authors' code does not look (spec, quirk 10).

    Args:
        model: the model to train.
        mentions: of the training split; at most one image each.
        entities: all that the answers refer to.
        answers: int64 [mentions], row of each mention's entity.
        pixels: images of both sides, uint8 or float [images, 3, image_size, image_size].
    """

    model: Mimic

    def __init__(self, model: Mimic, mentions: Items, entities: Items, answers: Tensor, pixels: NDArray[Any]) -> None:
        super().__init__(model)
        self.mentions, self.entities, self.answers = mentions, entities, answers
        self.images = TrainingImages({"main": StoredImages(pixels)})

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

    def prepared(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """The two sides of a batch one after the other, and their pixels if those are not on the device.

        How many images differ, no shape can tell: so it is found out here, and not on the device.
        """
        mentions, mention_images, entities, entity_images = batch
        sides = (_side(self.mentions, mentions, mention_images), _side(self.entities, entities, entity_images))
        pixels = (tensor for side in sides for tensor in self.images.gathered(side.images))
        return (*sides[0], *sides[1], *pixels)

    def place(self, device: torch.device) -> None:
        """Move to the device, with all images if they fit."""
        super().place(device)
        self.images.place(device)

    def forward(self, *prepared: Tensor) -> dict[str, Tensor]:
        """The loss, with its four parts: {"loss", "overall", "text", "image", "image_text"}."""
        losses = unit_losses(self.scores(*prepared))
        total = torch.stack(list(losses.values())).sum()
        return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}

    def scores(self, *prepared: Tensor) -> Scores:
        """[B, B] each: of every mention with every entity of the batch."""
        mention, entity, pixels = Side(*prepared[:4]), Side(*prepared[4:8]), prepared[8:]
        scores: Scores = self.model.matcher(self._encoded(mention, pixels[:1]), self._encoded(entity, pixels[1:]))
        return scores

    def _encoded(self, side: Side, pixels: Sequence[Tensor]) -> Encoded:
        """The encoder's view of a side."""
        shown = self.images(side.images, pixels)["main"]
        return self.model.encoder(side.input_ids, side.attention_mask, shown, side.image_of)  # type: ignore[no-any-return]


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
    entities, pixels = run.tensors("entities"), run.tensors("images")["pixels"]
    return Objective(model, _items(mentions), _items(entities), torch.tensor(mentions["answers"]), pixels)


def _side(items: Items, rows: Tensor, images: Tensor) -> Side:
    """Some items, each with one image row or -1, int64 [n] both."""
    distinct, image_of = images.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    return Side(items.input_ids[rows], items.attention_mask[rows], distinct, image_of)


def _items(side: Mapping[str, NDArray[Any]]) -> Items:
    texts = [torch.tensor(side[name]) for name in ("input_ids", "attention_mask")]
    return Items(texts[0], texts[1], torch.tensor(side["image_rows"])[:, None])

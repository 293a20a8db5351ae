"""MKGformer's training objectives: one loss for each task (spec 6.5, 6.6, 7, 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...modalities.training_images import StoredImages, TrainingImages
from ...ranking.known_triples import KnownTriples, Queries
from ...registry import LINK_PREDICTION
from ...run import Run
from ..objective import TrainingObjective
from .encoder import Images, Texts
from .examples import Examples
from .links.examples import training_examples as link_examples
from .links.model import LinkPredictor
from .model import MKGformer
from .sentences.examples import training_examples as sentence_examples
from .sentences.model import EntityTagger, RelationExtractor


class Objective(TrainingObjective):
    """The loss of one batch of examples.

    * Link prediction: binary cross-entropy against all known answers, or cross-entropy with the authors' smoothing.
      In stage 1 the word table alone is trained; everything else, the bias of the output included, is frozen.
    * Relation extraction: cross-entropy. The classifier is trained; the authors' program leaves it out of its
      optimiser by accident, at its random initial weights.
    * Entity recognition: negative log-likelihood of the CRF, mean over sentences.

    Every epoch is shuffled; the authors do not shuffle stage 2.

    Args:
        model: the model to train.
        examples: the training split.
        images: what the examples show, by group; each may be absent.
        known: the training triples; needed with "bce".

    Raises:
        DataError: an example lacks the tokens that its task reads at.
    """

    model: MKGformer

    def __init__(
        self,
        model: MKGformer,
        examples: Examples,
        images: Mapping[str, StoredImages],
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__(model)
        model.check_texts(examples.input_ids)
        self.examples, self.known = examples, known
        self.images = TrainingImages(images)
        if model.config.task == LINK_PREDICTION and model.config.stage == 1:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("word" in name)

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """One shuffled epoch of (input_ids, attention_mask, token_type_ids, image_rows, targets).

        The targets are what the task's loss reads: float [B, E] with "bce", else int64, rows of `Examples.labels`.
        Link prediction is cut to the longest text of the batch.
        """
        examples = self.examples
        types = torch.zeros_like(examples.input_ids) if examples.token_type_ids is None else examples.token_type_ids
        order = torch.randperm(len(examples.input_ids), generator=generator)
        for rows in torch.split(order, batch_size):
            mask = examples.attention_mask[rows]
            length = int(mask.sum(dim=1).max()) if isinstance(self.model, LinkPredictor) else mask.shape[1]
            texts = (examples.input_ids[rows, :length], mask[:, :length], types[rows, :length])
            yield *texts, examples.image_rows[rows], self._targets(rows)

    def prepared(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """A batch, and the pixels of its images if those are not on the device."""
        return (*batch, *self.images.gathered(batch[3]))

    def place(self, device: torch.device) -> None:
        """Move to the device, with all images if they fit."""
        super().place(device)
        self.images.place(device)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        image_rows: Tensor,
        targets: Tensor,
        *pixels: Tensor,
    ) -> dict[str, Tensor]:
        """{"loss": mean over the batch}; a batch as `prepared` gives it."""
        model, config = self.model, self.model.config
        images = Images(**self.images(image_rows, pixels))
        outputs = model(Texts(input_ids, attention_mask, token_type_ids), images).float()
        if isinstance(model, EntityTagger):
            return {"loss": -model.crf.log_likelihood(outputs, targets, attention_mask).mean()}
        if isinstance(model, RelationExtractor):
            return {"loss": F.cross_entropy(outputs, targets)}
        if config.loss == "bce":
            return {"loss": F.binary_cross_entropy_with_logits(outputs, targets)}
        return {"loss": smoothed_cross_entropy(outputs, targets, config.label_smoothing)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Link prediction: biases and `LayerNorm.weight` do not decay. Entity recognition: a rate for fc and CRF."""
        trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if isinstance(self.model, RelationExtractor):
            return [{"params": list(trained.values())}]
        if isinstance(self.model, LinkPredictor):
            special = {n for n in trained if "bias" in n or "LayerNorm.weight" in n}
            change: dict[str, Any] = {"weight_decay": 0.0}
        else:
            special = {n for n in trained if n.startswith(("fc.", "crf."))}
            change = {"learning_rate": self.model.config.crf_learning_rate}
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in trained.items() if n not in special]},
            {"params": [p for n, p in trained.items() if n in special], **change},
        ]
        return [group for group in groups if group["params"]]

    def _targets(self, rows: Tensor) -> Tensor:
        """The labels of some examples; with "bce" 1 for each entity that answers the query in training, else 0."""
        config = self.model.config
        if config.task != LINK_PREDICTION or config.loss != "bce":
            return self.examples.labels[rows]
        assert config.num_entities is not None
        asked = self.examples.queries
        assert asked is not None, "bce needs the queries of the examples"
        assert self.known is not None, "bce needs the training triples"
        at = rows.numpy()
        answers = self.known.answers_of(Queries(asked.entity[at], asked.relation[at], asked.direction[at]))
        targets = torch.zeros(len(rows), config.num_entities)
        targets[torch.as_tensor(answers.rows()), torch.as_tensor(answers.ids)] = 1
        return targets


def objective_of(run: Run, model: MKGformer) -> Objective:
    """The objective of a run's training.

    Raises:
        DataError, QueryError: as `training_examples` of the task, and as Objective.
    """
    arrays = run.tensors("images")
    groups = {name: arrays[name] for name in Images._fields if name in arrays}
    images = {name: StoredImages(pixels, arrays.get(f"{name}_present")) for name, pixels in groups.items()}
    if model.config.task == LINK_PREDICTION:
        return Objective(model, link_examples(run, model.config), images, KnownTriples(run.graph.train))
    return Objective(model, sentence_examples(run), images)


def smoothed_cross_entropy(scores: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy with weight 1 - smoothing on the target and smoothing / E on each other entity.

    As in the authors' code, the weights do not sum to 1.

    Args:
        scores: [B, E]; targets: int64 [B].
    """
    logs = scores.log_softmax(dim=-1)
    right = logs.gather(1, targets[:, None])[:, 0]
    share = smoothing / scores.shape[1]
    return -((1 - smoothing - share) * right + share * logs.sum(dim=1)).mean()

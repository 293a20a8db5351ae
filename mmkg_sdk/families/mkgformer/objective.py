"""MKGformer's training objectives: one loss for each task (spec 6.5, 6.6, 7, 8), and the examples they read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...ranking.known_triples import HEAD, TAIL, KnownTriples, Queries
from ...registry import LINK_PREDICTION
from ...run import Run
from ...training.objective import TrainingObjective
from .encoder import Images, Texts
from .model import EntityTagger, LinkPredictor, MKGformer, RelationExtractor


class PixelTable(Protocol):
    """One image group by row: a numpy array, a memory map, or something that reads files when asked."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """float [rows, 3, size, size] for the main image, else [rows, images, 3, size, size]; missing images zero."""


@dataclass(frozen=True)
class ImageGroups:
    """The images of n entities or posts, preprocessed, by group; a group that the model has not is None."""

    main: PixelTable | None = None
    aux: PixelTable | None = None
    rcnn: PixelTable | None = None

    def images(self, rows: Tensor) -> Images:
        """float32 images of some rows, int64 [B], on the device of `rows`; all zeros where the row is -1."""
        shown = rows.cpu().numpy()

        def group(table: PixelTable | None) -> Tensor | None:
            if table is None:
                return None
            pixels = np.array(table[np.maximum(shown, 0)], dtype=np.float32)  # a copy, so that it may be changed
            pixels[shown < 0] = 0
            return torch.from_numpy(pixels).to(rows.device)

        return Images(group(self.main), group(self.aux), group(self.rcnn))


@dataclass(frozen=True)
class Examples:
    """n training examples as arrays, int64 on the CPU, padded on the right.

    Attributes:
        input_ids, attention_mask: [n, max_length].
        token_type_ids: [n, max_length]; None = all 0.
        image_rows: [n], rows of the ImageGroups; -1 = no images.
        labels: link prediction [n], the missing entity; relation extraction [n]; entity recognition
            [n, max_length], 0 on padding.
        queries: what each example asks; link prediction with "bce" only, where all known answers count.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_rows: Tensor
    labels: Tensor
    token_type_ids: Tensor | None = None
    queries: Queries | None = None


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
        groups: the images that the examples show.
        known: the training triples; needed with "bce".
    """

    model: MKGformer

    def __init__(
        self, model: MKGformer, examples: Examples, groups: ImageGroups, known: KnownTriples | None = None
    ) -> None:
        super().__init__(model)
        self.examples, self.groups, self.known = examples, groups, known
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

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, image_rows: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """{"loss": mean over the batch}; a batch as `batches` gives it."""
        model, config = self.model, self.model.config
        outputs = model(Texts(input_ids, attention_mask, token_type_ids), self.groups.images(image_rows)).float()
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
        answers = self.known.answers(Queries(asked.entity[at], asked.relation[at], asked.direction[at]))
        targets = torch.zeros(len(rows), config.num_entities)
        targets[torch.as_tensor(answers.rows()), torch.as_tensor(answers.ids)] = 1
        return targets


def objective_of(run: Run, model: MKGformer) -> Objective:
    """The objective of a run's training."""
    from .links import inputs as link_inputs
    from .sentences import inputs as sentence_inputs

    if model.config.task == LINK_PREDICTION:
        return link_inputs.objective_of(run, model)
    return sentence_inputs.objective_of(run, model)


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


def stage_2_queries(triples: NDArray[np.int64]) -> tuple[Queries, NDArray[np.int64]]:
    """The training queries of stage 2 with "bce", and the entity that each was made from (spec 6.6).

    For each distinct (head, relation) its first triple, then for each distinct (tail, relation) its first one; every
    such triple asks for its head, then for its tail. Some queries occur twice.

    Args:
        triples: int64 [n, 3] of the training split, in file order.
    """
    first = [np.unique(triples[:, columns], axis=0, return_index=True)[1] for columns in ([0, 1], [2, 1])]
    return both_queries(triples[np.concatenate([np.sort(rows) for rows in first])])


def both_queries(triples: NDArray[np.int64]) -> tuple[Queries, NDArray[np.int64]]:
    """Each triple asking for its head, then for its tail, and the missing entity, int64 [2 n]."""
    head, relation, tail = triples.T
    queries = Queries(
        np.stack([tail, head], axis=1).ravel(), relation.repeat(2), np.tile(np.array([HEAD, TAIL]), len(triples))
    )
    return queries, np.stack([head, tail], axis=1).ravel()

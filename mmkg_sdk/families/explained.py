"""What counts in an encoded entity, and in the score of a pair, by the numbers that the model itself computes with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..modalities.image_views import Box

# Tokens that are shown of many.
_SHOWN = 12


@dataclass(frozen=True)
class TokenWeight:
    """One token of an entity.

    Attributes:
        modality: "image", "text" or a further one.
        token: the row of the codebook.
        weight: its part of the whole, 0 to 1.
        text: the word piece that it stands for, where the bundle has the vocabulary.
        place: what it shows of the entity's image: left, top, right and bottom, as shares of width and height without
            a border of one colour; where the bundle has the tokenizer of its images.
    """

    modality: str
    token: int
    weight: float
    text: str | None = None
    place: Box | None = None

    @property
    def name(self) -> str:
        """The word, else the place in percent of width and height, else the token."""
        if self.text is not None:
            return f"{self.modality} {self.text}"
        if self.place is None:
            return f"{self.modality} token {self.token}"
        left, top, right, bottom = (f"{100 * share:.0f}" for share in self.place)
        return f"{self.modality} token {self.token} at {left}-{right} % x {top}-{bottom} %"


@dataclass(frozen=True, eq=False)
class EntityExplanation:
    """How much each part of an entity counts in its vector. Weights are shares of one whole, and say nothing of how
    good an answer is.

    Attributes:
        entity: its label.
        modalities: "structure", "image", "text" and further ones -> share; they add up to 1. MyGO also has "pooled":
            what the pooled position, which becomes the vector, gives to itself, as it begins in all entities.
        tokens: of a family that has tokens, those of the entity with their part of `modalities`, as they stand in its
            sequence.
        attention: of such a family, what the pooled position attends to, float32 [layers, heads, 2 + tokens]: itself,
            structure, then `tokens`. Weights are the mean over the heads of the last layer.
    """

    entity: str
    modalities: dict[str, float]
    tokens: tuple[TokenWeight, ...] = ()
    attention: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        width = max(map(len, self.modalities))
        lines = [f"{self.entity!r}", *(f"  {name:<{width}}  {share:6.4f}" for name, share in self.modalities.items())]
        ranked = sorted(self.tokens, key=lambda token: -token.weight)
        lines += [f"    {one.weight:6.4f}  {one.name}" for one in ranked[:_SHOWN]]
        if len(ranked) > _SHOWN:
            lines.append(f"    ... {len(ranked) - _SHOWN} more tokens")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        tokens = [dataclasses.asdict(one) for one in self.tokens]
        attention = {} if self.attention is None else {"tokens": tokens, "attention": self.attention.tolist()}
        return {"entity": self.entity, "modalities": self.modalities, **attention}


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """What a mention's score with one entity is made of, as a family computes it; see `LinkExplanation`."""

    parts: dict[str, float]
    places: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class QueryExplanation:
    """The text-image correlation by which MKGformer weighs what a query takes from the images of the entity that it
    asks about, in each fused layer. Of one piece in one layer, the weights of all places of all groups add up to 1.

    Attributes:
        head, relation, tail: labels; None where it is asked for.
        pieces: what the model reads. "[CLS]", "[SEP]"; the tokens of the entity and the relation by their labels; word
            pieces of their texts by their ids, as the bundle has no vocabulary; and "[MASK]".
        mask: the place of "[MASK]" among them, whose state becomes the query's vector.
        images: by group, "main" (one image), "aux" and "rcnn" as far as the model has them, float32 [layers, pieces,
            images, rows, columns] over the centre square of each image. An image that lacks has places, too.
    """

    head: str | None
    relation: str
    tail: str | None
    pieces: tuple[str, ...]
    mask: int
    images: dict[str, NDArray[np.float32]]

    @property
    def query(self) -> str:
        """As it is asked."""
        return f"({self.head or '?'}, {self.relation}, {self.tail or '?'})"

    def shares(self) -> dict[str, NDArray[np.float32]]:
        """What each piece takes from each image, the mean over the layers: "main", "aux 1", ... -> float32 [pieces]."""
        return {
            name: grids.sum(axis=(2, 3)).mean(axis=0)
            for group, weights in self.images.items()
            for name, grids in _numbered(group, weights)
        }

    def __repr__(self) -> str:
        lines = [self.query]
        for name, shares in self.shares().items():
            lines.append(f"  {name}: {shares[self.mask]:.4f} of what [MASK] takes, {shares.mean():.4f} of all weights")
            lines += [f"    {shares[row]:.4f}  {self.pieces[row]}" for row in np.argsort(-shares, kind="stable")[:5]]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        asked = {"head": self.head, "relation": self.relation, "tail": self.tail}
        images = {group: weights.tolist() for group, weights in self.images.items()}
        return {**asked, "pieces": list(self.pieces), "mask": self.mask, "images": images}


def _numbered(group: str, weights: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
    """The images of a group, each with its name and its weights, float32 [layers, pieces, rows, columns]."""
    if group == "main":
        return [(group, weights[:, :, 0])]
    return [(f"{group} {number + 1}", weights[:, :, number]) for number in range(weights.shape[2])]

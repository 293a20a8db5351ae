"""SentenceExplanation: what the word pieces of a sentence find in its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImageWeights:
    """One image that the model looks at.

    Attributes:
        group: "aux" or "rcnn".
        weights: float32 [layers, pieces, rows, columns] over the centre square of the image.
    """

    image: Path
    group: str
    weights: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SentenceExplanation:
    """The text-image correlation by which MKGformer weighs what it takes from the images, in each fused layer.

    Of one piece in one layer, the weights of all places of all `images` and `elsewhere` add up to 1.

    Attributes:
        pieces: the word pieces of the sentence as the model reads them, without padding.
        images: those that it looks at.
        elsewhere: float32 [layers, pieces]: what goes to no place: to the class token, and to crops that are missing.
    """

    sentence: str
    pieces: tuple[str, ...]
    images: tuple[ImageWeights, ...]
    elsewhere: NDArray[np.float32]

    def __repr__(self) -> str:
        lines = [repr(self.sentence)]
        for one in self.images:
            shares = one.weights.sum(axis=(2, 3)).mean(axis=0)
            lines.append(f"  {one.group} {one.image.name}: {shares.mean():.4f} of all weights")
            lines += [f"    {shares[row]:.4f}  {self.pieces[row]}" for row in np.argsort(-shares, kind="stable")[:5]]
        return "\n".join([*lines, f"  no place: {self.elsewhere.mean():.4f}"])

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        images = [{"image": str(o.image), "group": o.group, "weights": o.weights.tolist()} for o in self.images]
        return {
            "sentence": self.sentence,
            "pieces": list(self.pieces),
            "images": images,
            "elsewhere": self.elsewhere.tolist(),
        }

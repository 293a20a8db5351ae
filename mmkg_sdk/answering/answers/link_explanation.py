"""LinkExplanation: what a mention's score with one entity is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.mentions import Mention


@dataclass(frozen=True, eq=False)
class LinkExplanation:
    """What a mention's score with one entity is made of. Scores: higher is better; not comparable between mentions.

    Attributes:
        entity: its label.
        score: that of `link_mentions`: the mean of the three units.
        units: "text", "image" and "image_text"; each is the mean of its parts.
        parts: "text_global" (the two texts as wholes), "text_local" (the entity's words looking for the mention's),
            "image_by_entity" (the entity's image as a whole, compared with the mention's image and its places),
            "image_by_mention" (the other way round), "image_text" (each side's text and image fused).
        places: where in the mention's image, float32 [rows, columns] over the whole image; empty without an image.
            "matched": what each place adds to "image_by_entity", in the units of that score: the sum over places, plus
            what the image as a whole and the entity add, is the score, if the scales of its two norms and its gate are
            taken as they are for this pair. "attended": how much the mention's text attends to each place in
            "image_text", a share of 1; what is left goes to the image as a whole.
    """

    mention: Mention
    entity: str
    score: float
    units: dict[str, float]
    parts: dict[str, float]
    places: dict[str, NDArray[np.float32]]

    def __repr__(self) -> str:
        lines = [f"{self.mention.text!r} and {self.entity!r}: {self.score:.4f}"]
        for unit, value in self.units.items():
            lines.append(f"  {unit:<16}  {value:9.4f}")
            own = [name for name in self.parts if name.startswith(f"{unit}_") and name not in self.units]
            lines += [f"    {name:<16}{self.parts[name]:9.4f}" for name in own if len(own) > 1]
        for name, grid in self.places.items():
            row, column = np.unravel_index(grid.argmax(), grid.shape)
            where = f"row {row + 1} of {grid.shape[0]}, column {column + 1} of {grid.shape[1]}"
            lines.append(f"  most {name}: {where} ({grid.max():.4f})")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        asked = {"mention": self.mention.text, "sentence": self.mention.sentence, "entity": self.entity}
        places = {name: grid.tolist() for name, grid in self.places.items()}
        return {**asked, "score": self.score, "units": self.units, "parts": self.parts, "places": places}

"""What an entity linking data set is in memory: entities with names and texts, and mentions of them in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..files.labels import Labels
from .graph import SPLITS
from .images.paths import as_path

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class LabelledMention:
    """A mention and the entity that it means.

    Attributes:
        text: the mention as the sentence has it.
        image: the image of the post; None = there is none.
        entity: row of the right entity.
    """

    text: str
    sentence: str
    image: Path | None
    entity: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", as_path(self.image))


@dataclass(frozen=True)
class LinkingData:
    """Candidates and mentions. Names may repeat ("Georgia"); labels do not.

    Attributes:
        entities: one label per candidate; row number = id.
        names, texts: what is written about each candidate, in row order; a text may be empty.
        images: the first image of each candidate; None = there is none.
    """

    name: str
    entities: Labels
    names: tuple[str, ...]
    texts: tuple[str, ...]
    images: tuple[Path | None, ...]
    train: tuple[LabelledMention, ...]
    valid: tuple[LabelledMention, ...]
    test: tuple[LabelledMention, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(map(as_path, self.images)))
        for field in ("names", "texts", "images"):
            if len(getattr(self, field)) != len(self.entities):
                raise DataError(f"{self.name}: {len(getattr(self, field))} {field} of {len(self.entities)} entities.")
        for split in SPLITS:
            for row, mention in enumerate(self.split(split)):
                if not 0 <= mention.entity < len(self.entities):
                    raise DataError(
                        f"{self.name} {split}: mention {row} ({mention.text!r:.60}) means entity {mention.entity}, but "
                        f"there are {len(self.entities)} entities."
                    )

    def split(self, name: str) -> tuple[LabelledMention, ...]:
        """The mentions of one split, by name."""
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; expected one of {', '.join(SPLITS)}.")
        mentions: tuple[LabelledMention, ...] = getattr(self, name)
        return mentions


@dataclass(frozen=True, init=False)
class Mention:
    """A name in a sentence.

    Attributes:
        text: the name as the sentence has it.
        sentence: may be empty; what comes after the model's text length is not read.
        image: the image that goes with the sentence: a file, an image of Pillow, or None.
    """

    text: str
    sentence: str
    image: Path | Image | None

    def __init__(self, text: str, sentence: str, image: str | Path | Image | None = None) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sentence", sentence)
        object.__setattr__(self, "image", as_path(image))

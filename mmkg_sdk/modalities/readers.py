"""What is asked of everything that makes tokens: of texts, or of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeAlias

from numpy.typing import NDArray

from .image_views import Box

if TYPE_CHECKING:
    from PIL.Image import Image

# What is stored of a tokenizer, by name.
Parts: TypeAlias = Mapping[str, NDArray[Any]]


class TextReader(Protocol):
    """Makes the tokens of texts."""

    reads: ClassVar[Literal["texts"]]

    @property
    def size(self) -> int:
        """Tokens that there are: the rows of the codebook."""
        ...

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of every text; none where nothing is left of it.

        Raises:
            QueryError: an item is no text, or holds half of a surrogate pair.
        """
        ...

    def piece(self, token: int) -> str:
        """The part of a word that a token stands for."""
        ...

    def parts(self) -> dict[str, NDArray[Any]]:
        """What is stored of it."""
        ...

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """The tokenizer of what was stored.

        Raises:
            ValueError: these are other parts, or not what they should be.
        """
        ...


class ImageReader(Protocol):
    """Makes the tokens of pictures."""

    reads: ClassVar[Literal["images"]]

    @property
    def size(self) -> int:
        """Tokens that there are: the rows of the codebook."""
        ...

    def tokens(self, image: Image) -> list[int]:
        """The tokens of a picture in RGB."""
        ...

    def place(self, token: int) -> Box | None:
        """Where in a picture what a token stands for is seen; None: anywhere."""
        ...

    def parts(self) -> dict[str, NDArray[Any]]:
        """What is stored of it."""
        ...

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """The tokenizer of what was stored.

        Raises:
            ValueError: these are other parts, or not what they should be.
        """
        ...


AnyReader: TypeAlias = TextReader | ImageReader


def listed_parts(parts: Parts) -> str:
    """Their names, for messages."""
    return ", ".join(sorted(parts))

"""MentionEncoder: from texts and images to pieces, which a linker scores: of mentions, and of new entities likewise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend, DeviceArray
from ..bundle import Bundle
from ..data.mentions import Mention
from ..families import contract
from .mention_checks import checked_mentions, checked_tokens
from .opened import Opened

if TYPE_CHECKING:
    from ..modalities.text import ClipTexts

# Mentions, or new entities, encoded at a time.
ENCODED = 64

Pieces = dict[str, NDArray[Any]]
Array = TypeVar("Array", NDArray[Any], DeviceArray)


class MentionEncoder(Opened):
    """What a Linker (entity_linking.py) makes of mentions before it scores them. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        super().__init__(bundle, backend, compiled=compiled)
        self._runtime = contract.linking_runtime(bundle.family)
        self._config = contract.linking_config(bundle.config)

    def read_texts(self, mentions: Mention | Sequence[Mention]) -> ClipTexts:
        """The tokens of each mention with its sentence, and which of them go on behind what the model reads."""
        return self._runtime.read_texts(self._config, self._tokenizer, checked_mentions(mentions))

    def encode_mentions(self, mentions: Mention | Sequence[Mention], *, skip_unreadable: bool = False) -> Pieces:
        """What the units need of each mention, by name: float32 [mentions, ...]; for `score_pieces`."""
        asked = checked_mentions(mentions)
        starts = range(0, len(asked), ENCODED)
        parts = (self._read(asked[start : start + ENCODED], skip_unreadable=skip_unreadable) for start in starts)
        return _joined([self.encode_tokens(*tokens) for tokens in parts])

    def encode_tokens(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], pixel_values: NDArray[np.float32]
    ) -> Pieces:
        """Like `encode_mentions`, of token ids and pixels.

        Args:
            input_ids, attention_mask: int64 [n, text_length].
            pixel_values: float32 [n, 3, image_size, image_size], all zero where there is no image.

        Raises:
            QueryError: another shape, an id that the model does not have, NaN.
        """
        ids, mask, pixels = checked_tokens(self._config, input_ids, attention_mask, pixel_values)
        parts = []
        for start in range(0, len(pixels), ENCODED):
            rows = slice(start, start + ENCODED)
            parts.append(self._encode(self.run_graph, ids[rows], mask[rows], pixels[rows]))
        return _joined(parts)

    @cached_property
    def _tokenizer(self) -> Any:
        return self._runtime.open_tokenizer(self.bundle)

    @cached_property
    def _no_image(self) -> Pieces:
        """What the image encoder gives for an image of zeros, which stands for none."""
        size = self._config.image_size
        return self.run_graph("image_encoder", {"pixel_values": np.zeros((1, 3, size, size), np.float32)}, ())

    def _read(
        self, mentions: Sequence[Mention], *, skip_unreadable: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The arguments of `encode_tokens` for checked mentions."""
        input_ids, attention_mask, _ = self._runtime.read_texts(self._config, self._tokenizer, mentions)
        pixels = self._runtime.read_images(self._config, mentions, skip_unreadable=skip_unreadable)
        return input_ids, attention_mask, pixels

    def _encode(
        self,
        run: Callable[[str, Mapping[str, AnyArray], tuple[str, ...]], dict[str, Array]],
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        pixels: NDArray[np.float32],
        side: str = "mention_side",
    ) -> dict[str, Array]:
        """The pieces of at most ENCODED mentions, where `run` (`run_graph` or `run_placed`) leaves them.

        Args:
            side: or "entity_side".
        """
        texts = run("text_encoder", {"input_ids": input_ids, "attention_mask": attention_mask}, ())
        shown = pixels.reshape(len(pixels), -1).any(axis=1)
        images: Mapping[str, AnyArray]
        if shown.all():
            images = run("image_encoder", {"pixel_values": pixels}, ())
        else:  # one set for all without an image; put together on the host
            merged = {name: np.repeat(array, len(pixels), axis=0) for name, array in self._no_image.items()}
            if shown.any():
                for name, array in self.run_graph("image_encoder", {"pixel_values": pixels[shown]}, ()).items():
                    merged[name][shown] = array
            images = merged
        return run(side, {**texts, **images}, ())


def _joined(parts: Sequence[Pieces]) -> Pieces:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}

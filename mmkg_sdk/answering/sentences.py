"""What Extractor and Tagger share: a bundle on a backend, its tokenizer, and what it made of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend
from ..backends.base import parse_device
from ..bundle import Bundle
from ..data.sentences import SentenceImages
from ..errors import DataError, QueryError
from ..families import contract
from .answers.sentence_explanation import ImageWeights, SentenceExplanation
from .image_states import ImageStates
from .opened import Opened

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Arrays = dict[str, NDArray[Any]]
# What goes with a sentence: its crops, the whole image alone, or nothing.
Images = SentenceImages | str | Path | None

# Text and visual tokens in one run of a graph; bounds what its feed-forward layers hold.
_CHUNK_TOKENS, _MAX_BATCH = 4096, 256
# What is remembered of images: of 350 sets at the published sizes, 187 KB each.
_REMEMBERED_BYTES = 1 << 26
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class SentenceModel(Opened):
    """A bundle that reads sentences with their images, opened on one backend. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        super().__init__(bundle, backend, compiled=compiled)
        self._runtime = contract.sentence_runtime(bundle.family)
        self._config = contract.sentence_config(bundle.config)
        self._kind = parse_device(backend.device)[0]
        self._states = ImageStates(_REMEMBERED_BYTES)

    @property
    def max_length(self) -> int:
        """Word pieces of the longest sentence, two of them around it."""
        return self._config.max_length

    def seen_images(self, images: SentenceImages) -> SentenceImages:
        """What this model looks at of the images of a post; all else it ignores."""
        return self._runtime.seen_images(images, self._config)

    def encode_images(self, aux_values: NDArray[np.float32], rcnn_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model knows of images before it sees a text, float32 [n, visual tokens, width].

        Args:
            aux_values, rcnn_values: float32 [n, images, 3, size, size], normalised as `clip_pixels` does it; a missing
                crop is all zero.

        Raises:
            QueryError: another shape or dtype, NaN.
        """
        given = {"aux_values": np.asarray(aux_values), "rcnn_values": np.asarray(rcnn_values)}
        config, count = self._config, len(np.atleast_1d(given["aux_values"]))
        groups = {
            "aux": (config.num_aux_images or 0, config.aux_image_size),
            "rcnn": (config.num_rcnn_images or 0, config.rcnn_image_size),
        }
        for group, (images, size) in groups.items():
            array, expected = given[f"{group}_values"], (count, images, 3, size, size)
            if array.shape != expected or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise QueryError(
                    f"{group}_values is {array.dtype} {list(array.shape)}; expected float32 {list(expected)} without "
                    "NaN or infinity."
                )
        state = (config.visual_tokens, config.hidden_dim)
        parts = [
            self.run_graph("image_encoder", {n: a[rows].astype(np.float32) for n, a in given.items()}, ["image_state"])
            for rows in self._chunks(count)
        ]
        return np.concatenate([np.empty((0, *state), np.float32), *(part["image_state"] for part in parts)])

    def close(self) -> None:
        """Free the backend and what was remembered. Later calls raise BackendError."""
        super().close()
        self._states.clear()
        self.__dict__.pop("_no_images", None)  # it lies on the device, too

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What makes word pieces of words.

        Raises:
            QueryError: the bundle was made of token ids and has none.
        """
        return self._runtime.open_tokenizer(self.bundle)

    def _seen(self, given: Any, place: str) -> SentenceImages:
        """What the model sees of what a caller gives.

        Raises:
            QueryError: it is none of the kinds that `Images` names, or a whole image that the model ignores.
        """
        images = SentenceImages(given) if given is None or isinstance(given, str | Path) else given
        crops = (images.aux, images.rcnn) if isinstance(images, SentenceImages) else (None,)
        if not all(isinstance(group, tuple | list) for group in crops) or not all(
            isinstance(path, Path) for path in (images.main or Path(), *images.aux, *images.rcnn)
        ):
            raise QueryError(
                f"{place}: the images are {given!r:.80}; expected a path, SentenceImages of paths, or None."
            )
        if images.main and not (images.aux or images.rcnn or self._config.whole_as_crop):
            raise QueryError(
                f"{place}: this model does not look at whole images such as {images.main.name!r:.80}, only at crops "
                "of them. Pass SentenceImages(aux=..., rcnn=...), or no image."
            )
        return self.seen_images(images)

    def _explained(self, sentence: str, texts: Any, given: Images) -> SentenceExplanation:
        """What one sentence finds in its images.

        Args:
            texts: its token inputs, int64 [1, max_length] each.
        """
        seen = self._seen(given, "the sentence")
        read = self._checked_texts({name: getattr(texts, name) for name in TEXT_INPUTS})
        one = {name: array[0] for name, array in read.items()}
        try:
            (state,) = self.encode_images(**self._runtime.read_crops(seen, self._config))
        except DataError as err:
            raise QueryError(f"the sentence: {err} Pass another image, or none.") from err
        found = self._runtime.found_in_images(self.bundle, one, state)
        length = int(one["attention_mask"].sum())
        pieces = tuple(str(self.tokenizer.id_to_token(token)) for token in one["input_ids"][:length].tolist())
        images = tuple(
            ImageWeights(path, group, found[group][:, :length, number])
            for group, paths in (("aux", seen.aux), ("rcnn", seen.rcnn))
            for number, path in enumerate(paths)
        )
        shown = np.zeros((len(found["aux"]), length), np.float32)
        for image in images:
            shown += image.weights.sum(axis=(2, 3))
        return SentenceExplanation(sentence, pieces, images, 1 - shown)

    def _image_states(
        self, shown: Sequence[SentenceImages], places: Sequence[str], *, skip_unreadable: bool
    ) -> AnyArray:
        """float32 [n, visual tokens, width] on the backend's device; recent ones, and that of none, stay there."""
        states = [self._image_state(one, place, skip_unreadable) for one, place in zip(shown, places, strict=True)]
        if self._kind == "cpu":
            return np.concatenate(states)
        return self.backend.join(states)

    def _image_state(self, seen: SentenceImages, place: str, skip_unreadable: bool) -> Any:
        if not (seen.aux or seen.rcnn):
            return self._no_images
        try:
            key = (skip_unreadable, *(tuple(map(_identity, paths)) for paths in (seen.aux, seen.rcnn)))
            if (found := self._states.find(key)) is not None:
                return found
            crops = self._runtime.read_crops(seen, self._config, skip_unreadable=skip_unreadable)
        except DataError as err:
            raise QueryError(f"{place}: {err} Pass another image, or none.") from err
        state = self._encoded(crops)
        self._states.keep(key, state)
        return state

    @cached_property
    def _no_images(self) -> Any:
        return self._encoded(self._runtime.read_crops(SentenceImages(), self._config))

    def _encoded(self, crops: Arrays) -> AnyArray:
        """The state of one set of images, float32 [1, visual tokens, width], on the backend's device."""
        if self._kind == "cpu":
            return self.encode_images(**crops)
        return self.run_placed("image_encoder", crops, ["image_state"])["image_state"]

    def _checked_texts(self, texts: Mapping[str, Any]) -> Arrays:
        """The inputs of every query, int64 [n, max_length] each.

        Raises:
            QueryError: another shape or dtype, or an id that the model does not have.
        """
        config = self._config
        limits = {"input_ids": config.vocabulary_size, "attention_mask": 2, "token_type_ids": config.num_token_types}
        found: Arrays = {}
        for name in TEXT_INPUTS:
            array = np.asarray(texts[name])
            expected = (len(found["input_ids"]) if found else "n", config.max_length)
            wrong = array.ndim != 2 or array.dtype.kind not in "iu" or array.shape[1] != config.max_length
            if wrong or (found and len(array) != expected[0]):
                raise QueryError(f"{name} is {array.dtype} {list(array.shape)}; expected int64 {list(expected)}.")
            if array.size and not 0 <= array.min() <= array.max() < limits[name]:
                raise QueryError(f"{name} goes from {array.min()} to {array.max()}; expected 0 to {limits[name] - 1}.")
            found[name] = array.astype(np.int64)
        mask = found["attention_mask"]
        if not mask[:, 0].all() or (np.diff(mask, axis=1) > 0).any():
            raise QueryError(
                "attention_mask has a row that is not 1 on the text, from the first token on, and 0 behind."
            )
        return found

    def _checked_states(self, image_state: Any, count: int) -> NDArray[np.float32]:
        """What `encode_images` gave, for so many queries."""
        states, config = np.asarray(image_state), self._config
        expected = (count, config.visual_tokens, config.hidden_dim)
        if states.shape != expected or states.dtype != np.float32:
            raise QueryError(f"image_state is {states.dtype} {list(states.shape)}; expected float32 {list(expected)}.")
        return states

    def _chunks(self, count: int) -> Iterator[slice]:
        """The rows that go into one run of a graph each."""
        config = self._config
        step = min(_MAX_BATCH, max(1, _CHUNK_TOKENS // (config.max_length + config.visual_tokens)))
        for start in range(0, count, step):
            yield slice(start, min(start + step, count))


def _identity(path: Path) -> tuple[str, int, int]:
    """Which image it is: another one may come to stand at the same place."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # what is the matter is said when it is read
        return str(path), -1, -1
    return str(path), status.st_mtime_ns, status.st_size

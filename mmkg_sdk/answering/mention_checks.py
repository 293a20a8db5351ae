"""What callers give a Linker, checked at the door."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.mentions import Mention
from ..errors import QueryError
from ..families import contract


def checked_mentions(mentions: Mention | Sequence[Mention]) -> Sequence[Mention]:
    """One or several mentions as a list of them. Raises QueryError: one is none, has no text, or half a character."""
    asked = [mentions] if isinstance(mentions, Mention) else mentions
    if not isinstance(asked, Sequence):
        raise QueryError(f"mentions is {type(asked).__name__}; expected a Mention or a list of them.")
    for row, mention in enumerate(asked):
        place = f"mention {row} of {len(asked)}"
        if not isinstance(mention, Mention):
            raise QueryError(f"{place} is {mention!r:.60} ({type(mention).__name__}); expected a Mention.")
        for name in ("text", "sentence"):
            if not isinstance(given := getattr(mention, name), str):
                raise QueryError(f"{place}: {name} is {given!r:.60}; expected a text.")
            try:
                given.encode()
            except UnicodeEncodeError as err:
                raise QueryError(
                    f"{place}: {name} holds {given[err.start]!r} at {err.start}, half of a surrogate pair and no "
                    "character. Decode the text again."
                ) from err
        if not mention.text.strip():
            raise QueryError(f"{place}: text is {mention.text!r:.60}; expected the name that is to be linked.")
        if not (mention.image is None or isinstance(mention.image, Path) or hasattr(mention.image, "getbands")):
            raise QueryError(f"{place}: image is {mention.image!r:.60}; expected a path, an image of Pillow, or None.")
    return asked


def checked_tokens(
    config: contract.LinkingConfig, input_ids: Any, attention_mask: Any, pixel_values: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The arguments of `Linker.encode_tokens`. Raises QueryError: another shape, an id that there is not, NaN."""
    ids = _integers("input_ids", input_ids, config.text_length, config.vocabulary_size)
    mask = _integers("attention_mask", attention_mask, config.text_length, 2)
    if len(mask) != len(ids):
        raise QueryError(f"attention_mask has {len(mask)} rows, input_ids {len(ids)}; expected equally many.")
    if not mask.any(axis=1).all():
        row = np.flatnonzero(~mask.any(axis=1))[0]
        raise QueryError(f"row {row} of attention_mask has no token; expected one at least.")
    pixels, expected = np.asarray(pixel_values), (len(ids), 3, config.image_size, config.image_size)
    if pixels.shape != expected or pixels.dtype.kind != "f":
        raise QueryError(f"pixel_values is {pixels.dtype} {list(pixels.shape)}; expected float32 {list(expected)}.")
    if not np.isfinite(pixels).all():
        raise QueryError("pixel_values holds NaN or infinity.")
    return ids, mask, pixels.astype(np.float32)


def _integers(name: str, given: Any, length: int, limit: int) -> NDArray[np.int64]:
    array = np.asarray(given)
    if array.ndim != 2 or array.shape[1] != length or array.dtype.kind not in "iu":
        raise QueryError(f"{name} is {array.dtype} {list(array.shape)}; expected int64 ['n', {length}].")
    if array.size and not 0 <= array.min() <= array.max() < limit:
        raise QueryError(f"{name} goes from {array.min()} to {array.max()}; expected 0 to {limit - 1}.")
    return array.astype(np.int64)


def checked_targets(targets: Any, mentions: int, entities: int) -> NDArray[np.int64]:
    """An id of an entity for each mention, int64 [mentions]. Raises QueryError: not one each, or none that there is."""
    found = np.asarray(targets)
    if found.shape != (mentions,) or (mentions and found.dtype.kind not in "iu"):
        raise QueryError(f"targets is {found.dtype} {list(found.shape)}; expected int64 [{mentions}], one per mention.")
    if mentions and not 0 <= found.min() <= found.max() < entities:
        raise QueryError(f"targets goes from {found.min()} to {found.max()}; expected 0 to {entities - 1}.")
    return found.astype(np.int64)

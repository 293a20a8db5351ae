"""What callers give a Linker, checked at the door."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.mentions import Mention
from ..errors import QueryError, missing_package
from ..families import contract
from ..families.raw_input import MOST_CHARACTERS


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
            _check_characters(given, f"{place}: {name}")
        if not mention.text.strip():
            raise QueryError(f"{place}: text is {mention.text!r:.60}; expected the name that is to be linked.")
        if not (mention.image is None or isinstance(mention.image, Path) or hasattr(mention.image, "getbands")):
            raise QueryError(f"{place}: image is {mention.image!r:.60}; expected a path, an image of Pillow, or None.")
    return asked


def checked_entities(labels: Sequence[str], names: Any, texts: Any, images: Any) -> list[Mention]:
    """New entities as mentions are given: the name of each, its text and its image.

    Args:
        names: one each; None: the labels.
        texts: one each, None where it has none; None: none has one.
        images: likewise paths, bytes of a file, uint8 [height, width, 3], or images of Pillow.

    Raises:
        QueryError: not one for each label, a name that is blank, what is no text or no image, several images of one
            entity, or a text of more than a million characters.
    """
    given = {"names": names, "texts": texts, "images": images}
    columns = {what: _column(what, values, len(labels)) for what, values in given.items() if values is not None}
    called = columns.get("names", labels)
    nothing = [None] * len(labels)
    found = []
    rows = zip(labels, called, columns.get("texts", nothing), columns.get("images", nothing), strict=True)
    for label, name, text, image in rows:
        place = f"entity {label!r:.60}"
        if not isinstance(name, str) or not name.strip():
            raise QueryError(f"{place}: its name is {name!r:.60}; expected what a text calls it.")
        if not isinstance(text, str | None):
            raise QueryError(f"{place}: its text is {text!r:.60} ({type(text).__name__}); expected a string or None.")
        for given_text in (name, text or ""):
            if len(given_text) > MOST_CHARACTERS:
                raise QueryError(
                    f"{place} has a text of {len(given_text):,} characters; expected at most {MOST_CHARACTERS:,}."
                )
            _check_characters(given_text, place)
        found.append(Mention(name, text or "", _entity_image(image, place)))
    return found


def _column(what: str, values: Any, count: int) -> list[Any]:
    """One item per entity; a single one, which might be meant, would be taken apart."""
    if isinstance(values, str | bytes | Path) or hasattr(values, "getbands") or not hasattr(values, "__iter__"):
        raise QueryError(f"{what} is {values!r:.60}; expected a list with one for each entity.")
    found = list(values)
    if len(found) != count:
        raise QueryError(f"{len(found):,} {what} of {count:,} labels; expected equally many.")
    return found


def _entity_image(image: Any, place: str) -> Any:
    """What a Mention takes, of an image that also may be the bytes of a file or an array."""
    if image is None or isinstance(image, str | Path) or hasattr(image, "getbands"):
        return image
    if isinstance(image, list | tuple):
        raise QueryError(f"{place}: {len(image)} images; the model sees one of each entity. Choose one.")
    is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if not (isinstance(image, bytes) or (is_array and image.size)):
        shown = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else f"{image!r:.60}"
        raise QueryError(
            f"{place}: its image is {shown}; expected a path, bytes of a file, uint8 [height, width, 3], an image of "
            "Pillow, or None."
        )
    try:
        from PIL import Image as images
    except ImportError as err:
        raise missing_package("pillow", "text", "reading images") from err
    try:
        return images.open(io.BytesIO(image)) if isinstance(image, bytes) else images.fromarray(image)
    except Exception as err:  # Pillow's readers raise many types for damaged files
        raise QueryError(f"{place}: its image cannot be read: {str(err)[:300]}. Pass another, or None.") from err


def _check_characters(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise QueryError(
            f"{place} holds {text[err.start]!r} at {err.start}, half of a surrogate pair and no character. Decode the "
            "text again."
        ) from err


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

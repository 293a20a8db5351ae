"""Texts and pictures of entities to the tokens of the training data, by the tokenizers that a bundle carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BundleError, DataError, QueryError
from ..modalities.pictures import Picture, rgb_picture
from ..modalities.readers import AnyReader, ImageReader, TextReader
from ..modalities.stored_tokenizers import TOKENIZERS, parsed_codebooks, parsed_tokenizers

Texts: TypeAlias = Sequence[str | None]
Images: TypeAlias = "Sequence[Picture | Sequence[Picture] | None]"
Lists = dict[str, list[list[int]]]
Part = TypeVar("Part")

# Of one entity: what more of them would cost nobody wants to wait for.
MOST_CHARACTERS, MOST_IMAGES = 1_000_000, 1_000
_HOW = (
    "Make tokens that can be made anew, `mmkg-sdk data tokenize DATA --out DIR --text-model learned --image-model "
    "learned-views`, or with the names of models of transformers there, train and export; or pass tokens or features."
)


def read_tokenizers(bundle: Bundle, sizes: Mapping[str, int]) -> dict[str, AnyReader]:
    """What made the tokens of a bundle's modalities; none where its tokens were ready-made.

    Args:
        sizes: of the codebook of each modality.

    Raises:
        BundleError: the file is not what an export writes, or does not fit the codebooks.
    """

    def fault(name: str, tokenizer: AnyReader) -> str:
        size = sizes.get(name)
        return "" if tokenizer.size == size else f"has {tokenizer.size:,} tokens, the codebook {size or 0:,}"

    return _read(bundle, "tokenizer", parsed_tokenizers, fault)


def read_codebooks(bundle: Bundle, widths: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
    """The vectors of the tokens that `read_tokenizers` makes, float32 [tokens, width], by modality.

    Args:
        widths: of the features of each modality.

    Raises:
        BundleError: one is damaged or does not fit.
    """

    def fault(name: str, codebook: NDArray[np.float32]) -> str:
        (_, found), width = codebook.shape, widths.get(name)
        return "" if found == width else f"is {found} wide, its features are {width or 0}"

    return _read(bundle, "codebook", parsed_codebooks, fault)


def _read(
    bundle: Bundle,
    part: str,
    parsed: Callable[[memoryview, Path], dict[str, Part]],
    fault: Callable[[str, Part], str],
) -> dict[str, Part]:
    """What the file of tokenizers holds by modality, when it is first asked for; none where there is no such file.

    Args:
        part: what it is of a modality.
        fault: how it does not fit the bundle, or nothing.
    """
    content = bundle.files.get(TOKENIZERS)
    if content is None:
        return {}
    if part not in bundle.made:
        path = bundle.path / TOKENIZERS
        try:
            found = parsed(content, path)
        except DataError as err:
            raise BundleError(str(err)) from err
        for name, own in found.items():
            if wrong := fault(name, own):
                raise BundleError(f"{path}: the {part} of {name!r:.80} {wrong}. Export again.")
        bundle.made[part] = found
    return cast("dict[str, Part]", bundle.made[part])


def raw_tokens(
    tokenizers: Mapping[str, AnyReader],
    modalities: Sequence[str],
    texts: Texts | Mapping[str, Texts] | None,
    images: Images | None,
) -> Lists:
    """All tokens of every entity, in the modalities of which something is given; none where that is None.

    Args:
        modalities: of the model.
        texts: one per entity, of the modality "text"; or such a list for each modality by name.
        images: one picture, a list of them, or None for each entity.

    Raises:
        QueryError: what is no text or picture, a picture that cannot be read, unequal lengths, more than the limits, or
            a modality whose tokens these tokenizers cannot make.
        BackendError: the package that reads texts or pictures is missing.
    """
    given: Mapping[str, Any] = texts if isinstance(texts, Mapping) else {} if texts is None else {"text": texts}
    found: Lists = {}
    for name, own in given.items():
        tokenizer = _tokenizer(tokenizers, modalities, name, "texts")
        found[name] = _text_tokens(tokenizer, _listed(own, str, f"texts of {name}"), name)
    if images is not None:
        reader = _tokenizer(tokenizers, modalities, "visual", "images")
        if isinstance(images, np.ndarray) and images.ndim != 4:
            raise QueryError(f"images is an array {list(images.shape)}; expected a list with one for each entity.")
        found["visual"] = [
            _image_tokens(reader, row, own) for row, own in enumerate(_listed(images, (str, bytes), "images"))
        ]
    if len(counts := {len(lists) for lists in found.values()}) > 1:
        raise QueryError(
            f"texts and images of {' and '.join(map(str, sorted(counts)))} entities; expected equally many."
        )
    return found


def _tokenizer(tokenizers: Mapping[str, AnyReader], modalities: Sequence[str], name: str, what: str) -> Any:
    if name not in modalities:
        raise QueryError(f"{what} has {name!r:.80}; the modalities of this model are {', '.join(modalities)}.")
    tokenizer = tokenizers.get(name)
    if tokenizer is None or tokenizer.reads != what:
        raise QueryError(f"this bundle does not hold what made its {name} tokens of {what}, so it takes none. {_HOW}")
    return tokenizer


def _listed(given: Any, single: type | tuple[type, ...], what: str) -> list[Any]:
    """One item per entity; a single one, which might be meant, would be taken apart."""
    if isinstance(given, single) or not isinstance(given, Iterable):
        raise QueryError(f"{what} is {given!r:.60}; expected a list with one for each entity, None where it has none.")
    return list(given)


def _text_tokens(tokenizer: TextReader, texts: Sequence[str | None], name: str) -> list[list[int]]:
    for row, text in enumerate(texts):
        if not isinstance(text, str | None):
            raise QueryError(f"{name} of entity {row} is {text!r:.60} ({type(text).__name__}); expected a string.")
        if text is not None and len(text) > MOST_CHARACTERS:
            raise QueryError(
                f"{name} of entity {row} has {len(text):,} characters; expected at most {MOST_CHARACTERS:,}."
            )
    return tokenizer.tokens([text or "" for text in texts])


def _image_tokens(tokenizer: ImageReader, row: int, given: Any) -> list[int]:
    """The tokens of all pictures of one entity, one behind the other."""
    pictures = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    if len(pictures) > MOST_IMAGES:
        raise QueryError(f"entity {row} has {len(pictures):,} images; expected at most {MOST_IMAGES:,}.")
    tokens: list[int] = []
    for place, picture in enumerate(pictures):
        try:
            tokens += tokenizer.tokens(rgb_picture(picture))
        except ValueError as err:
            shown = f" ({picture})" if isinstance(picture, str) or hasattr(picture, "parent") else ""
            raise QueryError(f"image {place} of entity {row}{shown:.300} cannot be read: {str(err)[:300]}") from err
    return tokens

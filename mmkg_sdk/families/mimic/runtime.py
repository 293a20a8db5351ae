"""What the runtime must know of MIMIC, without torch: what a bundle holds, and how a mention is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.contents import Contents, Stored
from ...errors import BundleError, DataError, QueryError
from ...modalities.images import clip_colours, normalised, read_colours
from ...modalities.text import ClipTexts, parse_tokenizer
from ..runtimes import InteractionStandIn
from .compiled import compiled_interaction
from .config import NO_TOKENIZER, UNITS, MimicConfig
from .explained import explained_pair
from .pieces import entity_pieces
from .tokenizer import check_tokenizer, encode_clip, joined

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ...data.mentions import Mention

__all__ = [
    "TOKENIZER",
    "UNITS",
    "check_bundle",
    "contents",
    "explained_pair",
    "open_tokenizer",
    "read_images",
    "read_texts",
    "stand_in",
    "weight_shapes",
]

TOKENIZER = "tokenizer.json"


def contents(config: MimicConfig) -> Contents:
    """What the bundle of this configuration holds: one set of pieces per entity, which stays on the disk."""
    pieces = {
        name: Stored(config.entity_dtype, (None, *shape), mapped=True) for name, shape in entity_pieces(config).items()
    }
    return Contents(
        labels={"entities": None},
        tensors={"table": pieces},
        graphs=("text_encoder", "image_encoder", "mention_side", "entity_side", "interaction"),
        others=() if config.tokenizer == NO_TOKENIZER else (TOKENIZER,),
        encoding=("entity_side",),
        scoring=("interaction",),
    )


def weight_shapes(config: MimicConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of those weights that tell the sizes of the model."""
    hidden = "layers.{}.hidden.multiplied_weight"
    text, image = hidden.format(config.num_text_layers - 1), hidden.format(config.num_image_layers - 1)
    return {
        "text_encoder.multiplied_tokens": (config.vocabulary_size, config.text_width),
        f"text_encoder.{text}": (config.text_width, config.text_feedforward_dim),
        "text_encoder.positions": (config.text_length, config.text_width),
        "image_encoder.patches.multiplied_weight": (3 * config.patch_size**2, config.image_width),
        "image_encoder.positions": (config.num_image_tokens - 1, config.image_width),
        f"image_encoder.{image}": (config.image_width, config.image_feedforward_dim),
        "image_encoder.tokens.multiplied_weight": (config.image_width, config.image_feature_dim),
        "mention_side.keys.bias": (config.text_unit_dim,),
        "mention_side.dual_key.patches.bias": (config.image_unit_dim,),
        "mention_side.fused.image.bias": (config.cross_modal_unit_dim,),
    }


def check_bundle(bundle: Bundle) -> None:
    """What shapes and dtypes do not tell: as many pieces as labels, and a tokenizer that goes with the model.

    Raises:
        BundleError: they are not.
    """
    for name, piece in bundle.encoded.items():
        if len(piece) != len(bundle.entities):
            raise BundleError(
                f"{bundle.path / 'table.safetensors'}: {name} has {len(piece)} rows, but entities.txt has "
                f"{len(bundle.entities)} labels. Export again."
            )
    if TOKENIZER in bundle.files:
        open_tokenizer(bundle)


def open_tokenizer(bundle: Bundle) -> Tokenizer:
    """The tokenizer of a bundle.

    Raises:
        BundleError: it is damaged, or has other tokens than the model.
        QueryError: the bundle has none.
    """
    if MimicConfig.of(bundle.config).tokenizer == NO_TOKENIZER:
        raise QueryError(
            f"{bundle.path} was made of token ids and has no tokenizer. Pass token ids (`encode_tokens`), or import "
            "the checkpoint again with --set tokenizer=..."
        )
    path = bundle.path / TOKENIZER
    try:
        tokenizer = parse_tokenizer(bytes(bundle.files[TOKENIZER]), path)
        check_tokenizer(tokenizer, MimicConfig.of(bundle.config), str(path))
    except DataError as err:
        raise BundleError(f"{err} Export the bundle again.") from err
    return tokenizer


def stand_in(bundle: Bundle, device: str, threads: int | None) -> InteractionStandIn | None:
    """The compiled interaction."""
    return compiled_interaction(bundle, device, threads)


def read_texts(config: MimicConfig, tokenizer: Tokenizer, mentions: Sequence[Mention]) -> ClipTexts:
    """The texts of mentions, of text_length tokens; a sentence is cut where the model's text ends."""
    texts = [joined(mention.text, mention.sentence) for mention in mentions]
    return encode_clip(tokenizer, texts, config.text_length)


def read_images(
    config: MimicConfig, mentions: Sequence[Mention], *, skip_unreadable: bool = False, kind: str = "mention"
) -> NDArray[np.float32]:
    """float32 [n, 3, image_size, image_size]; all zero without an image.

    Args:
        kind: what they are called in messages: an entity is a name, a text and an image, too.
        skip_unreadable: take an image that cannot be read for none, with a warning, as the authors' code does.

    Raises:
        QueryError: an image cannot be read.
    """
    size = config.image_size
    pixels = np.zeros((len(mentions), 3, size, size), np.float32)
    for row, mention in enumerate(mentions):
        if mention.image is None:
            continue
        colours: NDArray[Any] | None
        if skip_unreadable:
            colours = clip_colours(mention.image, size, squash=True)
        else:
            try:
                colours = read_colours(mention.image, size, squash=True)
            except DataError as err:
                raise QueryError(f"{kind} {mention.text!r:.60}: {err} Pass another image, or None.") from err
        if colours is not None:
            pixels[row] = normalised(colours)
    return pixels

"""What the runtime must know of MKGformer's sentence tasks, without torch: what a bundle holds, what graphs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....bundle import Bundle
from ....bundle.contents import Contents
from ....data.sentences import SentenceImages
from ....errors import BundleError, DataError, QueryError
from ....modalities.images import clip_colours, normalised, read_colours
from ....modalities.text import parse_tokenizer, token_ids
from ....modalities.tokenizer_rules import BERT_TOKENS
from ....registry import RELATION_EXTRACTION
from ..config import NO_TOKENIZER, MKGformerConfig
from ..correlation import places_of, text_image_weights
from ..texts import preparation
from ..texts.preparation import MARKERS, MarkedSentence, SentenceInputs, TagInputs
from ..texts.tokenizer import TOKENIZER

if TYPE_CHECKING:
    from PIL.Image import Image
    from tokenizers import Tokenizer

# How far behind the word pieces each marker stands.
MARKER_TOKENS = {name: row for row, name in enumerate(MARKERS)}


def contents(config: MKGformerConfig) -> Contents:
    """What the bundle of this configuration holds: labels, graphs, and a tokenizer if there is one."""
    is_extraction = config.task == RELATION_EXTRACTION
    return Contents(
        labels={"relations" if is_extraction else "tags": config.num_labels},
        tensors={},
        graphs=("relation_encoder" if is_extraction else "tag_encoder", "image_encoder"),
        others=() if config.tokenizer == NO_TOKENIZER else (TOKENIZER,),
    )


def check_bundle(bundle: Bundle) -> None:
    """Whether the tokenizer goes with the model.

    Raises:
        BundleError: it does not.
    """
    if MKGformerConfig.of(bundle.config).tokenizer != NO_TOKENIZER:
        open_tokenizer(bundle)


def open_tokenizer(bundle: Bundle) -> Tokenizer:
    """The tokenizer of a bundle.

    Raises:
        BundleError: it is damaged, or has other tokens than the model.
        QueryError: the bundle has none.
    """
    config = MKGformerConfig.of(bundle.config)
    if config.tokenizer == NO_TOKENIZER:
        raise QueryError(
            f"{bundle.path} was made of token ids and has no tokenizer. Pass token ids, or import the checkpoint again "
            "with --data and --set tokenizer=..."
        )
    path = bundle.path / TOKENIZER
    try:
        tokenizer = parse_tokenizer(bytes(bundle.files[TOKENIZER]), path)
        token_ids(tokenizer, BERT_TOKENS)
        markers = token_ids(tokenizer, MARKERS) if config.task == RELATION_EXTRACTION else []
        expected = [config.base_vocabulary_size + row for row in range(len(markers))]
        if tokenizer.get_vocab_size() != config.vocabulary_size or markers != expected:
            raise DataError(
                f"{path} has {tokenizer.get_vocab_size():,} tokens, the model {config.vocabulary_size:,}; or its "
                "markers are not the last of them."
            )
    except DataError as err:
        raise BundleError(f"{err} Export the bundle again.") from err
    return tokenizer


def spans_read(tokenizer: Tokenizer, sentences: Sequence[MarkedSentence], config: MKGformerConfig) -> NDArray[np.bool_]:
    """Whether head and tail of each sentence begin within what the model reads, bool [sentences]."""
    return preparation.spans_read(tokenizer, sentences, config.max_length)


def relation_texts(
    tokenizer: Tokenizer, sentences: Sequence[MarkedSentence], config: MKGformerConfig
) -> SentenceInputs:
    """Sentences (words, head, tail) as the relation graph reads them; head and tail are spans of words."""
    return preparation.relation_inputs(tokenizer, sentences, config.max_length)


def cut_relation_texts(
    tokenizer: Tokenizer, sentences: Sequence[MarkedSentence], config: MKGformerConfig
) -> NDArray[np.bool_]:
    """Which of them go on behind what `relation_texts` reads, bool [n]: those that fill one word piece more."""
    texts = preparation.relation_inputs(tokenizer, sentences, config.max_length + 1)
    return texts.attention_mask[:, -1].astype(np.bool_)


def tagging_texts(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], config: MKGformerConfig) -> TagInputs:
    """Sentences, given as words, as the tag graph reads them."""
    return preparation.tagging_inputs(tokenizer, sentences, config.max_length)


def noise_texts(config: MKGformerConfig) -> dict[str, NDArray[np.int64]]:
    """Two sentences of random word pieces, the second half as long, with the markers of relation extraction."""
    random, shape = np.random.default_rng(0), (2, config.max_length)
    ids = random.integers(0, config.base_vocabulary_size, shape)
    mask = np.ones(shape, np.int64)
    mask[1, max(len(MARKERS), config.max_length // 2) :] = 0
    if config.task == RELATION_EXTRACTION:
        ids[:, : len(MARKERS)] = config.base_vocabulary_size + np.arange(len(MARKERS))
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}


def marker_positions(input_ids: NDArray[np.int64], config: MKGformerConfig) -> NDArray[np.int64]:
    """int64 [n, 2]: where <s> and <o> stand.

    Raises:
        QueryError: a row has none or several of one.
    """
    positions = []
    for name in ("<s>", "<o>"):
        hits = input_ids == config.base_vocabulary_size + MARKER_TOKENS[name]
        wrong = np.flatnonzero(hits.sum(axis=1) != 1)
        if len(wrong):
            raise QueryError(f"row {wrong[0]} has the marker {name} {hits[wrong[0]].sum()} times; expected once.")
        positions.append(hits.argmax(axis=1))
    return np.stack(positions, axis=1)


def found_in_images(
    bundle: Bundle, texts: Mapping[str, NDArray[np.int64]], image_state: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """The weights of the fusion by place; see `text_image_weights` and `places_of`."""
    return places_of(text_image_weights(bundle, texts, image_state), MKGformerConfig.of(bundle.config))


def seen_images(images: SentenceImages, config: MKGformerConfig) -> SentenceImages:
    """What the model looks at: as many crops as it has room for, and never the whole image.

    With `whole_as_crop`, an image without crops stands for the first one of both groups.
    """
    if config.whole_as_crop and images.main is not None and not images.aux and not images.rcnn:
        images = SentenceImages(None, (images.main,), (images.main,))
    aux, rcnn = images.aux[: config.num_aux_images or 0], images.rcnn[: config.num_rcnn_images or 0]
    return replace(images, main=None, aux=aux, rcnn=rcnn)


def read_crops(
    images: SentenceImages, config: MKGformerConfig, *, skip_unreadable: bool = False
) -> dict[str, NDArray[np.float32]]:
    """The inputs of the image graph for what `seen_images` gives; a missing crop is all zero.

    Args:
        images: of files; images of Pillow in place of files are read, too.
        skip_unreadable: take an image that cannot be read for missing, with a warning, as the authors' code does.

    Returns:
        "aux_values" and "rcnn_values", float32 [1, images, 3, size, size]; an absent group has 0 images.

    Raises:
        DataError: an image cannot be read.
    """
    return {
        "aux_values": crops(images.aux, config.num_aux_images, config.aux_image_size, skip_unreadable),
        "rcnn_values": crops(images.rcnn, config.num_rcnn_images, config.rcnn_image_size, skip_unreadable),
    }


def crops(images: Sequence[Path | Image], count: int | None, size: int, skip_unreadable: bool) -> NDArray[np.float32]:
    """The pixels of one group of images, float32 [1, count, 3, size, size], all zero behind the last one."""
    values = np.zeros((1, count or 0, 3, size, size), np.float32)
    for number, image in enumerate(images):
        colours = clip_colours(image, size) if skip_unreadable else read_colours(image, size)
        if colours is not None:
            values[0, number] = normalised(colours)
    return values

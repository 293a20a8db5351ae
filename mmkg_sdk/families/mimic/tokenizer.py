"""The tokenizer of a run: learned from its data, or that of a published CLIP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DataError, missing_package
from ...modalities.text import (
    clip_merges,
    clip_tokenizer,
    clip_vocabulary,
    encode_clip,
    learn_clip_tokenizer,
    read_tokenizer,
    token_ids,
)
from ...modalities.tokenizer_rules import CLIP_TOKENS
from .config import LEARNED, NO_TOKENIZER, MimicConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["check_tokenizer", "encode_clip", "joined", "make_tokenizer"]


def joined(name: str, text: str) -> str:
    """A mention with its sentence, or an entity's name with its text, as one text. To CLIP, [SEP] is ordinary text."""
    return f"{name} [SEP] {text}"


def make_tokenizer(config: MimicConfig, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer that the configuration asks for.

    Args:
        texts: what to learn from, if it is to be learned.

    Raises:
        DataError: it cannot be found, or has more tokens than the model.
    """
    source = Path(config.tokenizer).expanduser()
    if config.tokenizer == LEARNED:
        made = learn_clip_tokenizer(list(texts), config.vocabulary_size)
    elif config.tokenizer == NO_TOKENIZER:
        raise DataError(
            "a checkpoint holds no tokenizer, and texts need one. Pass --set tokenizer=... with the tokenizer.json of "
            "its CLIP, the file bpe_simple_vocab_16e6.txt.gz, or a name on the Hugging Face hub (published: "
            "openai/clip-vit-base-patch32)."
        )
    elif source.is_file() and source.suffix != ".json":
        merges = clip_merges(source, config.vocabulary_size)
        made = clip_tokenizer(clip_vocabulary(merges), merges)
    elif source.is_file() or (source / "tokenizer.json").is_file():
        made = read_tokenizer(source if source.is_file() else source / "tokenizer.json")
    else:
        made = _of_transformers(config.tokenizer)
    check_tokenizer(made, config, config.tokenizer)
    return made


def check_tokenizer(tokenizer: Tokenizer, config: MimicConfig, place: str) -> None:
    """Whether the model has a row for every token, and can find the end of a text.

    Raises:
        DataError: it does not.
    """
    size = tokenizer.get_vocab_size()
    if size > config.vocabulary_size:
        raise DataError(
            f"{place} has {size:,} tokens, the model {config.vocabulary_size:,}; they do not belong together."
        )
    _, end = token_ids(tokenizer, CLIP_TOKENS)
    if end != size - 1:
        raise DataError(f"{place}: the end token has id {end}; the model takes the largest, {size - 1}, for it.")


def _of_transformers(source: str) -> Tokenizer:
    """The tokenizer of a folder or hub name, by way of its tokenizer.json, so that its rules are looked at."""
    try:
        import transformers
    except ModuleNotFoundError as err:
        raise missing_package("transformers", "train", f"tokenizer {source!r}") from err
    with tempfile.TemporaryDirectory(prefix="mmkg-tokenizer-") as folder:
        try:
            transformers.CLIPTokenizerFast.from_pretrained(source).save_pretrained(folder)
        except Exception as err:  # transformers raises a different type for each way a download can fail
            raise DataError(
                f"{source}: no tokenizer of CLIP ({f'{err}'.splitlines()[0]:.200}). Pass a tokenizer.json, a list of "
                "merges, a folder that transformers wrote, or a name on the Hugging Face hub."
            ) from err
        return read_tokenizer(Path(folder) / "tokenizer.json")

"""The tokenizer of a run: BERT's word pieces, learned from its texts or published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import DataError
from ....files.text import find_file, read_lines
from ....modalities.text import bert_tokenizer, learn_bert_vocabulary, read_tokenizer
from ....modalities.tokenizer_rules import MASK
from ..config import LEARNED, NO_TOKENIZER, MKGformerConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"


def tokenizer_sizes(settings: Mapping[str, Any], texts: Sequence[str], added: Sequence[str] = ()) -> dict[str, Any]:
    """The settings that the tokenizer decides: how many word pieces there are, and which is [MASK].

    Args:
        settings: of MKGformerConfig; `pretrained_text` names the tokenizer where `tokenizer` is not given.
        texts: what to learn from, if it is to be learned.
        added: tokens of the task, which the sizes leave out.
    """
    source = settings.get("tokenizer") or settings.get("pretrained_text") or LEARNED
    limit = settings.get("learned_vocabulary_size", MKGformerConfig.learned_vocabulary_size)
    made = _tokenizer(str(source), limit, texts, added)
    size = made.get_vocab_size() - len(added)
    return {"tokenizer": source, "base_vocabulary_size": size, "mask_token_id": made.token_to_id(MASK)}


def make_tokenizer(config: MKGformerConfig, texts: Sequence[str], added: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer of a configuration, the same on every call.

    Args:
        texts: what to learn from, if it is to be learned.
        added: tokens of the task, behind the word pieces.

    Raises:
        DataError: it cannot be found, or has other word pieces than the model.
    """
    made = _tokenizer(config.tokenizer, config.learned_vocabulary_size, texts, added)
    found = (made.get_vocab_size() - len(added), made.token_to_id(MASK))
    if found != (config.base_vocabulary_size, config.mask_token_id):
        raise DataError(
            f"tokenizer {config.tokenizer!r} has {found[0]:,} word pieces and [MASK] at {found[1]}; the model has "
            f"{config.base_vocabulary_size:,} and {config.mask_token_id}. Pass --set tokenizer=... with the vocab.txt "
            "that it was trained with (published: that of bert-base-uncased)."
        )
    return made


def _tokenizer(source: str, limit: int, texts: Sequence[str], added: Sequence[str]) -> Tokenizer:
    if source == NO_TOKENIZER:
        raise DataError(
            "a checkpoint holds no tokenizer, and texts need one. Pass --set tokenizer=... with the vocab.txt of its "
            "BERT (published: bert-base-uncased)."
        )
    if source == LEARNED:
        return bert_tokenizer(learn_bert_vocabulary(texts, limit), added)
    path = Path(source).expanduser()
    if path.is_dir():
        path = find_file(path, "vocab.txt") or path / TOKENIZER
    if not path.is_file():
        return _of_hub(source, added)
    if path.suffix != ".json":
        return bert_tokenizer(read_lines(path), added)
    made = read_tokenizer(path)
    made.add_special_tokens([*added])  # does nothing for those that it has
    return made


def _of_hub(source: str, added: Sequence[str]) -> Tokenizer:
    """That of a name on the Hugging Face hub, by way of its vocabulary."""
    try:
        from transformers import BertTokenizerFast

        vocabulary: dict[str, int] = BertTokenizerFast.from_pretrained(source).get_vocab()
    except Exception as err:  # transformers is missing, or raises a different type for each way a download can fail
        raise DataError(
            f"{source}: no tokenizer of BERT ({f'{err}'.splitlines()[0]:.200}). Pass a vocab.txt, a tokenizer.json, a "
            "folder with one of them, or, with transformers installed, a name on the Hugging Face hub."
        ) from err
    return bert_tokenizer(sorted(vocabulary, key=vocabulary.__getitem__), added)

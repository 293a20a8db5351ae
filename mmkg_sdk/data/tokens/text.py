"""Texts to tokens: with the tokenizer of a language model, or with one learned from the texts themselves."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, MmkgError, missing_package
from ...modalities.model_rules import carried_rules
from ...modalities.model_text_tokens import LEFT_OUT, ModelTextTokenizer
from ...modalities.text_tokens import COMMON_SHARE, FEW_TEXTS
from ..graph import RawTokens
from .learned_text import learn_text_tokens

LEARNED = "learned"
# MyGO's constants for every text tokenizer; they fit codebooks of BERT's size and larger.
_BERT_VOCABULARY, _BERT_PAD = 30522, 14999


def tokenize_texts(descriptions: Mapping[str, str], model: str = LEARNED) -> RawTokens:
    """The tokens of every text, without special tokens and without truncation.

    Tokens that say little are left out: those without letter or digit, and those of more than a quarter of the texts.

    Args:
        descriptions: entity label -> text; an entity whose text gives no token is left out.
        model: "learned", or the name or local folder of a transformers model: its tokenizer and, as the
            codebook, its input embeddings. A name is downloaded if it is not in the transformers cache.

    Returns:
        RawTokens with a float32 codebook; vocabulary_size 30522 and pad_id 14999 for codebooks of that many
        rows or more, else vocabulary_size = rows and pad_id = rows - 1. `made_by` is None, with a warning, where what
        made the tokens cannot travel with them.

    Raises:
        DataError: if there is no text, or the model cannot be loaded.
        BackendError: if a package is missing.
    """
    texts = {label: text for label, text in descriptions.items() if text.strip()}
    if not texts:
        raise DataError("there is no description to tokenize. Give texts: descriptions.tsv or --texts FILE.")
    if model == LEARNED:
        return learn_text_tokens(texts)
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as err:
        raise missing_package("transformers", "train", "tokenizing with a language model") from err
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        embeddings = AutoModel.from_pretrained(model).get_input_embeddings()
    except Exception as err:  # transformers raises OSError, ValueError, KeyError and others here
        first = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise DataError(
            f"text model {model!r} cannot be loaded: {first[:300]} Give a transformers model name or folder, "
            f"or {LEARNED!r}."
        ) from err
    codebook = embeddings.weight.detach().float().numpy().astype(np.float32, copy=True)
    # verbose=False: no warning about lengths; nothing is fed to the model, so its maximum does not matter.
    encoded = tokenizer(list(texts.values()), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    dropped = _uninformative(tokenizer, encoded)
    lists = {
        label: kept
        for label, tokens in zip(texts, encoded, strict=True)
        if (kept := [int(token) for token in tokens if token not in dropped])
    }
    made_by = _made_by(tokenizer, texts, lists, dropped, len(codebook), model)
    name = Path(model).name  # of a local folder, its name only: where it lay is nobody's business
    if len(codebook) >= _BERT_VOCABULARY:
        return RawTokens(lists, codebook, _BERT_VOCABULARY, _BERT_PAD, name, made_by)
    return RawTokens(lists, codebook, len(codebook), len(codebook) - 1, name, made_by)


def _made_by(
    tokenizer: Any,
    texts: Mapping[str, str],
    lists: Mapping[str, Sequence[int]],
    dropped: Iterable[int],
    size: int,
    model: str,
) -> ModelTextTokenizer | None:
    """What makes the same tokens without transformers, proved on all the texts; None, with a warning: nothing does."""
    made_by, why = None, "has no fast form"
    if getattr(tokenizer, "is_fast", False):
        try:
            rules = carried_rules(json.loads(tokenizer.backend_tokenizer.to_str()))
            made_by = ModelTextTokenizer(json.dumps(rules).encode(), _rows(tokenizer, dropped, size))
            if made_by.tokens(list(texts.values())) != [lists.get(label, []) for label in texts]:
                made_by, why = None, "gives other tokens by its tokenizer.json alone"
        except (ValueError, MmkgError) as err:
            made_by, why = None, f"cannot travel: {str(err)[:300]}"
    if made_by is None:
        warnings.warn(
            f"the tokenizer of {model!r} {why}. A bundle of these tokens takes tokens of new entities, and no texts.",
            stacklevel=4,
        )
    return made_by


def _rows(tokenizer: Any, dropped: Iterable[int], size: int) -> NDArray[np.int64]:
    """The row of each token of the vocabulary: its own, or LEFT_OUT; also of tokens that none of the texts has."""
    rows = np.full(size, LEFT_OUT, np.int64)
    for name, token in tokenizer.get_vocab().items():
        if token < size and _says_something(name):
            rows[token] = token
    rows[[token for token in dropped if token < size]] = LEFT_OUT
    return rows


def _says_something(name: str) -> bool:
    return any(character.isalnum() for character in name)


def _uninformative(tokenizer: Any, encoded: Sequence[Sequence[int]]) -> set[int]:
    """Tokens without letter or digit, and those of more than a quarter of the texts (with 20 texts or more).

    A text has few repeated words, so that selection by frequency would keep its commas and articles.
    """
    num_texts_of = Counter(token for tokens in encoded for token in set(tokens))
    names = tokenizer.convert_ids_to_tokens(list(num_texts_of))
    dropped = {token for token, name in zip(num_texts_of, names, strict=True) if not _says_something(name)}
    if len(encoded) >= FEW_TEXTS:
        dropped |= {token for token, count in num_texts_of.items() if count > COMMON_SHARE * len(encoded)}
    return dropped

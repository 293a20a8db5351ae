"""What makes a tokenizer BERT's or CLIP's, and a check that a file holds these rules and no others.

A tokenizer file of the package `tokenizers` is data, but its rules are a small language: regular expressions that may
run without end, merges that are left out at random. So only the rules of the two kinds are read, whatever their
vocabulary is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError

PAD, UNKNOWN, FIRST, LAST, MASK = BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
START, END = CLIP_TOKENS = ("<|startoftext|>", "<|endoftext|>")

WORD_END = "</w>"
BLANKS = r"\s+"
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
CLIP_WORDS_AND_TOKENS = r"<\|startoftext\|>|<\|endoftext\|>|" + CLIP_WORDS

_TOKENS = {"WordPiece": BERT_TOKENS, "BPE": CLIP_TOKENS}
_MODELS: Mapping[str, Mapping[str, Any]] = {
    "WordPiece": {"unk_token": UNKNOWN, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    "BPE": {"unk_token": END, "end_of_word_suffix": WORD_END, "continuing_subword_prefix": "", "dropout": None},
}
_RULES = {"BertNormalizer", "BertPreTokenizer", "TemplateProcessing", "WordPiece", "Sequence", "NFC", "Replace"} | {
    *("Lowercase", "Split", "ByteLevel", "RobertaProcessing")
}
# The published CLIP files were written with the shorter one of the word patterns.
_PATTERNS = {BLANKS, CLIP_WORDS, CLIP_WORDS_AND_TOKENS}


def check_rules(content: Mapping[str, Any], path: Path) -> None:
    """Whether the content of a tokenizer.json has the rules of one of the two kinds.

    Raises:
        DataError: if it has others, or a special token lacks.
    """
    model = content.get("model")
    kind = str(model.get("type")) if isinstance(model, dict) else "missing"
    if not isinstance(model, dict) or kind not in _MODELS:
        raise DataError(f"{path}: its model is {kind[:80]!r}; expected {' or '.join(_MODELS)}.")
    for name, expected in _MODELS[kind].items():
        if (found := model.get(name, expected)) != expected:
            raise DataError(f"{path}: {name} of the model is {found!r:.80}; expected {expected!r}.")
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if unknown := unknown_rule(content.get(name), _RULES, _PATTERNS):
            raise DataError(f"{path}: {name} has the {unknown}, which neither BERT's nor CLIP's tokenizer has.")
    added = content.get("added_tokens")
    listed = [token.get("content") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    vocabulary = model.get("vocab")
    for place, names in (("added tokens", listed), ("vocabulary", vocabulary if isinstance(vocabulary, dict) else ())):
        if missing := [token for token in _TOKENS[kind] if token not in names]:
            raise DataError(f"{path}: no {', '.join(missing)} among its {place}; give the file of the model.")


def unknown_rule(rule: Any, types: Collection[str], patterns: Collection[str]) -> str:
    """The first "type" or "Regex" of a rule, at any depth, that is not listed, as "type 'X'"; empty if all are."""
    if isinstance(rule, dict):
        for key, known in (("type", types), ("Regex", patterns)):
            if key in rule and not (isinstance(rule[key], str) and rule[key] in known):
                return f"{key} {rule[key]!r:.80}"
        rule = list(rule.values())
    within = (unknown_rule(item, types, patterns) for item in rule) if isinstance(rule, list) else ()
    return next(filter(None, within), "")

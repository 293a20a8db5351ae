"""Text to token ids, with the Rust package `tokenizers` alone: BERT's word pieces and CLIP's byte pairs.

A tokenizer is the file `tokenizer.json` of that package, which `Tokenizer.to_str()` writes: vocabulary and rules as
plain JSON. `bert_tokenizer` and `clip_tokenizer` make the same files as the classes of those names in transformers.

BERT's pieces are those of the original ("slow") tokenizer except for characters that a Unicode version later than that
of the Rust package classed as punctuation or control, rare ideographs from U+2B820 to U+2B91F, and a capital sigma at
the end of a word, which becomes an inner one. Of 143,502 public texts and tweets one was split differently.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, QueryError, missing_package
from ..files.strict_json import parse_json_object
from ..files.text import read_bytes, read_lines, text_of
from .tokenizer_rules import (
    BERT_TOKENS,
    BLANKS,
    CLIP_TOKENS,
    CLIP_WORDS_AND_TOKENS,
    END,
    FIRST,
    LAST,
    START,
    UNKNOWN,
    WORD_END,
    check_rules,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CLIP_VOCABULARY = 49408
MAX_FILE_BYTES = 64 * 1024**2


class ClipTexts(NamedTuple):
    """Texts as a CLIP text tower reads them.

    Attributes:
        input_ids: int64 [texts, length].
        attention_mask: int64 [texts, length], 1 = token, 0 = padding.
        cut: bool [texts], whether the text goes on behind what is read.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    cut: NDArray[np.bool_]


_SURROGATE = re.compile("[\ud800-\udfff]")
# An encoding takes some kilobytes in the Rust package; so many exist at once.
_BLOCK_TEXTS = 1024


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, BERT's or CLIP's kind, without truncation and padding.

    Raises:
        DataError: if the file is missing, too large, damaged, or holds rules of another kind.
        BackendError: if the package tokenizers is missing.
    """
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{path} has {path.stat().st_size:,} bytes; a tokenizer has at most {MAX_FILE_BYTES:,}.")
    return parse_tokenizer(read_bytes(path), path)


def parse_tokenizer(file: bytes, path: Path) -> Tokenizer:
    """Like `read_tokenizer`, of the content of a file; the path is for messages."""
    tokenizers = _package()
    if len(file) > MAX_FILE_BYTES:
        raise DataError(f"{path} has {len(file):,} bytes; a tokenizer has at most {MAX_FILE_BYTES:,}.")
    content = parse_json_object(text_of(file, path), path)
    check_rules(content, path)
    try:
        tokenizer: Tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as err:  # the package raises plain Exception
        raise DataError(f"{path} is no tokenizer: {str(err)[:300]}. Expected the tokenizer.json of the model.") from err
    size = tokenizer.get_vocab_size()
    if sorted(tokenizer.get_vocab().values()) != [*range(size)]:
        raise DataError(f"{path}: the ids of its {size:,} tokens are not 0 to {size - 1:,}; the file was altered.")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return _of_plain_text(tokenizer)


def bert_tokenizer(vocabulary: Sequence[str], added: Sequence[str] = ()) -> Tokenizer:
    """BERT's tokenizer for lower-case text without accents.

    Args:
        vocabulary: word pieces in the order of their ids, BERT_TOKENS among them (the lines of vocab.txt).
        added: further special tokens; their ids follow the vocabulary's.

    Raises:
        DataError: if a token lacks or stands there twice.
        BackendError: if the package tokenizers is missing.
    """
    tokenizers = _package()
    _need_distinct([*vocabulary, *added], BERT_TOKENS)
    tokenizer = word_piece_tokenizer(vocabulary)
    first, last = ((token, tokenizer.token_to_id(token)) for token in (FIRST, LAST))
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{FIRST}:0 $A:0 {LAST}:0",
        pair=f"{FIRST}:0 $A:0 {LAST}:0 $B:1 {LAST}:1",
        special_tokens=[first, last],
    )
    tokenizer.decoder = tokenizers.decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([*BERT_TOKENS, *added])
    return _of_plain_text(tokenizer)


def word_piece_tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    """BERT's word pieces without its special tokens: no text is taken for one. The vocabulary needs [UNK] only."""
    tokenizers = _package()
    ids = {piece: row for row, piece in enumerate(vocabulary)}
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab=ids, unk_token=UNKNOWN))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def clip_tokenizer(vocabulary: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """CLIP's tokenizer: lower case, byte pairs within words.

    Args:
        vocabulary: tokens in the order of their ids, see `clip_vocabulary`.
        merges: pairs that become one token, the first before the second and so on.

    Raises:
        DataError: if a token lacks or stands there twice, or a merge makes no token of the vocabulary.
        BackendError: if the package tokenizers is missing.
    """
    tokenizers = _package()
    _need_distinct(vocabulary, CLIP_TOKENS)
    ids = {token: row for row, token in enumerate(vocabulary)}
    tokenizer = _byte_pair_tokenizer(ids, merges)
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
        (END, ids[END]), (START, ids[START]), False, False
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([*CLIP_TOKENS])
    return _of_plain_text(tokenizer)


def clip_merges(path: Path, size: int = CLIP_VOCABULARY) -> list[tuple[str, str]]:
    """The merges that make a vocabulary of `size`, from bpe_simple_vocab_16e6.txt.gz or a merges.txt.

    The published file holds more than CLIP uses; its first line is a heading.

    Raises:
        DataError: if the file cannot be read, a line is not a pair, or there are too few.
    """
    count = size - len(clip_vocabulary(()))
    lines = read_lines(path)[1 : count + 1]
    if len(lines) < count:
        raise DataError(f"{path} has {len(lines):,} merges; a vocabulary of {size:,} needs {count:,}. Fetch it again.")
    merges = []
    for number, line in enumerate(lines, 2):
        left, blank, right = line.partition(" ")
        if not (left and blank and right) or " " in right:
            raise DataError(f"{path}:{number}: expected two parts and one blank between; found {line[:80]!r}.")
        merges.append((left, right))
    return merges


def clip_vocabulary(merges: Iterable[tuple[str, str]]) -> list[str]:
    """The tokens of CLIP in id order: 256 bytes, the same at the end of a word, the merged ones, start and end."""
    alphabet = _byte_alphabet()
    endings = [char + WORD_END for char in alphabet]
    return [*dict.fromkeys([*alphabet, *endings, *(left + right for left, right in merges)]), *CLIP_TOKENS]


def learn_bert_vocabulary(texts: Sequence[str], size: int, tokens: Sequence[str] = BERT_TOKENS) -> list[str]:
    """Word pieces learned from texts, for `bert_tokenizer`; the same on every call.

    Args:
        size: at most so many pieces; a quarter of them at most are single characters, the most frequent ones.
        tokens: what stands in front of the pieces, [UNK] among them.

    Raises:
        DataError: if the size is too small.
        BackendError: if the package tokenizers is missing.
    """
    tokenizers = _package()
    if size < 4 * len(tokens):
        raise DataError(f"a vocabulary of {size} pieces is too small; give at least {4 * len(tokens)}.")
    learner = word_piece_tokenizer([UNKNOWN])
    counts = Counter(char for text in _checked(texts) for char in learner.normalizer.normalize_str(text))
    frequent = sorted((char for char in counts if not char.isspace()), key=lambda char: (-counts[char], char))
    chars = sorted(frequent[: size // 4])
    # The trainer numbers `##x` pieces in hash order, which changes from run to run and with it the merges, and so it
    # chooses among equally frequent characters. Naming both beforehand leaves it no choice.
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=chars,
        limit_alphabet=len(chars),
        special_tokens=[*tokens, *(f"##{char}" for char in chars)],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    vocabulary: dict[str, int] = learner.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def learn_clip_tokenizer(texts: Sequence[str], size: int) -> Tokenizer:
    """CLIP's kind of tokenizer with at most `size` tokens learned from texts; the same on every call.

    Raises:
        DataError: if the size leaves no room for the 256 bytes in both forms, start and end.
        BackendError: if the package tokenizers is missing.
    """
    tokenizers = _package()
    *letters, _, _ = clip_vocabulary(())
    if size < len(letters) + 2:
        raise DataError(f"a vocabulary of {size} tokens is too small; CLIP's has at least {len(letters) + 2}.")
    learner = _byte_pair_tokenizer({}, [])
    # As in learn_bert_vocabulary: letters without a number would get one in hash order.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size - 2,
        min_frequency=2,
        special_tokens=letters,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(_checked(texts), trainer)
    merges = [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    return clip_tokenizer(clip_vocabulary(merges), merges)


def piece_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of every text, uncut and without tokens around them; none for a text without a word.

    A text that spells a special token, such as [SEP] or <|endoftext|>, is a text like any other.

    Raises:
        QueryError: if an item is no text, or holds half of a surrogate pair.
    """
    _checked(texts)
    found: list[list[int]] = []
    for start in range(0, len(texts), _BLOCK_TEXTS):
        block = list(texts[start : start + _BLOCK_TEXTS])
        found.extend(list(item.ids) for item in tokenizer.encode_batch(block, add_special_tokens=False))
    return found


def token_ids(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[int]:
    """The ids of special tokens.

    Raises:
        DataError: if the tokenizer lacks one: it is of another kind.
    """
    ids = {token: tokenizer.token_to_id(token) for token in tokens}
    missing = [token for token in tokens if ids[token] is None]
    if missing:
        raise DataError(f"the tokenizer has no token {', '.join(missing)}; give the tokenizer.json of the model.")
    return [row for row in ids.values() if row is not None]


def encode_clip(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> ClipTexts:
    """Texts for a CLIP text tower: start, tokens, end, and end tokens as padding.

    Args:
        length: tokens per text, start and end included; a longer text is cut in front of the end token.

    Raises:
        QueryError: if an item is no text, holds half of a surrogate pair, or the length is below 2.
        DataError: if the tokenizer is not CLIP's.
    """
    if length < 2:
        raise QueryError(f"length is {length}; expected at least 2, for the start and the end token.")
    start, end = token_ids(tokenizer, CLIP_TOKENS)
    input_ids = np.full((len(texts), length), end, dtype=np.int64)
    attention_mask = np.zeros((len(texts), length), dtype=np.int64)
    rows = piece_ids(tokenizer, texts)
    for row, pieces in enumerate(rows):
        tokens = [start, *pieces[: length - 2], end]
        input_ids[row, : len(tokens)] = tokens
        attention_mask[row, : len(tokens)] = 1
    cut = np.array([len(pieces) > length - 2 for pieces in rows], np.bool_)
    return ClipTexts(input_ids, attention_mask, cut)


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as err:
        raise missing_package("tokenizers", "text", "tokenizing text") from err
    return tokenizers


def _of_plain_text(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer itself, for which nothing that stands in a text is a special token.

    Nobody who writes "<|endoftext|>" means the end of the text. No file holds this setting.
    """
    tokenizer.encode_special_tokens = True
    return tokenizer


def _byte_pair_tokenizer(ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """CLIP's byte pairs without its special tokens."""
    tokenizers = _package()
    unknown = END if END in ids else None
    try:
        model = tokenizers.models.BPE(
            vocab=dict(ids),
            merges=list(merges),
            continuing_subword_prefix="",
            end_of_word_suffix=WORD_END,
            unk_token=unknown,
        )
    except Exception as err:  # the package raises plain Exception
        raise DataError(f"the merges do not fit the vocabulary: {err}. Give the two files of one model.") from err
    normalizers, pre_tokenizers = tokenizers.normalizers, tokenizers.pre_tokenizers
    tokenizer: Tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(tokenizers.Regex(BLANKS), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(tokenizers.Regex(CLIP_WORDS_AND_TOKENS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def _byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes, in CLIP's order: printable ones first, which is by code point."""
    return sorted(_package().pre_tokenizers.ByteLevel.alphabet())


def _need_distinct(vocabulary: Sequence[str], tokens: Sequence[str]) -> None:
    repeated = [token for token, count in Counter(vocabulary).items() if count > 1]
    if repeated:
        raise DataError(f"token {repeated[0]!r:.80} stands in the vocabulary twice; expected each once.")
    if missing := set(tokens) - set(vocabulary):
        raise DataError(f"the vocabulary lacks {', '.join(sorted(missing))}; give the vocabulary of the model.")


def _checked(texts: Sequence[str]) -> Sequence[str]:
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise QueryError(f"text {row} of {len(texts)} is {type(text).__name__}; expected str.")
        if half := _SURROGATE.search(text):
            raise QueryError(
                f"text {row} of {len(texts)} holds {half[0]!r} at {half.start()}, half of a surrogate pair and no "
                "character. Decode the text again, or leave it out."
            )
    return texts

"""MKGformer's text inputs, token for token as the authors' processors make them (spec 6.2, 6.3, 6.5, 6.6, 7, 8).

Tokenizers come from `mmkg_sdk.modalities.text`: `bert_tokenizer(vocabulary)` for link prediction and entity
recognition, `bert_tokenizer(vocabulary, MARKERS)` for relation extraction. Entities and relations of link prediction
are tokens that the tokenizer does not know; their ids follow its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....data.sentences import TAGS
from ....errors import DataError, QueryError
from ....modalities.text import piece_ids, token_ids
from ....modalities.tokenizer_rules import BERT_TOKENS
from ....ranking.known_triples import HEAD

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MARKERS = ("<s>", "</s>", "<o>", "</o>")
# Class of each word piece in entity recognition; position = id. X continues a word.
TAG_CLASSES = ("PAD", *TAGS, "X", "[CLS]", "[SEP]")
_TAG_IDS = {name: row for row, name in enumerate(TAG_CLASSES)}
_LINE_FEED = r"\n"
_Array = NDArray[np.int64]
# Words, and the spans [start, end) of head and tail among them.
MarkedSentence = tuple[Sequence[str], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class SpecialTokens:
    """The ids of BERT's special tokens."""

    pad: int
    unknown: int
    first: int
    last: int
    mask: int


@dataclass(frozen=True)
class LinkTexts:
    """The word pieces of a graph, from which its queries are put together.

    Attributes:
        entities, relations: pieces of each text, cut to `max_length`.
        opening, closing: pieces around the description of an entity in stage 1.
        first_entity, first_relation: token id of entity 0 and of relation 0.
    """

    special: SpecialTokens
    entities: Sequence[Sequence[int]]
    relations: Sequence[Sequence[int]]
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    first_entity: int
    first_relation: int
    max_length: int


@dataclass(frozen=True)
class SentenceInputs:
    """Padded sentences, int64 [sentences, max_length] each.

    Attributes:
        attention_mask: 1 = token, 0 = padding.
        token_type_ids: all 0.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


@dataclass(frozen=True)
class TagInputs(SentenceInputs):
    """Padded sentences and where their words begin.

    Attributes:
        words: index of the word whose first piece stands there, -1 elsewhere. Words cut off, and those without a piece
            (control characters only), do not occur.
    """

    words: NDArray[np.int64]


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The special tokens of a BERT tokenizer; a DataError if it is another."""
    return SpecialTokens(*token_ids(tokenizer, BERT_TOKENS))


def link_texts(
    tokenizer: Tokenizer, entity_texts: Sequence[str], relation_texts: Sequence[str], max_length: int
) -> LinkTexts:
    """The word pieces of a graph.

    Args:
        tokenizer: BERT's, without added tokens.
        entity_texts: a text per candidate, in row order. The two characters backslash and n are a blank, other
            backslashes nothing.
        relation_texts: a text per relation, in row order.
        max_length: tokens of the longest query.

    Raises:
        QueryError: if a text holds half of a surrogate pair.
        DataError: if the tokenizer is not BERT's.
    """
    cleaned = [text.replace(_LINE_FEED, " ").replace("\\", "") for text in entity_texts]
    entities = tuple(tuple(pieces[:max_length]) for pieces in piece_ids(tokenizer, cleaned))
    relations = tuple(tuple(pieces[:max_length]) for pieces in piece_ids(tokenizer, relation_texts))
    before, behind, closing = piece_ids(tokenizer, ["The description of", "is that", "."])
    opening = (*before, special_tokens(tokenizer).mask, *behind)
    size = tokenizer.get_vocab_size()
    return LinkTexts(
        special_tokens(tokenizer),
        entities,
        relations,
        opening,
        tuple(closing),
        size,
        size + len(entities),
        max_length,
    )


def link_query(texts: LinkTexts, entity: int, relation: int, direction: int) -> list[int]:
    """The tokens of a query for the missing entity, unpadded. The images beside it are those of `entity`.

        HEAD (?, r, entity): [CLS] [MASK] [SEP] text of r, token of r [SEP] token and text of entity [SEP]
        TAIL (entity, r, ?): [CLS] token of entity [SEP] text of r, token of r [SEP] [MASK] text of entity [SEP]

    Too long a query loses pieces of the text at its end, or of whichever of the two parts is longer. The authors put
    [UNK] and [PAD] in the place of the two tokens and replace the first of each, so an unknown piece in the text of r
    takes the entity's place in a HEAD query.

    Raises:
        QueryError: if a text is so long that the query lacks a part.
    """
    special = texts.special
    pieces, words = texts.entities[entity], texts.relations[relation]
    if direction == HEAD:
        parts = [special.mask, special.last, *words, special.pad], [special.unknown, *pieces]
    else:
        parts = [special.unknown], [*words, special.pad, special.last, special.mask, *pieces]
    first, second = _cut_pair(*parts, texts.max_length - 3)
    tokens = [special.first, *first, special.last, *second, special.last]
    place = f"the query with entity {entity} and relation {relation}"
    ids = {special.unknown: texts.first_entity + entity, special.pad: texts.first_relation + relation}
    for holder, token in ids.items():
        if holder not in tokens:
            raise QueryError(
                f"{place} has no room for both of their tokens in {texts.max_length}: the text of the relation has "
                f"{len(words)} pieces. Shorten it."
            )
        tokens[tokens.index(holder)] = token
    return _with_one_mask(tokens, special, place)


def description_query(texts: LinkTexts, entity: int) -> list[int]:
    """The tokens of "The description of [MASK] is that ... ." (stage 1), unpadded.

    The first unknown piece becomes the token of entity 0, as it does with the authors.

    Raises:
        QueryError: if max_length leaves no room for [MASK].
    """
    special = texts.special
    pieces = [*texts.opening, *texts.entities[entity], *texts.closing][: texts.max_length - 2]
    tokens = [special.first, *pieces, special.last]
    if special.unknown in tokens:
        tokens[tokens.index(special.unknown)] = texts.first_entity
    return _with_one_mask(tokens, special, f"the description of entity {entity}")


def pad_rows(
    rows: Sequence[Sequence[int]], pad: int, *, length: int | None = None, multiple: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of tokens as one array: input_ids and attention_mask (1 = token), int64 [rows, length].

    Args:
        length: of every row, at least that of the longest; None: that of the longest.
        multiple: the length is rounded up to one of this number (8 in the authors' 16-bit runs).
    """
    width = max(map(len, rows), default=0) if length is None else length
    width = -(-width // multiple) * multiple
    input_ids = np.full((len(rows), width), pad, dtype=np.int64)
    attention_mask = np.zeros((len(rows), width), dtype=np.int64)
    for row, tokens in enumerate(rows):
        input_ids[row, : len(tokens)] = tokens
        attention_mask[row, : len(tokens)] = 1
    return input_ids, attention_mask


def marked_pieces(tokenizer: Tokenizer, sentences: Sequence[MarkedSentence]) -> list[list[int]]:
    """The word pieces of sentences with markers around their two spans, uncut.

    A span that ends with the sentence has no closing marker, as with the authors.

    Raises:
        QueryError: if a word is no text or holds half of a surrogate pair.
        DataError: if the tokenizer has no MARKERS.
    """
    markers = token_ids(tokenizer, MARKERS)
    pieces_of = _word_pieces(tokenizer, [words for words, _, _ in sentences])
    rows = []
    for words, head, tail in sentences:
        places = tuple(zip((*head, *tail), markers, strict=True))
        row: list[int] = []
        for index, word in enumerate(words):
            row += [marker for at, marker in places if at == index]
            row += pieces_of[word]
        rows.append(row)
    return rows


def spans_read(tokenizer: Tokenizer, sentences: Sequence[MarkedSentence], max_length: int) -> NDArray[np.bool_]:
    """Whether both spans of each sentence begin within the pieces that a model of this length reads, bool [sentences].

    Raises as `marked_pieces`.
    """
    openings = set(token_ids(tokenizer, MARKERS)[::2])
    read = (openings <= {*row[: max(max_length - 2, 0)]} for row in marked_pieces(tokenizer, sentences))
    return np.fromiter(read, np.bool_, len(sentences))


def relation_inputs(tokenizer: Tokenizer, sentences: Sequence[MarkedSentence], max_length: int) -> SentenceInputs:
    """Marked sentences, cut and padded to `max_length` tokens.

    Args:
        tokenizer: BERT's with MARKERS added.

    Raises:
        QueryError: if a span begins behind what is read, or a word is no text.
        DataError: if the tokenizer is another.
    """
    limit = max(max_length - 2, 0)
    head, _, tail, _ = token_ids(tokenizer, MARKERS)
    rows = [row[:limit] for row in marked_pieces(tokenizer, sentences)]
    for number, pieces in enumerate(rows):
        for name, marker in (("head", head), ("tail", tail)):
            if marker not in pieces:
                raise QueryError(
                    f"sentence {number} of {len(rows)}: its {name} begins behind the first {limit} word pieces, which "
                    "is all that the model reads. Shorten the sentence in front of it."
                )
    return SentenceInputs(*_enclosed(tokenizer, rows, max_length))


def tagging_inputs(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_length: int) -> TagInputs:
    """Sentences, given as words, cut and padded to `max_length` tokens.

    Raises:
        QueryError: if a word is no text or holds half of a surrogate pair.
        DataError: if the tokenizer is not BERT's.
    """
    pieces_of = _word_pieces(tokenizer, sentences)
    limit = max(max_length - 2, 0)
    rows: list[list[int]] = []
    begins = np.full((len(sentences), max_length), -1, dtype=np.int64)
    for row, words in enumerate(sentences):
        pieces: list[int] = []
        for index, word in enumerate(words):
            if pieces_of[word] and len(pieces) < limit:
                begins[row, 1 + len(pieces)] = index
            pieces.extend(pieces_of[word])
        rows.append(pieces[:limit])
    return TagInputs(*_enclosed(tokenizer, rows, max_length), begins)


def tag_labels(inputs: TagInputs, tags: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """The classes of all positions, int64 [sentences, max_length]: rows of TAG_CLASSES.

    A word's first piece has its tag, the others X; padding is 0.

    Args:
        tags: one of TAGS for each word of each sentence.
    """
    labels = np.where(inputs.attention_mask == 1, _TAG_IDS["X"], _TAG_IDS["PAD"])
    lengths = inputs.attention_mask.sum(axis=1)
    labels[:, 0] = _TAG_IDS["[CLS]"]
    labels[np.arange(len(labels)), lengths - 1] = _TAG_IDS["[SEP]"]
    for row, column in zip(*np.nonzero(inputs.words >= 0), strict=True):
        labels[row, column] = _TAG_IDS[tags[row][inputs.words[row, column]]]
    return labels.astype(np.int64)


def _word_pieces(tokenizer: Tokenizer, sentences: Iterable[Sequence[str]]) -> dict[str, list[int]]:
    """The pieces of every word that occurs. BERT's pieces never reach over a blank, so words may be read one by one."""
    distinct = list(dict.fromkeys(word for words in sentences for word in words))
    return dict(zip(distinct, piece_ids(tokenizer, distinct), strict=True))


def _enclosed(tokenizer: Tokenizer, rows: Sequence[Sequence[int]], max_length: int) -> tuple[_Array, _Array, _Array]:
    """The three fields of SentenceInputs."""
    if max_length < 2:
        raise DataError(f"max_length is {max_length}; expected at least 2, for [CLS] and [SEP].")
    special = special_tokens(tokenizer)
    tokens = [[special.first, *pieces, special.last] for pieces in rows]
    input_ids, attention_mask = pad_rows(tokens, special.pad, length=max_length)
    return input_ids, attention_mask, np.zeros_like(input_ids)


def _cut_pair(first: Sequence[int], second: Sequence[int], room: int) -> tuple[Sequence[int], Sequence[int]]:
    """Both with their ends cut off: a token at a time from the longer, on a tie from the second."""
    room = max(room, 0)
    kept_first = min(len(first), max(room - len(second), (room + 1) // 2))
    kept_second = min(len(second), max(room - len(first), room // 2))
    return first[:kept_first], second[:kept_second]


def _with_one_mask(tokens: list[int], special: SpecialTokens, place: str) -> list[int]:
    if (count := tokens.count(special.mask)) != 1:
        raise QueryError(
            f"{place} has {count} [MASK] in its {len(tokens)} tokens; expected one. Its texts are so long that it is "
            "cut off; shorten them, or set a larger max_length."
        )
    return tokens

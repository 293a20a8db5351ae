"""Single questions as an application asks them: labels, texts and images in, labels out; random, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.registry import ENTITY_LINKING, LINK_PREDICTION, RELATION_EXTRACTION

# Answers asked for where answers are ranked.
K = 10
_SENTENCE_WORDS = 20
# Sides in pixels of an image as it comes from the web, before the model's own size.
_IMAGE = (320, 240)


def questions(opened: Any, seed: int) -> Iterator[Callable[[], Any]]:
    """Questions without end, each a call that answers it (see `random_questions`).

    Raises:
        QueryError: on the first question, if the bundle was made without a tokenizer.
    """
    for asked in random_questions(opened, seed):
        yield lambda asked=asked: answers(opened, [asked])[0]  # type: ignore[misc]


def random_questions(opened: Any, seed: int) -> Iterator[Any]:
    """Questions without end, as `answers` takes them.

    Link prediction asks for the ten best tails of random (head, relation); entity linking for the ten entities that a
    label most likely means, in a sentence of labels with an image of noise; the sentence tasks ask of sentences made
    of 20 word pieces. These sentences have no image, as images are encoded once and remembered.

    Raises:
        QueryError: on the first question, if the bundle was made without a tokenizer.
    """
    random = np.random.default_rng(seed)
    task = opened.bundle.config.task
    if task == LINK_PREDICTION:
        return _link_questions(opened, seed)
    if task == ENTITY_LINKING:
        return _mentions(opened, random)
    return _relation_mentions(opened, random) if task == RELATION_EXTRACTION else _sentences(opened, random)


def answers(opened: Any, asked: Sequence[Any]) -> list[Any]:
    """The answers to several questions, in one call of the SDK."""
    task = opened.bundle.config.task
    if task == LINK_PREDICTION:
        heads, relations = zip(*asked, strict=True)
        return [ranking.labels for ranking in opened.predict_tails(heads, relations, k=K)]
    if task == ENTITY_LINKING:
        return [link.labels for link in opened.link_mentions(asked, k=K)]
    if task == RELATION_EXTRACTION:
        return [relation.label for relation in opened.extract_relations(asked)]
    return [sentence.entities for sentence in opened.tag(asked)]


def list_size(task: str) -> int:
    """How many questions a large batch has: enough that a call's own cost does not show."""
    return 1024 if task == LINK_PREDICTION else 32


def asked_things(task: str) -> str:
    """What is counted per second when questions are answered."""
    return {LINK_PREDICTION: "queries", ENTITY_LINKING: "mentions"}.get(task, "sentences")


def random_queries(bundle: Bundle, count: int, seed: int) -> NDArray[np.int64]:
    """Random (head, relation) ids, int64 [count, 2]."""
    sizes = (len(bundle.entities), len(bundle.relations))
    return np.random.default_rng(seed).integers(sizes, size=(count, 2))


def _link_questions(model: Any, seed: int) -> Iterator[tuple[str, str]]:
    while True:
        for head, relation in random_queries(model.bundle, 1000, seed).tolist():
            yield model.entities[head], model.relations[relation]
        seed += 1


def _mentions(linker: Any, random: np.random.Generator) -> Iterator[Any]:
    from PIL import Image

    from mmkg_sdk.data.mentions import Mention

    while True:
        names = [linker.entities[row] for row in random.integers(len(linker.entities), size=8).tolist()]
        image = Image.fromarray(random.integers(256, size=(*_IMAGE, 3), dtype=np.uint8))
        yield Mention(names[0], " and ".join(names), image)


def _relation_mentions(extractor: Any, random: np.random.Generator) -> Iterator[Any]:
    from mmkg_sdk.answering.relation_extraction import RelationMention

    for words in _sentences(extractor, random):
        yield RelationMention(words, head=(0, 1), tail=(len(words) - 1, len(words)))


def _sentences(opened: Any, random: np.random.Generator) -> Iterator[list[str]]:
    """Words that the tokenizer knows as one piece each."""
    vocabulary = sorted(word for word in opened.tokenizer.get_vocab() if word.isalpha())
    # Markers of the relation task and the special tokens take their room.
    count = max(2, min(_SENTENCE_WORDS, opened.max_length - 8))
    while True:
        yield [vocabulary[row] for row in random.integers(len(vocabulary), size=count)]

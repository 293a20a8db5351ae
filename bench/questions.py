"""Single questions as an application asks them: labels, texts and pictures in, labels out; random, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.tasks import ENTITY_LINKING, LINK_PREDICTION, RELATION_EXTRACTION

# Answers asked for where answers are ranked.
K = 10
_SENTENCE_WORDS = 20
# Sides in pixels of a picture as it comes from the web, before the model's own size.
_PICTURE = (320, 240)


def questions(opened: Any, seed: int) -> Iterator[Callable[[], object]]:
    """Questions without end, each a call that answers it.

    Link prediction asks for the ten best tails of random (head, relation); entity linking for the ten entities that a
    label most likely means, in a sentence of labels with a picture of noise; the sentence tasks ask of sentences made
    of 20 word pieces. These sentences have no picture, as pictures are encoded once and remembered.

    Raises:
        QueryError: on the first question, if the bundle was made without a tokenizer.
    """
    random = np.random.default_rng(seed)
    task = opened.bundle.config.task
    if task == LINK_PREDICTION:
        return _link_questions(opened, seed)
    if task == ENTITY_LINKING:
        return _mention_questions(opened, random)
    return _relation_questions(opened, random) if task == RELATION_EXTRACTION else _tag_questions(opened, random)


def random_queries(bundle: Bundle, count: int, seed: int) -> NDArray[np.int64]:
    """Random (head, relation) ids, int64 [count, 2]."""
    sizes = (len(bundle.entities), len(bundle.relations))
    return np.random.default_rng(seed).integers(sizes, size=(count, 2))


def _link_questions(model: Any, seed: int) -> Iterator[Callable[[], object]]:
    while True:
        for head, relation in random_queries(model.bundle, 1000, seed).tolist():
            asked = (model.entities[head], model.relations[relation])
            yield lambda asked=asked: model.predict_tails(*asked, k=K)[0].labels  # type: ignore[misc]
        seed += 1


def _mention_questions(linker: Any, random: np.random.Generator) -> Iterator[Callable[[], object]]:
    from PIL import Image

    from mmkg_sdk.links import Mention

    while True:
        names = [linker.entities[row] for row in random.integers(len(linker.entities), size=8).tolist()]
        picture = Image.fromarray(random.integers(256, size=(*_PICTURE, 3), dtype=np.uint8))
        mention = Mention(names[0], " and ".join(names), picture)
        yield lambda mention=mention: linker.link_mentions(mention, k=K)[0].labels  # type: ignore[misc]


def _relation_questions(extractor: Any, random: np.random.Generator) -> Iterator[Callable[[], object]]:
    from mmkg_sdk.extractor import RelationMention

    for words in _sentences(extractor, random):
        mention = RelationMention(words, head=(0, 1), tail=(len(words) - 1, len(words)))
        yield lambda mention=mention: extractor.extract_relations(mention)[0].label  # type: ignore[misc]


def _tag_questions(tagger: Any, random: np.random.Generator) -> Iterator[Callable[[], object]]:
    for words in _sentences(tagger, random):
        yield lambda words=words: tagger.tag([words])[0].entities  # type: ignore[misc]


def _sentences(opened: Any, random: np.random.Generator) -> Iterator[list[str]]:
    """Words that the tokenizer knows as one piece each."""
    vocabulary = sorted(word for word in opened.tokenizer.get_vocab() if word.isalpha())
    # Markers of the relation task and the special tokens take their room.
    count = max(2, min(_SENTENCE_WORDS, opened.max_length - 8))
    while True:
        yield [vocabulary[row] for row in random.integers(len(vocabulary), size=count)]

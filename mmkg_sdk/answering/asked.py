"""Fixed questions to any bundle, and what it answers by the way that its user's questions go, kernels included.

Export keeps the answers beside the probes; verification asks again. Probes try every graph alone, with noise. Questions
try what stands around them as well: the table, what entities were made of, and the numbers of the configuration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..families import contract
from .entity_linking import Linker
from .entity_recognition import Tagger
from .link_model import link_answers
from .link_prediction import Model
from .linking_answers import linking_answers
from .relation_extraction import Extractor

Answers = dict[str, NDArray[np.float32]]


def answers(opened: Model | Linker | Extractor | Tagger) -> Answers:
    """What a bundle answers: names -> numbers, one row per question; they begin with "answers."."""
    found = _ANSWERS[type(opened)](opened)
    return {f"answers.{name}": np.asarray(array, np.float32) for name, array in found.items()}


def _relations(extractor: Extractor) -> dict[str, NDArray[Any]]:
    return {"scores": extractor.score_tokens(**_sentences(extractor))}


def _tags(tagger: Tagger) -> dict[str, NDArray[Any]]:
    tags, emissions = tagger.tag_tokens(**_sentences(tagger))
    return {"tags": tags, "emissions": emissions}


def _sentences(opened: Extractor | Tagger) -> dict[str, NDArray[Any]]:
    """Sentences of noise, the first as long as they may be with images of noise, the second shorter and without."""
    runtime, config = contract.sentence_runtime(opened.bundle.family), contract.sentence_config(opened.bundle.config)
    texts = runtime.noise_texts(config)
    random = np.random.default_rng(0)
    groups = {
        "aux": (config.num_aux_images, config.aux_image_size),
        "rcnn": (config.num_rcnn_images, config.rcnn_image_size),
    }
    images = {}
    for name, (count, size) in groups.items():
        images[f"{name}_values"] = random.standard_normal((2, count or 0, 3, size, size), np.float32)
        images[f"{name}_values"][1] = 0
    return {**texts, "image_state": opened.encode_images(**images)}


_ANSWERS: dict[type, Any] = {Model: link_answers, Linker: linking_answers, Extractor: _relations, Tagger: _tags}

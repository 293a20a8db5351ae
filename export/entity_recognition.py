"""What the bundle of an entity recognition model holds, and how far it is from the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.families import contract
from mmkg_sdk.run import Run, RunData

from .parity import ERROR_LIMITS, ParityCheck, relative_error, root_mean_square
from .sentence_parity import chosen_sentences, images, sentence_bundle, texts_of


def bundle_data(run: Run, model: Any) -> RunData:
    """Classes and tokenizer."""
    return sentence_bundle(run)


def ask_for_calibration(run: Run, model: Any, opened: Tagger) -> None:
    """Ask some sentences of the training split, with their own and with random images.

    Args:
        model: the torch model.
        opened: the exported bundle; what its graphs are given is recorded.
    """
    split, rows = chosen_sentences(run, ("train", "valid", "test"))
    texts = texts_of(run, split, rows)
    for _, values in images(run, split, rows):
        opened.tag_tokens(**texts, image_state=opened.encode_images(**values))


def parity_checks(run: Run, model: Any, opened: Tagger) -> list[ParityCheck]:
    """Emissions of some sentences with their own and with random images, and the tags that are decoded from them.

    Emissions of padding are compared, too. Tags may differ from the best ones where their path scores less than the
    measured error limit allows, position for position.

    Args:
        model: the reference, float64 torch.
        opened: the exported bundle on a backend.
    """
    split, rows = chosen_sentences(run, ("test", "valid", "train"))
    texts, limit = texts_of(run, split, rows), ERROR_LIMITS[opened.bundle.precision]
    scoring = contract.sentence_scoring(run.family)
    checks = []
    for what, values in images(run, split, rows):
        best, expected = scoring.tag_scores_of(model, texts, values)
        tags, emissions = opened.tag_tokens(**texts, image_state=opened.encode_images(**values))
        error = relative_error(emissions, expected)
        checks.append(ParityCheck("tag_encoder", f"{what}: largest emission error / rms", error, limit))
        mask = texts["attention_mask"]
        behind = np.subtract(*(scoring.path_scores(model, expected, path, mask) for path in (best, tags)))
        slack = 2 * limit * root_mean_square(expected) * mask.sum(axis=1)
        other = float(((tags != best) & (mask > 0)).any(axis=1).mean())
        beyond = float((behind > slack).mean())
        checks += [
            ParityCheck("tag_encoder", f"{what}: share with other tags", other, None, len(tags)),
            ParityCheck("tag_encoder", f"{what}: share with other tags beyond the tolerance", beyond, 0.0, len(tags)),
        ]
    return checks

"""What the bundle of a relation extraction model holds, and how far it is from the model."""

from __future__ import annotations

from typing import Any

from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.families import contract
from mmkg_sdk.run import Run, RunData

from .parity import ERROR_LIMITS, ParityCheck, ranking_checks, relative_error, root_mean_square
from .sentence_parity import chosen_sentences, images, sentence_bundle, texts_of


def bundle_data(run: Run, model: Any) -> RunData:
    """Labels and tokenizer."""
    return sentence_bundle(run)


def ask_for_calibration(run: Run, model: Any, opened: Extractor) -> None:
    """Ask some sentences of the training split, with their own and with random images.

    Args:
        model: the torch model.
        opened: the exported bundle; what its graphs are given is recorded.
    """
    split, rows = chosen_sentences(run, ("train", "valid", "test"))
    texts = texts_of(run, split, rows)
    for _, values in images(run, split, rows):
        opened.score_tokens(**texts, image_state=opened.encode_images(**values))


def parity_checks(run: Run, model: Any, opened: Extractor) -> list[ParityCheck]:
    """Scores of some sentences with their own and with random images, and the relations that they make the best.

    Two relations whose reference scores differ by no more than the measured error limit may change places.

    Args:
        model: the reference, float64 torch.
        opened: the exported bundle on a backend.
    """
    split, rows = chosen_sentences(run, ("test", "valid", "train"))
    texts, limit = texts_of(run, split, rows), ERROR_LIMITS[opened.bundle.precision]
    scoring = contract.sentence_scoring(run.family)
    checks = []
    for what, values in images(run, split, rows):
        expected = scoring.relation_scores_of(model, texts, values)
        found = opened.score_tokens(**texts, image_state=opened.encode_images(**values))
        error = relative_error(found, expected)
        checks.append(ParityCheck("relation_encoder", f"{what}: largest score error / rms", error, limit))
        best, slack = found.argmax(axis=1)[:, None], limit * root_mean_square(expected)
        checks += ranking_checks("relation_encoder", what, best, expected, slack)
    return checks

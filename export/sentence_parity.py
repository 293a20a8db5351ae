"""What the parity checks of the two sentence tasks share: which sentences they compare, and with which images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import ExportError
from mmkg_sdk.families import contract
from mmkg_sdk.run import Run, RunData

MAX_SENTENCES = 48
_TEXT = ("input_ids", "attention_mask", "token_type_ids")


def sentence_bundle(run: Run) -> RunData:
    """Labels and tokenizer; a bundle holds no sentences."""
    data = run.data
    return RunData(data.name, data.labels, {}, data.files)


def chosen_sentences(run: Run, splits: tuple[str, ...]) -> tuple[str, NDArray[np.int64]]:
    """Some sentences of the first split that has any: the split and evenly spaced rows.

    Raises:
        ExportError: the run has no sentence.
    """
    for split in splits:
        if count := len(run.tensors(f"sentences-{split}")["input_ids"]):
            return split, np.unique(np.linspace(0, count - 1, min(count, MAX_SENTENCES)).astype(np.int64))
    raise ExportError(f"{run.folder} holds no sentence that the bundle could be compared on. Import it with its data.")


def texts_of(run: Run, split: str, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """The token inputs of some sentences."""
    sentences = run.tensors(f"sentences-{split}")
    return {name: sentences[name][rows] for name in _TEXT}


def images(run: Run, split: str, rows: NDArray[np.int64]) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
    """What the sentences are compared with: their own images, then random ones (a run may have none).

    Yields:
        what it is, and the inputs of the image graph.
    """
    own = contract.sentence_scoring(run.family).image_inputs(run, split, rows)
    yield "own images", own
    random = np.random.default_rng(0)
    yield "random images", {n: random.standard_normal(a.shape, np.float32) for n, a in own.items()}

"""What the bundle of an entity linking model holds, and how far it is from the model.

Entities are encoded in float32: in float64, a CLIP of the published size would take hours for the candidates of a
public data set. The comparison is with float64 nevertheless: of a sample of mentions and entities, and with the model
as the paper has it, without any of the rewriting that the graphs go through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.entity_linking import Linker
from mmkg_sdk.evaluation.entity_linking import evaluate_linking
from mmkg_sdk.families import contract
from mmkg_sdk.files.tensors import scratch_array
from mmkg_sdk.run import Run, RunData

from .parity import ERROR_LIMITS, MRR_LIMITS, ParityCheck, mrr_check, ranking_checks, relative_error, root_mean_square

TOP = 10
MAX_MENTIONS = 16
MAX_ENTITIES = 64
# Rounding usually makes a twentieth of the error that is allowed.
_USUAL = 0.05


def bundle_data(run: Run, model: Any) -> RunData:
    """Labels, the tokenizer, and the pieces of every entity.

    Args:
        model: the torch model, eval mode; the pieces get its configuration's `entity_dtype`.
    """
    scoring, count = contract.linking_scoring(run.family), len(run.labels["entities"])
    table: dict[str, NDArray[Any]] = {}
    start = 0
    for pieces in scoring.entity_pieces(model, run):
        for name, piece in pieces.items():
            if name not in table:
                table[name] = scratch_array((count, *piece.shape[1:]), model.config.entity_dtype)
            table[name][start : start + len(piece)] = piece
        start += len(piece)
    return RunData(run.data_name, run.labels, {"table": table}, run.data.files)


def ask_for_calibration(run: Run, model: Any, opened: Linker) -> None:
    """Encode some mentions of the training split: texts and images of entities go through the same graphs.

    Args:
        model: the torch model.
        opened: the exported bundle; what its graphs are given is recorded.
    """
    split = _first_split(run, ("train", "valid", "test"))
    mentions = _sample(len(run.tensors(f"mentions-{split}")["answers"]), MAX_MENTIONS)
    opened.encode_tokens(*contract.linking_scoring(run.family).token_inputs(run, split, mentions))


def parity_checks(run: Run, model: Any, opened: Linker) -> list[ParityCheck]:
    """Link some mentions of the run with an exported model and compare with the reference.

    Args:
        model: the reference, float64 torch.
        opened: the exported bundle on a backend.
    """
    limit, mrr_limit = (limits[opened.bundle.precision] for limits in (ERROR_LIMITS, MRR_LIMITS))
    split = _first_split(run, ("test", "valid", "train"))
    answers = run.tensors(f"mentions-{split}")["answers"]
    mentions = _sample(len(answers), MAX_MENTIONS)
    right = answers[mentions]
    entities = np.union1d(right, _sample(len(opened.entities), MAX_ENTITIES))
    scoring = contract.linking_scoring(run.family)
    expected = scoring.reference_scores(model, run, split, mentions, entities)
    found = opened.score_pieces(
        opened.encode_tokens(*scoring.token_inputs(run, split, mentions)), [int(i) for i in entities]
    )
    checks = [
        ParityCheck(
            "interaction", f"{unit} unit: largest score error / rms", relative_error(scores, expected[unit]), limit
        )
        for unit, scores in found.items()
    ]
    overall, ideal = (np.mean(np.stack(list(scores)), axis=0) for scores in (found.values(), expected.values()))
    error = relative_error(overall, ideal)
    checks.append(ParityCheck("interaction", "largest score error / rms", error, limit))
    slack = limit * root_mean_square(ideal)
    checks += ranking_checks(
        "interaction", "mentions", np.argsort(-overall, axis=1, kind="stable")[:, :TOP], ideal, slack
    )
    places = np.searchsorted(entities, right)
    ranked, best = (evaluate_linking(scores.__getitem__, places).ranks for scores in (overall, ideal))
    allowed = mrr_limit + _change_by_ties(ideal, places, _USUAL * slack)
    return [*checks, mrr_check("interaction", f"change of the MRR among {len(entities)}", ranked, best, allowed)]


def _first_split(run: Run, splits: tuple[str, ...]) -> str:
    """The first that has mentions."""
    return next((split for split in splits if len(run.tensors(f"mentions-{split}")["answers"])), splits[0])


def _change_by_ties(ideal: NDArray[np.float64], places: NDArray[np.int64], slack: float) -> float:
    """How far the MRR may move if candidates that score within `slack` of the right one change places with it."""
    right = np.take_along_axis(ideal, places[:, None], axis=1)
    best, worst = (ideal > right + slack).sum(axis=1) + 1, (ideal >= right - slack).sum(axis=1)
    return float((1 / best - 1 / worst).mean())


def _sample(count: int, most: int) -> NDArray[np.int64]:
    """Evenly spaced rows, at most `most`."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))

"""The imported run and the exported bundle, on every backend, against the outputs of the authors' code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.entity_linking import Linker, Mention
from mmkg_sdk.errors import QueryError
from mmkg_sdk.evaluation.entity_linking import LinkingReport, evaluate_linking
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families.mimic.objective import objective_of
from mmkg_sdk.families.mimic.pieces import entity_pieces
from mmkg_sdk.run import Run
from tests.conftest import import_golden
from tests.families.mimic.cases import CASES, Case, close, golden, ranks

# Precision, backend, and the largest error of scores that reach 20; None = the tolerance of the golden README.
RUNS = [("fp32", "onnxruntime", None), ("fp32", "torch", None), ("fp16", "onnxruntime", 0.05), ("bf16", "torch", 0.2)]
UNITS = {"text": "tglu_score", "image": "vdlu_score", "image_text": "cmfu_score"}


@dataclass(frozen=True)
class Opened:
    linker: Linker
    case: Case
    limit: float | None

    def close(self, found: np.ndarray, expected: np.ndarray) -> None:
        if self.limit is None:
            close(found, expected)
        else:
            assert np.abs(found - expected).max() <= self.limit

    def pieces(self) -> dict[str, np.ndarray]:
        names = ("input_ids", "attention_mask", "pixel_values")
        return self.linker.encode_tokens(*(self.case.inputs[f"mention_{name}"] for name in names))

    def scores(self) -> np.ndarray:
        return np.mean(list(self.linker.score_pieces(self.pieces()).values()), axis=0)


def runs() -> list[tuple[str, str, str, float | None]]:
    """Half precision once is enough: an export takes its seconds."""
    return [(c, *run) for c in CASES for run in RUNS if c == "base" or run[0] == "fp32"]


@pytest.fixture(scope="module", params=runs(), ids=lambda run: "-".join(run[:3]))
def opened(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Iterator[Opened]:
    case, precision, backend, limit = request.param
    with mmkg_sdk.load(golden_bundles(case, precision, "mimic"), backend, "cpu") as linker:
        yield Opened(linker, golden(case), limit)


def test_every_unit_scores_like_the_official_one(opened: Opened) -> None:
    found = opened.linker.score_pieces(opened.pieces())
    for unit, name in UNITS.items():
        opened.close(found[unit], opened.case.outputs[name])
    opened.close(opened.scores(), opened.case.outputs["scores"])


def test_ranks_and_metrics_are_the_official_ones_in_every_precision(opened: Opened) -> None:
    scores = opened.scores()
    np.testing.assert_array_equal(ranks(scores), opened.case.outputs["all_ranks"])
    report = evaluate_linking(scores.__getitem__, opened.case.inputs["answer"])
    assert report.candidates == opened.case.options["num_entity"]
    check_metrics(report, opened.case)


def test_candidates_are_the_columns_of_all_entities(opened: Opened) -> None:
    everything = opened.linker.score_pieces(opened.pieces())
    some = opened.linker.score_pieces(opened.pieces(), ["entity 3", "entity 0", "entity 3"])
    for unit in UNITS:
        np.testing.assert_allclose(some[unit], everything[unit][:, [0, 3]], rtol=1e-5, atol=1e-5)


def test_what_is_known_of_the_entities_stays_on_the_disk(opened: Opened) -> None:
    bundle = opened.linker.bundle
    dtype = "float32" if bundle.precision == "fp32" else "float16"
    for name, shape in entity_pieces(bundle.config).items():
        piece = bundle.encoded[name]
        assert not piece.flags.writeable  # a view of a read-only map
        assert piece.dtype == dtype
        assert piece.shape == (len(bundle.entities), *shape)


def test_a_bundle_of_token_ids_says_that_it_has_no_tokenizer(opened: Opened) -> None:
    with pytest.raises(QueryError, match=r"was made of token ids and has no tokenizer\. Pass token ids"):
        opened.linker.link_mentions(Mention("Georgia", ""))


@pytest.mark.parametrize("name", CASES)
def test_an_imported_run_has_the_official_ranks_and_losses(name: str, tmp_path: Path) -> None:
    run, case = import_golden(name, tmp_path / "run", "mimic"), golden(name)
    report = evaluate_path(tmp_path / "run", "test", device="cpu")
    assert isinstance(report, LinkingReport)
    np.testing.assert_array_equal(report.ranks, case.outputs["rank_of_answer"])
    check_metrics(report, case)
    objective = objective_of(Run.open(run.folder), case.model())
    entities, rows = objective.answers, np.arange(len(objective.answers))
    images = objective.mentions.image_rows[rows, 0], objective.entities.image_rows[entities, 0]
    losses = objective(*objective.prepared(objective.answers.new_tensor(rows), images[0], entities, images[1]))
    close(losses["loss"], case.outputs["loss"])


def check_metrics(report: LinkingReport, case: Case) -> None:
    expected, found = case.options["official_metrics"], report.metrics()
    assert found["mrr"] == pytest.approx(expected["Test/mrr"], rel=1e-6)
    assert found["mean_rank"] == pytest.approx(expected["Test/mr"])
    assert [found[f"hits_at_{k}"] for k in (1, 3, 5, 10, 20)] == [
        pytest.approx(expected[f"Test/hits{k}"]) for k in (1, 3, 5, 10, 20)
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ids, mask, pixels: (ids[:, 1:], mask, pixels),
            r"input_ids is int64 \[4, 13\]; expected int64 \['n', 14\]",
        ),
        (lambda ids, mask, pixels: (ids * 1.0, mask, pixels), "input_ids is float64"),
        (lambda ids, mask, pixels: (ids + 10**6, mask, pixels), r"input_ids goes from .*; expected 0 to 109"),
        (lambda ids, mask, pixels: (ids, mask + 1, pixels), "attention_mask goes from .* expected 0 to 1"),
        (lambda ids, mask, pixels: (ids, mask * 0, pixels), "row 0 of attention_mask has no token"),
        (lambda ids, mask, pixels: (ids, mask[1:], pixels), "attention_mask has 3 rows, input_ids 4"),
        (lambda ids, mask, pixels: (ids, mask, pixels[:, :1]), r"pixel_values is float32 \[4, 1, 32, 32\]; expected"),
        (lambda ids, mask, pixels: (ids, mask, pixels * np.nan), "pixel_values holds NaN or infinity"),
    ],
)
def test_tokens_that_the_model_cannot_take_are_refused(
    change: Callable[..., tuple[np.ndarray, ...]], message: str, golden_bundles: Callable[..., Path]
) -> None:
    case = golden("base")
    inputs = [case.inputs[f"mention_{name}"] for name in ("input_ids", "attention_mask", "pixel_values")]
    with (
        mmkg_sdk.load(golden_bundles("base", "fp32", "mimic"), "torch", "cpu") as linker,
        pytest.raises(QueryError, match=message),
    ):
        linker.encode_tokens(*change(*inputs))

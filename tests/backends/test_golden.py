"""Exported bundles, on every backend, against the outputs of the authors' code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.evaluation import evaluate_link_prediction
from mmkg_sdk.families.mygo.runtime import bundle_entities
from mmkg_sdk.run import Run
from tests.conftest import import_golden
from tests.families.mygo.cases import MYGO_CASES, GoldenCase, golden_case

# Precision, backend, and the largest allowed error: absolute and relative in fp32, as a share of the root mean square
# in half precision (11 and 8 bits of mantissa, two layers of 32 to 256 products).
RUNS = [
    ("fp32", "onnxruntime", 1e-5),
    ("fp32", "torch", 1e-5),
    ("fp16", "onnxruntime", 2e-2),
    ("bf16", "torch", 1.5e-1),
]
# The cases in half precision, whose export takes its seconds: the plain one, one of several layers, one without TuckER.
HALF = {"fp16": ("db15k_like", "deep_more_rel"), "bf16": ("db15k_like", "inner_score")}
CASES = [(case, *run) for case in MYGO_CASES for run in RUNS if case in HALF.get(run[0], MYGO_CASES)]


@dataclass(frozen=True)
class Opened:
    model: Model
    case: GoldenCase
    precision: str
    tolerance: float

    def close(self, found: np.ndarray, expected: np.ndarray) -> None:
        if self.precision == "fp32":
            np.testing.assert_allclose(found, expected, rtol=self.tolerance, atol=self.tolerance)
        else:
            assert np.abs(found - expected).max() <= self.tolerance * np.sqrt(np.mean(expected**2))


@pytest.fixture(scope="module", params=CASES, ids=lambda p: "-".join(p[:3]))
def opened(request: pytest.FixtureRequest, golden_bundles: Callable[[str, str], Path]) -> Iterator[Opened]:
    case, precision, backend, tolerance = request.param
    with mmkg_sdk.load(golden_bundles(case, precision), backend, "cpu") as model:
        yield Opened(model, golden_case(case), precision, tolerance)


def test_the_table_is_the_official_one_in_every_precision(opened: Opened) -> None:
    np.testing.assert_allclose(opened.model.table, opened.case.outputs["ent_emb"][:-1], rtol=1e-5, atol=1e-5)


def test_scores_equal_the_official_ones(opened: Opened) -> None:
    triples = opened.case.inputs["test_triples"]
    opened.close(opened.model.score_tails(triples[:, 0], triples[:, 1]), opened.case.outputs["scores_tail"])
    opened.close(opened.model.score_heads(triples[:, 1], triples[:, 2]), opened.case.outputs["scores_head"])


def test_the_score_of_a_triple_is_its_entry_in_the_official_scores(opened: Opened) -> None:
    head, relation, tail = opened.case.inputs["test_triples"].T
    expected = opened.case.outputs["scores_tail"][np.arange(len(tail)), tail]
    opened.close(opened.model.score_triples(head, relation, tail), expected)


def test_every_encoder_graph_makes_the_official_table_from_the_golden_inputs(opened: Opened) -> None:
    inputs, expected = opened.case.inputs, opened.case.outputs["ent_emb"][:-1]
    found = opened.model.encode_entities(
        visual_tokens=inputs["visual_token_index"],
        text_tokens=inputs["text_token_index"],
        visual_mask=inputs["visual_mask"],
        text_mask=inputs["text_mask"],
        structure=opened.model.bundle.inputs["structure"],
    )
    opened.close(found, expected)
    for graph in opened.model.bundle.graphs:
        if graph.startswith("entity_encoder"):
            opened.close(opened.model.encode_batch(bundle_entities(opened.model.bundle), graph)["vectors"], expected)


def test_ranks_and_metrics_equal_the_official_ones(opened: Opened) -> None:
    model, expected = opened.model, opened.case.outputs
    report = evaluate_link_prediction(
        model.score_queries,
        opened.case.inputs["test_triples"],
        model.bundle.known_triples,
        model.bundle.config.protocol,
    )
    found = report.metrics()
    names = ["mean_rank", "mrr", "hits_at_10", "hits_at_3", "hits_at_1"]
    if opened.precision == "fp32":
        np.testing.assert_array_equal(report.ranks["published"], expected["ranks"])
        np.testing.assert_allclose([found[name] for name in names], expected["metrics"], rtol=1e-6)
    else:  # a rank may move where two scores are closer than the precision
        assert found["mrr"] == pytest.approx(expected["metrics"][1], abs=2e-2)


def test_predictions_are_the_best_official_scores_that_are_not_known(opened: Opened) -> None:
    case = opened.case
    known: dict[tuple[int, int], set[int]] = {}
    for split in ("train", "valid", "test"):
        for head, relation, tail in case.inputs[f"{split}_triples"].tolist():
            known.setdefault((head, relation), set()).add(tail)
    triples, scores = case.inputs["test_triples"], case.outputs["scores_tail"].astype(np.float64)
    found = opened.model.predict_tails(triples[:, 0], triples[:, 1], k=5)
    for row, (head, relation, _) in enumerate(triples.tolist()):
        free = [i for i in range(scores.shape[1]) if i not in known[head, relation]]
        best = sorted(free, key=lambda i: -scores[row, i])[:5]
        opened.close(scores[row, found[row].ids], scores[row, best])  # two that are as good may change places
        assert not known[head, relation] & set(found[row].ids.tolist())


@pytest.fixture(scope="module", params=MYGO_CASES)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, GoldenCase]:
    return import_golden(request.param, tmp_path_factory.mktemp("imported") / "run"), golden_case(request.param)


def test_an_imported_run_has_the_official_embeddings_and_scores(imported: tuple[Run, GoldenCase]) -> None:
    import torch

    from mmkg_sdk.registry import family_part

    run, case = imported
    model = family_part(run.family, "model").build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    with torch.inference_mode():
        entities, relations = model.eval().entity_table(), model.relation_table()
        np.testing.assert_allclose(entities.numpy(), case.outputs["ent_emb"], rtol=1e-5, atol=1e-5)
        for side in ("head", "tail"):
            scores = model.scores(entities, relations, case.queries(f"{side}_queries")).numpy()
            np.testing.assert_allclose(scores, case.outputs[f"scores_{side}"], rtol=1e-5, atol=1e-5)

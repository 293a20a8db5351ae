"""The imported run and the exported bundle, on every backend, against the outputs of the authors' code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import mmkg_sdk
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.data.graph import DataSet, Features, KnowledgeGraph
from mmkg_sdk.errors import QueryError
from mmkg_sdk.evaluation import LinkPredictionReport, evaluate_link_prediction
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.adamf_mat.config import AdaMFConfig
from mmkg_sdk.families.adamf_mat.inputs import data_sizes, encoder_inputs, initial_weights
from mmkg_sdk.families.adamf_mat.model import build
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run
from tests.conftest import import_golden
from tests.families.adamf_mat.cases import CASES, Case, golden

# Precision, backend, and the largest allowed error: absolute and relative in fp32; in half precision, where only the
# two projections are rounded, as a share of the root mean square.
RUNS = [
    ("fp32", "onnxruntime", 1e-5),
    ("fp32", "torch", 1e-5),
    ("fp16", "onnxruntime", 2e-2),
    ("bf16", "torch", 1.5e-1),
]


@dataclass(frozen=True)
class Opened:
    model: Model
    case: Case
    precision: str
    tolerance: float

    def close(self, found: np.ndarray, expected: np.ndarray) -> None:
        if self.precision == "fp32":
            np.testing.assert_allclose(found, expected, rtol=self.tolerance, atol=self.tolerance)
        else:
            assert np.abs(found - expected).max() <= self.tolerance * np.sqrt(np.mean(expected**2))


def runs() -> list[tuple[str, str, str, float]]:
    """Half precision once is enough: an export takes its seconds."""
    return [(c, *run) for c in CASES for run in RUNS if c == "db15k_like" or run[0] == "fp32"]


@pytest.fixture(scope="module", params=runs(), ids=lambda run: "-".join(run[:3]))
def opened(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Iterator[Opened]:
    case, precision, backend, tolerance = request.param
    with mmkg_sdk.load(golden_bundles(case, precision, "adamf_mat"), backend, "cpu") as model:
        yield Opened(model, golden(case), precision, tolerance)


def test_the_table_is_the_official_one_in_every_precision(opened: Opened) -> None:
    np.testing.assert_allclose(opened.model.table, opened.case.outputs["joint"], rtol=1e-5, atol=1e-5)


def test_scores_equal_the_official_ones_in_every_precision(opened: Opened) -> None:
    """Nothing on a query's way is half precision: the table and the rotations are float32."""
    triples, outputs = opened.case.inputs["test_triples"], opened.case.outputs
    tails = opened.model.score_tails(triples[:, 0], triples[:, 1])
    np.testing.assert_allclose(tails, outputs["scores_tail"], rtol=1e-5, atol=1e-5)
    heads = opened.model.score_heads(triples[:, 1], triples[:, 2])
    np.testing.assert_allclose(heads, outputs["scores_head"], rtol=1e-5, atol=1e-5)
    single = opened.model.score_triples(*triples.T)
    np.testing.assert_allclose(single, tails[np.arange(len(triples)), triples[:, 2]], rtol=1e-5, atol=1e-5)


def test_ranks_and_metrics_equal_the_official_ones(opened: Opened) -> None:
    bundle = opened.model.bundle
    report = evaluate_link_prediction(
        opened.model.score_queries, bundle.triples["test"], bundle.known_triples, bundle.config.protocol
    )
    np.testing.assert_array_equal(report.ranks["published"], opened.case.outputs["ranks"])
    found = report.metrics()
    names = ("mrr", "mean_rank", "hits_at_10", "hits_at_3", "hits_at_1")
    expected = opened.case.outputs["tester_mrr_mr_h10_h3_h1"]
    np.testing.assert_allclose([found[name] for name in names], expected, rtol=1e-4)


def test_predictions_are_the_best_official_scores(opened: Opened) -> None:
    triples, scores = opened.case.inputs["test_triples"], opened.case.outputs["scores_tail"]
    found = opened.model.predict_tails(triples[:, 0], triples[:, 1], k=5, filter_known=False)
    for row in range(len(triples)):
        np.testing.assert_allclose(found[row].scores, -np.sort(-scores[row])[:5], rtol=1e-5, atol=1e-5)


def test_the_encoder_makes_the_official_vectors_and_weights(opened: Opened) -> None:
    inputs = opened.case.inputs
    batch = opened.model.entity_batch(
        visual_features=inputs["img_emb"],
        text_features=inputs["text_emb"],
        structure=opened.model.bundle.inputs["structure"],
    )
    found = opened.model.encode_batch(batch)
    opened.close(found["vectors"], opened.case.outputs["joint"])
    opened.close(found["modality_weights"], opened.case.outputs["attn"])


def test_an_entity_is_explained_by_the_official_weights(opened: Opened) -> None:
    for row in (0, 5):
        weights = opened.model.explain_entity(row).modalities
        assert list(weights) == ["structure", "image", "text"]
        np.testing.assert_allclose(list(weights.values()), opened.case.outputs["attn"][row], rtol=1e-5, atol=1e-5)
    assert opened.model.explain_entity("entity 3").to_json() == opened.model.explain_entity(3).to_json()
    with pytest.raises(QueryError, match="unknown entity"):
        opened.model.explain_entity("nobody")


@pytest.mark.parametrize("name", CASES)
def test_an_imported_run_has_the_official_ranks(name: str, tmp_path: Path) -> None:
    import_golden(name, tmp_path / "run", "adamf_mat")
    report = evaluate_path(tmp_path / "run", "test", device="cpu")
    np.testing.assert_array_equal(report.ranks["published"], golden(name).outputs["ranks"])
    assert isinstance(report, LinkPredictionReport)
    assert next(iter(report.by_relation())).startswith("relation ")


def test_new_entities_are_encoded_and_explained(golden_bundles: Callable[..., Path]) -> None:
    with mmkg_sdk.load(golden_bundles("db15k_like", "fp32", "adamf_mat")) as model:
        bundle = model.bundle
        inputs = {name: bundle.inputs[name][4:5] for name in ("structure", "visual_features", "text_features")}
        (new,) = model.add_entities(["twin"], **inputs)
        np.testing.assert_allclose(model.entity_vectors("twin")[0], model.table[4], rtol=1e-5, atol=1e-6)
        assert model.explain_entity("twin").modalities == pytest.approx(model.explain_entity(4).modalities, abs=1e-5)
        assert len(model.predict_tails(int(new), 0, k=3)[0]) == 3
        alone = model.encode_entities(visual_features=inputs["visual_features"])  # no text, mean structure
        assert alone.shape == (1, bundle.table.shape[1])
        width = bundle.config.visual_feature_width
        for wrong, message in [
            ({}, "no features given"),
            ({"visual_features": np.zeros((1, width + 1), np.float32)}, "visual_features is float32 .* expected"),
            ({"visual_features": np.full((1, width), np.nan)}, "NaN or infinity in row 0"),
            ({"visual_tokens": [[1]]}, "adamf_mat encodes entities from other arguments"),
            ({"visual_features": np.zeros((1, width)), "text_mask": np.zeros(1, bool)}, "text_mask goes with"),
            ({"visual_features": np.zeros((1, width)), "visual_mask": np.zeros(2, bool)}, r"expected bool \[1\]"),
        ]:
            with pytest.raises(QueryError, match=message):
                model.encode_entities(**wrong)


def small_dataset(missing: list[int]) -> DataSet:
    """Twelve entities on a ring, those of `missing` without an image."""
    rng = np.random.default_rng(3)
    triples = np.array([(i, 0, (i + 1) % 12) for i in range(12)], np.int64)
    graph = KnowledgeGraph(
        "ring", Labels(f"e{i}" for i in range(12)), Labels(["next"], kind="relation"), triples, triples[:2], triples[:2]
    )
    present = np.array([i not in missing for i in range(12)])
    images = rng.standard_normal((12, 5)).astype(np.float32) * present[:, None]
    texts = rng.standard_normal((12, 4)).astype(np.float32)
    return DataSet(
        graph, features={"visual": Features(images, present), "text": Features(texts, np.ones(12, np.bool_))}
    )


def test_a_masked_modality_has_no_share_in_model_and_bundle(tmp_path: Path) -> None:
    dataset = small_dataset(missing=[2, 7])
    config = AdaMFConfig(**data_sizes(dataset), embedding_dim=6, missing_modalities="mask")
    torch.manual_seed(0)
    inputs = encoder_inputs(dataset, config)
    model = build(config.to_json(), inputs)
    model.load_state_dict({n: torch.as_tensor(a) for n, a in initial_weights(dataset, config).items()}, strict=False)
    with torch.no_grad():
        weights = model.modality_weights()
        expected = model.entity_table()[2].clone()
        model.img_embeddings.weight[2] = 1e3  # whatever stands there
        assert torch.equal(model.entity_table()[2], expected)
        model.img_embeddings.weight[2] = 0
    assert weights[[2, 7], 1].tolist() == [0, 0]
    assert (weights[[0, 1], 1] > 0).all()
    official = encoder_inputs(dataset, AdaMFConfig(**data_sizes(dataset), embedding_dim=6))
    assert not official["visual_mask"].any()

    data = link_prediction_data(dataset.graph, inputs)
    run = Run.create(tmp_path / "run", family="adamf_mat", config=config.to_json(), data=data)
    run.save_weights(model.state_dict())
    export_bundle(run, tmp_path / "bundle")
    with mmkg_sdk.load(tmp_path / "bundle") as opened:
        assert opened.explain_entity("e2").modalities["image"] == 0
        twin = opened.encode_entities(
            structure=opened.bundle.inputs["structure"][2:3], text_features=opened.bundle.inputs["text_features"][2:3]
        )
        np.testing.assert_allclose(twin[0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_complete_graph_adds_one_coordinate_at_a_time(golden_bundles: Callable[..., Path]) -> None:
    """So it holds no moduli of batch x entities x width, which a sum along an axis would be taken of."""
    graph = onnx.load(
        golden_bundles("db15k_like", "fp32", "adamf_mat") / "complete.onnx", load_external_data=False
    ).graph
    (scan,) = [node for node in graph.node if node.op_type == "Scan"]
    (body,) = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    assert [node.op_type for node in body.node].count("Sqrt") == 1
    assert not {"Sqrt", "ReduceSum"} & {node.op_type for node in graph.node}

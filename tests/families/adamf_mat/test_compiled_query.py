"""What makes AdaMF-MAT's query vectors in place of the graph, and when."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import mmkg_sdk
from mmkg_sdk import BackendError, BundleError
from mmkg_sdk.backends import compiled
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.adamf_mat import compiled_query
from mmkg_sdk.families.adamf_mat.compiled_query import CompiledQuery
from mmkg_sdk.families.runtimes import LinkStandIns
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.known_triples import Queries
from tests.attacks.reseal import reseal
from tests.families.adamf_mat.cases import CASES, golden

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason="the compiled kernels are absent")

Bundles = Callable[..., Path]


@pytest.fixture
def bundle(golden_bundles: Bundles) -> Bundle:
    return Bundle.open(golden_bundles("db15k_like", "fp32", "adamf_mat"))


def all_queries(bundle: Bundle) -> Queries:
    """Every entity with some relation, in both directions."""
    count = len(bundle.entities)
    entity = np.tile(np.arange(count), 2)
    return Queries(entity, entity % len(bundle.relations), np.repeat(np.arange(2), count))


def exact_vectors(case: str, queries: Queries) -> np.ndarray:
    """Those of the model in float64, by torch."""
    model = golden(case).model().double()
    missing, direction = model.config.num_entities, queries.direction
    head = np.where(direction == 1, missing, queries.entity)
    tail = np.where(direction == 1, queries.entity, missing)
    triples = torch.as_tensor(np.stack([head, queries.relation, tail], axis=1))
    with torch.inference_mode():
        return model.query_vectors(model.entity_table(), model.relation_table(), triples).numpy()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_it_gives_the_vectors_of_the_graph_and_of_torch_in_float64_in_every_precision(
    case: str, precision: str, golden_bundles: Bundles
) -> None:
    path = golden_bundles(case, precision, "adamf_mat")
    graphs = "torch" if precision == "bf16" else "onnxruntime"
    with mmkg_sdk.load(path, graphs, "cpu") as by_graph, mmkg_sdk.load(path, "auto", "cpu") as own:
        queries = all_queries(own.bundle)
        graph, found = by_graph.query_vectors(queries), own.query_vectors(queries)
        assert not own.backend._opened, "no graph was loaded"
        by_kernel = own.predict_tails(list(range(len(own.entities))), 0, k=5)
        by_runtime = by_graph.predict_tails(list(range(len(own.entities))), 0, k=5)
    # Both round each product and each sum once: rotations are float32, whatever the precision of the bundle.
    np.testing.assert_array_equal(found, graph)
    np.testing.assert_allclose(found, exact_vectors(case, queries), rtol=0, atol=1e-5)
    assert by_kernel.to_json() == by_runtime.to_json()


def test_it_answers_without_torch_and_without_a_graph(golden_bundles: Bundles) -> None:
    program = (
        "import sys, mmkg_sdk\n"
        "with mmkg_sdk.load(sys.argv[1], device='cpu') as model:\n"
        "    model.predict_tails(0, 0), model.score_heads(0, 1)\n"
        "    assert not model.backend._opened and 'torch' not in sys.modules\n"
    )
    path = golden_bundles("db15k_like", "fp32", "adamf_mat")
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=120)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_backend_that_was_asked_for_by_name_runs_the_graph(name: str, bundle: Bundle) -> None:
    with mmkg_sdk.load(bundle.path, name, "cpu") as model:
        assert model._stand_ins == LinkStandIns()


def test_other_devices_and_machines_without_a_library_run_the_graph(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compiled_query.compiled_query(bundle, "cuda:0") is None
    monkeypatch.setattr(compiled, "library", lambda: "not built: no compiler")
    assert compiled_query.compiled_query(bundle, "cpu") is None
    with mmkg_sdk.load(bundle.path, "auto", "cpu") as model:
        assert list(model.backend._opened) == ["query_encoder"]
        assert len(model.predict_tails(0, 0, k=2)[0]) == 2


def test_entities_added_later_are_asked_about_as_the_others(bundle: Bundle) -> None:
    features = {name: bundle.inputs[name][4:5] for name in ("structure", "visual_features", "text_features")}
    with mmkg_sdk.load(bundle.path, "auto", "cpu") as model, mmkg_sdk.load(bundle.path, "torch", "cpu") as by_graph:
        for opened in (model, by_graph):
            opened.add_entities(["twin"], **features)
        np.testing.assert_allclose(
            model.score_tails(["twin", 4], 1), by_graph.score_tails(["twin", 4], 1), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: np.full_like(array, np.nan), "query_encoder gave NaN or infinity"),
        (lambda array: array.astype(np.float16), "rotations: float16|rotations is float16"),
        (lambda array: array[:, :-2], "rotations is .*; by the configuration"),
        (None, "query_encoder has weights|rotations"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[np.ndarray], np.ndarray] | None, message: str, bundle: Bundle, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(bundle.path, folder)
    weights = load_file(folder / "weights.safetensors")
    taken = weights.pop("query_encoder.rotations")
    weights["query_encoder.other" if change is None else "query_encoder.rotations"] = np.ascontiguousarray(
        taken if change is None else change(taken)
    )
    weights["room"] = np.zeros((2, *taken.shape), np.float32)  # graphs read no further than the file goes
    save_file(weights, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises((BackendError, BundleError), match=message):
        CompiledQuery(Bundle.open(folder)).query_vectors(bundle.table, all_queries(bundle))

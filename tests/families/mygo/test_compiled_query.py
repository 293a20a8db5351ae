"""What makes query vectors in place of the graph, and when."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError, BundleError
from mmkg_sdk.backends import Backend, compiled, open_backend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo import compiled_query
from mmkg_sdk.families.mygo.compiled_query import CompiledQuery
from mmkg_sdk.families.runtimes import LinkStandIns
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.known_triples import Queries
from tests.attacks.reseal import reseal
from tests.families.mygo.cases import golden_case

# Two decoder layers with a core, one, and one without a core.
CASES = ["mkgw_like", "db15k_like", "inner_score"]


@pytest.fixture(scope="module")
def bundle(golden_bundle: Path) -> Bundle:
    if isinstance(why := library(), str):
        pytest.skip(why)
    return Bundle.open(golden_bundle)


@pytest.fixture(scope="module")
def backend(bundle: Bundle) -> Iterator[Backend]:
    opened = open_backend(bundle, "auto", "cpu", 2)
    yield opened
    opened.close()


def all_queries(bundle: Bundle) -> Queries:
    """Every entity with some relation, in both directions."""
    count = len(bundle.entities)
    entity = np.tile(np.arange(count), 2)
    return Queries(entity, entity % len(bundle.relations), np.repeat(np.arange(2), count))


def exact_vectors(case: str, queries: Queries) -> np.ndarray:
    """Those of the model in float64, by torch."""
    import torch

    from mmkg_sdk.families.mygo.scoring import scorer

    model = golden_case(case).model().double().eval()
    with torch.inference_mode():
        return np.asarray(scorer(model, None).query_vectors(queries))


@pytest.mark.parametrize("case", CASES)
def test_it_gives_the_vectors_of_the_graph_and_of_torch_in_float64(
    case: str, golden_bundles: Callable[..., Path], bundle: Bundle
) -> None:
    opened = Bundle.open(golden_bundles(case, "fp32"))
    queries = all_queries(opened)
    with mmkg_sdk.load(opened.path, "onnxruntime", "cpu") as by_graph, mmkg_sdk.load(opened.path, "auto", "cpu") as own:
        graph, found = by_graph.query_vectors(queries), own.query_vectors(queries)
        assert not own.backend._opened, "no graph was loaded"
    size = np.sqrt(np.mean(np.square(graph)))
    np.testing.assert_allclose(found, graph, rtol=0, atol=1e-5 * size)
    np.testing.assert_allclose(found, exact_vectors(case, queries), rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_at_least_as_exact_as_the_graph(
    precision: str, golden_bundles: Callable[..., Path], bundle: Bundle
) -> None:
    opened = Bundle.open(golden_bundles("db15k_like", precision))
    queries = all_queries(opened)
    exact = exact_vectors("db15k_like", queries)
    with mmkg_sdk.load(opened.path, "torch", "cpu") as by_graph, mmkg_sdk.load(opened.path, "auto", "cpu") as own:
        errors = [np.sqrt(np.mean(np.square(m.query_vectors(queries) - exact))) for m in (own, by_graph)]
    assert errors[0] <= errors[1]


def test_a_bf16_bundle_answers_and_encodes_without_torch(golden_bundles: Callable[..., Path], bundle: Bundle) -> None:
    import subprocess
    import sys

    program = (
        "import sys, mmkg_sdk\n"
        "with mmkg_sdk.load(sys.argv[1], device='cpu') as model:\n"
        "    model.predict_tails(0, 0)\n"
        "    model.encode_entities(visual_tokens=[[1]], text_tokens=[[2]])\n"
        "    assert not {'torch', 'onnxruntime.capi.onnxruntime_inference_collection'} <= set(sys.modules)\n"
        "    assert 'torch' not in sys.modules\n"
    )
    path = golden_bundles("db15k_like", "bf16")
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=120)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_backend_that_was_asked_for_by_name_runs_the_graph(name: str, bundle: Bundle) -> None:
    with mmkg_sdk.load(bundle.path, name, "cpu") as model:
        assert model._stand_ins == LinkStandIns()


def test_other_devices_run_the_graph(bundle: Bundle) -> None:
    assert compiled_query.compiled_query(bundle, "cuda:0", None) is None


def test_without_a_library_the_graph_runs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "library", lambda: "not built: no compiler")
    assert compiled_query.compiled_query(bundle, "cpu", 2) is None
    with mmkg_sdk.load(bundle.path, "auto", "cpu") as model:
        assert list(model.backend._opened) == ["query_encoder"]
        assert len(model.predict_tails(0, 0, k=2)[0]) == 2


def test_the_first_questions_of_many_threads_open_it_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    query, queries = CompiledQuery(bundle, 2), all_queries(bundle)
    opened = []
    real = compiled_query.QueryContext
    monkeypatch.setattr(compiled_query, "QueryContext", lambda *a: opened.append(a) or real(*a))
    expected = CompiledQuery(bundle, 1).query_vectors(bundle.table, queries)
    opened.clear()
    with ThreadPoolExecutor(8) as callers:
        for found in callers.map(lambda _: query.query_vectors(bundle.table, queries), range(16)):
            np.testing.assert_array_equal(found, expected)
    assert len(opened) == 1


def test_entities_added_later_are_asked_about_as_the_others(bundle: Bundle) -> None:
    with mmkg_sdk.load(bundle.path, "auto", "cpu") as model, mmkg_sdk.load(bundle.path, "torch", "cpu") as by_graph:
        for opened in (model, by_graph):
            opened.add_entities(["new"], visual_tokens=[[1, 2]], text_tokens=[[3]])
        expected = by_graph.score_tails(["new", 3], 1)
        np.testing.assert_allclose(model.score_tails(["new", 3], 1), expected, rtol=1e-4, atol=1e-4)


def test_a_closed_model_answers_nothing(bundle: Bundle) -> None:
    model = mmkg_sdk.load(bundle.path, "auto", "cpu")
    model.predict_tails(0, 0)
    model.close()
    with pytest.raises(BackendError, match="this model is closed"):
        model.predict_tails(0, 0)


@pytest.mark.parametrize("asked_before", [False, True])
def test_it_answers_from_the_weights_that_were_verified_when_the_bundle_is_replaced(
    asked_before: bool, bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    query, queries = CompiledQuery(Bundle.open(tmp_path / "bundle"), 1), all_queries(bundle)
    expected = CompiledQuery(bundle, 1).query_vectors(bundle.table, queries)
    if asked_before:
        query.query_vectors(bundle.table, queries)
    (tmp_path / "new").write_bytes(bytes((tmp_path / "bundle" / "weights.safetensors").stat().st_size))
    (tmp_path / "new").rename(tmp_path / "bundle" / "weights.safetensors")
    np.testing.assert_array_equal(query.query_vectors(bundle.table, queries), expected)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("layers.0.query.bias", lambda array: np.full_like(array, np.nan), "query_bias holds NaN or infinity at 0"),
        ("core.multiplied_core", lambda array: np.full_like(array, np.nan), "NaN"),
        ("core.multiplied_core", lambda array: array[:-1], "core|float32"),
        ("core.relation.bias", lambda array: array[:-1], "shift|float32"),
        ("relations", lambda array: array[:, :-1], r"relations is \[7, 31\]; by the configuration \[7, 32\]"),
        ("core.relation.bias", None, r"the core has weights \['core.multiplied_core', 'core.relation.multiplied_we"),
        ("layers.0.query.bias", None, "weights of another graph"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str, bundle: Bundle, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(bundle.path, folder)
    weights = load_file(folder / "weights.safetensors")
    taken = weights.pop(f"query_encoder.{name}")
    if change is not None:
        weights[f"query_encoder.{name}"] = np.ascontiguousarray(change(taken))
    weights["room"] = np.zeros((2, *taken.shape), np.float32)  # graphs read no further than the file goes
    save_file(weights, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises((BackendError, BundleError), match=message):
        CompiledQuery(Bundle.open(folder), 1).query_vectors(bundle.table, all_queries(bundle))


def test_a_vector_that_float32_cannot_hold_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(bundle.path, folder)
    weights = load_file(folder / "weights.safetensors")
    weights["query_encoder.core.multiplied_core"] *= np.float32(1e30)
    weights["query_encoder.layers.0.rest.norm2.weight"] *= np.float32(1e30)
    save_file(weights, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises(BackendError, match="NaN or infinity"):
        CompiledQuery(Bundle.open(folder), 1).query_vectors(bundle.table, all_queries(bundle))

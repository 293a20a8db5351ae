"""What encodes entities in place of the graph, and when."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError
from mmkg_sdk.backends import Backend, compiled, open_backend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo import compiled_encoder
from mmkg_sdk.families.mygo.compiled_encoder import CompiledEncoder, absence
from mmkg_sdk.families.mygo.runtime import bundle_entities
from mmkg_sdk.families.runtimes import LinkStandIns
from mmkg_sdk.kernels import library
from tests.attacks.reseal import reseal


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


def test_it_gives_the_vectors_of_the_graph(bundle: Bundle, backend: Backend) -> None:
    encoder = compiled_encoder.compiled_encoder(bundle, "cpu", 2)
    assert encoder is not None
    batch = bundle_entities(bundle)
    found, graph = encoder.encode(batch), backend.run("entity_encoder_token_table", batch.arrays)
    assert list(found) == list(graph) == ["vectors"]
    np.testing.assert_allclose(found["vectors"], graph["vectors"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_backend_that_was_asked_for_by_name_runs_the_graph(name: str, bundle: Bundle) -> None:
    with mmkg_sdk.load(bundle.path, name, "cpu") as model:
        assert model._stand_ins == LinkStandIns()


@pytest.mark.parametrize(("name", "compiled"), [("auto", True), ("onnxruntime", False)])
def test_a_model_keeps_its_way_of_encoding_when_it_travels(name: str, compiled: bool, bundle: Bundle) -> None:
    with mmkg_sdk.load(bundle.path, name, "cpu") as model, pickle.loads(pickle.dumps(model)) as there:
        assert model.compiled is there.compiled is compiled


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_at_least_as_exact_as_the_graph(
    precision: str, bundle: Bundle, golden_bundles: Callable[..., Path]
) -> None:
    half = Bundle.open(golden_bundles("db15k_like", precision))
    batch = bundle_entities(half)
    found = CompiledEncoder(half, 1).encode(batch)["vectors"]
    graph = open_backend(half, "torch", "cpu").run("entity_encoder_token_table", batch.arrays)["vectors"]
    # The table was encoded in float64.
    errors = [np.sqrt(np.mean(np.square(vectors - half.table))) for vectors in (found, graph)]
    assert errors[0] <= errors[1]


def test_deeper_models_run_the_graph(bundle: Bundle) -> None:
    deep = Bundle(
        bundle.path,
        bundle.manifest | {"graphs": {"entity_encoder": bundle.manifest["graphs"]["entity_encoder"]}},
        {},
        {},
        {},
    )
    assert "exact for one entity encoder layer only" in str(absence(deep))


def test_without_a_library_the_graph_runs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "library", lambda: "not built: no compiler")
    assert absence(bundle) == "not built: no compiler"
    assert compiled_encoder.compiled_encoder(bundle, "cpu", 2) is None


def test_the_first_entities_of_many_threads_open_it_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, batch = CompiledEncoder(bundle, 2), bundle_entities(bundle)
    opened = []
    real = compiled_encoder.TokenTableEncoder
    monkeypatch.setattr(compiled_encoder, "TokenTableEncoder", lambda *a: opened.append(a) or real(*a))
    expected = CompiledEncoder(bundle, 1).encode(batch)["vectors"]
    opened.clear()
    with ThreadPoolExecutor(8) as callers:
        for found in callers.map(lambda _: encoder.encode(batch)["vectors"], range(16)):
            np.testing.assert_array_equal(found, expected)
    assert len(opened) == 1


def test_it_encodes_with_the_weights_that_were_verified_when_the_bundle_is_replaced(
    bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    encoder = CompiledEncoder(Bundle.open(tmp_path / "bundle"), 1)
    (tmp_path / "new").write_bytes(bytes(1000))
    (tmp_path / "new").rename(tmp_path / "bundle" / "weights.safetensors")
    found = encoder.encode(bundle_entities(bundle))["vectors"]
    np.testing.assert_array_equal(found, CompiledEncoder(bundle, 1).encode(bundle_entities(bundle))["vectors"])


def test_weights_that_do_not_fit_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(bundle.path, folder)
    weights = load_file(folder / "weights.safetensors")
    prefix = "entity_encoder_token_table."
    for name, change, message in (
        ("rest.norm2.weight", lambda array: np.full_like(array, np.nan), "norm2_weight holds NaN or infinity at 0"),
        ("logits", lambda array: np.concatenate([array, array]), "multiplied_values is float32"),
        ("value.bias", lambda array: array.astype(np.float64), "value.bias is float64"),
    ):
        save_file(weights | {prefix + name: change(weights[prefix + name])}, folder / "weights.safetensors")
        reseal(folder)
        with pytest.raises(BackendError, match=message):
            CompiledEncoder(Bundle.open(folder), 1).encode(bundle_entities(bundle))

"""Opening a good bundle, and reading where graphs point to. Bad bundles are in tests/attacks."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from mmkg_sdk import BundleError
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle, read_manifest
from mmkg_sdk.bundle.external_data import external_data
from mmkg_sdk.bundle.manifest import manifest_contents
from mmkg_sdk.bundle.onnx_signature import onnx_signature
from mmkg_sdk.families.mygo.runtime import contents
from mmkg_sdk.ranking.known_triples import TAIL, Queries
from tests.attacks.reseal import change_manifest, reseal
from tests.families.mygo.cases import golden_case


def test_a_bundle_holds_what_its_model_was_made_of(golden_bundle: Path) -> None:
    bundle, case = Bundle.open(golden_bundle), golden_case("db15k_like")
    assert (bundle.family, bundle.precision) == ("mygo", "fp32")
    assert (len(bundle.entities), len(bundle.relations)) == (case.options["num_ent"], case.options["num_rel"])
    assert bundle.entities.kind == "entity"
    assert bundle.relations.kind == "relation"
    assert bundle.config.num_heads == case.options["num_head"]
    assert set(bundle.graphs) == set(contents(bundle.config).graphs)
    for split in ("train", "valid", "test"):
        np.testing.assert_array_equal(bundle.triples[split], case.inputs[f"{split}_triples"])
    np.testing.assert_array_equal(bundle.inputs["visual_tokens"], case.inputs["visual_token_index"])
    np.testing.assert_array_equal(bundle.inputs["text_mask"], case.inputs["text_mask"])
    assert bundle.table.flags.c_contiguous


def test_a_bundle_is_a_line_in_its_repr(golden_bundle: Path) -> None:
    assert repr(Bundle.open(golden_bundle)) == f"Bundle(mygo fp32: link-prediction, {str(golden_bundle)!r})"


def test_all_splits_are_known_triples(golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)
    for split in ("train", "valid", "test"):
        head, relation, tail = bundle.triples[split][0]
        queries = Queries(np.array([head]), np.array([relation]), np.array([TAIL]))
        assert tail in bundle.known_triples.answers_of(queries).ids


def test_the_index_of_known_triples_is_stored_and_an_older_bundle_makes_it(golden_bundle: Path, tmp_path: Path) -> None:
    stored = Bundle.open(golden_bundle)
    older = shutil.copytree(golden_bundle, tmp_path / "older")
    (older / "known_triples.safetensors").unlink()
    change_manifest(older, lambda manifest: manifest["files"].pop("known_triples.safetensors"))
    made = Bundle.open(older)
    assert "known_triples" in stored.tensors
    assert "known_triples" not in made.tensors
    for name, array in made.known_triples.arrays().items():
        np.testing.assert_array_equal(stored.known_triples.arrays()[name], array)


def test_an_index_of_other_triples_is_verified_against_them(golden_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(golden_bundle, tmp_path / "bundle")
    tensors = load_file(folder / "known_triples.safetensors")
    row = np.flatnonzero(np.diff(tensors["offsets"]) == 1)[0]  # a query with one answer gets another
    place = tensors["offsets"][row]
    tensors["answers"][place] = (tensors["answers"][place] + 1) % 40
    save_file(tensors, folder / "known_triples.safetensors")
    reseal(folder)
    Bundle.open(folder)
    with pytest.raises(BundleError, match="its answers are not those of the triples"):
        verify_bundle(folder, device="cpu")


def test_changing_what_a_bundle_gives_does_not_change_the_bundle(golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)
    bundle.graphs.clear()
    assert len(bundle.graphs) == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.config.num_heads = 99


def test_the_folder_holds_the_listed_files_and_no_others(golden_bundle: Path) -> None:
    manifest = read_manifest(golden_bundle)
    contents = manifest_contents(manifest)
    assert set(manifest["files"]) == {*contents.files} - {*contents.optional}
    assert set(os.listdir(golden_bundle)) == {*manifest["files"], "bundle.json"}


def test_no_path_of_the_exporting_machine_is_in_the_bundle(golden_bundle: Path) -> None:
    for path in golden_bundle.iterdir():
        assert str(golden_bundle.parent).encode() not in path.read_bytes(), path.name
        assert os.fsencode(Path.home() / "x")[:-1] not in path.read_bytes(), path.name


def test_a_two_layer_model_lacks_only_the_token_table_encoder(golden_bundles: Callable[[str, str], Path]) -> None:
    bundle = Bundle.open(golden_bundles("deep_more_rel", "fp32"))
    assert set(bundle.graphs) == {"entity_encoder", "query_encoder", "complete"}


def test_graphs_point_to_their_weights_as_the_onnx_package_reads_them(golden_bundle: Path) -> None:
    import onnx

    manifest = json.loads((golden_bundle / "bundle.json").read_text())
    for graph in manifest["graphs"]:
        path = golden_bundle / f"{graph}.onnx"
        model = onnx.load(path, load_external_data=False)
        expected = [
            [(entry.key, entry.value) for entry in tensor.external_data]
            for tensor in model.graph.initializer
            if tensor.external_data
        ]
        assert sorted(external_data(memoryview(path.read_bytes()))) == sorted(expected)
        assert expected


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_no_message(data: bytes) -> None:
    for read in (external_data, onnx_signature):
        with contextlib.suppress(ValueError):
            list(read(memoryview(data)))


@given(st.data())
def test_a_graph_with_any_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    good = GRAPH
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] = data.draw(st.integers(0, 255))
    for read in (external_data, onnx_signature):
        with contextlib.suppress(ValueError):
            list(read(memoryview(bad)))


def _graph() -> bytes:
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.safetensors")
    node = helper.make_node("Constant", [], ["w"], value=tensor)
    return bytes(helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString())


GRAPH = _graph()

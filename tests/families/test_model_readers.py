"""Texts and pictures of new entities by models of transformers, in a process that has neither it nor torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.modalities import modality_features
from mmkg_sdk.errors import ExportError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families import contract
from mmkg_sdk.files.tensors import tensors_in, write_tensors
from mmkg_sdk.modalities.model_image_tokens import UNDECIDED, ModelImageTokenizer
from mmkg_sdk.modalities.model_text_tokens import ModelTextTokenizer
from mmkg_sdk.modalities.pictures import rgb_picture
from mmkg_sdk.modalities.stored_tokenizers import TOKENIZERS, parsed_tokenizers
from mmkg_sdk.run import Run
from tests.families import model_tokens

pytest.importorskip("tokenizers", reason="texts need tokenizers")

# The arrays and vectors of every entity by what is said and shown of it, into a file.
PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "sklearn", "onnx", "onnxscript")))
import numpy as np
import mmkg_sdk
from mmkg_sdk.families import contract
bundle, given, out = sys.argv[1:]
given = json.loads(given)
with mmkg_sdk.Model.load(bundle, device="cpu") as model:
    batch = contract.link_runtime(model.bundle.family).entity_batch(model.bundle, **given)
    vectors = model.encode_entities(**given, structure=model.bundle.inputs["structure"])
    added = model.add_entities(
        [f"new {row}" for row in range(len(vectors))], **given, structure=model.bundle.inputs["structure"]
    )
    np.savez(out, **batch.arrays, vectors=vectors, added=model.entity_vectors(added))
"""


def in_another_process(bundle: Path, given: dict, out: Path) -> dict:
    """What PROGRAM finds."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(bundle), json.dumps(given), str(out)], check=True)
    with np.load(out) as found:
        return dict(found)


def raw_inputs(folder: Path) -> dict:
    """What is said and shown of each thing."""
    descriptions = read_dataset(folder / "raw").descriptions
    texts = [descriptions.get(label) for label in model_tokens.ENTITIES]
    return {"texts": texts, "images": model_tokens.pictures_of(folder / "raw")}


def test_mygo_reads_the_rows_and_vectors_of_its_training(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = model_tokens.made_by_models(tmp_path_factory, "mygo", "chameleon")
    found = in_another_process(folder / "bundle", raw_inputs(folder), tmp_path / "found.npz")
    with Model.load(folder / "bundle", device="cpu") as model:
        trained = model.bundle.inputs
        for name in ("text", "visual"):
            mask, width = trained[f"{name}_mask"], found[f"{name}_mask"].shape[1]
            assert mask[:, width:].all()
            np.testing.assert_array_equal(found[f"{name}_mask"], mask[:, :width])
            kept = ~mask[:, :width]
            assert 0 < kept.any(axis=1).sum() < len(kept)
            np.testing.assert_array_equal(found[f"{name}_tokens"][kept], trained[f"{name}_tokens"][:, :width][kept])
        ids = read_dataset(folder / "data").tokens["text"].lists.values()
        moved = trained["text_tokens"][~trained["text_mask"]].max()
        assert 30_522 < moved < max(map(max, ids)), "ids behind MyGO's constant were moved"
        np.testing.assert_allclose(found["vectors"], model.table, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found["added"], found["vectors"])
        said = model.explain_entity("thing 4").tokens
        assert "thing" in {token.text for token in said}
        assert {token.place for token in said} == {None}


@pytest.mark.parametrize("kind", ["janus", "emu3"])
def test_adamf_mat_makes_the_features_of_its_training(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, kind: str
) -> None:
    folder = model_tokens.made_by_models(tmp_path_factory, "adamf_mat", kind)
    found = in_another_process(folder / "bundle", raw_inputs(folder), tmp_path / "found.npz")
    features, masks = {}, {}
    for name in ("text", "visual"):
        wanted = modality_features(read_dataset(folder / "data"), name)
        features[name], masks[name] = wanted.vectors, ~wanted.present
        np.testing.assert_array_equal(found[f"{name}_features"], features[name])
        np.testing.assert_array_equal(found[f"{name}_mask"], masks[name])
        assert 0 < wanted.present.sum() < len(wanted.present)
    with Model.load(folder / "bundle", device="cpu") as model:
        structure = model.bundle.inputs["structure"]
        path = model.encode_entities(features=features, masks=masks, structure=structure)
        np.testing.assert_array_equal(found["vectors"], path)
        np.testing.assert_array_equal(found["added"], path)


@pytest.mark.parametrize(("family", "kind"), [("mygo", "chameleon"), ("adamf_mat", "janus"), ("adamf_mat", "emu3")])
def test_every_picture_has_the_codes_of_the_training_data(
    tmp_path_factory: pytest.TempPathFactory, family: str, kind: str
) -> None:
    folder = model_tokens.made_by_models(tmp_path_factory, family, kind)
    lists = read_dataset(folder / "data").tokens["visual"].lists
    bundle = Bundle.open(folder / "bundle")
    reader = parsed_tokenizers(bundle.files[TOKENIZERS], bundle.path)["visual"]
    assert isinstance(reader, ModelImageTokenizer)
    for label, paths in zip(model_tokens.ENTITIES, model_tokens.pictures_of(folder / "raw"), strict=True):
        found = [code for path in paths or () for code in reader.tokens(rgb_picture(path))]
        assert found == list(lists.get(label, ())), label
    assert len({code for codes in lists.values() for code in codes}) > 4
    assert bundle.manifest["files"][TOKENIZERS]["bytes"] > len(reader.graph)


@pytest.mark.parametrize(("family", "kind"), [("mygo", "chameleon"), ("adamf_mat", "janus"), ("adamf_mat", "emu3")])
def test_an_export_judges_the_graph_by_what_the_model_said(
    tmp_path_factory: pytest.TempPathFactory, family: str, kind: str, tmp_path: Path
) -> None:
    folder = model_tokens.made_by_models(tmp_path_factory, family, kind)
    reader = parsed_tokenizers(Bundle.open(folder / "bundle").files[TOKENIZERS], folder)["visual"]
    assert isinstance(reader, ModelImageTokenizer)
    decided = reader.judged[reader.judged != UNDECIDED]
    assert len(decided) > 0.9 * reader.judged.size
    assert len(np.unique(decided)) > 2
    assert reader.share_wrong() == 0
    shutil.copytree(folder / "run", tmp_path / "run")
    changed = np.where(reader.judged == decided[0], (decided[0] + 1) % reader.size, reader.judged)
    content = memoryview((folder / "run" / TOKENIZERS).read_bytes())
    with (tmp_path / "run" / TOKENIZERS).open("wb") as file:
        write_tensors(file, tensors_in(content) | {"visual.judged": changed})
    with pytest.raises(ExportError, match="codes that are not the model's"):
        export_bundle(Run.open(tmp_path / "run"), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_token_that_no_training_text_had_is_read_or_left_out_by_the_same_rule(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = model_tokens.made_by_models(tmp_path_factory, "adamf_mat", "janus")
    raw = read_dataset(folder / "data").tokens["text"]
    assert isinstance(raw.made_by, ModelTextTokenizer)
    vocabulary = json.loads((folder / "bert" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    # "thing" and "a" stand in more than a quarter of the 16 texts, which are too few for that to count; ":" is a sign.
    assert raw.made_by.tokens(["thing : ! [SEP]", ""]) == [[vocabulary["thing"], vocabulary["[SEP]"]], []]
    with Model.load(folder / "bundle", device="cpu") as model:
        runtime = contract.link_runtime("adamf_mat")
        row = runtime.entity_batch(model.bundle, texts=["thing"]).arrays["text_features"][0]
        np.testing.assert_array_equal(row, raw.codebook[vocabulary["thing"]])

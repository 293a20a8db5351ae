"""Texts of new entities by the tokenizer of a language model, in a process that has neither torch nor transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.modalities import modality_features
from mmkg_sdk.families import contract
from mmkg_sdk.modalities.model_text_tokens import ModelTextTokenizer
from tests.families import model_tokens

pytest.importorskip("tokenizers", reason="texts need tokenizers")

# The arrays and vectors of every entity by its text alone, into a file.
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


def texts_of(folder: Path) -> list[str | None]:
    descriptions = read_dataset(folder / "raw").descriptions
    return [descriptions.get(label) for label in model_tokens.ENTITIES]


def test_mygo_reads_the_rows_and_vectors_of_its_training(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = model_tokens.made_by_text_model(tmp_path_factory, "mygo")
    found = in_another_process(folder / "bundle", {"texts": texts_of(folder)}, tmp_path / "found.npz")
    with Model.load(folder / "bundle", device="cpu") as model:
        mask, trained = model.bundle.inputs["text_mask"], model.bundle.inputs["text_tokens"]
        width = found["text_mask"].shape[1]
        assert mask[:, width:].all()
        np.testing.assert_array_equal(found["text_mask"], mask[:, :width])
        kept = ~found["text_mask"]
        np.testing.assert_array_equal(found["text_tokens"][kept], trained[:, :width][kept])
        assert 30_522 < trained[~mask].max() < 30_540, "ids behind MyGO's constant were moved"
        np.testing.assert_allclose(found["vectors"], model.table, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found["added"], found["vectors"])
        word = model.explain_entity("thing 1").tokens[0].text
        assert word
        assert word.removeprefix("##") in read_dataset(folder / "raw").descriptions["thing 1"]


def test_adamf_mat_makes_the_features_of_its_training(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    folder = model_tokens.made_by_text_model(tmp_path_factory, "adamf_mat")
    found = in_another_process(folder / "bundle", {"texts": texts_of(folder)}, tmp_path / "found.npz")
    wanted = modality_features(read_dataset(folder / "data"), "text")
    np.testing.assert_array_equal(found["text_features"], wanted.vectors)
    np.testing.assert_array_equal(found["text_mask"], ~wanted.present)
    assert 0 < wanted.present.sum() < len(wanted.present)
    with Model.load(folder / "bundle", device="cpu") as model:
        given = {"features": {"text": wanted.vectors}, "masks": {"text": ~wanted.present}}
        path = model.encode_entities(**given, structure=model.bundle.inputs["structure"])
        np.testing.assert_array_equal(found["vectors"], path)
        np.testing.assert_array_equal(found["added"], path)


def test_a_token_that_no_training_text_had_is_read_or_left_out_by_the_same_rule(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = model_tokens.made_by_text_model(tmp_path_factory, "adamf_mat")
    raw = read_dataset(folder / "data").tokens["text"]
    assert isinstance(raw.made_by, ModelTextTokenizer)
    vocabulary = json.loads((folder / "bert" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    # "thing" and "a" stand in more than a quarter of the 16 texts, which are too few for that to count; ":" is a sign.
    assert raw.made_by.tokens(["thing : ! [SEP]", ""]) == [[vocabulary["thing"], vocabulary["[SEP]"]], []]
    with Model.load(folder / "bundle", device="cpu") as model:
        runtime = contract.link_runtime("adamf_mat")
        row = runtime.entity_batch(model.bundle, texts=["thing"]).arrays["text_features"][0]
        np.testing.assert_array_equal(row, raw.codebook[vocabulary["thing"]])

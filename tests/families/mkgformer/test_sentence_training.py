"""Training on sentences: from a folder to a run, again to the bit, and from public towers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.families.mkgformer.inputs import config_for, initial_weights
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import start_training
from tests.families.mkgformer.sentence_bundles import LENGTHS, TEXTS, TINY, toy_bundle, toy_data

SETTINGS = {**TINY, "epochs": 2, "batch_size": 4, "learning_rate": 1e-2, "validate_every": 1, "schedule": "constant"}


@pytest.mark.parametrize(("task", "selected"), [("mre", "micro_f1"), ("mner", "f1")])
def test_training_learns_and_is_the_same_again(task: str, selected: str, tmp_path: Path) -> None:
    toy_data(task, tmp_path / "data")
    settings = SETTINGS | {"max_length": LENGTHS[task], "tokenizer": str(TEXTS / "vocab.txt")}
    runs = []
    for name in ("first", "again"):
        run, result = start_training(
            "mkgformer", str(tmp_path / "data"), tmp_path / name, settings=settings, preset="none"
        )
        assert set(result.best_metrics) >= {selected}
        runs.append(run)
    weights, same = (run.weights() for run in runs)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    fresh = build(runs[0].config, {}).state_dict()
    # The classifier is trained, which the authors' program leaves out by accident.
    head = "classifier.weight" if task == "mre" else "crf.transitions"
    assert not torch.equal(weights[head], fresh[head])


def test_training_begins_with_public_towers(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    words = (TEXTS / "vocab.txt").read_text().splitlines()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    bert = transformers.BertModel(transformers.BertConfig(**sizes, vocab_size=len(words), max_position_embeddings=160))
    bert.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=8)).save_pretrained(
        tmp_path / "clip"
    )
    towers = {"pretrained_text": str(tmp_path / "bert"), "pretrained_vision": str(tmp_path / "clip")}
    data = toy_data("mre", tmp_path / "data")
    config = config_for(data, {**TINY, **towers, "max_length": 24})
    assert config.tokenizer == str(tmp_path / "bert")
    given = initial_weights(data, config)
    table = given["model.text_embeddings.word_embeddings.weight"]
    assert table.shape == (len(words) + 4, 16)
    np.testing.assert_array_equal(table[:-4], bert.embeddings.word_embeddings.weight.detach().numpy())
    model = build(config.to_json(), {})
    assert set(given) < set(model.state_dict())
    assert not any(name.startswith("classifier") for name in given)


# Torch and transformers are not there, as in a deployment.
CHILD = """
import sys
for name in ("torch", "transformers", "onnx", "sklearn"):
    sys.modules[name] = None
import mmkg_sdk
with mmkg_sdk.load(sys.argv[1], "onnxruntime", "cpu") as opened:
    if isinstance(opened, mmkg_sdk.Tagger):
        print(len(opened.tag("the film from germany")))
    else:
        print(opened.extract_relations(mmkg_sdk.RelationMention("the film from germany", "film", "germany"))[0].label)
"""


@pytest.mark.parametrize("task", ["mre", "mner"])
def test_answers_need_neither_torch_nor_transformers(task: str, toys: Callable[[str], Path]) -> None:
    command = [sys.executable, "-c", CHILD, str(toys(task) / "bundle")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("1", "None", "/per/loc", "/per/per")


@pytest.mark.parametrize("groups", [{"num_aux_images": None}, {"num_aux_images": None, "num_rcnn_images": None}])
def test_a_model_without_pictures_is_exported_too(groups: dict[str, None], tmp_path: Path) -> None:
    import mmkg_sdk

    with mmkg_sdk.load(toy_bundle("mre", tmp_path, **groups), device="cpu") as extractor:
        found = extractor.extract_relations(mmkg_sdk.RelationMention("the film from germany", "film", "germany"))
        assert 0 < found[0].score < 1
    manifest = (tmp_path / "bundle" / "bundle.json").read_text()
    assert str(TEXTS) not in manifest
    assert Run.open(tmp_path / "run").tensors("images").keys() == (
        {"rcnn", "rcnn_present"} if len(groups) == 1 else set()
    )

"""Exporting: nothing is written unless the bundle answers like the model; what is in the way is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk import ExportError, MmkgError
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.run import Run
from tests.places import GOLDEN


@pytest.fixture
def run(golden_run: Run, tmp_path: Path) -> Run:
    """A copy that a test may spoil."""
    shutil.copytree(golden_run.folder, tmp_path / "run")
    return Run.open(tmp_path / "run")


def scale(run: Run, name: str, factor: float) -> None:
    weights = run.weights()
    weights[name] *= factor
    run.save_weights(weights)


def test_an_unknown_precision_is_named_with_those_that_exist(golden_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="unknown precision 'int4'; expected one of fp32, fp16, bf16, int8, fp8"):
        export_bundle(golden_run, tmp_path / "bundle", precision="int4")
    assert os.listdir(tmp_path) == []


def test_a_run_without_weights_is_no_bundle_yet(run: Run, tmp_path: Path) -> None:
    (run.folder / "weights.safetensors").unlink()
    with pytest.raises(ExportError, match="has no weights yet"):
        export_bundle(run, tmp_path / "bundle")
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_with_nan_weights_is_refused_by_the_name_of_the_tensor(run: Run, tmp_path: Path) -> None:
    scale(run, "rel_embeddings", float("nan"))
    with pytest.raises(MmkgError, match=r"tensor 'rel_embeddings' holds .* values that are not finite"):
        export_bundle(run, tmp_path / "bundle")
    assert os.listdir(tmp_path) == ["run"]


def test_a_loss_of_precision_fails_with_a_table_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    # The core becomes too small for fp16 and is 0 there; the last norm makes the result large again in float32.
    scale(run, "tucker_decoder.W", 1e-9)
    scale(run, "tucker_decoder.bn1.running_mean", 0.0)
    scale(run, "tucker_decoder.bn1.bias", 0.0)
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ExportError, match="differ from the model; no bundle was written") as caught:
        export_bundle(run, tmp_path / "bundle", precision="fp16")
    table = str(caught.value).splitlines()[1:]
    assert table[0].split() == ["graph", "difference", "limit", "measure"]
    failed = [line for line in table if "FAIL" in line]
    assert any("largest score error / rms" in line for line in failed)
    assert any("another top 10 beyond the tolerance" in line for line in failed)
    assert any(line.startswith("entity_encoder ") and " ok " in line for line in table)
    assert sorted(os.listdir(tmp_path)) == ["bundle", "run"]
    assert os.listdir(tmp_path / "bundle") == []


def test_a_weight_beyond_half_precision_is_an_export_error(run: Run, tmp_path: Path) -> None:
    scale(run, "tucker_decoder.W", 1e9)
    with pytest.raises(ExportError, match="query_encoder in fp16 gave NaN or infinity"):
        export_bundle(run, tmp_path / "bundle", precision="fp16")
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.usefixtures("traced_anew")
def test_overwriting_is_asked_for_and_keeps_the_old_bundle_until_then(
    golden_run: Run, golden_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(golden_bundle, tmp_path / "bundle")
    before = (tmp_path / "bundle" / "bundle.json").read_bytes()
    with pytest.raises(ExportError, match=r"holds a bundle already\. Pass --overwrite"):
        export_bundle(golden_run, tmp_path / "bundle")
    assert (tmp_path / "bundle" / "bundle.json").read_bytes() == before
    old = Bundle.open(tmp_path / "bundle")
    report = export_bundle(golden_run, str(tmp_path / "bundle"), overwrite=True)
    assert report.passed
    new = Bundle.open(tmp_path / "bundle")
    assert (tmp_path / "bundle").stat().st_ino != golden_bundle.stat().st_ino
    digests = [{name: entry["sha256"] for name, entry in b.manifest["files"].items()} for b in (old, new)]
    for name in digests[0]:
        if name not in ("MODEL_CARD.md", "parity.json"):  # they hold the time, and errors of this very run
            assert digests[0][name] == digests[1][name], f"{name} is the same in every export"
    assert json.loads((tmp_path / "bundle" / "parity.json").read_text())["passed"] is True


def test_a_graph_of_one_entity_and_one_relation_is_exported_and_answers(tmp_path: Path) -> None:
    run = smallest_run(tmp_path)
    export_bundle(run, tmp_path / "bundle")
    for backend in ("onnxruntime", "torch"):
        with mmkg_sdk.load(tmp_path / "bundle", backend, "cpu") as model:
            assert (len(model.entities), len(model.relations)) == (1, 1)
            (ranking,) = model.predict_tails("entity 0", "relation 0", k=10, filter_known=False)
            assert ranking.ids.tolist() == [0]
            assert len(model.predict_tails(0, 0)[0]) == 0, "its only answer is known"
            assert len(model.predict_heads([], [])) == 0
            assert model.score_heads(0, 0).shape == (1, 1)
            model.add_entities(["second"], visual_tokens=[[0]], text_tokens=[[]])
            assert model.predict_tails("second", 0, filter_known=False).k == 2


def smallest_run(folder: Path) -> Run:
    """A model of one entity, one relation, and a codebook of one row for each modality."""
    import numpy as np
    import torch

    from mmkg_sdk.data.graph import KnowledgeGraph
    from mmkg_sdk.families.mygo.config import MyGOConfig
    from mmkg_sdk.files.labels import Labels
    from mmkg_sdk.registry import family_part

    config = MyGOConfig(1, 1, 1, 3, 1, 3, 1, 1, embedding_dim=4, feedforward_dim=4, num_heads=1).to_json()
    inputs = {
        "visual_tokens": np.zeros((1, 1), np.int64),
        "visual_mask": np.zeros((1, 1), bool),
        "text_tokens": np.zeros((1, 1), np.int64),
        "text_mask": np.ones((1, 1), bool),
    }
    none = np.empty((0, 3), np.int64)
    graph = KnowledgeGraph(
        "smallest", Labels(["entity 0"]), Labels(["relation 0"]), np.zeros((1, 3), np.int64), none, none
    )
    run = Run.create(folder / "run", family="mygo", config=config, data=link_prediction_data(graph, inputs))
    torch.manual_seed(0)
    run.save_weights(family_part("mygo", "model").build(config, inputs).state_dict())
    return run


def test_an_import_over_a_run_is_asked_for(tmp_path: Path) -> None:
    case = GOLDEN / "mygo" / "inner_score"
    for overwrite in (False, True):
        import_checkpoint(
            "mygo",
            case / "checkpoint.pt",
            tmp_path / "run",
            inputs=case / "inputs.npz",
            config=case / "config.json",
            overwrite=overwrite,
        )
    with pytest.raises(MmkgError, match="holds a run already"):
        import_checkpoint(
            "mygo", case / "checkpoint.pt", tmp_path / "run", inputs=case / "inputs.npz", config=case / "config.json"
        )

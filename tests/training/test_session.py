"""Training from a data set's name: presets, settings, resume, torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkg_sdk.data import write_dataset
from mmkg_sdk.errors import DataError, MmkgError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families import contract
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import resume_training, start_training
from tests.cli.running import mmkg
from tests.data.folders import small_dataset

TINY = {
    "embedding_dim": 8,
    "feedforward_dim": 16,
    "num_visual_tokens": 2,
    "num_text_tokens": 2,
    "epochs": 3,
    "batch_size": 16,
    "validate_every": 1,
    "contrastive_weight": 0.1,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A ring of twelve entities: next and previous; without tokens."""
    folder = tmp_path / "ring"
    folder.mkdir()
    lines = [f"e{i}\tnext\te{(i + 1) % 12}\ne{(i + 1) % 12}\tprevious\te{i}\n" for i in range(12)]
    (folder / "train.txt").write_text("".join(lines[:10]))
    (folder / "valid.txt").write_text(lines[10])
    (folder / "test.txt").write_text(lines[11])
    (folder / "entities.txt").write_text("".join(f"e{i}\n" for i in range(12)))
    (folder / "relations.txt").write_text("next\nprevious\n")
    return folder


def test_a_data_set_without_tokens_trains_on_its_structure_and_says_so(data: Path, tmp_path: Path) -> None:
    message = r"no image tokens and no text tokens found: training on structure alone; looked for visual-tokens.json, "
    with pytest.warns(UserWarning, match=message):
        run, result = start_training("mygo", str(data), tmp_path / "run", settings=TINY, preset="none")
    assert result.epochs == 3
    assert run.has_weights
    assert run.inputs["visual_mask"].all()
    assert run.config["visual_codebook_rows"] == 1
    log = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log] == [1, 2, 3]
    assert all({"loss", "cross_entropy", "contrastive", "valid"} <= set(row) for row in log)


def test_what_is_required_and_not_there_stops_the_training(data: Path, tmp_path: Path) -> None:
    for family in ("mygo", "adamf_mat"):
        with pytest.raises(DataError, match=r"no text (tokens|features) found, and text is required; looked for "):
            start_training(family, str(data), tmp_path / "run", settings={"epochs": 1}, preset="cpu", require=["text"])
    assert not (tmp_path / "run").exists()


def test_features_are_trained_on_and_what_is_dropped_on_purpose_was_there(data: Path, tmp_path: Path) -> None:
    vectors = np.arange(1, 37, dtype=np.float32).reshape(12, 3)
    for name in ("image.npy", "ring_text.npy"):
        np.save(data / name, vectors)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no (image|text)")
        run, _ = start_training(
            "adamf_mat",
            str(data),
            tmp_path / "run",
            settings={"embedding_dim": 4, "epochs": 1, "batch_size": 5, "num_negatives": 2, "learning_rate": 1e-9},
            preset="none",
            require=["image", "text"],
            drop_modality={"text": 1.0},
        )
    np.testing.assert_allclose(run.weights()["img_embeddings.weight"], vectors, rtol=1e-6)
    np.testing.assert_allclose(run.weights()["text_embeddings.weight"], 0, atol=1e-6)


def test_the_same_seed_gives_the_same_weights(data: Path, tmp_path: Path) -> None:
    runs = [
        start_training("mygo", str(data), tmp_path / name, settings=TINY, preset="none")[0] for name in ("one", "two")
    ]
    for name, weight in runs[0].weights().items():
        np.testing.assert_array_equal(weight, runs[1].weights()[name])


def test_a_finished_run_resumes_to_itself(data: Path, tmp_path: Path) -> None:
    run, first = start_training("mygo", str(data), tmp_path / "run", settings=TINY, preset="none")
    _, again = resume_training(run.folder)
    assert (again.epochs, again.best_epoch, again.best_metrics) == (first.epochs, first.best_epoch, first.best_metrics)


def before_its_first_state(run: Run) -> Path:
    """What a kill leaves between the first file of a run and its first state."""
    for name in ("resume.pt", "weights.safetensors", "metrics.jsonl"):
        (run.folder / name).unlink()
    return run.folder


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_a_run_killed_before_its_first_state_resumes_from_its_start(family: str, tmp_path: Path) -> None:
    write_dataset(small_dataset(), tmp_path / "small")
    settings = {"epochs": 2, "batch_size": 16, "validate_every": 1}
    settings |= TINY if family == "mygo" else {}
    run, first = start_training(
        family,
        str(tmp_path / "small"),
        tmp_path / "run",
        settings=settings,
        preset="none",
        drop_modality={"image": 0.5},
    )
    expected = run.weights()
    _, again = resume_training(before_its_first_state(run))
    assert again.best_metrics == first.best_metrics
    for name, weight in run.weights().items():
        np.testing.assert_array_equal(weight, expected[name])


def test_a_run_without_a_state_is_not_resumed_on_other_data_or_without_the_weights_it_began_with(
    data: Path, tmp_path: Path
) -> None:
    run, _ = start_training("mygo", str(data), tmp_path / "run", settings=TINY, preset="none")
    second, _ = start_training("mygo", str(data), tmp_path / "second", settings=TINY, preset="none", start=run.folder)
    with pytest.raises(DataError, match="began with the weights of run, and does not know where"):
        resume_training(before_its_first_state(second))
    (data / "entities.txt").write_text("".join(f"e{11 - i}\n" for i in range(12)))
    with pytest.raises(DataError, match="has other labels since"):
        resume_training(before_its_first_state(run))


def test_every_message_that_recommends_to_resume_names_a_command_that_works(data: Path, tmp_path: Path) -> None:
    run, _ = start_training("mygo", str(data), tmp_path / "run", settings=TINY, preset="none")
    before_its_first_state(run)
    messages = []
    for refused in (run.weights, lambda: export_bundle(run, tmp_path / "bundle")):
        with pytest.raises(MmkgError) as error:
            refused()
        messages.append(str(error.value).partition(": mmkg-sdk ")[2] or str(error.value).rpartition("mmkg-sdk ")[2])
    assert set(messages) == {f"train --resume {run.folder}"}
    assert "validation" in mmkg(*messages[0].split()).stdout
    assert run.has_weights


def test_what_does_not_go_with_resume_is_refused(data: Path, tmp_path: Path) -> None:
    run, _ = start_training("mygo", str(data), tmp_path / "run", settings=TINY, preset="none")
    wrong = mmkg("train", "mimic", "--resume", run.folder, code=2).stderr
    assert "is a run of mygo and not of mimic" in wrong
    assert "pass no others" in mmkg("train", "--resume", run.folder, "--overwrite", code=2).stderr
    assert "pass a family, --data and --out" in mmkg("train", code=2).stderr


@pytest.mark.parametrize(
    ("settings", "preset", "message"),
    [
        ({"learning_rat": 1}, "none", "learning_rat"),
        ({"epochs": 0}, "none", "epochs"),
        ({"num_heads": 3}, "none", "num_heads 3"),
        ({"visual_dropout": 1.5}, "none", "visual_dropout"),
        ({"num_text_tokens": 1, "contrastive_weight": 0.1}, "none", "last text slot"),
        ({}, "no-such-preset", "no-such-preset"),
        ({"num_entities": 5}, "none", r"setting num_entities is 5, but the data .* decide it: it is 12. Leave it out"),
    ],
)
def test_a_wrong_setting_is_named(
    data: Path, tmp_path: Path, settings: dict[str, object], preset: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        start_training("mygo", str(data), tmp_path / "run", settings=TINY | settings, preset=preset)
    assert not (tmp_path / "run").exists()


def test_without_a_preset_that_fits_the_one_of_the_device_is_taken_and_the_others_named(
    data: Path, tmp_path: Path
) -> None:
    others = "Others: db15k, mkg-w, cpu, atlas, emoji, none"
    with pytest.warns(UserWarning, match=rf"mygo has no preset named '.*ring': its .* device, 'cpu', .* {others}"):
        run, _ = start_training("mygo", str(data), tmp_path / "run", settings=TINY, device="cpu")
    assert run.source["preset"] == "cpu"
    taken = contract.config_part("mygo").PRESETS["cpu"] | TINY
    found = {**run.config, **(run.settings or {}), "precision": run.source["precision"]}
    assert {name: found[name] for name in taken} == taken


def test_where_none_fits_the_device_either_a_preset_is_asked_for(data: Path, tmp_path: Path) -> None:
    message = (
        r"mimic has no preset named '.*ring', and none for cpu. Pass --preset with one of wikimel, .*, or with none"
    )
    with pytest.raises(DataError, match=message):
        start_training("mimic", str(data), tmp_path / "run", settings={}, device="cpu")


@pytest.mark.parametrize(("capable", "taken"), [(True, "bf16"), (False, "fp32")])
def test_the_precision_of_the_processor_is_chosen_said_and_kept(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    capable: bool,
    taken: str,
) -> None:
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: capable)
    settings = TINY | {"precision": "auto", "epochs": 1}
    run, _ = start_training("mygo", str(data), tmp_path / "run", settings=settings, preset="none", device="cpu")
    assert f"precision auto: {taken} on this cpu" in capsys.readouterr().err
    manifest = json.loads((run.folder / "run.json").read_text())
    assert (manifest["settings"]["precision"], manifest["source"]["precision"]) == (taken, "auto")
    # Another processor goes on in the same precision.
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: not capable)
    assert resume_training(run.folder, device="cpu")[1].epochs == 1


def test_a_preset_that_was_taken_by_name_stands_in_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.rename(tmp_path / "atlas-mkg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(contract.config_part("mygo").PRESETS, "atlas-mkg", {**TINY, "epochs": 2})
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has no preset")
        run, result = start_training("mygo", "atlas-mkg", "run", settings={})
    assert (run.source["preset"], result.epochs) == ("atlas-mkg", 2)


def test_a_family_may_be_spelled_as_in_its_paper(data: Path, tmp_path: Path) -> None:
    tiny = {"embedding_dim": 4, "num_negatives": 2, "epochs": 1}
    run, _ = start_training("adamf-mat", str(data), tmp_path / "run", settings=tiny, preset="none")
    assert Run.open(run.folder).family == "adamf_mat"


def test_torchrun_trains_one_run_with_two_processes(data: Path, tmp_path: Path) -> None:
    settings = [f"--set={key}={json.dumps(value)}" for key, value in TINY.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "mmkg_sdk.cli.main", "train", "mygo", "--data", str(data), "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "weights.safetensors").is_file()

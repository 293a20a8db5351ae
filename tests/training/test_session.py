"""Training from a data set's name: presets, settings, resume, torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.training.session import resume_training, start_training

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
        run, result = start_training("mygo", str(data), tmp_path / "run", settings=TINY)
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
            start_training(family, str(data), tmp_path / "run", settings={"epochs": 1}, require=["text"])
    assert not (tmp_path / "run").exists()


def test_features_are_trained_on_and_what_is_dropped_on_purpose_was_there(data: Path, tmp_path: Path) -> None:
    vectors = np.arange(1, 37, dtype=np.float32).reshape(12, 3)
    for name in ("image.npy", "ring_text.npy"):
        np.save(data / name, vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run, _ = start_training(
            "adamf_mat",
            str(data),
            tmp_path / "run",
            settings={"embedding_dim": 4, "epochs": 1, "batch_size": 5, "num_negatives": 2, "learning_rate": 1e-9},
            require=["image", "text"],
            drop_modality={"text": 1.0},
        )
    np.testing.assert_allclose(run.weights()["img_embeddings.weight"], vectors, rtol=1e-6)
    np.testing.assert_allclose(run.weights()["text_embeddings.weight"], 0, atol=1e-6)


def test_the_same_seed_gives_the_same_weights(data: Path, tmp_path: Path) -> None:
    runs = [start_training("mygo", str(data), tmp_path / name, settings=TINY)[0] for name in ("one", "two")]
    for name, weight in runs[0].weights().items():
        np.testing.assert_array_equal(weight, runs[1].weights()[name])


def test_a_finished_run_resumes_to_itself(data: Path, tmp_path: Path) -> None:
    run, first = start_training("mygo", str(data), tmp_path / "run", settings=TINY)
    _, again = resume_training(run.folder)
    assert (again.epochs, again.best_epoch, again.best_metrics) == (first.epochs, first.best_epoch, first.best_metrics)


def test_a_run_killed_before_its_first_state_is_not_resumed(data: Path, tmp_path: Path) -> None:
    run, _ = start_training("mygo", str(data), tmp_path / "run", settings=TINY)
    (run.folder / "resume.pt").unlink()
    with pytest.raises(DataError, match=r"no resume\.pt"):
        resume_training(run.folder)


@pytest.mark.parametrize(
    ("settings", "preset", "message"),
    [
        ({"learning_rat": 1}, None, "learning_rat"),
        ({"epochs": 0}, None, "epochs"),
        ({"num_heads": 3}, None, "num_heads 3"),
        ({"visual_dropout": 1.5}, None, "visual_dropout"),
        ({"num_text_tokens": 1, "contrastive_weight": 0.1}, None, "last text slot"),
        ({}, "no-such-preset", "no-such-preset"),
    ],
)
def test_a_wrong_setting_is_named(
    data: Path, tmp_path: Path, settings: dict[str, object], preset: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        start_training("mygo", str(data), tmp_path / "run", settings=TINY | settings, preset=preset)
    assert not (tmp_path / "run").exists()


def test_torchrun_trains_one_run_with_two_processes(data: Path, tmp_path: Path) -> None:
    settings = [f"--set={key}={json.dumps(value)}" for key, value in TINY.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "mmkg_sdk.cli.main", "train", "mygo", "--data", str(data), "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "weights.safetensors").is_file()

"""Training through the shared loop: it learns, the adversary is trained, saved and resumed to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmkg_sdk.cli.settings import parse_assignments
from mmkg_sdk.data.graph import DataSet, Features, KnowledgeGraph
from mmkg_sdk.data.write import write_dataset
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run
from mmkg_sdk.training.metrics import read_metrics
from mmkg_sdk.training.session import resume_training, start_training

SETTINGS = {
    "embedding_dim": 8,
    "margin": 6.0,
    "num_negatives": 8,
    "noise_dim": 4,
    "generator_learning_rate": 1e-3,
    "batch_size": 16,
    "learning_rate": 3e-2,
    "schedule": "constant",
    "clip_norm": None,
    "validate_every": 2,
    "threads": 1,
}


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty entities on a ring, `next` and its inverse; every second one with an image."""
    rng = np.random.default_rng(0)
    triples = np.array([(i, r, (i + (1, -1)[r]) % 20) for i in range(20) for r in (0, 1)], np.int64)
    graph = KnowledgeGraph(
        "ring",
        Labels(f"e{i}" for i in range(20)),
        Labels(["next", "previous"], kind="relation"),
        triples[4:],
        triples[:2],
        triples[2:4],
    )
    images = rng.standard_normal((20, 5)).astype(np.float32) * (np.arange(20) % 2)[:, None]
    folder = tmp_path_factory.mktemp("data") / "ring"
    present = images.any(axis=1)
    write_dataset(DataSet(graph, features={"visual": Features(images, present)}), folder)
    return folder


def train(data: Path, out: Path, **settings: object) -> Run:
    run, _ = start_training("adamf_mat", str(data), out, settings=SETTINGS | settings, preset="none", device="cpu")
    return run


def test_it_learns_the_ring(ring: Path, tmp_path: Path) -> None:
    run = train(ring, tmp_path / "run", epochs=120, validate_every=60)
    assert read_metrics(run.folder / "metrics.jsonl")[-1]["valid"]["mrr"] > 0.5


def test_an_adversary_is_trained_beside_the_model_and_resumed_to_the_bit(ring: Path, tmp_path: Path) -> None:
    whole = train(ring, tmp_path / "whole", epochs=6, adversarial_weight=0.5)
    rows = read_metrics(whole.folder / "metrics.jsonl")
    assert {"loss", "negative_sampling", "against_fakes", "adversary_loss"} <= rows[0].keys()
    first = torch.load(whole.folder / "resume.pt", weights_only=True)
    names = [name for name in first["objective"] if name.startswith("adversary.")]
    assert len(names) == 8  # two generators of two layers
    assert len(first["optimizers"]) == 2

    part = train(ring, tmp_path / "part", epochs=4, adversarial_weight=0.5)
    manifest = (part.folder / "run.json").read_text().replace('"epochs": 4', '"epochs": 6')
    (part.folder / "run.json").write_text(manifest)
    resume_training(part.folder, device="cpu")
    second = torch.load(part.folder / "resume.pt", weights_only=True)
    for name, tensor in first["objective"].items():
        assert torch.equal(tensor, second["objective"][name]), name
    for own, other in zip(first["optimizers"], second["optimizers"], strict=True):
        for key, state in own["state"].items():
            assert all(torch.equal(state[n], other["state"][key][n]) for n in ("exp_avg", "exp_avg_sq"))


def test_generators_change_the_model_only_with_a_weight(ring: Path, tmp_path: Path) -> None:
    with_weight = train(ring, tmp_path / "with", epochs=2, adversarial_weight=0.5)
    without = train(ring, tmp_path / "without", epochs=2, adversarial_weight=0.0)
    assert "adversary_loss" not in read_metrics(without.folder / "metrics.jsonl")[0]
    state = torch.load(without.folder / "resume.pt", weights_only=True)
    assert not [name for name in state["objective"] if name.startswith("adversary.")]
    ours, theirs = with_weight.weights(), without.weights()
    assert not torch.equal(ours["ent_embeddings.weight"], theirs["ent_embeddings.weight"])
    assert not [name for name in ours if "generator" in name]  # as in official checkpoints


def test_dropped_and_masked_modalities_reach_the_run(ring: Path, tmp_path: Path) -> None:
    run, _ = start_training(
        "adamf_mat",
        str(ring),
        tmp_path / "run",
        settings=SETTINGS | {"epochs": 1, "missing_modalities": "mask"},
        preset="none",
        drop_modality=parse_assignments(("image=0.5",), "--drop-modality"),
        device="cpu",
    )
    assert run.source["drop_modality"] == {"image": 0.5}
    assert run.inputs["visual_mask"].sum() > 10  # ten had none, and some of the others lost theirs
    assert run.inputs["text_mask"].all()

"""The loop with a real family: a miniature MyGO learns, resumes to the bit and trains in bf16."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmkg_sdk.data.graph import KnowledgeGraph
from mmkg_sdk.evaluation import evaluate_link_prediction
from mmkg_sdk.families.link_prediction import link_prediction_data, link_scorer
from mmkg_sdk.families.mygo.modalities import token_inputs
from mmkg_sdk.families.mygo.model import MyGO, build
from mmkg_sdk.families.mygo.objective import Objective
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import KnownTriples
from mmkg_sdk.run import Run
from mmkg_sdk.training import TrainingSettings, train
from mmkg_sdk.training.metrics import read_metrics
from mmkg_sdk.training.seeding import seed_everything
from tests.families.mygo.cases import golden_case
from tests.training.tiny import without_times

SETTINGS = TrainingSettings(
    epochs=6,
    batch_size=64,
    learning_rate=3e-3,
    schedule="one-cycle",
    clip_norm=1.0,
    validate_every=2,
    threads=1,
)

FLOOR = RankingProtocol("floor")


@pytest.fixture(scope="module")
def original() -> MyGO:
    return golden_case("db15k_like").model()


def graph_of(model: MyGO) -> KnowledgeGraph:
    """Triples with a rule to learn: relation r leads from entity e to e + r + 1."""
    count, relations = model.config.num_entities, model.config.num_relations
    head, relation = np.divmod(np.random.default_rng(0).permutation(count * relations), relations)
    triples = np.stack([head, relation, (head + relation + 1) % count], axis=1)
    return KnowledgeGraph(
        name="ring",
        entities=Labels(str(entity) for entity in range(count)),
        relations=Labels((str(relation) for relation in range(relations)), kind="relation"),
        train=triples[:-30],
        valid=triples[-30:-15],
        test=triples[-15:],
    )


def new_run(folder: Path, original: MyGO, **changes: float) -> Run:
    inputs = {name: original.get_buffer(name).numpy() for name in token_inputs(original.config.modalities)}
    config = original.config.to_json() | changes
    return Run.create(folder, family="mygo", config=config, data=link_prediction_data(graph_of(original), inputs))


def new_objective(run: Run) -> Objective:
    seed_everything(1)
    return Objective(build(run.config, run.inputs), torch.as_tensor(run.graph.train))


def validation(run: Run, objective: Objective) -> Callable[[], dict[str, float]]:
    known = KnownTriples(run.graph.triples)
    return lambda: evaluate_link_prediction(link_scorer(objective.model), run.graph.valid, known, FLOOR).metrics()


def trained(run: Run, settings: TrainingSettings = SETTINGS, device: str = "cpu") -> list[dict[str, object]]:
    objective = new_objective(run)
    train(objective, run, settings, validation(run, objective), device=device)
    return without_times(read_metrics(run.folder / "metrics.jsonl"))


def test_mygo_learns_a_rule_and_the_run_scores_as_reported(tmp_path: Path, original: MyGO) -> None:
    # So small a model learns nothing under the published dropout.
    rates = dict.fromkeys((name for name in original.config.to_json() if name.endswith("dropout")), 0.0)
    run = new_run(tmp_path / "run", original, contrastive_weight=0.001, **rates)
    rows = trained(run, replace(SETTINGS, epochs=60, validate_every=20))
    assert rows[0].keys() >= {"cross_entropy", "contrastive"}
    assert rows[-1]["cross_entropy"] < 0.7 * math.log(original.config.num_entities)  # below a uniform guess
    best = max(row["valid"]["mrr"] for row in rows if "valid" in row)
    opened = Run.open(run.folder)
    model = build(opened.config, opened.inputs)
    model.load_state_dict(opened.weights())
    found = evaluate_link_prediction(link_scorer(model), opened.graph.valid, KnownTriples(opened.graph.triples), FLOOR)
    assert found.metrics()["mrr"] == best


def test_mygo_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, original: MyGO) -> None:
    class Interrupted(Objective):
        def forward(self, queries: Tensor, answers: Tensor) -> dict[str, Tensor]:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 17:
                raise KeyboardInterrupt
            return super().forward(queries, answers)

    straight, broken = (new_run(tmp_path / name, original) for name in ("straight", "broken"))
    rows = trained(straight)
    objective = new_objective(broken)
    objective.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        train(objective, broken, SETTINGS, validation(broken, objective))
    assert trained(broken) == rows
    expected, found = straight.weights(), broken.weights()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_mygo_trains_in_bf16(tmp_path: Path, original: MyGO) -> None:
    exact = trained(new_run(tmp_path / "exact", original))
    half = trained(new_run(tmp_path / "half", original), replace(SETTINGS, precision="bf16"))
    assert half[0]["loss"] != exact[0]["loss"]
    assert half[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mygo_trains_on_cuda(tmp_path: Path, original: MyGO, precision: str) -> None:
    rows = trained(new_run(tmp_path / "run", original), replace(SETTINGS, precision=precision), device="cuda")
    assert rows[-1]["loss"] < rows[0]["loss"]

"""The torch model and the objective against the outputs of the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkg_sdk.evaluation.link_prediction import rank_metrics
from mmkg_sdk.families.adamf_mat.model import distances
from mmkg_sdk.families.adamf_mat.objective import self_adversarial_loss
from mmkg_sdk.families.link_prediction import link_scorer
from mmkg_sdk.families.objective import TrainingObjective
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples, Queries
from tests.families.adamf_mat.cases import CASES, Case, golden, no_masks


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def close(found: torch.Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def optimistic_ranks(case: Case) -> np.ndarray:
    """[triples, 2] by the authors' rule, spelled out: 1 + unknown candidates with a better score."""
    scores = link_scorer(case.model())
    triples = case.inputs["test_triples"]
    known = {tuple(t) for split in ("train", "valid", "test") for t in case.inputs[f"{split}_triples"].tolist()}
    ranks = np.empty((len(triples), 2))
    for column, direction in enumerate((HEAD, TAIL)):
        for row, (head, relation, tail) in enumerate(triples.tolist()):
            found = scores(Queries.for_triples(triples[row : row + 1], direction))[0]
            answer = (head, tail)[column]
            completed = ((e, relation, tail) if direction == HEAD else (head, relation, e) for e in range(len(found)))
            better = [found[e] > found[answer] and triple not in known for e, triple in enumerate(completed)]
            ranks[row, column] = 1 + sum(better)
    return ranks


def test_feature_tables_come_from_the_checkpoint(case: Case) -> None:
    model = case.model()
    close(model.img_embeddings.weight, case.inputs["img_emb"], 0)
    close(model.text_embeddings.weight, case.inputs["text_emb"], 0)


def test_every_stage_of_the_fusion_equals_the_official_one(case: Case) -> None:
    model = case.model()
    vectors = model.modality_vectors()
    close(vectors[:, 1], case.outputs["proj_img"])
    close(vectors[:, 2], case.outputs["proj_text"])
    close(model.fusion_weights(vectors), case.outputs["attn"])
    close(model.entity_table(), case.outputs["joint"])
    some = torch.tensor([3, 0, 3])
    close(model.entity_table(some), case.outputs["joint"][some.numpy()])


@pytest.mark.parametrize("side", ["head", "tail"])
def test_scores_of_all_entities_equal_the_official_ones(case: Case, side: str) -> None:
    model = case.model()
    close(
        model.scores(model.entity_table(), model.relation_table(), case.queries(side)), case.outputs[f"scores_{side}"]
    )
    model.double()
    found = model.scores(model.entity_table(), model.relation_table(), case.queries(side))
    close(found, case.outputs[f"scores_{side}_f64"], 1e-10)


def test_link_scorer_gives_the_official_scores_higher_is_better(case: Case) -> None:
    scores = link_scorer(case.model())
    triples = case.inputs["test_triples"]
    for direction, side in ((HEAD, "head"), (TAIL, "tail")):
        found = scores(Queries.for_triples(triples, direction))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, case.outputs[f"scores_{side}"], rtol=1e-5, atol=1e-5)
    first = scores(Queries.for_triples(triples[:1], HEAD))[0]
    np.testing.assert_allclose(-first, case.outputs["predict_head_q0"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_scores_of_a_grid_of_candidates_equal_the_official_ones(case: Case, side: str) -> None:
    model, size = case.model(), case.options["batch_size"]
    queries = case.batch(0)[0].clone()
    queries[:, 0 if side == "head" else 2] = case.options["num_ent"]
    candidates = torch.as_tensor(case.inputs["multi_candidates"]).view(-1, size)
    found = model.scores(model.entity_table(), model.relation_table(), queries).gather(1, candidates.T)
    close(found.T.flatten(), case.outputs[f"scores_{side}batch_multi"])


def test_scores_of_a_training_batch_equal_the_official_ones(case: Case) -> None:
    objective = case.objective()
    model, batch = objective.model, case.batch(0)
    found = objective.scores(model.entity_table(), model.relation_table(), *batch)
    close(found.T.flatten(), case.outputs["scores_normal"])
    labels = torch.ones_like(found)
    labels[:, 1:] = -1
    close(labels.T.flatten(), case.inputs["batch_y"][0], 0)


def test_ranks_and_metrics_equal_those_of_the_official_tester(case: Case) -> None:
    ranks = optimistic_ranks(case)
    np.testing.assert_array_equal(ranks, case.outputs["ranks"])
    metrics = rank_metrics(ranks.ravel())
    names = ("mrr", "mean_rank", "hits_at_10", "hits_at_3", "hits_at_1")
    found = [metrics[name] for name in names]
    np.testing.assert_allclose(found, case.outputs["tester_mrr_mr_h10_h3_h1"], rtol=1e-4)


def test_the_shared_evaluation_gives_the_official_ranks(case: Case) -> None:
    from mmkg_sdk.evaluation import evaluate_link_prediction

    everything = KnownTriples(np.concatenate([case.inputs[f"{split}_triples"] for split in ("train", "valid", "test")]))
    model = case.model()
    report = evaluate_link_prediction(
        link_scorer(model), case.inputs["test_triples"], everything, model.config.protocol
    )
    np.testing.assert_array_equal(report.ranks["published"], case.outputs["ranks"])


def test_generators_and_fakes_equal_the_official_ones(case: Case) -> None:
    model, adversary = case.model(), case.adversary()
    positives, noise = case.batch(0)[0], case.noise(0, 0)
    made = adversary.made_vectors(model, positives, noise)
    for field, found in {
        "gen_hv": made[0, :, 1],
        "gen_tv": made[1, :, 1],
        "gen_ht": made[0, :, 2],
        "gen_tt": made[1, :, 2],
    }.items():
        close(found, case.outputs[field])
    entities, relations = model.entity_table(), model.relation_table()
    heads, tails = entities[positives[:, 0]], entities[positives[:, 2]]
    fakes = adversary.fake_scores(model, positives, noise, heads, relations[positives[:, 1]], tails)
    close(fakes, case.outputs["fake_scores"])


def test_every_loss_equals_the_official_one(case: Case) -> None:
    objective = case.objective()
    objective.draw_noise = lambda positives: case.noise(0, 0)  # type: ignore[method-assign]
    parts = objective(*case.batch(0))
    close(parts["negative_sampling"], case.outputs["loss_main"])
    close(parts["against_fakes"], case.outputs["loss_fake"].sum())
    close(parts["loss"], case.outputs["loss_d"])
    close(objective.adversary_loss(*case.batch(0)), case.outputs["loss_g_terms"].sum())
    real = torch.as_tensor(case.outputs["scores_normal"][: case.options["batch_size"], None])
    fakes = torch.as_tensor(case.outputs["fake_scores"])
    for k, fake in enumerate(fakes):
        close(self_adversarial_loss(real, fake, case.options["adv_temp"]), case.outputs["loss_fake"][k])
        close(self_adversarial_loss(fake, real, case.options["adv_temp"]), case.outputs["loss_g_terms"][k])


@pytest.mark.parametrize("run", ["mu0", "mu"])
def test_three_adversarial_steps_follow_the_official_ones(case: Case, run: str) -> None:
    objective = case.objective(**({"adversarial_weight": 0.0} if run == "mu0" else {})).train()
    model = objective.model
    # At mu = 0 the authors still train the generators beside the model; our objective has none then.
    adversary = objective.adversary or case.adversary()
    model_steps = torch.optim.Adam(model.parameters(), lr=case.options["lr"])
    adversary_steps = torch.optim.Adam(adversary.parameters(), lr=case.options["lrg"])
    for step in range(3):
        objective.draw_noise = lambda positives, step=step: case.noise(step, 0)  # type: ignore[method-assign,misc]
        loss = objective(*case.batch(step))["loss"]
        model_steps.zero_grad()
        loss.backward()
        model_steps.step()
        generator_loss = adversary.loss(model, case.batch(step)[0], case.noise(step, 1))
        adversary_steps.zero_grad()
        generator_loss.backward()
        adversary_steps.step()
        expected = case.outputs[f"steps_{run}_loss_d_g"][step]
        np.testing.assert_allclose([loss.item(), generator_loss.item()], expected, rtol=1e-4, atol=1e-4)
    close(model.entity_table(), case.outputs[f"steps_{run}_joint"], 1e-4)
    close(model.rel_embeddings.weight, case.outputs[f"steps_{run}_rel"], 1e-4)
    bias = adversary.img_generator.generator_model[2].bias
    assert isinstance(bias, torch.Tensor)
    close(bias, case.outputs[f"steps_{run}_imggen_bias2"], 1e-4)


def test_an_objective_without_adversary_has_the_official_main_loss_and_no_generators(case: Case) -> None:
    objective = case.objective(adversarial_weight=0.0)
    assert objective.adversary is None
    assert {name for name in objective.state_dict() if not name.startswith("model.")} == set()
    parts = objective(*case.batch(0))
    assert set(parts) == {"loss", "negative_sampling"}
    close(parts["loss"], case.outputs["loss_main"])


def test_the_objective_is_what_the_training_loop_expects(case: Case) -> None:
    objective: TrainingObjective = case.objective()
    batches = list(objective.batches(16, torch.Generator().manual_seed(1)))
    assert len(batches) == len(np.unique(case.inputs["train_triples"], axis=0)) // 16
    for batch in batches:
        assert {len(tensor) for tensor in batch} == {16}
        assert torch.isfinite(objective(*batch)["loss"])
    again = list(objective.batches(16, torch.Generator().manual_seed(1)))
    assert all(torch.equal(a, b) for x, y in zip(batches, again, strict=True) for a, b in zip(x, y, strict=True))


def test_blocks_of_candidates_do_not_change_the_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    queries, table = torch.randn(5, 14), torch.randn(23, 14)
    table[4] = queries[2]
    expected = (torch.complex(*queries.chunk(2, 1))[:, None] - torch.complex(*table.chunk(2, 1))).abs().sum(-1)
    for limit in (1, 5 * 7, 5 * 7 * 4, 2**22):
        monkeypatch.setattr("mmkg_sdk.families.adamf_mat.model.MODULI_PER_BLOCK", limit)
        found = distances(queries, table)
        close(found, expected.numpy())
        assert found[2, 4] == 0
    assert distances(queries[:0], table).shape == (0, 23)
    assert distances(queries, table[:0]).shape == (5, 0)


def test_scoring_never_holds_batch_times_entities_times_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmkg_sdk.families.adamf_mat.model.MODULI_PER_BLOCK", 64 * 8 * 10)
    queries, table = torch.randn(64, 16), torch.randn(3000, 16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        distances(queries, table)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest <= 64 * 3000 * 4  # the result itself; all at once would be eight times as much


def test_the_gradient_of_a_perfect_triple_is_finite() -> None:
    model = golden("db15k_like").model()
    head = torch.randn(1, 32, requires_grad=True)
    still = torch.cat([torch.ones(1, 16), torch.zeros(1, 16)], dim=1)
    score = model.triple_scores(head, still, head.detach().clone())
    assert score.item() == pytest.approx(12.0)
    score.sum().backward()
    assert head.grad is not None
    assert torch.equal(head.grad, torch.zeros_like(head))


def test_a_model_without_its_features_has_no_scores_rather_than_wrong_ones() -> None:
    from mmkg_sdk.families.adamf_mat.model import build

    config = golden("zero_modal").model().config
    model = build(config.to_json(), {name: mask.numpy() for name, mask in no_masks(config.num_entities).items()})
    one = np.zeros(1, np.int64)
    assert np.isnan(link_scorer(model)(Queries(one, one, one))).all()
    assert F.embedding(torch.tensor([0]), model.ent_embeddings.weight).isfinite().all()

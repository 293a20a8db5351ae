"""The torch model and the objective against the outputs of the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.families.mygo.objective import Objective
from tests.families.mygo.cases import MYGO_CASES, GoldenCase, golden_case


@pytest.fixture(params=MYGO_CASES)
def case(request: pytest.FixtureRequest) -> GoldenCase:
    return golden_case(request.param)


def close(found: torch.Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_tables_equal_the_official_ones(case: GoldenCase) -> None:
    model = case.model()
    close(model.entity_table(), case.outputs["ent_emb"])
    close(model.relation_table(), case.outputs["rel_emb"])
    close(model.entity_outputs()[:, 0], case.outputs["ent_emb"][:-1])


def test_float64_tables_equal_the_official_float64_ones(case: GoldenCase) -> None:
    close(case.model().double().entity_table(), case.outputs["ent_emb_f64"], 1e-10)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_each_stage_of_a_query_equals_the_official_one(case: GoldenCase, side: str) -> None:
    model, queries = case.model(), case.queries(f"{side}_queries")
    entities, relations = model.entity_table(), model.relation_table()
    close(model.encode_triples(entities, relations, queries), case.outputs[f"decoder_out_{side}"])
    if f"tucker_out_{side}" in case.outputs:
        close(model.query_vectors(entities, relations, queries), case.outputs[f"tucker_out_{side}"])
    close(model.scores(entities, relations, queries), case.outputs[f"scores_{side}"])


@pytest.mark.parametrize("smoothing", [0, 1])
def test_cross_entropy_equals_the_official_one(case: GoldenCase, smoothing: int) -> None:
    model = case.model()
    scores = model.scores(model.entity_table(), model.relation_table(), case.queries("train_batch"))
    labels = torch.as_tensor(case.inputs["train_labels"])
    loss = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=0.1 * smoothing)
    close(loss, case.outputs[f"ce_eval_smooth{smoothing}"])


def test_contrastive_loss_equals_the_official_one_view_by_view(case: GoldenCase) -> None:
    model = case.model()
    objective = Objective(model, torch.as_tensor(case.inputs["train_triples"]))
    selected = torch.as_tensor(case.inputs["fgcl_select"])
    close(objective.views(selected), case.outputs["fgcl_eval_views_selected"])
    losses = objective.contrastive_per_view(model.entity_table()[selected], selected)
    close(losses, case.outputs["fgcl_eval_per_view"])
    close(losses.mean(), case.outputs["fgcl_eval"])
    close(losses[0], case.outputs["coarse_cl_eval"])


def test_first_training_step_has_the_official_scores_and_gradients(case: GoldenCase) -> None:
    model = case.model(dropout=False).train()
    objective = Objective(model, torch.as_tensor(case.inputs["train_triples"]))
    objective.select_rows = lambda: torch.as_tensor(case.inputs["fgcl_select"])  # type: ignore[method-assign]
    queries, labels = case.queries("train_batch"), torch.as_tensor(case.inputs["train_labels"])
    model.load_state_dict(case.model().state_dict())
    scores = model.scores(model.entity_table(), model.relation_table(), queries)
    close(scores, case.outputs["train_scores_step0"])
    model.load_state_dict(case.model().state_dict())  # batch norm has moved
    objective(queries, labels)["loss"].backward()
    expected = dict(zip(case.outputs["grad_names_step0"].tolist(), case.outputs["grad_norms_step0"], strict=True))
    found = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    assert {name for name, norm in expected.items() if norm > 0} <= set(found)
    for name, norm in found.items():
        assert norm == pytest.approx(float(expected[name]), rel=1e-3, abs=1e-5), name


def test_three_training_steps_follow_the_official_ones(case: GoldenCase) -> None:
    model = case.model(dropout=False).train()
    objective = Objective(model, torch.as_tensor(case.inputs["train_triples"]))
    objective.select_rows = lambda: torch.as_tensor(case.inputs["fgcl_select"])  # type: ignore[method-assign]
    queries, labels = case.queries("train_batch"), torch.as_tensor(case.inputs["train_labels"])
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=case.options["lr"])
    for step in range(3):
        parts = objective(queries, labels)
        optimizer.zero_grad()
        parts["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 0.1)
        optimizer.step()
        close(parts["cross_entropy"], case.outputs["steps_ce"][step], 1e-4)
        if "contrastive" in parts:
            close(parts["contrastive"], case.outputs["steps_fgcl"][step], 1e-4)
        close(parts["loss"], case.outputs["steps_total"][step], 1e-4)
        close(norm, case.outputs["steps_gradnorm"][step], 1e-4)
    model.eval()
    close(model.entity_table(), case.outputs["steps_ent_emb"], 5e-4)
    scores = model.scores(model.entity_table(), model.relation_table(), case.queries("head_queries"))
    close(scores, case.outputs["steps_scores_head"], 5e-4)
    if model.tucker_decoder is not None:
        for norm_name in ("bn0", "bn1"):
            norm_layer = getattr(model.tucker_decoder, norm_name)
            close(norm_layer.running_mean, case.outputs[f"steps_{norm_name}_running_mean"], 5e-4)
            close(norm_layer.running_var, case.outputs[f"steps_{norm_name}_running_var"], 5e-4)

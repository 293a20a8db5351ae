"""The losses against the authors' outputs, and the batches they are computed of."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.families.mkgformer.encoder import Images
from mmkg_sdk.families.mkgformer.images import ImageGroups
from mmkg_sdk.families.mkgformer.links.examples import both_queries, stage_2_queries
from mmkg_sdk.families.mkgformer.objective import Objective, smoothed_cross_entropy
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples
from tests.families.mkgformer.cases import CASES, FOLDER, LP_CASES, golden, objective

NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def whole_batch(made: Objective) -> tuple[torch.Tensor, ...]:
    (batch,) = made.batches(100, torch.Generator().manual_seed(1))
    return made.prepared(*batch)


def whole_loss(made: Objective) -> float:
    """The loss of one batch with all examples."""
    batch = whole_batch(made)
    return made.eval()(*batch)["loss"].item()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_the_case_equals_the_official_one(name: str) -> None:
    case = golden(name)
    assert whole_loss(objective(case)) == pytest.approx(float(case.outputs["loss"]), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", LP_CASES)
@pytest.mark.parametrize(
    ("output", "changes"),
    [
        ("loss_bce", {"loss": "bce"}),
        ("loss_ce", {"loss": "cross-entropy", "label_smoothing": 0.0}),
        ("loss_label_smoothing_0.1", {"loss": "cross-entropy", "label_smoothing": 0.1}),
    ],
)
def test_all_losses_of_link_prediction_equal_the_official_ones(name: str, output: str, changes: dict[str, Any]) -> None:
    case = golden(name)
    found = whole_loss(objective(case, **changes))
    assert found == pytest.approx(float(case.outputs[output]), rel=1e-5, abs=1e-4)


def test_smoothing_weights_do_not_sum_to_one() -> None:
    scores = torch.tensor([[2.0, 0.0, -1.0, 0.5]])
    logs = scores.log_softmax(dim=1)[0]
    expected = -(0.8 * logs[2] + 0.05 * (logs[0] + logs[1] + logs[3]))
    assert smoothed_cross_entropy(scores, torch.tensor([2]), 0.2).item() == pytest.approx(expected.item())


def test_batches_hold_every_example_once_with_its_image_and_its_answers() -> None:
    case = golden("lp_official12")
    made = objective(case)
    batches = list(made.batches(3, torch.Generator().manual_seed(5)))
    assert [len(batch[0]) for batch in batches] == [3, 1]
    assert all(len(tensor) == len(batch[0]) for batch in batches for tensor in batch)
    rows = torch.cat([batch[3] for batch in batches])
    assert sorted(rows.tolist()) == [0, 1, 2, 3]
    np.testing.assert_array_equal(torch.cat([batch[4] for batch in batches]), case.inputs["labels"][rows])
    again = list(made.batches(3, torch.Generator().manual_seed(5)))
    assert all(torch.equal(a, b) for x, y in zip(batches, again, strict=True) for a, b in zip(x, y, strict=True))


def test_link_prediction_is_padded_to_the_longest_of_its_batch_and_the_others_as_they_come() -> None:
    links, tags = golden("lp_official12"), golden("mner_small")
    lengths = links.inputs["attention_mask"].sum(axis=1)
    assert len(set(lengths)) > 1
    for batch in objective(links).batches(1, torch.Generator().manual_seed(0)):
        assert batch[0].shape == batch[1].shape == batch[2].shape == (1, lengths[batch[3][0]])
    for batch in objective(tags).batches(1, torch.Generator().manual_seed(0)):
        assert batch[0].shape == batch[4].shape == (1, 12)


def test_examples_without_images_see_zeros() -> None:
    case = golden("mre_small")
    groups = ImageGroups(*(case.inputs[f"{name}_values"] for name in ("pixel", "aux", "rcnn")))
    found = groups.images(torch.tensor([1, -1]))
    np.testing.assert_array_equal(found.aux[0], case.inputs["aux_values"][1])  # type: ignore[index]
    assert all(not part[1].any() for part in found if part is not None)
    assert case.inputs["aux_values"].any(axis=(1, 2, 3, 4)).all(), "the table itself is left alone"
    assert ImageGroups(main=case.inputs["pixel_values"]).images(torch.tensor([0]))[1:] == Images()[1:]


def gradients(made: Objective) -> dict[str, bool]:
    batch = whole_batch(made)
    made.train()(*batch)["loss"].backward()
    return {name: p.grad is not None and bool(p.grad.any()) for name, p in made.model.named_parameters()}


def test_stage_1_trains_the_word_table_alone() -> None:
    made = objective(golden("lp_pretrain_small"))
    trained = {name for name, moved in gradients(made).items() if moved}
    assert trained == {"model.unimo.text_embeddings.word_embeddings.weight"}
    (group,) = made.parameter_groups()
    assert [len(p) for p in group["params"]] == [140]
    assert "weight_decay" not in group


def test_stage_2_trains_everything_that_the_scores_depend_on_and_biases_do_not_decay() -> None:
    made = objective(golden("lp_official12"))
    still = {name for name, moved in gradients(made).items() if not moved}
    dead = ("position_embedding.weight", "class_embedding", "post_layernorm", "text_pooler", "fusion_dense")
    # A bias on all keys shifts all scores of a softmax alike.
    assert all(any(part in name for part in (*dead, "k_proj.bias", "key.bias")) for name in still)
    decaying, others = made.parameter_groups()
    assert others["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in made.model.named_parameters()}
    assert all("bias" in names[id(p)] or "LayerNorm.weight" in names[id(p)] for p in others["params"])
    assert any("layer_norm1.weight" in names[id(p)] for p in decaying["params"]), "CLIP's norms do decay"
    assert len(decaying["params"]) + len(others["params"]) == len(names)


def test_the_relation_classifier_is_trained_and_the_taggers_head_has_its_own_rate() -> None:
    relations, tags = objective(golden("mre_small")), objective(golden("mner_small"))
    assert gradients(relations)["classifier.weight"]
    (group,) = relations.parameter_groups()
    assert any(p is relations.model.get_parameter("classifier.weight") for p in group["params"])
    towers, head = tags.parameter_groups()
    assert head["learning_rate"] == 5e-2
    assert sum(p.numel() for p in head["params"]) == 13 * 40 + 13 + 13 * 13 + 2 * 13
    assert "learning_rate" not in towers


@pytest.mark.parametrize("name", CASES)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    case = golden(name)
    made = objective(case, **NO_DROPOUT)
    batch = whole_batch(made)
    optimizer = torch.optim.AdamW([{"params": g["params"]} for g in made.parameter_groups()], lr=1e-3)
    losses = []
    for _ in range(4):
        loss = made.train()(*batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_dropout_acts_in_training_only() -> None:
    made = objective(golden("mner_small"))
    batch = whole_batch(made)
    assert made.train()(*batch)["loss"] != made(*batch)["loss"]
    assert made.eval()(*batch)["loss"] == made(*batch)["loss"]


def toy_triples() -> tuple[dict[str, Any], np.ndarray, dict[str, int]]:
    folder = FOLDER / "text_prep"
    expected = json.loads((folder / "lp_expected.json").read_text())
    entities = {name: row for row, name in enumerate(expected["entity_order"])}
    relations = {name: row for row, name in enumerate(expected["relation_order"])}
    lines = [line.split("\t") for line in (folder / "train.tsv").read_text().splitlines()]
    return expected["features"], np.array([[entities[h], relations[r], entities[t]] for h, r, t in lines]), entities


def test_the_examples_of_stage_2_are_the_official_ones_in_their_order() -> None:
    features, triples, entities = toy_triples()
    queries, targets = stage_2_queries(triples)
    expected = features["stage2_bce1_train"]
    assert len(queries) == len(expected)
    np.testing.assert_array_equal(targets, [feature["label"] for feature in expected])
    np.testing.assert_array_equal(queries.entity, [entities[feature["image_entity"]] for feature in expected])
    assert queries.direction[:4].tolist() == [HEAD, TAIL, HEAD, TAIL]
    answers = KnownTriples(triples).answers_of(queries)
    found = [answers.ids[a:b].tolist() for a, b in zip(answers.offsets, answers.offsets[1:], strict=False)]
    assert found == [sorted(feature["labels"]) for feature in expected]


def test_without_bce_every_triple_asks_for_both_ends() -> None:
    features, triples, entities = toy_triples()
    queries, targets = both_queries(triples)
    expected = features["stage2_bce0_train"]
    np.testing.assert_array_equal(targets, [feature["label"] for feature in expected])
    np.testing.assert_array_equal(queries.entity, [entities[feature["image_entity"]] for feature in expected])

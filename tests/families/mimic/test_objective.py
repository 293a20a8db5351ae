"""The training objective against the losses of the authors' code, and its batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmkg_sdk.families.mimic.model import Scores
from mmkg_sdk.families.mimic.objective import Items, Objective, unit_losses
from mmkg_sdk.families.objective import TrainingObjective
from tests.families.mimic.cases import CASES, Case, close, golden


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def golden_batch(case: Case) -> tuple[torch.Tensor, ...]:
    objective = case.objective()
    mentions, entities = torch.arange(len(objective.answers)), objective.answers
    images = objective.mentions.image_rows[:, 0], objective.entities.image_rows[entities, 0]
    return objective.prepared(mentions, images[0], entities, images[1])


def test_every_loss_equals_the_official_one(case: Case) -> None:
    found = case.objective()(*golden_batch(case))
    assert list(found) == ["loss", "overall", "text", "image", "image_text"]
    for name, loss in found.items():
        close(loss, case.outputs["loss" if name == "loss" else f"loss_{name}"])


def test_scores_of_the_training_pairs_equal_the_official_ones(case: Case) -> None:
    close(case.objective().scores(*golden_batch(case)).overall, case.outputs["train_scores"])


def test_an_entity_that_is_meant_twice_is_a_wrong_answer_for_each() -> None:
    case = golden("base")
    assert case.inputs["train_entity_index"].tolist() == [3, 1, 4, 4]
    scores = torch.as_tensor(case.outputs["train_scores"])
    torch.testing.assert_close(scores[:, 2], scores[:, 3])
    by_hand = [math.log(sum(math.exp(x - row[i]) for x in row)) for i, row in enumerate(scores.tolist())]
    assert sum(by_hand) / 4 == pytest.approx(float(case.outputs["loss_overall"]), rel=1e-5)
    assert min(by_hand[2:]) >= math.log(2) - 1e-5  # two columns are the same entity: half the chance at best


def test_the_loss_is_the_sum_of_four_cross_entropies() -> None:
    diagonal = 5.0 * torch.eye(3)
    losses = unit_losses(Scores(diagonal, 0 * diagonal, diagonal, -diagonal))
    assert losses["text"].item() == pytest.approx(math.log(3))
    assert losses["overall"].item() == losses["image"].item() == pytest.approx(math.log(1 + 2 * math.exp(-5)))
    assert losses["image_text"].item() == pytest.approx(5 + math.log(2 + math.exp(-5)))


def test_the_objective_is_what_the_training_loop_expects() -> None:
    case = golden("base")
    objective: TrainingObjective = case.objective()
    batches = list(objective.batches(3, torch.Generator().manual_seed(1)))
    assert [len(batch[0]) for batch in batches] == [3, 1]
    assert sorted(torch.cat([batch[0] for batch in batches]).tolist()) == [0, 1, 2, 3]
    again = list(objective.batches(3, torch.Generator().manual_seed(1)))
    assert all(torch.equal(a, b) for x, y in zip(batches, again, strict=True) for a, b in zip(x, y, strict=True))
    for batch in batches:
        assert {len(rows) for rows in batch} == {len(batch[0])}
        torch.testing.assert_close(batch[2], torch.as_tensor(case.inputs["train_entity_index"])[batch[0]])
        objective(*objective.prepared(*batch))["loss"].backward()
    trained = [weight for group in objective.parameter_groups() for weight in group["params"]]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in trained)


def test_biases_do_not_decay_and_weights_of_norms_do() -> None:
    objective = golden("single_mention").objective()
    decaying, others = objective.parameter_groups()
    assert "weight_decay" not in decaying
    assert others["weight_decay"] == 0
    names = {weight: name for name, weight in objective.model.named_parameters()}
    assert all("bias" in names[weight] for weight in others["params"])
    assert not any("bias" in names[weight] for weight in decaying["params"])
    assert any(weight is objective.model.matcher.tglu.layer_norm.weight for weight in decaying["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(names) - 3  # what is never used is in neither


def test_an_image_that_several_show_is_prepared_once() -> None:
    objective = golden("base").objective()
    rows, images = torch.tensor([0, 1, 2]), torch.tensor([2, -1, 2])
    prepared = objective.prepared(rows, images, rows, images)
    for side in (prepared[:4], prepared[4:8]):
        assert side[2].tolist() == [-1, 2]
        assert side[3].tolist() == [1, 0, 1]
    assert [len(pixels) for pixels in prepared[8:]] == [2, 2]


def test_images_on_the_device_give_the_same_losses_and_do_not_travel() -> None:
    case = golden("base")
    there, here = case.objective(), case.objective()
    there.images.place(torch.device("cpu"), most_bytes=1 << 40)
    batch = golden_batch(case)
    placed = there.prepared(*(torch.arange(4), batch[2][batch[3]], there.answers, batch[6][batch[7]]))
    assert (len(batch), len(placed)) == (10, 8)
    with_travel, without = here(*batch), there(*placed)
    assert all(torch.equal(with_travel[name], without[name]) for name in with_travel)


def test_each_of_several_images_is_shown_in_time() -> None:
    case = golden("single_mention")
    items = Items(torch.zeros(3, 18, dtype=torch.int64), torch.ones(3, 18, dtype=torch.int64), torch.tensor([[-1]] * 3))
    rows = torch.tensor([[4, 9, 7], [5, -1, -1], [-1, -1, -1]])
    entities = Items(items.input_ids, items.attention_mask, rows)
    objective = Objective(case.model(), items, entities, torch.arange(3), np.zeros((0, 3, 32, 32)))
    generator = torch.Generator().manual_seed(0)
    seen: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for _ in range(40):
        for _, mention_images, answers, entity_images in objective.batches(2, generator):
            assert set(mention_images.tolist()) == {-1}
            for answer, image in zip(answers.tolist(), entity_images.tolist(), strict=True):
                seen[answer].add(image)
    assert seen == {0: {4, 9, 7}, 1: {5}, 2: {-1}}

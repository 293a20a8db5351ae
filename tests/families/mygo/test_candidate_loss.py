"""The cross-entropies of large graphs, against torch's own over all candidates, in float64."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mygo import candidate_loss, model
from mmkg_sdk.families.mygo.candidate_loss import chunked_cross_entropy, sampled_cross_entropy
from mmkg_sdk.families.mygo.modalities import token_inputs
from mmkg_sdk.families.mygo.model import MyGO
from mmkg_sdk.families.mygo.objective import Objective
from tests.families.mygo.cases import golden_case

QUERIES, CANDIDATES, WIDTH = 7, 23, 5
TRIPLES = torch.tensor([[0, 1, 2], [3, 0, 1], [2, 1, 3], [1, 0, 0], [4, 1, 2], [0, 0, 4]])


@pytest.fixture
def tensors() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, candidates, and answers, one of them twice."""
    random = torch.Generator().manual_seed(3)
    queries, candidates = (
        torch.randn(rows, WIDTH, generator=random, dtype=torch.float64, requires_grad=True)
        for rows in (QUERIES, CANDIDATES)
    )
    return queries, candidates, torch.tensor([4, 22, 0, 4, 9, 15, 16])


def gradients(loss: Tensor, *of: Tensor) -> list[Tensor]:
    return [loss, *torch.autograd.grad(loss, of)]


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 4, 23, 100])
def test_chunks_of_candidates_give_the_same_loss_and_gradients(
    tensors: tuple[Tensor, Tensor, Tensor], smoothing: float, rows: int
) -> None:
    queries, candidates, answers = tensors
    expected = F.cross_entropy(queries @ candidates.T, answers, label_smoothing=smoothing)
    found = chunked_cross_entropy(queries, candidates, answers, smoothing, rows=rows)
    close(gradients(found, queries, candidates), gradients(expected, queries, candidates))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_sample_of_all_candidates_gives_the_same_loss_and_gradients(
    tensors: tuple[Tensor, Tensor, Tensor], smoothing: float
) -> None:
    queries, candidates, answers = tensors
    order = torch.randperm(CANDIDATES, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(queries @ candidates.T, answers, label_smoothing=smoothing)
    found = sampled_cross_entropy(
        queries,
        candidates[answers],
        candidates[order],
        answers[:, None] == order,
        smoothing,
        num_candidates=CANDIDATES,
    )
    close(gradients(found, queries, candidates), gradients(expected, queries, candidates))


def test_samples_give_the_sum_of_exponentials_on_average(tensors: tuple[Tensor, Tensor, Tensor]) -> None:
    queries, candidates, answers = (tensor.detach() for tensor in tensors)
    queries = 0.3 * queries
    random = torch.Generator().manual_seed(1)
    sums = []
    for _ in range(2000):
        sample = torch.randperm(CANDIDATES, generator=random)[:6]
        # One query at a time, so that its share of the mean is the loss itself.
        losses = [
            sampled_cross_entropy(
                query[None],
                candidates[answer][None],
                candidates[sample],
                (answer == sample)[None],
                0.0,
                num_candidates=CANDIDATES,
            )
            + query @ candidates[answer]
            for query, answer in zip(queries[:2], answers[:2], strict=True)
        ]
        sums.append(torch.stack(losses).exp())
    torch.testing.assert_close(
        torch.stack(sums).mean(dim=0), (queries[:2] @ candidates.T).exp().sum(dim=1), rtol=0.02, atol=0.0
    )


def miniature(**changes: object) -> Objective:
    """A golden model in float64 without dropout, in training, on its first entities."""
    original = golden_case("db15k_like").model()
    rates = {name: 0.0 for name in original.config.to_json() if name.endswith("dropout")}
    config = dataclasses.replace(original.config, **rates, **changes)
    copy = MyGO(config, {name: original.get_buffer(name) for name in token_inputs(config.modalities)})
    copy.load_state_dict(original.state_dict())
    for module in copy.modules():  # no batch norm, whose variances follow the batch
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 0.0
    return Objective(copy.double().train(), TRIPLES)


def loss_and_gradients(objective: Objective) -> dict[str, Tensor]:
    torch.manual_seed(5)
    batch = next(objective.batches(len(TRIPLES), torch.Generator().manual_seed(2)))
    loss = objective(*objective.prepared(*batch))["loss"]
    torch.autograd.backward(loss)
    found = {name: weight.grad for name, weight in objective.model.named_parameters() if weight.grad is not None}
    return {"loss": loss.detach(), **found}


@pytest.mark.parametrize("contrastive_weight", [0.0, 0.3])
def test_all_ways_to_train_without_dropout_have_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch, contrastive_weight: float
) -> None:
    plain = miniature(contrastive_weight=contrastive_weight, contrastive_samples=1000)
    count = plain.model.config.num_entities
    expected = loss_and_gradients(plain)
    sampled = loss_and_gradients(
        miniature(contrastive_weight=contrastive_weight, contrastive_samples=1000, sampled_entities=count)
    )
    monkeypatch.setattr(model, "_TOKEN_BYTES", 0)
    monkeypatch.setattr(model, "_ENTITIES_AT_ONCE", 7)
    monkeypatch.setattr(candidate_loss, "_SCORE_BYTES", 0)
    monkeypatch.setattr(candidate_loss, "_CHUNK_BYTES", 4 * len(TRIPLES) * 5)
    chunked = loss_and_gradients(miniature(contrastive_weight=contrastive_weight, contrastive_samples=1000))
    for found in (sampled, chunked):
        assert found.keys() == expected.keys()
        for name, wanted in expected.items():
            # The plain cross-entropy rounds its scores to float32.
            scale = float(wanted.abs().max()) or 1.0
            torch.testing.assert_close(found[name] / scale, wanted / scale, rtol=0.0, atol=1e-6, msg=name)


def test_a_sample_has_at_least_one_entity() -> None:
    config = golden_case("db15k_like").model().config
    for wrong in (0, -3, 2.5, True, "all"):
        with pytest.raises(DataError, match=r"sampled_entities is .*expected a whole number of at least 1, or null"):
            dataclasses.replace(config, sampled_entities=wrong)

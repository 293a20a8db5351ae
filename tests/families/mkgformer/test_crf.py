"""The CRF against the authors' outputs and against all sequences, enumerated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from mmkg_sdk.families.mkgformer.sentences.crf import CRF
from tests.families.mkgformer.cases import MNER_CASES, close, golden

LENGTHS = (4, 1, 3)


def lengths_mask(lengths: tuple[int, ...], width: int) -> torch.Tensor:
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


def random_crf(tags: int, seed: int = 0) -> tuple[CRF, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    crf = CRF(tags).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf, torch.randn(len(LENGTHS), 5, tags, dtype=torch.float64), lengths_mask(LENGTHS, 5)


def plain_score(crf: CRF, emissions: torch.Tensor, tags: tuple[int, ...]) -> float:
    score = crf.start_transitions[tags[0]] + emissions[0, tags[0]] + crf.end_transitions[tags[-1]]
    for position in range(1, len(tags)):
        score = score + crf.transitions[tags[position - 1], tags[position]] + emissions[position, tags[position]]
    return float(score.detach())


@pytest.mark.parametrize("name", MNER_CASES)
def test_likelihood_and_decoding_of_official_emissions_equal_the_official_ones(name: str) -> None:
    case = golden(name)
    crf = case.model().crf
    emissions, mask = torch.as_tensor(case.outputs["emissions"]), case.texts.attention_mask
    found = crf.log_likelihood(emissions, case.tensor("labels"), mask)
    close(found, case.outputs["log_likelihood_per_sentence"])
    np.testing.assert_array_equal(crf.decode(emissions, mask), case.outputs["decoded_tags"])


def test_every_score_equals_the_one_of_the_enumeration() -> None:
    crf, emissions, mask = random_crf(3)
    for row, length in enumerate(LENGTHS):
        paths = list(itertools.product(range(3), repeat=length))
        scores = [plain_score(crf, emissions[row], path) for path in paths]
        tags = torch.zeros(len(paths), 5, dtype=torch.int64)
        tags[:, :length] = torch.tensor(paths)
        many = (emissions[row].expand(len(paths), 5, 3), mask[row].expand(len(paths), 5))
        assert crf.path_score(many[0], tags, many[1]).tolist() == pytest.approx(scores)
        total = crf.log_partition(emissions, mask)[row].item()
        assert total == pytest.approx(math.log(sum(map(math.exp, scores))))
        best = crf.decode(emissions, mask)[row].tolist()
        assert best == [*paths[int(np.argmax(scores))], *[-1] * (5 - length)]


def test_tags_on_padding_do_not_count() -> None:
    crf, emissions, mask = random_crf(4)
    tags = torch.randint(0, 4, mask.shape)
    torch.testing.assert_close(
        crf.path_score(emissions, tags, mask), crf.path_score(emissions, torch.where(mask.bool(), tags, 0), mask)
    )
    noisy = torch.where(mask.bool()[:, :, None], emissions, 1e6)
    torch.testing.assert_close(crf.log_partition(noisy, mask), crf.log_partition(emissions, mask))
    assert torch.equal(crf.decode(noisy, mask), crf.decode(emissions, mask))


def test_of_equal_sequences_the_lowest_tags_win() -> None:
    crf = CRF(4)
    for parameter in crf.parameters():
        torch.nn.init.zeros_(parameter)
    mask = lengths_mask((3, 2), 3)
    assert crf.decode(torch.zeros(2, 3, 4), mask).tolist() == [[0, 0, 0], [0, 0, -1]]
    emissions = torch.tensor([0.0, 1.0, 1.0, 0.0]).expand(2, 3, 4)
    assert crf.decode(emissions, mask).tolist() == [[1, 1, 1], [1, 1, -1]]
    # Ties are decided from the end: of (0, 1) and (1, 0), equally good, the second ends on the lower tag.
    with torch.no_grad():
        crf.transitions.copy_(torch.full((4, 4), -1.0))
        crf.transitions[0, 1] = crf.transitions[1, 0] = 0.0
    assert crf.decode(torch.zeros(1, 2, 4), lengths_mask((2,), 2)).tolist() == [[1, 0]]


def test_the_likelihood_of_all_sequences_sums_to_one_and_has_finite_gradients() -> None:
    crf, emissions, mask = random_crf(3)
    tags = torch.tensor(list(itertools.product(range(3), repeat=3)))
    one = (emissions[2:, :3].expand(27, 3, 3), mask[2:, :3].expand(27, 3))
    likelihoods = crf.log_likelihood(one[0], tags, one[1])
    assert likelihoods.exp().sum().item() == pytest.approx(1.0)
    likelihoods.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in crf.parameters())


def test_fresh_transitions_are_small() -> None:
    assert max(parameter.abs().max().item() for parameter in CRF(13).parameters()) <= 0.1

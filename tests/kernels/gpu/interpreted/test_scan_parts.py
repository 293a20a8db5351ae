"""Rounding to bfloat16, selection and canonical scores, each on its own, in Triton's interpreter. Not run on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.kernels.cuda.triton.ranking import exact
from mmkg_sdk.ranking.scores import InnerProduct

from .scan_steps import Table, select


@pytest.mark.parametrize("kind", ["normal", "worst", "mixed", "small"])
def test_products_of_bfloat16_are_within_the_slack(kind: str) -> None:
    rng = np.random.default_rng(0)
    array, queries = (rng.standard_normal((n, 70)).astype(np.float32) for n in (200, 9))
    if kind == "worst":  # near the middle between neighbours, where bfloat16 is wrong by nearly 2^-8 of the number
        array, queries = (np.full_like(some, 1 + 2.0**-8 - 2.0**-20) for some in (array, queries))
    if kind == "mixed":  # lengths and residuals far from a multiple of each other
        array *= np.float32(2.0) ** rng.integers(-30, 30, array.shape).astype(np.float32)
    if kind == "small":  # squares of these are no numbers in float32
        array, queries = array * np.float32(1e-36), queries * np.float32(1e-30)
    table = Table(array)
    short, slack = table.rounded(table.chunked(queries))
    queries64, rows64 = queries.astype(np.float64), array.astype(np.float64)
    error = np.abs(
        short[:9].double().numpy()[:, :70] @ table.table16[:200, :70].double().numpy().T - queries64 @ rows64.T
    )
    assert (error.max(axis=1) <= slack.numpy()).all()
    # Residuals are measured: the slack is no more than what bfloat16 promises, and 0.6 of it for normal numbers.
    promised = 2 * 2.0**-8 * np.linalg.norm(queries64, axis=1) * np.linalg.norm(rows64, axis=1).max()
    share = (slack.numpy() / promised).max()
    if kind == "normal":
        assert share < 0.6
    if kind == "worst":
        assert error.min() > 0.99 * promised.max()
        assert share < 1.05


def test_rounded_copies_are_rounded_to_nearest_even() -> None:
    array = np.random.default_rng(1).standard_normal((130, 5)).astype(np.float32)
    table = Table(array)
    assert torch.equal(table.table16[:130, :5], torch.tensor(array).bfloat16())


@pytest.mark.parametrize(("levels", "direct"), [(10_000, 4096), (10_000, 8), (3, 8)])
def test_the_best_of_many_exact_numbers_ties_to_the_lower_place(levels: int, direct: int) -> None:
    rng = np.random.default_rng(2)
    bins = (rng.integers(-levels, levels, (2, 600)) / 7).astype(np.float32)
    found = select(torch.tensor(bins), torch.tensor([0, 3, 50]), torch.zeros(1), 11, 30, True, direct)
    for row, own, length, bound, count in zip(bins, *(each.tolist() for each in found), (14, 30), strict=True):
        order = np.lexsort((np.arange(600), -row))
        assert length == count
        assert own[:count] == sorted(order[:count].tolist())
        assert np.float32(bound) == row[order[count]]


@pytest.mark.parametrize("direct", [4096, 8])
def test_all_bins_that_answers_can_be_in_are_chosen_or_the_best_of_them(direct: int) -> None:
    bins = np.random.default_rng(3).standard_normal((3, 600)).astype(np.float32)
    slack = torch.tensor([0.0, 0.2, 5.0])
    found = select(torch.tensor(bins), torch.zeros(4).long(), slack, 11, 60, False, direct)
    for row, own, length, bound, excess in zip(bins, *(each.tolist() for each in (*found, slack)), strict=True):
        order = np.argsort(-row)
        low = row[order[10]] - np.float32(2.25) * np.float32(excess)
        near = int(np.count_nonzero(row >= low))
        assert length == min(near, 60)
        assert own[:length] == sorted(order[:length].tolist())
        assert np.float32(bound) == max(row[order[length]], low)
    assert found[1].tolist()[0] == 11 < found[1].tolist()[1] < found[1].tolist()[2] == 60


@pytest.mark.parametrize("direct", [4096, 8])
@pytest.mark.parametrize("exactly", [True, False])
def test_all_numbers_are_chosen_where_there_are_no_more(direct: int, exactly: bool) -> None:
    slack = torch.tensor([1.0, torch.inf])
    chosen, lengths, bounds = select(torch.randn(2, 70), torch.tensor([0, 0, 1]), slack, 71, 70, exactly, direct)
    assert chosen.tolist() == [list(range(70))] * 2
    assert lengths.tolist() == [70, 70]
    assert bounds.tolist() == [-np.inf] * 2


def test_a_multiply_add_is_rounded_once() -> None:
    if isinstance(library(), str):
        pytest.skip(str(library()))
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: rounded on its own the last term is lost, added to 2^-30 it is not.
    query, row = np.zeros((1, 32), np.float32), np.zeros((1, 32), np.float32)
    query[0, [0, 16]] = 2.0**-15, 1 + 2.0**-12
    row[0, [0, 16]] = 2.0**-15, 1 + 2.0**-12
    scores = torch.zeros(1)
    exact.pair_scores[(1,)](torch.tensor(query), torch.tensor(row), torch.zeros(1).long(), scores, 1, 2, PAIRS=64)
    product = query[0, 16] * row[0, 16]
    assert scores.numpy()[0] != product + np.float32(2.0**-30)
    assert scores.numpy()[0] == Scan(row, InnerProduct(), 1).pairs(query, np.zeros(1, np.int64))[0]

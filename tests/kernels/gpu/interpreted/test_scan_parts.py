"""Rounding to bfloat16, selection and canonical scores, each on its own, in Triton's interpreter. Not run on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.kernels.cuda.triton import exact
from mmkg_sdk.ranking.scores import InnerProduct

from .scan_steps import Table, select


@pytest.mark.parametrize("kind", ["normal", "worst", "mixed", "small"])
def test_products_of_bfloat16_are_within_the_slack(kind: str) -> None:
    rng = np.random.default_rng(0)
    array, queries = (rng.standard_normal((n, 70)).astype(np.float32) for n in (200, 9))
    if kind == "worst":  # halfway between neighbours, where bfloat16 errs by 2^-8 of the number: never half of that
        array, queries = (np.full_like(some, 1 + 2.0**-8 - 2.0**-20) for some in (array, queries))
    if kind == "mixed":  # residuals far from a multiple of the length
        array *= np.float32(2.0) ** rng.integers(-30, 30, array.shape).astype(np.float32)
    if kind == "small":  # squares of these are no numbers in float32
        array, queries = array * np.float32(1e-36), queries * np.float32(1e-30)
    table = Table(array)
    short, slack = table.rounded(table.chunked(queries))
    wide, products = table.array.astype(np.float64), short[:9].double().numpy() @ table.table16[:200].double().numpy().T
    error = np.abs(products - queries.astype(np.float64) @ wide.T).max(axis=1)
    assert (error <= slack.numpy()).all()
    sizes = np.linalg.norm(queries.astype(np.float64), axis=1) * np.linalg.norm(wide, axis=1).max()
    if kind == "normal":
        assert (slack.numpy() < sizes * 0.6 * 2 * 2.0**-8).all()  # bfloat16 promises 2^-8; residuals are shorter
    if kind == "worst":
        assert (error > sizes * 1.98 * 2.0**-8).all()
    assert table.table16[200:].abs().max() == 0
    assert table.table16[:, 70:].abs().max() == 0


def test_rounded_copies_are_rounded_to_nearest_even() -> None:
    array = np.random.default_rng(1).standard_normal((130, 5)).astype(np.float32)
    table = Table(array)
    assert torch.equal(table.table16[:130, :5], torch.tensor(array).bfloat16())


@pytest.mark.parametrize("direct", [4096, 8])
@pytest.mark.parametrize("levels", [3, 10_000])
def test_the_best_of_many_numbers_ties_to_the_lower_place(levels: int, direct: int) -> None:
    rng = np.random.default_rng(2)
    bins = (rng.integers(-levels, levels, (3, 1030)) / 7).astype(np.float32)
    offsets = torch.tensor([0, 0, 3, 50])
    bounds = torch.zeros(3)
    chosen = select(torch.tensor(bins), offsets, bounds, 11, 30, direct)
    for row, own, bound, count in zip(bins, chosen.tolist(), bounds.tolist(), (11, 14, 30), strict=True):
        order = np.lexsort((np.arange(1030), -row))
        assert own == [*sorted(order[:count].tolist()), *[-1] * (30 - count)]
        assert np.float32(bound) == row[order[count]]


@pytest.mark.parametrize("direct", [4096, 8])
def test_all_numbers_are_chosen_where_there_are_no_more(direct: int) -> None:
    bins, bounds = torch.randn(2, 70), torch.zeros(2)
    chosen = select(bins, torch.tensor([0, 0, 1]), bounds, 70, 70, direct)
    assert chosen.tolist() == [list(range(70))] * 2
    assert bounds.tolist() == [-np.inf] * 2


def test_a_multiply_add_is_rounded_once() -> None:
    if isinstance(library(), str):
        pytest.skip(str(library()))
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: rounded on its own the last term is lost, added to 2^-30 it is not.
    query, row = np.zeros((1, 32), np.float32), np.zeros((1, 32), np.float32)
    query[0, [0, 16]] = 2.0**-15, 1 + 2.0**-12
    row[0, [0, 16]] = 2.0**-15, 1 + 2.0**-12
    scores = torch.zeros(1)
    exact.pair_scores[(1,)](torch.tensor(query), torch.tensor(row), torch.zeros(1).long(), scores, 1, 2, PAIRS=32)
    product = query[0, 16] * row[0, 16]
    assert scores.numpy()[0] != product + np.float32(2.0**-30)
    assert scores.numpy()[0] == Scan(row, InnerProduct(), 1).pairs(query, np.zeros(1, np.int64))[0]

"""What ranks a table is chosen once, and the choice changes no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
import mmkg_sdk.kernels.scan
from mmkg_sdk.backends.tables import HostRanking, NumpyRanking, TableRanking, rank_table
from mmkg_sdk.evaluation.link_prediction import evaluate_bundle
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.scores import InnerProduct


def kernels(ranking: TableRanking) -> Scan | NumpyRanking:
    assert isinstance(ranking, HostRanking)
    assert not ranking.on_device
    return ranking.kernels


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmkg_sdk.kernels.scan, "library", lambda: "not built")


@pytest.mark.usefixtures("without_library")
def test_without_the_library_numpy_ranks() -> None:
    assert isinstance(kernels(rank_table(np.ones((2, 2), np.float32), InnerProduct())), NumpyRanking)


def test_numpy_ranks_what_the_kernels_do_not_have() -> None:
    class Other(InnerProduct):
        pass

    table = np.ones((2, 2), np.float32)
    assert isinstance(kernels(rank_table(table, Other())), NumpyRanking)
    assert isinstance(kernels(rank_table(table.astype(np.float64), InnerProduct())), NumpyRanking)  # type: ignore[arg-type]
    assert isinstance(kernels(rank_table(np.ones((2, 0), np.float32), InnerProduct())), NumpyRanking)


def test_a_model_answers_the_same_with_and_without_the_library(
    golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mmkg_sdk.load(golden_bundle) as fast:
        if not isinstance(kernels(fast._entities.ranking), Scan):
            pytest.skip("the library is not built")
        monkeypatch.setattr(mmkg_sdk.kernels.scan, "library", lambda: "not built")
        with mmkg_sdk.load(golden_bundle) as plain:
            assert isinstance(kernels(plain._entities.ranking), NumpyRanking)
            heads = list(range(8))
            for candidates in (None, [1, 3, 5, 11]):
                found = fast.predict_tails(heads, 0, k=7, candidates=candidates)
                expected = plain.predict_tails(heads, 0, k=7, candidates=candidates)
                for one, other in zip(found, expected, strict=True):
                    assert [label for label, _ in one] == [label for label, _ in other]
                    scores = [[score for _, score in answers] for answers in (one, other)]
                    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-5)
            ranks = [evaluate_bundle(model, "test", None).ranks for model in (fast, plain)]
            for ties in ("published", "realistic"):
                np.testing.assert_array_equal(ranks[0][ties], ranks[1][ties])

"""The filtered protocol against a loop that a child could check, and against the authors' metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation import evaluate_link_prediction
from mmkg_sdk.evaluation.link_prediction import rank_metrics, rank_triples
from mmkg_sdk.families.link_prediction import link_scorer
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import HEAD, KnownTriples, Queries
from tests.families.mygo.cases import MYGO_CASES, golden_case

ENTITIES, RELATIONS = 9, 3
FLOOR = RankingProtocol("floor")
LABELS = Labels(["r0", "r1", "r2"], kind="relation")


def toy() -> tuple[np.ndarray, np.ndarray, dict[tuple[int, int, int], np.ndarray]]:
    """Triples, the test part of them, and integer scores with many ties, per query."""
    rng = np.random.default_rng(5)
    triples = np.unique(rng.integers(0, [ENTITIES, RELATIONS, ENTITIES], (40, 3)), axis=0)
    scores = {
        (entity, relation, direction): rng.integers(0, 4, ENTITIES).astype(np.float32)
        for entity in range(ENTITIES)
        for relation in range(RELATIONS)
        for direction in (0, 1)
    }
    return triples, triples[::3], scores


def test_ranks_equal_those_of_a_plain_loop() -> None:
    triples, test, scores = toy()

    def scorer(queries: Queries) -> np.ndarray:
        keys = zip(queries.entity.tolist(), queries.relation.tolist(), queries.direction.tolist(), strict=True)
        return np.stack([scores[key] for key in keys])

    report = evaluate_link_prediction(scorer, test, KnownTriples(triples), FLOOR)
    facts = set(map(tuple, triples.tolist()))
    for row, (head, relation, tail) in enumerate(test.tolist()):
        for column, right in ((0, head), (1, tail)):
            own = scores[(tail, relation, 1) if column == 0 else (head, relation, 0)]
            better = equal = 0
            for other in range(ENTITIES):
                fact = (other, relation, tail) if column == 0 else (head, relation, other)
                if other == right or fact in facts:
                    continue
                better += own[other] > own[right]
                equal += own[other] == own[right]
            assert report.ranks["published"][row, column] == 1 + better + equal // 2
            assert report.ranks["realistic"][row, column] == 1 + better + equal / 2


@pytest.mark.parametrize("name", MYGO_CASES)
def test_golden_ranks_and_metrics_come_out_exactly(name: str) -> None:
    case = golden_case(name)
    triples = [case.inputs[f"{split}_triples"] for split in ("train", "valid", "test")]
    known = KnownTriples(np.concatenate(triples))
    scorer = link_scorer(case.model())
    report = evaluate_link_prediction(scorer, triples[2], known, FLOOR)
    np.testing.assert_array_equal(report.ranks["published"], case.outputs["ranks"])
    # Counted with torch, as on a GPU.
    counted = rank_triples(scorer.rank, triples[2], known, FLOOR)
    np.testing.assert_array_equal(counted.ranks["published"], case.outputs["ranks"])
    np.testing.assert_array_equal(counted.ranks["realistic"], report.ranks["realistic"])
    found = report.metrics()
    names = ("mean_rank", "mrr", "hits_at_10", "hits_at_3", "hits_at_1")
    assert [found[key] for key in names] == pytest.approx(case.outputs["metrics"].tolist(), rel=1e-12)


def test_sides_and_relations_add_up_to_the_whole() -> None:
    triples, test, _ = toy()
    rng = np.random.default_rng(1)

    def scorer(queries: Queries) -> np.ndarray:
        return rng.random((len(queries), ENTITIES), dtype=np.float32)

    report = evaluate_link_prediction(scorer, test, KnownTriples(triples), FLOOR, LABELS)
    sides = report.by_side()
    assert report.metrics()["mrr"] == pytest.approx((sides["head"]["mrr"] + sides["tail"]["mrr"]) / 2)
    relations = report.by_relation()
    assert sum(row["triples"] * row["mrr"] for row in relations.values()) == pytest.approx(
        len(test) * report.metrics()["mrr"]
    )
    assert [row["triples"] for row in relations.values()] == sorted(
        (row["triples"] for row in relations.values()), reverse=True
    )


def test_a_split_without_triples_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate_link_prediction(
            lambda queries: np.zeros((0, 1)), np.empty((0, 3), np.int64), KnownTriples(toy()[0]), FLOOR
        )


def test_metrics_of_known_ranks() -> None:
    metrics = rank_metrics(np.array([1.0, 2.0, 4.0, 20.0]))
    assert metrics == {
        "mean_rank": 6.75,
        "mrr": (1 + 0.5 + 0.25 + 0.05) / 4,
        "hits_at_1": 0.25,
        "hits_at_3": 0.5,
        "hits_at_10": 0.75,
    }


def test_the_scorer_asks_for_the_head_where_the_direction_says_so() -> None:
    case = golden_case("db15k_like")
    model = case.model()
    queries = Queries(np.array([3]), np.array([1]), np.array([HEAD]))
    with torch.no_grad():
        entities, relations = model.entity_table(), model.relation_table()
        expected = model.scores(entities, relations, torch.tensor([[model.config.num_entities, 1, 3]]))
    np.testing.assert_allclose(link_scorer(model)(queries), expected.numpy(), rtol=1e-6)

"""Queries and entities go through actors of a real Ray, and come back as one process gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

import mmkg_sdk
from mmkg_sdk.data.mentions import Mention
from mmkg_sdk.errors import BundleError, QueryError
from mmkg_sdk.serving.ray import Answer, Encode

Bundles = Callable[..., Path]


def rows_of(table: pyarrow.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def test_two_actors_answer_as_one_process(ray: Any, bundles: Bundles) -> None:
    heads = [number % 9 for number in range(300)]
    given = pyarrow.table(
        {
            "number": range(300),
            "relation": [number // 9 % 2 for number in range(300)],
            "head": [head if number % 2 else None for number, head in enumerate(heads)],
            "tail": [None if number % 2 else head for number, head in enumerate(heads)],
        }
    )
    data = ray.data.from_arrow(given).repartition(6)
    answered = data.map_batches(
        Answer,
        fn_constructor_args=(str(bundles("mygo")), 4),
        fn_constructor_kwargs={"threads": 1},
        batch_format="pyarrow",
        batch_size=50,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    found = sorted(answered.take_all(), key=lambda row: row["number"])
    assert [row["number"] for row in found] == list(range(300))
    with mmkg_sdk.Model.load(bundles("mygo"), threads=1) as model:
        for row in found:
            if row["number"] % 2:
                (expected,) = model.predict_tails(row["head"], row["relation"], 4)
            else:
                (expected,) = model.predict_heads(row["relation"], row["tail"], 4)
            assert row["ids"] == expected.ids.tolist()
            assert row["labels"] == list(expected.labels)
            assert row["scores"] == expected.scores.tolist()  # to the bit


def test_an_error_of_an_actor_reaches_the_caller(ray: Any, bundles: Bundles) -> None:
    data = ray.data.from_arrow(pyarrow.table({"head": ["nobody"], "relation": [0]}))
    asked = data.map_batches(
        Answer,
        fn_constructor_args=(str(bundles("mygo")),),
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    with pytest.raises(Exception, match="unknown entity 'nobody'"):
        asked.take_all()


def test_entities_are_encoded_by_actors(ray: Any, bundles: Bundles) -> None:
    tokens = [[number % 3, number % 2] for number in range(40)]
    tokens[5] = []
    given = pyarrow.table(
        {"label": [f"new {number}" for number in range(40)], "visual_tokens": tokens, "text_tokens": tokens[::-1]}
    )
    encoded = (
        ray.data.from_arrow(given)
        .repartition(4)
        .map_batches(
            Encode,
            fn_constructor_args=(str(bundles("mygo")), ["visual_tokens", "text_tokens"]),
            fn_constructor_kwargs={"threads": 1},
            batch_format="pyarrow",
            batch_size=7,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
    )
    found = {row["label"]: row["vector"] for row in encoded.take_all()}
    with mmkg_sdk.Model.load(bundles("mygo"), threads=1) as model:
        expected = model.encode_entities(visual_tokens=tokens, text_tokens=tokens[::-1])
    np.testing.assert_array_equal(np.array([found[f"new {number}"] for number in range(40)], np.float32), expected)


# ---- in this process -----------------------------------------------------------------------------------------------


def test_labels_are_asked_like_ids_and_other_columns_stay(bundles: Bundles) -> None:
    with mmkg_sdk.Model.load(bundles("mygo")) as model:
        labels, relations = model.entities[:3], model.relations[:1] * 3
        expected = model.predict_tails(list(labels), list(relations), 2, filter_known=False)
    answer = Answer(bundles("mygo"), 2, filter_known=False)
    batch = pyarrow.table({"note": ["a", "b", "c"], "head": labels, "relation": relations})
    found = answer(batch)
    assert found.column_names == ["note", "head", "relation", "ids", "labels", "scores"]
    assert found["labels"].to_pylist() == [list(one.labels) for one in expected]
    assert found["note"].to_pylist() == ["a", "b", "c"]
    assert len(answer(batch.slice(0, 0))) == 0


def test_candidates_and_queries_without_answers(bundles: Bundles) -> None:
    found = Answer(bundles("mygo"), candidates=[])(pyarrow.table({"head": [0, 1], "relation": [0, 0]}))
    assert found["ids"].to_pylist() == [[], []]
    found = Answer(bundles("mygo"), candidates=[3])(pyarrow.table({"head": [0, 1], "relation": [0, 0]}))
    assert found["ids"].to_pylist() == [[3], [3]]


def test_mentions_are_linked(bundles: Bundles) -> None:
    mentions = [Mention("Jordan", "Jordan is a river."), Mention("Georgia", "")]
    with mmkg_sdk.Linker.load(bundles("mimic")) as linker:
        expected = linker.link_mentions(mentions, 3)
    found = Answer(bundles("mimic"), 3)(
        pyarrow.table({"mention": ["Jordan", "Georgia"], "sentence": ["Jordan is a river.", None]})
    )
    assert found["ids"].to_pylist() == [link.ids.tolist() for link in expected]
    assert found["scores"].to_pylist() == [link.scores.tolist() for link in expected]


def test_bad_rows_are_reported_and_the_others_answered(bundles: Bundles) -> None:
    batch = pyarrow.table(
        {"relation": [0, 0, None, 99, 1, 0], "head": [0, None, 1, 1, 2, 0], "tail": [None, None, None, None, None, 1]}
    )
    found = rows_of(Answer(bundles("mygo"), 2, bad_rows="report")(batch))
    assert [row["error"] is None for row in found] == [True, False, False, False, True, False]
    assert "expected a relation, and either head or tail" in found[1]["error"]
    assert "relation id 99" in found[3]["error"]
    assert [len(row["ids"]) for row in found] == [2, 0, 0, 0, 2, 0]
    with pytest.raises(QueryError, match="row 1 of 6 is"):
        Answer(bundles("mygo"), 2)(batch)


def test_what_is_asked_wrongly_is_refused(bundles: Bundles) -> None:
    with pytest.raises(QueryError, match="expected 'raise' or 'report'"):
        Answer(bundles("mygo"), bad_rows="skip")  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="expected a bundle for link prediction or entity linking"):
        Answer(bundles("mkgformer-tags"))
    with pytest.raises(QueryError, match="leave it out"):
        Answer(bundles("mimic"), filter_known=True)
    with pytest.raises(QueryError, match="batch_format='pyarrow'"):
        Answer(bundles("mygo"))({"head": [0]})
    with pytest.raises(QueryError, match="expected relation, and head or tail"):
        Answer(bundles("mygo"))(pyarrow.table({"head": [0]}))
    with pytest.raises(QueryError, match="expected mention"):
        Answer(bundles("mimic"))(pyarrow.table({"text": ["a"]}))
    encode = Encode(bundles("mygo"), ["visual_tokens", "text_tokens"])
    with pytest.raises(QueryError, match="expected text_tokens"):
        encode(pyarrow.table({"visual_tokens": [[0]]}))
    with pytest.raises(QueryError, match="text_tokens is null in 1 rows"):
        encode(pyarrow.table({"visual_tokens": [[0]], "text_tokens": [None]}))
    with pytest.raises(QueryError, match="no lists of numbers of one length"):
        Encode(bundles("adamf_mat"), ["visual_features"])(pyarrow.table({"visual_features": [[1.0], [1.0, 2.0]]}))


def test_features_are_encoded(bundles: Bundles) -> None:
    with mmkg_sdk.Model.load(bundles("adamf_mat")) as model:
        inputs = model.bundle.inputs
        given = {name: inputs[name][:3] for name in ("visual_features", "text_features", "structure")}
        expected = model.encode_entities(**given)
    batch = pyarrow.table({name: array.tolist() for name, array in given.items()})
    found = Encode(bundles("adamf_mat"), list(given))(batch)
    np.testing.assert_array_equal(np.array(found["vector"].to_pylist(), np.float32), expected)

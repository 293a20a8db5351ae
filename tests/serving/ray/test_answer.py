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
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.serving.ray import Answer, Encode, encode_into

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


SENTENCES = ["The actor wrote a song, the film from germany.", "A song of the actor in germany is no film."]


@pytest.mark.parametrize("name", ["mygo", "mimic", "mkgformer-relations", "mkgformer-tags"])
def test_every_task_is_answered_by_actors_as_by_its_model(name: str, ray: Any, bundles: Bundles) -> None:
    count = 24
    sentences = [f"{SENTENCES[number % 2]} {number}" for number in range(count)]
    number = range(count)
    opened = mmkg_sdk.load(bundles(name), threads=1)
    given: dict[str, list[Any]]
    if isinstance(opened, mmkg_sdk.Model):
        given = {"relation": [row % 2 for row in number], "head": [row % 9 for row in number]}
        expected = [lists(one) for one in opened.predict_tails(given["head"], given["relation"], 3)]
    elif isinstance(opened, mmkg_sdk.Linker):
        given = {"mention": ["Jordan", "Georgia"] * (count // 2), "sentence": sentences}
        mentions = map(Mention, given["mention"], sentences)
        expected = [lists(one) for one in opened.link_mentions(list(mentions), 3)]
    elif isinstance(opened, mmkg_sdk.Extractor):
        given = {"sentence": sentences, "head": ["actor"] * count, "tail": ["germany", "song"] * (count // 2)}
        asked = map(mmkg_sdk.RelationMention, sentences, given["head"], given["tail"])
        expected = [lists_of_relations(one) for one in opened.extract_relations(list(asked))]
    else:
        given = {"sentence": [*sentences[1:], "film"]}
        expected = [lists_of_entities(one) for one in opened.tag(given["sentence"])]
        assert [len(row["texts"]) > 0 for row in expected] == [True] * (count - 1) + [False]
    opened.close()
    answered = (
        ray.data.from_arrow(pyarrow.table({"number": number, **given}))
        .repartition(4)
        .map_batches(
            Answer,
            fn_constructor_args=(str(bundles(name)), None if name == "mkgformer-tags" else 3),
            fn_constructor_kwargs={"threads": 1},
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=2),
        )
    )
    found = sorted(answered.take_all(), key=lambda row: row["number"])
    assert [{name: row[name] for name in ("number", *given)} for row in found] == [
        {"number": row, **{name: given[name][row] for name in given}} for row in number
    ]
    assert [{name: row[name] for name in expected[0]} for row in found] == expected


def lists(answer: Any) -> dict[str, Any]:
    return {"ids": answer.ids.tolist(), "labels": list(answer.labels), "scores": answer.scores.tolist()}


def lists_of_relations(answer: mmkg_sdk.ExtractedRelation) -> dict[str, Any]:
    ranked = answer.ranked(3)
    labels = [label for label, _ in ranked]
    return {
        "ids": [list(answer.labels).index(label) for label in labels],
        "labels": labels,
        "scores": [score for _, score in ranked],
    }


def lists_of_entities(answer: mmkg_sdk.SentenceEntities) -> dict[str, Any]:
    return {
        "texts": [one.text for one in answer],
        "kinds": [one.kind for one in answer],
        "word_starts": [one.words[0] for one in answer],
        "word_ends": [one.words[1] for one in answer],
        "character_starts": [one.characters[0] for one in answer],
        "character_ends": [one.characters[1] for one in answer],
    }


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


@pytest.mark.parametrize("name", ["mygo", "adamf_mat"])
def test_a_data_set_becomes_a_bundle(name: str, ray: Any, bundles: Bundles, tmp_path: Path) -> None:
    """The one that a single process makes: labels, ids and table to the bit."""
    labels = [f"new {number}" for number in range(40)]
    with mmkg_sdk.Model.load(bundles(name), threads=1) as model:
        inputs = model.bundle.inputs
        if name == "mygo":
            tokens = [[number % 3] * (number % 4) for number in range(40)]
            given: dict[str, Any] = {"visual_tokens": tokens, "text_tokens": tokens[::-1]}
        else:
            given = {
                name: inputs[name][np.arange(40) % len(inputs[name])] for name in ("visual_features", "text_features")
            }
        model.add_entities(labels, **given)
        model.save(tmp_path / "one")
    table = pyarrow.table({"name": labels, **{name: list(values) for name, values in given.items()}})
    data = ray.data.from_arrow(table).repartition(5)
    count = encode_into(bundles(name), data, tmp_path / "many", list(given), label="name", batch_size=7)
    assert count == 40
    one, many = (mmkg_sdk.bundle.Bundle.open(tmp_path / made) for made in ("one", "many"))
    assert list(many.entities) == list(one.entities)
    for array, values in one.encoded.items():
        np.testing.assert_array_equal(many.encoded[array], values)
    for array, values in one.inputs.items():
        np.testing.assert_array_equal(many.inputs[array], values)


def test_nothing_is_written_of_what_cannot_be_added(ray: Any, bundles: Bundles, tmp_path: Path) -> None:
    taken = mmkg_sdk.bundle.Bundle.open(bundles("mygo")).entities[0]
    rows = {"label": ["new", taken], "visual_tokens": [[0], [1]], "text_tokens": [[0], [1]]}
    columns = ["visual_tokens", "text_tokens"]
    for changed, message in (
        ({}, "exists already"),
        ({"label": ["new", None]}, "label is null in 1 rows"),
        ({"label": pyarrow.array([], pyarrow.string()), "visual_tokens": [], "text_tokens": []}, "has no rows"),
    ):
        data = ray.data.from_arrow(pyarrow.table(rows | changed))
        with pytest.raises(QueryError, match=message):
            encode_into(bundles("mygo"), data, tmp_path / "out", columns)
    assert not (tmp_path / "out").exists()


def test_what_other_processes_encoded_is_checked(bundles: Bundles) -> None:
    given = {"visual_tokens": [[0]], "text_tokens": [[1]]}
    with mmkg_sdk.Model.load(bundles("mygo")) as model:
        vectors = model.encode_entities(**given)
        for wrong, message in (
            ({}, "the outputs of the encoder"),
            ({"vectors": vectors[:, 1:]}, "the outputs of the encoder"),
            ({"vectors": vectors.astype(np.float64)}, "vectors is float64"),
            ({"vectors": vectors * np.float32(np.nan)}, "NaN"),
        ):
            with pytest.raises(QueryError, match=message):
                model.add_encoded(["new"], wrong, **given)
        with pytest.raises(QueryError, match="2 labels and inputs of 1"):
            model.add_encoded(["new", "newer"], {"vectors": vectors}, **given)
        count = len(model.entities)
        assert model.add_encoded(["new"], {"vectors": vectors}, **given).tolist() == [count]
        np.testing.assert_array_equal(model.entity_vectors("new"), vectors)


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


def test_more_rows_than_are_asked_together(bundles: Bundles) -> None:
    """Also where each chunk of the batch has a dictionary of its own, and where no row is right."""
    chunks = [pyarrow.array(texts).dictionary_encode() for texts in (["Jordan"] * 100, ["Georgia"] * 200)]
    batch = pyarrow.table({"mention": pyarrow.chunked_array(chunks), "sentence": ["", None, "x"] * 100})
    with mmkg_sdk.Linker.load(bundles("mimic")) as linker:
        mentions = zip(["Jordan"] * 100 + ["Georgia"] * 200, ["", "", "x"] * 100, strict=True)
        expected = [link.ids.tolist() for link in linker.link_mentions([Mention(*one) for one in mentions], 2)]
    assert Answer(bundles("mimic"), 2)(batch)["ids"].to_pylist() == expected
    found = Answer(bundles("mimic"), bad_rows="report")(pyarrow.table({"mention": pyarrow.nulls(130)}))
    assert found["ids"].to_pylist() == [[]] * 130
    assert found["error"].to_pylist() == ["mention is null"] * 130


def test_bad_rows_are_reported_and_the_others_answered(bundles: Bundles) -> None:
    batch = pyarrow.table(
        {"relation": [0, 0, None, 99, 1, 0], "head": [0, None, 1, 1, 2, 0], "tail": [None, None, None, None, None, 1]}
    )
    found = rows_of(Answer(bundles("mygo"), 2, bad_rows="report")(batch))
    assert [row["error"] is None for row in found] == [True, False, False, False, True, False]
    assert found[1]["error"] == "head and tail are null; expected one of them"
    assert found[2]["error"] == "relation is null"
    assert "relation id 99" in found[3]["error"]
    assert [len(row["ids"]) for row in found] == [2, 0, 0, 0, 2, 0]
    with pytest.raises(QueryError, match="row 1 of 6: head and tail are null"):
        Answer(bundles("mygo"), 2)(batch)


def test_what_is_asked_wrongly_is_refused(bundles: Bundles) -> None:
    with pytest.raises(QueryError, match="expected 'raise' or 'report'"):
        Answer(bundles("mygo"), bad_rows="skip")  # type: ignore[arg-type]
    for name, option in (
        ("mimic", {"filter_known": True}),
        ("mkgformer-relations", {"candidates": [0]}),
        ("mkgformer-tags", {"k": 3}),
    ):
        with pytest.raises(QueryError, match=f"{next(iter(option))} is not for .*; leave it out"):
            Answer(bundles(name), **option)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="batch_format='pyarrow'"):
        Answer(bundles("mygo"))({"head": [0]})
    for columns, message in (
        ({"head": [0]}, "a batch: column 'relation' is there 0 times; found 'head'"),
        ({"head": [0.5], "relation": [0]}, "column 'head' is double; expected texts or whole numbers"),
        ({"head": [0], "relation": [0], "scores": [1]}, "a batch has a column 'scores'"),
    ):
        with pytest.raises(DataError, match=message):
            Answer(bundles("mygo"))(pyarrow.table(columns))
    with pytest.raises(DataError, match="column 'mention' is there 0 times"):
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

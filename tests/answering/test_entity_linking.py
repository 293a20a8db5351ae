"""The Linker on what people type: namesakes, pictures that are none, texts of every script and length."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import mmkg_sdk
from mmkg_sdk import Linker, Mention
from mmkg_sdk.answering.entity_linking import show_answers
from mmkg_sdk.bench.sweep.measure import query_latencies_ms
from mmkg_sdk.bench.sweep.questions import questions
from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.layouts.linking import write_linking
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.errors import BackendError, DataError, QueryError
from mmkg_sdk.evaluation.entity_linking import evaluate_bundle
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.run import Run
from tests.families.mimic.small import LABELS, picture


@pytest.fixture(scope="module", params=["onnxruntime", "torch"])
def linker(request: pytest.FixtureRequest, small_bundle: Path) -> Iterator[Linker]:
    with mmkg_sdk.load(small_bundle, request.param, "cpu", threads=1) as opened:
        yield opened


GEORGIA = Mention("Georgia", "Georgia has old wine.")


def test_a_mention_is_answered_in_labels_best_first(linker: Linker) -> None:
    (link,) = linker.link_mentions(GEORGIA, k=3)
    assert len(link) == 3
    assert link.scores.tolist() == sorted(link.scores.tolist(), reverse=True)
    assert set(link.labels) <= set(LABELS)
    assert [linker.entities[i] for i in link.ids.tolist()] == list(link.labels)
    assert repr(link).splitlines()[0] == "'Georgia' in 'Georgia has old wine.'"
    assert link.units is None
    assert link.to_json()["answers"][0] == {"id": link.ids[0], "label": link.labels[0], "score": float(link.scores[0])}


def test_the_score_is_the_mean_of_what_the_units_say(linker: Linker) -> None:
    (link,) = linker.link_mentions([GEORGIA], k=7, explain=True)
    assert link.units is not None
    assert list(link.units) == ["text", "image", "image_text"]
    np.testing.assert_allclose(np.mean(list(link.units.values()), axis=0), link.scores, rtol=1e-6)
    assert link.to_json()["answers"][2]["units"]["image"] == pytest.approx(float(link.units["image"][2]))
    assert "image_text" in repr(link)


def test_a_rank_is_the_place_of_an_entity_among_all(linker: Linker) -> None:
    asked = [GEORGIA, Mention("Jordan", "Jordan is a river.")] * 40  # of several blocks
    links = linker.link_mentions(asked, k=7)
    for entity in (0, 3, 6):
        ranks = linker.rank_mentions(asked, np.full(80, entity))
        assert ranks.tolist() == [1 + link.ids.tolist().index(entity) for link in links]
    assert linker.rank_mentions([], np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([7], "targets goes from 7 to 7; expected 0 to 6"),
        ([-1], "targets goes from -1 to -1; expected 0 to 6"),
        ([0, 0], r"targets is int64 \[2\]; expected int64 \[1\], one per mention"),
        ([0.5], r"targets is float64 \[1\]; expected int64 \[1\]"),
    ],
)
def test_a_target_that_there_is_not_is_refused(targets: list[Any], message: str, linker: Linker) -> None:
    with pytest.raises(QueryError, match=message):
        linker.rank_mentions(GEORGIA, np.array(targets))


def test_answers_do_not_depend_on_the_other_mentions_or_candidates(linker: Linker) -> None:
    mentions = [Mention("Jordan", f"Jordan, sentence {row}.") for row in range(70)]
    together = linker.score_mentions(mentions)
    assert together.shape == (70, 7)
    for row in (0, 7, 8, 63, 64, 69):
        np.testing.assert_allclose(linker.score_mentions(mentions[row])[0], together[row], rtol=1e-5, atol=1e-5)
    some = linker.link_mentions(mentions[3], k=5, candidates=["Jordan (river)", "Georgia (font)", "Jordan (river)"])
    assert set(some[0].labels) == {"Jordan (river)", "Georgia (font)"}
    assert some.k == 2
    np.testing.assert_allclose(np.sort(some[0].scores), np.sort(together[3, [2, 6]]), rtol=1e-5, atol=1e-5)


def test_a_picture_changes_the_scores_and_the_way_it_comes_does_not(linker: Linker, tmp_path: Path) -> None:
    from PIL import Image

    path = picture(tmp_path / "flag.png", 8)
    ways = (path, str(path), Image.open(path))
    plain, shown, *others = linker.score_mentions(
        [GEORGIA, *(Mention("Georgia", GEORGIA.sentence, image) for image in ways)]
    )
    assert not np.allclose(plain, shown)
    np.testing.assert_allclose(others, [shown, shown], rtol=1e-6)
    np.testing.assert_allclose(linker.score_mentions(GEORGIA)[0], plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        " \t\n ",
        "\0",
        "word " * 10_000,
        "x" * 1_000_000,
        "🇬🇪🍑👩‍👩‍👧‍👦 and ﷽",
        "גאורגיה היא מדינה. جورجيا دولة.",
        "\u202eaigroeG\u202c",
        "<|endoftext|> <|startoftext|> [SEP]",
        "e\u0301" * 300,
    ],
    ids=["empty", "blank", "nul", "long", "one word", "emoji", "right-to-left", "reversed", "tokens", "combining"],
)
def test_a_strange_sentence_has_an_answer(sentence: str, linker: Linker) -> None:
    for text in ("Georgia", "גאורגיה", "🇬🇪"):
        (link,) = linker.link_mentions(Mention(text, sentence), k=7)
        assert sorted(link.labels) == sorted(LABELS)
        assert np.isfinite(link.scores).all()


def test_what_comes_after_the_models_text_length_is_not_read(linker: Linker) -> None:
    long = "wine " * 30
    found = linker.score_mentions([Mention("Georgia", long), Mention("Georgia", long + "peaches")])
    np.testing.assert_array_equal(found[0], found[1])


class Foreign:
    pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Georgia", r"mention 0 of 7 is 'G' \(str\); expected a Mention"),
        (None, "mentions is NoneType; expected a Mention or a list of them"),
        ([GEORGIA, ("Georgia", "")], r"mention 1 of 2 is \('Georgia', ''\) \(tuple\)"),
        ([Mention("", "Georgia.")], "mention 0 of 1: text is ''; expected the name"),
        ([Mention(" ", "Georgia.")], "text is ' '"),
        ([Mention(3, "Georgia.")], "text is 3; expected a text"),  # type: ignore[arg-type]
        ([Mention("Georgia", None)], "sentence is None; expected a text"),  # type: ignore[arg-type]
        (
            [Mention("Georgia", "\ud83d wine")],
            r"mention 0 of 1: sentence holds '\\ud83d' at 0, half of a surrogate pair",
        ),
        ([Mention("Georgia", "", b"flag.png")], "image is b'flag.png'; expected a path"),  # type: ignore[arg-type]
        ([Mention("Georgia", "", Foreign())], "image is <.*Foreign.*; expected a path"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_mention_is_refused_with_its_place(given: Any, message: str, linker: Linker) -> None:
    with pytest.raises(QueryError, match=message):
        linker.link_mentions(given)


@pytest.mark.parametrize("name", ["absent", "text", "cut", "grey", "folder"])
def test_a_picture_that_is_none_is_an_error_or_by_request_no_picture(name: str, linker: Linker, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.png"
    if name == "text":
        path.write_text("no picture")
    if name == "cut":
        picture(path, 2)
        path.write_bytes(path.read_bytes()[:200])
    if name == "grey":
        picture(path, 2, "L")
    if name == "folder":
        path.mkdir()
    mention = Mention("Georgia", GEORGIA.sentence, path)
    with pytest.raises(QueryError, match=rf"mention 'Georgia': .*{name}.png cannot be read: .+ Pass another"):
        linker.link_mentions([GEORGIA, mention])
    with pytest.warns(UserWarning, match=f"{name}.png is read as zeros"):
        found = linker.score_mentions([mention], unreadable="none")
    np.testing.assert_allclose(found, linker.score_mentions(GEORGIA), rtol=1e-5, atol=1e-5)
    with pytest.raises(QueryError, match="unreadable is 'maybe'"):
        linker.score_mentions(GEORGIA, unreadable="maybe")


@pytest.mark.parametrize("k", [0, -1, 3841, True, 2.5, "3", None])
def test_a_number_of_answers_out_of_range_is_refused(k: Any, linker: Linker) -> None:
    with pytest.raises(QueryError, match=r"k is .* expected a whole number from 1 to 3,840"):
        linker.link_mentions(GEORGIA, k)


def test_unknown_candidates_are_named_and_none_or_no_mentions_give_nothing(linker: Linker) -> None:
    with pytest.raises(QueryError, match=r"unknown entity 'Georgia'.*near: 'Georgia"):
        linker.link_mentions(GEORGIA, candidates=["Georgia"])
    nothing = linker.link_mentions(GEORGIA, candidates=[])
    assert len(nothing[0]) == 0
    assert "(no candidate)" in repr(nothing)
    assert len(linker.link_mentions([])) == 0
    assert linker.score_mentions([]).shape == (0, 7)


def test_equal_scores_come_in_the_order_of_the_entities(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linker, "unit_scores", lambda entities, pieces, chosen: np.zeros((3, 1, 7), np.float32))
    assert linker.link_mentions(GEORGIA, k=7)[0].ids.tolist() == [*range(7)]


def test_a_nan_is_an_error_and_never_an_answer(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = linker.backend.run

    def spoiled(graph: str, inputs: Any) -> Any:
        outputs = run(graph, inputs)
        if graph == "interaction":
            outputs["image_scores"] = outputs["image_scores"] * np.nan
        return outputs

    monkeypatch.setattr(linker.backend, "run", spoiled)
    with pytest.raises(BackendError, match="interaction in fp16 gave NaN or infinity on cpu"):
        linker.link_mentions(GEORGIA)


def test_a_linker_travels_and_closes(small_bundle: Path) -> None:
    with mmkg_sdk.load(small_bundle, "onnxruntime", "cpu", threads=1) as linker:
        assert repr(linker).startswith("Linker(mimic fp16: 7 entities, onnxruntime on cpu, ")
        again = pickle.loads(pickle.dumps(linker))
        np.testing.assert_array_equal(again.score_mentions(GEORGIA), linker.score_mentions(GEORGIA))
        again.close()
        with pytest.raises(BackendError, match="closed"):
            again.link_mentions(GEORGIA)


def test_run_and_bundle_rank_alike_and_the_data_must_be_named(
    small_world: LinkingData, small_run: Run, small_bundle: Path, tmp_path: Path
) -> None:
    write_linking(small_world, tmp_path / "world")
    by_run = evaluate_path(small_run.folder, "test", device="cpu")
    by_bundle = evaluate_path(small_bundle, "test", data=str(tmp_path / "world"), device="cpu")
    assert by_run.to_json() == by_bundle.to_json()
    assert by_run.to_json()["mentions"] == 3
    with pytest.raises(DataError, match="holds no mentions; name the data set with --data"):
        evaluate_path(small_bundle, "test", device="cpu")


def test_data_with_other_entities_are_refused(small_world: LinkingData, small_bundle: Path, tmp_path: Path) -> None:
    write_linking(small_world, tmp_path / "world")
    file = tmp_path / "world" / "mentions-test.tsv"
    entities = tmp_path / "world" / "entities.tsv"
    entities.write_text(entities.read_text().replace("Georgia (state)", "Georgia (US)"))
    file.write_text(file.read_text().replace("Georgia (state)", "Georgia (US)"))
    train = tmp_path / "world" / "mentions-train.tsv"
    train.write_text(train.read_text().replace("Georgia (state)", "Georgia (US)"))
    with (
        mmkg_sdk.load(small_bundle, "onnxruntime", "cpu") as linker,
        pytest.raises(DataError, match=r"entity 'Georgia \(US\)' is not in .*bundle. Pass the data set"),
    ):
        evaluate_bundle(linker, "test", str(tmp_path / "world"))


def test_sample_answers_mark_the_right_one(small_world: LinkingData, small_bundle: Path) -> None:
    with mmkg_sdk.load(small_bundle, "onnxruntime", "cpu") as linker:
        shown = show_answers(linker, small_world, k=7)
    assert shown.count("<- the answer in the test split") == 2
    assert "'Georgia' in 'Georgia grows peaches.' (with an image)" in shown
    assert "Tbilisi.'" not in shown  # means one thing only


def test_the_command_answers_for_people_and_machines(small_bundle: Path, tmp_path: Path) -> None:
    command = ["link", str(small_bundle), "--mention", "Georgia", "--sentence", "Old wine.", "-k", "2"]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "'Georgia' in 'Old wine.'"
    assert len(result.stdout.splitlines()) == 4
    assert "the end of the sentence was not read" in result.stdout.splitlines()[-1]  # the model reads twelve tokens
    image = str(picture(tmp_path / "flag.png", 1))
    result = CliRunner().invoke(cli, [*command, "--image", image, "--explain", "--json"], catch_exceptions=False)
    answers = json.loads(result.stdout)["answers"]
    assert [set(answer) for answer in answers] == [{"id", "label", "score", "units"}] * 2
    result = CliRunner().invoke(cli, [*command[:3], "Georgia", "--image", str(tmp_path / "none.png")])
    assert isinstance(result.exception, QueryError)


def test_linking_needs_neither_torch_nor_transformers(small_bundle: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import mmkg_sdk\n"
        f"with mmkg_sdk.load({str(small_bundle)!r}, 'onnxruntime', 'cpu') as linker:\n"
        "    print(linker.link_mentions(mmkg_sdk.Mention('Georgia', 'Old wine.'), k=1).to_json())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'mention': 'Georgia'" in done.stdout


@pytest.mark.parametrize("spelled", ["<|endoftext|>", "<|startoftext|>"])
def test_a_mention_that_spells_a_special_token_is_read_to_its_end(spelled: str, linker: Linker) -> None:
    ids, mask, _ = linker.read_texts([Mention("Georgia", f"a {spelled} b"), Mention("Georgia", "a b")])
    first, end = (int(ids[0, place]) for place in (0, mask[0].sum() - 1))
    assert [int(row.tolist().index(end)) for row in ids] == [int(row.sum()) - 1 for row in mask], "one end, behind all"
    assert (ids == first).sum(axis=1).tolist() == [1, 1]


def test_no_warning_comes_of_an_ordinary_question(linker: Linker) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linker.link_mentions(GEORGIA)


def test_the_benchmark_asks_for_labels_in_sentences_with_pictures(linker: Linker) -> None:
    asked = islice(questions(linker, seed=0), 3)
    assert all(set(ask()) == set(LABELS) for ask in asked)  # ten of seven candidates are all of them
    assert len(query_latencies_ms(linker, seconds=1e-3, seed=0)) >= 3

"""mmkg-sdk predict: the answers of the library, or one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import DataError, QueryError

from .running import ask, mmkg


def test_predict_prints_the_answers_of_the_library(golden_bundle: Path) -> None:
    answer = json.loads(
        mmkg("predict", golden_bundle, "--head", "entity 3", "--relation", "relation 1", "-k", "4", "--json").stdout
    )
    with mmkg_sdk.load(golden_bundle) as model:
        expected = model.predict_tails("entity 3", "relation 1", k=4)[0]
    assert answer["query"] == "(entity 3, relation 1, ?)"
    assert [row["label"] for row in answer["answers"]] == list(expected.labels)
    heads = mmkg("predict", golden_bundle, "--relation", "relation 1", "--tail", "entity 3", "-k", "2").stdout
    assert heads.startswith("(?, relation 1, entity 3)")
    assert len(heads.splitlines()) == 3


def test_unknown_label_fails_with_near_labels_on_stderr(golden_bundle: Path) -> None:
    done = mmkg("predict", golden_bundle, "--head", "entty 3", "--relation", "relation 1", code=1)
    assert done.stdout == ""
    assert "unknown entity 'entty 3'" in done.stderr
    assert "'entity 3'" in done.stderr


@pytest.mark.parametrize("sides", [[], ["--head", "entity 0", "--tail", "entity 1"]])
def test_predict_wants_exactly_one_known_side(golden_bundle: Path, sides: list[str]) -> None:
    assert "either --head or --tail" in mmkg("predict", golden_bundle, "--relation", "0", *sides, code=2).stderr


@pytest.fixture(scope="module")
def known(golden_bundle: Path) -> tuple[str, str, str]:
    """Labels of a triple that the data give."""
    bundle = Bundle.open(golden_bundle)
    head, relation, tail = bundle.triples["train"][0].tolist()
    return bundle.entities[head], bundle.relations[relation], bundle.entities[tail]


def test_known_answers_that_were_left_out_are_named(golden_bundle: Path, known: tuple[str, str, str]) -> None:
    head, relation, tail = known
    asked = ("predict", golden_bundle, "--head", head, "--relation", relation)
    assert tail in json.loads(ask(*asked, "--json").stdout)["known"]
    assert "left out: " in ask(*asked).stdout
    for option in ("--no-filter-known", "--all-answers"):
        everything = json.loads(ask(*asked, option, "-k", "40", "--json").stdout)
        assert everything["known"] == []
        assert tail in [row["label"] for row in everything["answers"]]


def test_candidates_are_labels_or_ids_with_commas_between_or_in_a_file(
    golden_bundle: Path, known: tuple[str, str, str], tmp_path: Path
) -> None:
    head, relation, tail = known
    asked = ("predict", golden_bundle, "--relation", relation, "--head", head, "--json")
    others = [label for label in ("entity 4", "entity 5", "entity 6") if label != tail]
    (tmp_path / "names.txt").write_text("\n".join([tail, *others]))
    ids = ",".join(str(Bundle.open(golden_bundle).entities.find(label)) for label in others)
    for options in (
        ("--candidates", f"{tail}, {','.join(others)}"),
        ("--candidates", tail, *(part for label in others for part in ("--candidates", label))),
        ("--candidates-file", tmp_path / "names.txt"),
        ("--candidates", tail, "--candidates", ids),
    ):
        assert {row["label"] for row in json.loads(ask(*asked, *options).stdout)["answers"]} == {tail, *others}
        filtered = json.loads(ask(*asked, *options, "--filter-known").stdout)
        assert tail in filtered["known"]
        assert tail not in {row["label"] for row in filtered["answers"]}


def test_a_decimal_that_is_no_label_is_an_id_and_that_is_said(golden_bundle: Path) -> None:
    done = ask("predict", golden_bundle, "--head", "3", "--relation", "1", "--json")
    assert json.loads(done.stdout)["query"] == "(entity 3, relation 1, ?)"
    assert "--head: taken for an id, as no entity has this label: 3 (entity 3)" in done.stderr
    assert "--relation: taken for an id, as no relation has this label: 1 (relation 1)" in done.stderr


def test_a_label_that_looks_like_an_id_wins(capsys: pytest.CaptureFixture[str]) -> None:
    from mmkg_sdk.cli.asking import candidates_of, name_of
    from mmkg_sdk.files.labels import Labels

    labels = Labels(["one", "0", "Washington, D.C.", "two"])
    assert name_of("0", labels, "head") == "0"
    assert candidates_of(["Washington, D.C.", "one, two", "0,3"], None, labels) == [
        "Washington, D.C.",
        "one",
        "two",
        "0",
        3,
    ]
    assert candidates_of([], None, labels) is None
    assert capsys.readouterr().err == "--candidates: taken for an id, as no entity has this label: 3 (two)\n"
    assert name_of("9" * 5000, labels, "head") == "9" * 5000  # no id has so many digits


@pytest.mark.parametrize("k", ["0", "-1", "3841", "x", "1.5"])
def test_a_bad_k_is_wrong_usage(golden_bundle: Path, k: str) -> None:
    assert "Invalid value for '-k'" in ask("predict", golden_bundle, "--relation", "0", "-k", k, code=2).stderr


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            ["--candidates", "entity 4,entty 5"],
            QueryError,
            r"unknown entity 'entty 5' \(number 1 of 2\).* near: 'entity 5'",
        ),
        (["--candidates", ""], QueryError, "unknown entity ''"),
        (["--candidates", "40"], QueryError, "entity id 40 .* out of range; ids are 0 to 39"),
        (["--candidates-file", "no.txt"], DataError, r"cannot read no.txt: .* one candidate label per line"),
    ],
)
def test_a_bad_candidate_is_named(
    golden_bundle: Path, options: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ask("predict", golden_bundle, "--head", "entity 3", "--relation", "relation 1", *options)

"""Sentences longer than the model reads: left out of training, counted in evaluation, and said in both."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk.cli.options import metrics_table
from mmkg_sdk.data.layouts.sentences import read_tagging
from mmkg_sdk.errors import DataError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.families.mkgformer.inputs import config_for, run_data
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import start_training
from tests.families.mkgformer.sentence_bundles import LENGTHS, TEXTS, TINY, toy_data

LONG = str({"token": ["film"] * 40, "h": {"name": "film", "pos": [0, 1]}, "t": {"name": "film", "pos": [39, 40]}})
LEFT_OUT = "1 of 7 training sentences are left out: their head or tail begins behind the 22 word pieces .* 'film film"
WRONG = "1 of 7 sentences count as answered wrongly: their head or tail begins behind what the model reads"


def with_long(folder: Path) -> Path:
    """The toy texts, with a sentence in every split whose tail stands behind 24 word pieces."""
    data = toy_data("mre", folder)
    line = LONG.removesuffix("}") + f", 'img_id': 'none.jpg', 'relation': {data.train[0].relation!r}}}"
    for split in ("train", "val", "test"):
        path = folder / f"{split}.txt"
        path.write_text("\n".join([line, *path.read_text().splitlines()]) + "\n")
    return folder


SETTINGS: dict[str, Any] = {**TINY, "max_length": 24, "tokenizer": str(TEXTS / "vocab.txt")}
TRAINING = {"epochs": 1, "batch_size": 4, "validate_every": 1, "schedule": "constant"}


def test_training_leaves_such_a_sentence_out_and_goes_on(tmp_path: Path) -> None:
    folder = with_long(tmp_path / "data")
    with pytest.warns(UserWarning, match=f"{LEFT_OUT}|{WRONG}") as told:
        run, result = start_training(
            "mkgformer", str(folder), tmp_path / "run", settings=SETTINGS | TRAINING, preset="none"
        )
    counts = [text for one in told if re.search(f"{LEFT_OUT}|{WRONG}", text := str(one.message))]
    assert [bool(re.search(LEFT_OUT, text)) for text in counts] == [True, False], "at first, when validating"
    assert len(run.tensors("sentences-train")["labels"]) == 6
    assert run.tensors("sentences-test")["unread"].tolist() == [run.tensors("sentences-test")["labels"][0]]
    assert "micro f1" in metrics_table({"validation": result.best_metrics})
    with pytest.warns(UserWarning, match=WRONG):
        found = evaluate_path(run.folder, "test", device="cpu").to_json()
    assert (found["sentences"], found["unread"]) == (7, 1)
    assert found["accuracy"] <= 6 / 7


def test_a_run_of_an_older_version_has_no_such_list(toys: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run.open(toys("mre") / "run")
    data = run.data
    older = {name: {k: a for k, a in arrays.items() if k != "unread"} for name, arrays in data.tensors.items()}
    copy = Run.create(
        tmp_path / "run",
        family="mkgformer",
        config=run.config,
        data=type(data)(data.name, data.labels, older, data.files),
        weights=run.weights(),
    )
    found = evaluate_path(copy.folder, "test", device="cpu").to_json()
    assert found == evaluate_path(run.folder, "test", device="cpu").to_json()
    assert found["unread"] == 0


def test_a_bundle_counts_it_as_answered_wrongly(toys: Callable[[str], Path], tmp_path: Path) -> None:
    plain = evaluate_path(toys("mre") / "bundle", "test", data=str(toys("mre") / "data"), device="cpu").to_json()
    with pytest.warns(UserWarning, match=WRONG):
        found = evaluate_path(
            toys("mre") / "bundle", "test", data=str(with_long(tmp_path / "data")), device="cpu"
        ).to_json()
    assert (plain["sentences"], found["sentences"], found["unread"]) == (6, 7, 1)
    assert found["accuracy"] * 7 == pytest.approx(plain["accuracy"] * 6)


def test_data_of_which_nothing_can_be_read_are_refused(tmp_path: Path) -> None:
    data = toy_data("mre", tmp_path / "data")
    config = config_for(data, SETTINGS | {"max_length": 3})
    with pytest.raises(DataError, match=r"6 of 6 training sentences are left out: .* Set a larger max_length"):
        run_data(data, config)


def test_words_behind_the_cut_of_a_tagged_sentence_are_counted(toys: Callable[[str], Path], tmp_path: Path) -> None:
    toy_data("mner", tmp_path / "data")
    for split in ("train", "val", "test"):
        path = tmp_path / "data" / f"{split}.txt"
        path.write_text("IMGID:1\n" + "film\tO\n" * 17 + "\n" + path.read_text())
    data = read_tagging(tmp_path / "data")
    config = config_for(data, SETTINGS | {"max_length": LENGTHS["mner"]})
    with pytest.warns(UserWarning, match=r"1 of 6 sentences of the test split have more than the 16 word pieces"):
        run_data(data, config)
    with pytest.warns(UserWarning, match=r"1 of 6 sentences have more word pieces than the model reads \(16\)"):
        evaluate_path(toys("mner") / "bundle", "test", data=str(tmp_path / "data"), device="cpu")

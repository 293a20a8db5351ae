"""Labels that nobody can tell apart by looking."""

from __future__ import annotations

import warnings

import pytest

from mmkg_sdk.data import read_dataset, read_linking, read_relations
from mmkg_sdk.data.lookalikes import warn_of_lookalikes
from mmkg_sdk.files.labels import Labels

from .folders import mnre_line, own_linking, small_mnre, write_files


@pytest.mark.parametrize(
    "twin",
    [
        "Café Oslo ", " Café Oslo", "Café  Oslo", "Café\u00a0Oslo", "Café\u202fOslo", "Cafe\u0301 Oslo",
        "Café\u200b Oslo", "Ca\ufefffé Oslo", "\u2060Café Oslo", "Ca\u00adfé Oslo",
    ],
)  # fmt: skip
def test_a_label_that_looks_like_another_is_named_with_it(tmp_path, twin):
    with pytest.warns(UserWarning, match=r"1 of 3 entity labels look like an earlier one") as caught:
        warn_of_lookalikes(Labels(["Café Oslo", "Lima", twin]), tmp_path)
    assert f"'Caf\\xe9 Oslo' and {twin!a}." in str(caught[0].message)


def test_labels_that_look_different_are_not_spoken_of(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_lookalikes(Labels(["CO2", "CO²", "Oslo", "oslo", "a_b", "a b", "é", "e"]), tmp_path)


def test_many_pairs_are_counted_and_three_are_shown(tmp_path):
    labels = [f"{name}{end}" for name in "abcde" for end in ("", " ")]
    with pytest.warns(UserWarning, match=r"5 of 10 entity .*: 'a' and 'a ', 'b' and 'b ', 'c' and 'c ', \.\.\.\."):
        warn_of_lookalikes(Labels(labels), tmp_path)


def test_every_kind_of_data_is_looked_at_once(tmp_path):
    graph = {"train.txt": "a\tr\tb \nb\tr\ta\n", "valid.txt": "", "test.txt": ""}
    mentions = {"entities.tsv": "label\tname\ttext\timage\nTbilisi\tx\t\t\nTbilisi \tx\t\t\n"} | {
        f"mentions-{split}.tsv": "mention\tsentence\tentity\timage\nx\ty\tTbilisi\t\n" for split in ("train", "test")
    }
    classes = {"tiny_train.txt": mnre_line("", "None") + mnre_line("", "/per/misc/owns\u00a0")}
    classes |= {"tiny_val.txt": mnre_line("", "/per/misc/owns"), "tiny_test.txt": mnre_line("", "None")}
    for read, folder, expected in (
        (read_dataset, write_files(tmp_path / "graph", graph), "1 of 3 entity labels"),
        (read_linking, own_linking(tmp_path / "mentions", mentions), "1 of 2 entity labels"),
        (read_relations, small_mnre(tmp_path / "sentences", classes), "1 of 3 relation labels"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read(folder)
        assert [expected in str(warning.message) for warning in caught] == [True]

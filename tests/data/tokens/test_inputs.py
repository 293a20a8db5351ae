"""Token selection against the golden vectors and against a reference that a child could follow."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg_sdk.data.graph import RawTokens
from mmkg_sdk.data.tokens.inputs import select_tokens
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels
from tests.places import GOLDEN

CASES = GOLDEN / "mygo_tokens"
CONSTANTS = {"beit": (8192, 8191, 8193), "vqgan": (1024, 1023, 1024), "bert": (30522, 14999, 30522)}
CONSTANTS["llama"] = (30522, 14999, 32000)


def raw_tokens(lists, rows=100, vocabulary_size=100, pad_id=0):
    return RawTokens(lists, np.zeros((rows, 1), np.float32), vocabulary_size, pad_id)


def slow_selection(lists, names, count, vocabulary_size, pad_id):
    """Section 5.1 of the specification, one step after the other, nothing clever."""
    extra_rows = []
    index, mask = {}, {}
    for name, tokens in lists.items():
        ballots = []
        for token in tokens:
            if token not in [known for known, _ in ballots]:
                ballots.append((token, sum(1 for other in tokens if other == token)))
        kept = []
        while ballots and len(kept) < count:
            winner = ballots[0]
            for ballot in ballots:
                if ballot[1] > winner[1]:
                    winner = ballot
            ballots.remove(winner)
            kept.append(winner[0])
        columns = []
        for token in kept:
            if token <= vocabulary_size:
                columns.append(token)
            else:
                if token not in extra_rows:
                    extra_rows.append(token)
                columns.append(vocabulary_size + 1 + extra_rows.index(token))
        columns.sort()
        missing = count - len(columns)
        index[name] = columns + [pad_id] * missing
        mask[name] = [False] * len(columns) + [True] * missing
    empty = [pad_id] * count, [True] * count
    return [index.get(name, empty[0]) for name in names], [mask.get(name, empty[1]) for name in names]


@pytest.mark.parametrize("case", ["db15k_beit_bert", "mkgw_beit_bert", "db15k_vqgan_llama"])
@pytest.mark.parametrize("modality", ["visual", "text"])
def test_the_golden_index_and_mask_come_out_exactly(case, modality):
    folder = CASES / case
    config = json.loads((folder / "config.json").read_text())
    lists = json.loads((folder / config[f"{modality}_file"]).read_text())
    if (folder / "entities.txt").exists():
        names = (folder / "entities.txt").read_text().split()
    else:
        pairs = [line.split() for line in (folder / "entity2id.txt").read_text().splitlines()]
        names = [name for name, _ in sorted(pairs, key=lambda pair: int(pair[1]))]
    vocabulary_size, pad_id, rows = CONSTANTS[config[f"{modality}_tokenizer"]]
    raw = raw_tokens(lists, rows, vocabulary_size, pad_id)
    count = config["max_vis_token" if modality == "visual" else "max_txt_token"]

    selected = select_tokens(raw, Labels(names), count)

    expected = np.load(folder / "outputs.npz")
    np.testing.assert_array_equal(selected.index, expected[f"{modality}_token_index"])
    np.testing.assert_array_equal(selected.mask, expected[f"{modality}_mask"])
    assert selected.index.dtype == np.int64
    assert selected.mask.dtype == np.bool_


@given(
    lists=st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 14), max_size=25)),
    count=st.integers(1, 7),
    vocabulary_size=st.integers(0, 15),
)
def test_selection_agrees_with_a_slow_reference(lists, count, vocabulary_size):
    selected = select_tokens(raw_tokens(lists, 100, vocabulary_size, 7), Labels("abcdef"), count)
    index, mask = slow_selection(lists, "abcdef", count, vocabulary_size, 7)
    assert selected.index.tolist() == index
    assert selected.mask.tolist() == mask


def test_equal_counts_are_settled_by_first_appearance_and_written_in_ascending_order():
    selected = select_tokens(raw_tokens({"a": [9, 4, 4, 9, 2, 2, 1]}), Labels("a"), 2)
    assert selected.index.tolist() == [[4, 9]]


def test_the_id_equal_to_the_vocabulary_size_stays_and_the_ids_above_are_moved_in_order_of_rank():
    selected = select_tokens(raw_tokens({"b": [70, 50, 50], "a": [50, 10, 90, 70]}, 100, 10), Labels("ab"), 4)
    # b comes first in the lists: 50 is most frequent there and becomes 11, 70 becomes 12, then 90 becomes 13.
    assert selected.index.tolist() == [[10, 11, 12, 13], [11, 12, 0, 0]]


def test_without_the_modality_every_slot_is_padding_of_id_0():
    selected = select_tokens(None, Labels("ab"), 3)
    assert selected.index.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert selected.mask.all()


def test_absent_and_empty_entities_are_all_padding():
    selected = select_tokens(raw_tokens({"a": []}, pad_id=5), Labels("ab"), 2)
    assert selected.index.tolist() == [[5, 5], [5, 5]]
    assert selected.mask.all()


def test_an_unknown_entity_is_named():
    with pytest.raises(DataError, match=r"'Osloo'.*near: 'Oslo'"):
        select_tokens(raw_tokens({"Osloo": [1]}), Labels(["Oslo"]), 2)


@pytest.mark.parametrize(("token", "vocabulary_size"), [(100, 100), (5000, 99), (-1, 100)])
def test_a_row_that_the_codebook_lacks_is_an_error(token, vocabulary_size):
    with pytest.raises(DataError, match="'a': token"):
        select_tokens(raw_tokens({"a": [token]}, 100, vocabulary_size), Labels("a"), 1)


def test_a_pad_id_outside_the_codebook_is_an_error():
    with pytest.raises(DataError, match="pad id 100"):
        select_tokens(raw_tokens({}, pad_id=100), Labels("a"), 1)


def test_asking_for_no_token_is_an_error():
    with pytest.raises(DataError, match="0 tokens"):
        select_tokens(None, Labels("a"), 0)


def test_fifteen_thousand_entities_take_a_few_seconds():
    tokens = np.random.default_rng(0).integers(0, 8192, (15_000, 196)).tolist()
    names = [f"e{row}" for row in range(15_000)]
    start = time.perf_counter()
    select_tokens(raw_tokens(dict(zip(names, tokens, strict=True)), 8193, 8192, 8191), Labels(names), 8)
    assert time.perf_counter() - start < 20  # about 1.5 s on one idle core

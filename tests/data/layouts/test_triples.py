"""Triples by name: their files, a first line that names the columns, and what is no such file."""

from __future__ import annotations

import gzip
import warnings

import pytest

from mmkg_sdk.data import open_data, read_dataset
from mmkg_sdk.errors import DataError

from ..folders import write_files

ROWS = {"train": [("a", "r", "b"), ("b", "s", "c")], "valid": [("a", "r", "c")], "test": [("c", "r", "a")]}


def lines(rows, separator="\t"):
    return "".join(separator.join(row) + "\n" for row in rows)


def triple_folder(folder, ending="txt", separator="\t", header=None, **names):
    rows = {split: [*([header] if header else []), *found] for split, found in ROWS.items()}
    files = {f"{names.get(split, split)}.{ending}": lines(found, separator) for split, found in rows.items()}
    return write_files(folder, files)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return read_dataset(triple_folder(tmp_path_factory.mktemp("plain"))).graph


def same_triples(graph, plain):
    assert (graph.entities, graph.relations) == (plain.entities, plain.relations)
    assert graph.triples.tolist() == plain.triples.tolist()


@pytest.mark.parametrize(("ending", "separator"), [("tsv", "\t"), ("del", "\t"), ("csv", ",")])
def test_triples_may_stand_in_other_files(tmp_path, plain, ending, separator):
    same_triples(open_data(triple_folder(tmp_path, ending, separator)).graph, plain)


@pytest.mark.parametrize("name", ["dev", "val"])
def test_the_valid_split_may_have_another_name(tmp_path, plain, name):
    folder = triple_folder(tmp_path, "tsv", valid=name)
    same_triples(open_data(folder).graph, plain)
    write_files(folder, {"valid.tsv": "a\tr\tb\n"})
    with pytest.raises(DataError, match=rf"valid.tsv and {name}.tsv, two valid splits"):
        read_dataset(folder)


def test_train_and_dev_with_a_text_of_mkgformer_are_its_layout(tmp_path, plain):
    text = {"entity2text.txt": "a\ttext\n"}
    with pytest.raises(DataError, match=r"relations\.txt"):
        open_data(write_files(triple_folder(tmp_path / "dev", "tsv", valid="dev"), text))
    same_triples(open_data(write_files(triple_folder(tmp_path / "valid", "tsv"), text)).graph, plain)


def test_labels_in_a_csv_may_be_quoted(tmp_path):
    content = '"Oslo, Norway",part of,"the ""North"""\n'
    folder = write_files(tmp_path, {"train.csv.gz": gzip.compress(content.encode()), "valid.csv": "", "test.csv": ""})
    graph = open_data(folder).graph
    assert list(graph.entities) == ["Oslo, Norway", 'the "North"']
    assert list(graph.relations) == ["part of"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,r,b\n0,a,r,b\n", r"train.csv:2: expected 3 columns .* commas, found 4: '0,a,r,b'"),
        ("a;r;b\n", r"train.csv:1: expected 3 columns .* found 1: 'a;r;b'"),
        ('a,r,"b\n', r"train.csv:1: not a line of a CSV file"),
        ("a,r,b\n\na,r,b\n", r"train.csv:2: expected 3 columns .* found 0"),
    ],
)
def test_a_malformed_csv_is_named_with_its_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        open_data(write_files(tmp_path, {"train.csv": content, "valid.csv": "", "test.csv": ""}))


HEADERS = ["head relation tail", "Head Rel Tail", "subject predicate object", "#head_id relation_id tail_id", "h p t"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_first_line_of_column_names_is_left_out_with_a_word(tmp_path, plain, header):
    folder = triple_folder(tmp_path, header=header.split())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = read_dataset(folder).graph
    assert [str(warning.message) for warning in caught] == [
        f"{folder}/{split}.txt:1: {header!r} is taken for names of columns and left out." for split in ROWS
    ]
    same_triples(graph, plain)


def test_the_lines_after_a_header_keep_their_numbers(tmp_path):
    folder = triple_folder(tmp_path, header=("head", "relation", "tail"))
    write_files(folder, {"entities.txt": "a\nb\n"})
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DataError, match=r"train.txt:3: unknown entity 'c'"),
    ):
        read_dataset(folder)


def test_a_triple_that_reads_like_a_header_stays_where_its_relation_is_used(tmp_path):
    files = {"train.txt": "h\tr\tt\na\tr\tb\n", "valid.txt": "h\tr\tt\n", "test.txt": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_dataset(write_files(tmp_path, files)).graph.train.tolist() == [[0, 0, 1], [2, 0, 3]]


def test_columns_that_are_said_to_stand_in_another_order_are_an_error(tmp_path):
    folder = triple_folder(tmp_path, header=("head", "tail", "relation"))
    with pytest.raises(DataError, match=r"train.txt:1: the columns are head, tail, relation; expected head, relation"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ada\tB-PER\nreads\tO\n\n", r"train.txt:1: a sentence without its line IMGID:<id>"),
        ("\nAda\tO\n\n", r"train.txt:2: a sentence without its line IMGID:<id>"),
        ("Ada B-PER\nreads O\n\n", r"train.txt:1: expected word, tab, tag; found 'Ada B-PER'"),
        ("-DOCSTART- -X- -X- O\n\nAda NNP I-NP B-PER\n", r"train.txt:1: expected word, tab, tag"),
    ],
)
def test_words_with_tags_are_not_taken_for_triples(tmp_path, content, message):
    for ending in ("txt", "tsv"):
        files = {f"{split}.{ending}": content for split in ("train", "valid", "test")}
        with pytest.raises(DataError, match=message.replace("txt", ending)):
            open_data(write_files(tmp_path / ending, files))


def test_an_entity_list_beside_triples_is_no_list_of_candidates(tmp_path):
    folder = write_files(triple_folder(tmp_path, "tsv"), {"entities.tsv": "0\ta\n1\tb\n2\tc\n"})
    assert len(open_data(folder).graph.train) == 2

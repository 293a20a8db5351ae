"""Names and texts beside the triples: read in every layout of a graph, or said to be left out."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.layouts.mkgformer import in_text_order
from mmkg_sdk.errors import DataError

from ..folders import small_mygo, small_openke, write_files

TEXTS = {
    "entity2text.txt": "/m/z\tshort z\n/m/c\tshort c\n/m/a\tshort a\n",
    "relation2text.txt": "/r/two\tsecond\n/r/other\tnot here\n/r/one\tfirst\n",
}


def named(folder: Path, ending: str = "txt", **more: str) -> Path:
    """The triples of `small_openke` by name, with lists of ids."""
    lists = {"entity2id.txt": "/m/a 0\n/m/b 1\n/m/c 2\n", "relation2id.txt": "/r/one 0\n/r/two 1\n"}
    triples = {"train": "/m/a\t/r/two\t/m/b\n/m/b\t/r/one\t/m/c\n", "valid": "/m/a\t/r/two\t/m/c\n", "test": ""}
    return write_files(folder, lists | {f"{split}.{ending}": lines for split, lines in triples.items()} | more)


def numbered(folder: Path) -> Path:
    return named(folder, **{"train.txt": "0\t1\t1\n1\t0\t2\n", "valid.txt": "0\t1\t2\n"})


def tab_separated(folder: Path) -> Path:
    return named(folder, "tsv")


def listed(folder: Path) -> Path:
    """Names in entities.txt alone."""
    folder = write_files(named(folder), {"entities.txt": "/m/a\n/m/b\n/m/c\n", "relations.txt": "/r/one\n/r/two\n"})
    for name in ("entity2id.txt", "relation2id.txt"):
        (folder / name).unlink()
    return folder


LAYOUTS = [small_openke, named, numbered, tab_separated, listed]


@pytest.mark.parametrize("make", LAYOUTS)
def test_the_texts_of_mkgformer_are_read_in_every_layout(tmp_path: Path, make) -> None:
    folder = write_files(make(tmp_path / "set"), TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == ["/m/a", "/m/b", "/m/c"]
    assert list(dataset.entity_texts.items()) == [("/m/z", "short z"), ("/m/c", "short c"), ("/m/a", "short a")]
    assert list(dataset.relation_texts.items()) == [("/r/two", "second"), ("/r/one", "first")]
    assert dataset.descriptions == {"/m/a": "short a", "/m/c": "short c"}


@pytest.mark.parametrize("make", LAYOUTS)
def test_the_long_texts_win_and_readable_names_become_labels(tmp_path: Path, make) -> None:
    long = {"entity2textlong.txt": "/m/b\tlong b\n/m/a\tlong a\n"}
    dataset = read_dataset(write_files(make(tmp_path / "long"), TEXTS | long))
    assert dataset.descriptions == dataset.entity_texts == {"/m/a": "long a", "/m/b": "long b"}
    names = {"fb-entity2text-new.txt": "/m/a\tAda -- She reads.\n/m/c\tCity\n/m/z\tCity\n"}
    dataset = read_dataset(write_files(make(tmp_path / "names"), TEXTS | names))
    assert list(dataset.graph.entities) == ["Ada", "/m/b", "City"]
    assert dataset.descriptions == {"Ada": "She reads."}
    assert list(dataset.entity_texts) == ["City (/m/z)", "City", "Ada"]
    assert dataset.source_ids == {"Ada": "/m/a", "City": "/m/c", "City (/m/z)": "/m/z"}


def test_texts_may_be_keyed_by_the_end_of_a_uri(tmp_path: Path) -> None:
    uris = "".join(f"http://www.wikidata.org/entity/Q{k} {k}\n" for k in range(4))
    folder = write_files(small_mygo(tmp_path, entity2id_txt=uris), {"entity2text.txt": "Q2\ttwo\nQ9\tnine\nQ0\tzero\n"})
    dataset = read_dataset(folder)
    assert dataset.descriptions == {"Q0": "zero", "Q2": "two"}
    assert list(dataset.entity_texts) == ["Q2", "Q9", "Q0"]


def test_the_texts_of_a_graph_of_names_give_the_order_of_candidates(tmp_path: Path) -> None:
    texts = {"entity2text.txt": "/m/c\tc\n/m/b\tb\n/m/z\tz\n/m/a\ta\n", "relation2text.txt": TEXTS["relation2text.txt"]}
    ordered = in_text_order(read_dataset(write_files(listed(tmp_path), texts)))
    assert list(ordered.graph.entities) == ["/m/c", "/m/b", "/m/z", "/m/a"]
    assert ordered.graph.train.tolist() == [[3, 1, 1], [1, 0, 0]]


UNUSED = {
    "texts of others": ({"entity2text.txt": "Rome\tx\n"}, r"entity2text.txt is not used: it names none .* 'Rome'"),
    "relation texts of others": ({"relation2text.txt": "r\tx\n"}, r"relation2text.txt is not used: .* is 'r'"),
    "names of others": ({"fb-entity2text-new.txt": "Rome\tx\n"}, r"entity2text-new.txt is not used: .* like '/m/a'"),
    "links of others": (
        {"ent_links.txt": "http://dbpedia.org/resource/X\thttp://www.wikidata.org/entity/Q1\n"},
        r"ent_links.txt is not used: it links none of the entities, which are called like '/m/a'",
    ),
    "names of properties": ({"rel_links.txt": "one\ntwo\n"}, r"rel_links.txt is not used: .* here is '(/r/)?one'"),
}


@pytest.mark.parametrize("make", LAYOUTS)
@pytest.mark.parametrize("case", UNUSED)
def test_a_file_that_fits_nothing_is_said_to_be_left_out(tmp_path: Path, case: str, make) -> None:
    files, message = UNUSED[case]
    with pytest.warns(UserWarning, match=message):
        dataset = read_dataset(write_files(make(tmp_path / "set"), files))
    assert dataset.descriptions == dataset.entity_texts == dataset.relation_texts == {}
    assert list(dataset.graph.relations) == ["/r/one", "/r/two"]


def test_names_of_properties_need_a_list_of_relations(tmp_path: Path) -> None:
    files = {"train.txt": "a\tP2\tb\nb\tP1\ta\n", "valid.txt": "", "test.txt": "", "rel_links.txt": "one\ntwo\n"}
    with pytest.warns(UserWarning, match=r"rel_links.txt is not used: no list numbers the relations"):
        assert list(read_dataset(write_files(tmp_path, files)).graph.relations) == ["P2", "P1"]
    write_files(tmp_path, {"relations.txt": "P1\nP2\n"})
    assert list(read_dataset(tmp_path).graph.relations) == ["one", "two"]


WIKIDATA = {
    "names": {
        "entity2id.txt": "http://w.org/entity/Q1 0\nhttp://w.org/entity/Q2 1\n",
        "relation2id.txt": "http://w.org/entity/P1 0\nhttp://w.org/entity/P2 1\n",
        "train.txt": "0\t1\t1\n",
        "valid.txt": "",
        "test.txt": "",
    },
    "OpenKE": {
        "entity2id.txt": "2\nhttp://w.org/entity/Q1\t0\nhttp://w.org/entity/Q2\t1\n",
        "relation2id.txt": "2\nhttp://w.org/entity/P1\t0\nhttp://w.org/entity/P2\t1\n",
        "train2id.txt": "1\n0 1 1\n",
        "valid2id.txt": "0\n",
        "test2id.txt": "0\n",
    },
    "MKGformer": {
        "entity2text.txt": "Q1\tone\nQ2\ttwo\n",
        "relations.txt": "P1\nP2\n",
        "relation2text.txt": "P1\tlikes\nP2\tknows\n",
        "train.tsv": "Q1\tP2\tQ2\n",
        "dev.tsv": "",
        "test.tsv": "",
    },
}


@pytest.mark.parametrize("layout", WIKIDATA)
def test_links_of_entities_and_names_of_properties_are_read_in_every_layout(tmp_path: Path, layout: str) -> None:
    links = "http://d.org/resource/Bo\thttp://w.org/entity/Q2\nhttp://d.org/resource/X\thttp://w.org/entity/Q9\n"
    files = WIKIDATA[layout] | {"rel_links.txt": "likes\nknows\n", "ent_links.txt": links}
    dataset = read_dataset(write_files(tmp_path, files))
    assert list(dataset.graph.relations) == ["likes", "knows"]
    assert dataset.graph.entities[1] == "Bo"
    assert dataset.graph.train.tolist() == [[0, 1, 1]]


def test_two_files_of_names_are_an_error(tmp_path: Path) -> None:
    files = {"a-entity2text-new.txt": "", "b-entity2text-new.txt": ""}
    with pytest.raises(DataError, match=r"a-entity2text-new.txt, b-entity2text-new.txt. Keep one"):
        read_dataset(write_files(small_openke(tmp_path), files))


def test_the_table_wins_over_the_texts(tmp_path: Path) -> None:
    files = {"entity2text.tsv": "1\tB\t\tof the table\n", "entity2text.txt": "A\tone\nB\ttwo\n"}
    dataset = read_dataset(write_files(small_mygo(tmp_path), files))
    assert dataset.descriptions == {"A": "one", "B": "of the table"}
    assert dataset.entity_texts == {"A": "one", "B": "two"}

"""Both layouts: what is read, and what a malformed file is answered with."""

from __future__ import annotations

import gzip
import lzma
import warnings

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset
from mmkg_sdk.errors import DataError
from tests.places import REAL_DATA

from ..folders import small_mygo, small_openke, write_files

# Counts of the README of the data; the relation and entity numbers are those of the published tables.
REAL = {
    "DB15K": (12842, 279, 79222, 9904, 9902, 12820),
    "MKG-W": (15000, 169, 34196, 4276, 4274, 2647),
    "MKG-Y": (15000, 28, 21310, 2665, 2663, 1561),
    "FB15k-237": (14541, 237, 272115, 17535, 20466, None),
    "WN18": (40943, 18, 141442, 5000, 5000, 40943),
}


def real(name):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"the real data set {name} is not on this machine")
    return REAL_DATA / name


@pytest.mark.parametrize("name", REAL)
def test_real_data_sets_have_the_published_counts(name):
    dataset = read_dataset(real(name))
    graph = dataset.graph
    entities, relations, train, valid, test, descriptions = REAL[name]
    assert (len(graph.entities), len(graph.relations)) == (entities, relations)
    assert (len(graph.train), len(graph.valid), len(graph.test)) == (train, valid, test)
    assert descriptions is None or len(dataset.descriptions) == descriptions
    assert "visual" not in dataset.tokens
    assert "text" not in dataset.tokens


def test_the_repeated_validation_lines_of_db15k_are_kept():
    graph = read_dataset(real("DB15K")).graph
    assert len(graph.valid) == 9904
    assert len(graph.train) == 79222


def test_real_labels_are_readable():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        db15k, mkgw, mkgy = (read_dataset(real(name)) for name in ("DB15K", "MKG-W", "MKG-Y"))
    assert db15k.graph.entities[0] == "Anarchism"
    assert db15k.graph.entities.find("HIV/AIDS") is not None
    assert db15k.descriptions["Anarchism"].startswith("Anarchism is a political philosophy")
    assert {"ontology/type", "22-rdf-syntax-ns#type", "country"} <= set(db15k.graph.relations)
    assert mkgw.graph.entities[1] == "Linda Darnell"
    assert mkgw.graph.relations[0] == "cast member"
    assert mkgw.descriptions["Linda Darnell"].startswith("Sex: female. Birth: 1923")
    assert mkgy.graph.entities[0] == "Gilles_Mbang_Ondo"
    assert read_dataset(real("FB15k-237")).graph.entities[0] == "Dominican Republic"
    assert read_dataset(real("WN18")).descriptions["lymphocyte"].startswith("an agranulocytic leukocyte")


def test_published_ids_become_readable_labels(tmp_path):
    graph = read_dataset(small_mygo(tmp_path / "set")).graph
    assert list(graph.entities) == ["A", "B", "C", "D"]
    assert list(graph.relations) == ["knows", "likes"]
    assert graph.train.tolist() == [[0, 0, 1], [1, 1, 2], [2, 0, 3]]
    assert graph.valid.tolist() == [[0, 1, 3]]
    assert graph.name == "set"


def test_triples_may_use_the_names_of_entity2id(tmp_path):
    folder = small_mygo(
        tmp_path,
        entity2id_txt="a\t2\nb\t0\nc d\t1\n",
        relation2id_txt="r 0\n",
        train_txt="a\tr\tc d\n",
        valid_txt="b\tr\ta\n",
        test_txt="",
    )
    graph = read_dataset(folder).graph
    assert list(graph.entities) == ["b", "c d", "a"]
    assert graph.train.tolist() == [[2, 0, 1]]
    assert graph.test.shape == (0, 3)


def test_lists_of_names_give_the_ids_and_uris_in_them_stay(tmp_path):
    files = {
        "entities.txt": "x\nhttp://y/z\n",
        "relations.txt": "r/s\n",
        "train.txt": "http://y/z\tr/s\tx\n",
        "valid.txt": "",
        "test.txt": "",
    }
    graph = read_dataset(write_files(tmp_path, files)).graph
    assert list(graph.entities) == ["x", "http://y/z"]
    assert graph.train.tolist() == [[1, 0, 0]]


def test_without_any_list_ids_follow_first_appearance(tmp_path):
    files = {"train.txt": "b\tr\ta\n", "valid.txt": "a\ts\tc\n", "test.txt": ""}
    graph = read_dataset(write_files(tmp_path, files)).graph
    assert list(graph.entities) == ["b", "a", "c"]
    assert list(graph.relations) == ["r", "s"]


def test_entities_txt_of_decimal_ids_goes_with_the_names_of_entity2id(tmp_path):
    folder = small_mygo(tmp_path, entities_txt="0\n1\n2\n3\n", relations_txt="0\n1\n")
    assert list(read_dataset(folder).graph.entities) == ["A", "B", "C", "D"]


def test_repeated_names_are_told_apart_by_their_qid(tmp_path):
    names = ["Paris", "Paris", "Oslo", "Bergen"]
    folder = small_mygo(
        tmp_path,
        entity2id_txt="".join(f"http://www.wikidata.org/entity/Q{k} {k}\n" for k in range(4)),
    )
    table = "".join(f"{k}\tQ{k}\t{name}\tsource\ttext {k}\n" for k, name in enumerate(names))
    write_files(folder, {"entity2text.tsv": table})
    dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == ["Paris (Q0)", "Paris (Q1)", "Oslo", "Bergen"]
    assert dataset.descriptions["Paris (Q1)"] == "text 1"


def test_links_to_dbpedia_name_entities_known_by_qid(tmp_path):
    folder = small_mygo(tmp_path, entity2id_txt="".join(f"http://www.wikidata.org/entity/Q{k} {k}\n" for k in range(4)))
    links = "http://dbpedia.org/resource/Oslo\thttp://www.wikidata.org/entity/Q2\n"
    write_files(folder, {"ent_links.txt": links})
    assert list(read_dataset(folder).graph.entities) == ["Q0", "Q1", "Oslo", "Q3"]


def test_clashing_relations_keep_as_much_of_the_path_as_tells_them_apart(tmp_path):
    uris = ["http://a.org/x/type", "http://b.org/x/type", "http://a.org/y#type", "http://a.org/y#name"]
    folder = small_mygo(tmp_path, relation2id_txt="".join(f"<{uri}> {k}\n" for k, uri in enumerate(uris)))
    assert list(read_dataset(folder).graph.relations) == ["a.org/x/type", "b.org/x/type", "y#type", "name"]


def test_openke_columns_are_head_tail_relation(tmp_path):
    graph = read_dataset(small_openke(tmp_path)).graph
    assert graph.train.tolist() == [[0, 1, 1], [1, 0, 2]]
    assert graph.valid.tolist() == [[0, 1, 2]]
    assert graph.test.shape == (0, 3)
    assert list(graph.entities) == ["/m/a", "/m/b", "/m/c"]


def test_openke_names_come_from_the_text_file(tmp_path):
    folder = small_openke(tmp_path)
    write_files(folder, {"fb-entity2text-new.txt": "/m/a\tRepublic -- A state.\n/m/b\tRepublic\n/m/z\tOther -- x\n"})
    dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == ["Republic (/m/a)", "Republic (/m/b)", "/m/c"]
    assert dataset.descriptions == {"Republic (/m/a)": "A state."}


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_compressed_files_read_like_plain_ones(tmp_path, pack):
    plain = small_mygo(tmp_path / "set")
    packed = tmp_path / "packed" / "set"
    packed.mkdir(parents=True)
    suffix = ".xz" if pack is lzma.compress else ".gz"
    for path in plain.iterdir():
        (packed / (path.name + suffix)).write_bytes(pack(path.read_bytes()))
    assert np.array_equal(read_dataset(packed).graph.triples, read_dataset(plain).graph.triples)


def test_crlf_and_a_byte_order_mark_are_no_part_of_the_data(tmp_path):
    plain = small_mygo(tmp_path / "plain")
    folder = tmp_path / "windows"
    for path in plain.iterdir():
        text = path.read_text().replace("\n", "\r\n")
        write_files(folder, {path.name: b"\xef\xbb\xbf" + text.encode()})
    assert list(read_dataset(folder).graph.entities) == ["A", "B", "C", "D"]
    assert np.array_equal(read_dataset(folder).graph.triples, read_dataset(plain).graph.triples)


def test_repeated_lines_are_kept(tmp_path):
    folder = small_mygo(tmp_path, train_txt="0\t0\t1\n1\t1\t2\n0\t0\t1\n0\t0\t1\n")
    assert read_dataset(folder).graph.train.tolist() == [[0, 0, 1], [1, 1, 2], [0, 0, 1], [0, 0, 1]]


def test_several_blanks_before_an_id_belong_to_no_name(tmp_path):
    folder = small_openke(tmp_path / "openke", entity2id_txt="3\na        0\nb c \t1\nd\t\t2\n")
    assert list(read_dataset(folder).graph.entities) == ["a", "b c", "d"]


MALFORMED_MYGO = {
    "unknown entity": ({"train_txt": "0\t0\t1\n0\t0\t9\n"}, r"train.txt:2: unknown entity '9'"),
    "unknown relation": ({"valid_txt": "0\t7\t1\n"}, r"valid.txt:1: unknown relation '7'"),
    "two columns": ({"test_txt": "0\t0\t1\n0 0 1\n"}, r"test.txt:2: expected 3 columns.*one tab, found 1"),
    "blank line inside": ({"train_txt": "0\t0\t1\n\n0\t0\t2\n"}, r"train.txt:2: expected 3 columns"),
    "no train": ({"train_txt": ""}, r"train.txt has no triples"),
    "valid missing": ({"valid_txt": None}, r"no valid.txt \(nor valid.txt.xz"),
    "not UTF-8": ({"train_txt": b"0\t0\t1\n0\t0\t\xff\n"}, r"train.txt:2: byte 0xff is not UTF-8"),
    "id not a number": ({"entity2id_txt": "a 0\nb one\n"}, r"entity2id.txt:2: the id is 'one'"),
    "id with a sign": ({"entity2id_txt": "a 0\nb -1\n"}, r"entity2id.txt:2: the id is '-1'"),
    "digits of another script": ({"entity2id_txt": "a 0\nb \u0661\n"}, r"entity2id.txt:2: the id is"),
    "id gap": ({"entity2id_txt": "a 0\nb 2\n"}, r"entity2id.txt:2: id 2 of 2 names"),
    "id twice": ({"entity2id_txt": "a 0\nb 0\n"}, r"entity2id.txt:2: id 0 was given before, to 'a'"),
    "name twice": (
        {"entity2id_txt": "a 0\na 1\n"},
        r"entity2id.txt:2: 'a' was given an id before, on line 1",
    ),
    "no id": ({"entity2id_txt": "a 0\nb\n"}, r"entity2id.txt:2: expected `name id`"),
    "list and map differ": ({"entities_txt": "A\nB\n"}, r"entities.txt has 2 names.*entity2id.txt has 4"),
    "list and map disagree": ({"entities_txt": "A\nB\nC\nE\n"}, r"do not agree"),
    "label twice": (
        {"entity2id_txt": None, "entities_txt": "0\n1\n2\n3\n1\n"},
        r"entities.txt:5: '1' stands on line 2",
    ),
    "both layouts": ({"train2id_txt": "0\n"}, r"train.txt and train2id.txt, 2 layouts"),
}


@pytest.mark.parametrize("case", MALFORMED_MYGO)
def test_a_malformed_mygo_file_is_named_with_its_line(tmp_path, case):
    changes, message = MALFORMED_MYGO[case]
    with pytest.raises(DataError, match=message):
        read_dataset(small_mygo(tmp_path, **changes))


MALFORMED_OPENKE = {
    "count disagrees": (
        {"train2id_txt": "3\n0 1 1\n1 2 0\n"},
        r"train2id.txt:1: the count line says 3, but 2 lines",
    ),
    "entity count disagrees": ({"entity2id_txt": "4\n/m/a\t0\n"}, r"entity2id.txt:1: the count line says 4"),
    "no count line": ({"entity2id_txt": "/m/a\t0\n"}, r"entity2id.txt:1: the count line is '/m/a"),
    "relation out of range": (
        {"train2id_txt": "1\n0 1 2\n"},
        r"train2id.txt:2: .*Columns are head tail relation",
    ),
    "entity out of range": ({"test2id_txt": "1\n0 3 0\n"}, r"test2id.txt:2: head 0, tail 3"),
    "not a number": ({"valid2id_txt": "1\n0 x 0\n"}, r"valid2id.txt:2: an id is 'x'"),
    "a fraction": ({"valid2id_txt": "1\n0 1.0 0\n"}, r"valid2id.txt:2: an id is '1.0'"),
    "a number beyond all bounds": (
        {"valid2id_txt": f"1\n0 {'9' * 5000} 0\n"},
        r"valid2id.txt:2: an id is '999",
    ),
    "four columns": ({"valid2id_txt": "1\n0 1 0 0\n"}, r"valid2id.txt:2: expected 3 columns"),
    "no train": ({"train2id_txt": "0\n"}, r"train2id.txt has no triples"),
    "test missing": ({"test2id_txt": None}, r"no test2id.txt"),
    "no entities": ({"entity2id_txt": ""}, r"entity2id.txt is empty"),
}


@pytest.mark.parametrize("case", MALFORMED_OPENKE)
def test_a_malformed_openke_file_is_named_with_its_line(tmp_path, case):
    changes, message = MALFORMED_OPENKE[case]
    with pytest.raises(DataError, match=message):
        read_dataset(small_openke(tmp_path, **changes))


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_a_truncated_archive_is_an_error(tmp_path, suffix):
    pack = lzma.compress if suffix == ".xz" else gzip.compress
    folder = small_mygo(tmp_path, train_txt=None)
    content = pack(b"0\t0\t1\n" * 1000)
    write_files(folder, {f"train.txt{suffix}": content[: len(content) // 2]})
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(folder)


def test_a_file_or_nothing_instead_of_a_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no triples; expected one of train.txt"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("0\tname\tmid\n", r"entity2text.tsv:1: expected 4 or 5 columns"),
        ("4\tname\tmid\ttext\n", r"entity2text.tsv:1: entity id 4, but there are 4"),
        ("0\tQ7\tname\tsource\ttext\n", r"entity2text.tsv:1: entity 0 is 'Q7' here"),
    ],
)
def test_a_table_of_names_that_does_not_fit_is_an_error(tmp_path, table, message):
    folder = write_files(small_mygo(tmp_path), {"entity2text.tsv": table})
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A text without tab\n", r"descriptions.tsv:1: expected label, tab, text"),
        ("A\tone\nA\ttwo\n", r"descriptions.tsv:2: 'A' is described a second time"),
        ("A\tone\nAA\ttwo\n", r"descriptions.tsv: entity 'AA' \(name 2 of 2\)"),
    ],
)
def test_descriptions_that_do_not_fit_are_an_error(tmp_path, content, message):
    folder = write_files(small_mygo(tmp_path), {"descriptions.tsv": content})
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


def test_names_of_relations_must_be_as_many_as_relations(tmp_path):
    folder = small_mygo(tmp_path, relation2id_txt="http://www.wikidata.org/entity/P1 0\nhttp://w.org/P2 1\n")
    write_files(folder, {"rel_links.txt": "one\n"})
    with pytest.raises(DataError, match=r"rel_links.txt names 1 relations, but there are 2"):
        read_dataset(folder)

"""Lists of ids under the names of RotatE, PyKEEN, DGL-KE and LibKGE, and what happens where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import open_data, read_dataset, tokenize_dataset, write_dataset
from mmkg_sdk.data.readers import read_descriptions
from mmkg_sdk.errors import DataError

from ..folders import write_changed, write_files

# The triples name c first, so the order of first appearance is c, b, a; every list says a, b, c.
BY_NAME = "c\tr\tb\nb\tr\ta\na\ts\tc\n"
BY_ID = "2\t0\t1\n1\t0\t0\n0\t1\t2\n"
LIKE_ROTATE = "0\ta\n1\tb\n2\tc\n"
NAME_FIRST = "a\t0\nb\t1\nc\t2\n"
RELATIONS = "1\ts\n0\tr\n"
LISTS = {
    "RotatE": ("txt", {"entities.dict": LIKE_ROTATE, "relations.dict": RELATIONS}),
    "RotatE, name first": ("txt", {"entities.dict": NAME_FIRST, "relations.dict": "r\t0\ns\t1\n"}),
    "names and ids": ("txt", {"entity_ids.txt": NAME_FIRST, "relation_ids.txt": "r\t0\ns\t1\n"}),
    "ids and names": ("txt", {"entity_ids.txt": LIKE_ROTATE, "relation_ids.txt": RELATIONS}),
    "PyKEEN": (
        "txt",
        {"entity_to_id.tsv": f"id\tlabel\n{LIKE_ROTATE}", "relation_to_id.tsv": f"id\tlabel\n{RELATIONS}"},
    ),
    "PyKEEN, label first": ("txt", {"entity_to_id.tsv": f"label\tid\n{NAME_FIRST}", "relations.txt": "r\ns\n"}),
    "DGL-KE": ("tsv", {"entities.tsv": LIKE_ROTATE, "relations.tsv": RELATIONS}),
    "LibKGE": ("del", {"entity_ids.del": LIKE_ROTATE, "relation_ids.del": RELATIONS, "dataset.yaml": "dataset:\n"}),
    "counted": ("txt", {"entity2id.txt": f"3\n{NAME_FIRST}", "relation2id.txt": "2\nr\t0\ns\t1\n"}),
}


def triples(folder: Path, ending: str = "txt", content: str = BY_NAME, **more: str | bytes) -> Path:
    return write_files(folder, {f"{split}.{ending}": content for split in ("train", "valid", "test")} | more)


def with_list(folder: Path, kind: str) -> Path:
    ending, lists = LISTS[kind]
    return write_files(triples(folder, ending, BY_ID if ending == "del" else BY_NAME), lists)


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_numbers_the_names_under_every_published_name(tmp_path: Path, kind: str) -> None:
    dataset = open_data(with_list(tmp_path, kind))
    assert list(dataset.graph.entities) == ["a", "b", "c"]
    assert list(dataset.graph.relations) == ["r", "s"]
    assert dataset.graph.train.tolist() == [[2, 0, 1], [1, 0, 0], [0, 1, 2]]
    assert dataset.unnumbered == ()


@pytest.mark.parametrize("kind", LISTS)
def test_features_by_row_go_to_the_entities_of_the_list(tmp_path: Path, kind: str) -> None:
    folder = with_list(tmp_path, kind)
    np.save(folder / "X-visual.npy", np.array([[1.0], [2.0], [3.0]], np.float32))
    dataset = read_dataset(folder)
    rows = dict(zip(dataset.graph.entities, dataset.features["visual"].vectors.ravel().tolist(), strict=True))
    assert rows == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_decimal_names_without_a_list_keep_their_number(tmp_path: Path) -> None:
    folder = triples(tmp_path, content="2\t1\t1\n1\t0\t0\n0\t0\t3\n")
    np.save(folder / "X-visual.npy", np.arange(1, 5, dtype=np.float32)[:, None])
    dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == ["0", "1", "2", "3"]
    assert list(dataset.graph.relations) == ["0", "1"]
    assert dataset.graph.train.tolist() == [[2, 1, 1], [1, 0, 0], [0, 0, 3]]
    assert dataset.unnumbered == ()
    assert dataset.features["visual"].vectors.ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("names", [("c", "b", "a"), ("7", "0", "1"), ("02", "00", "01")])
def test_other_names_without_a_list_have_no_numbers(tmp_path: Path, names: tuple[str, ...]) -> None:
    first, second, third = names
    folder = triples(tmp_path, content=f"{first}\tr\t{second}\n{second}\ts\t{third}\n")
    dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == [first, second, third]
    assert dataset.unnumbered == ("entity", "relation")
    with pytest.raises(DataError, match=r"a checkpoint goes by the ids of the entities, but no list says .* of the 3"):
        dataset.need_numbers("a checkpoint")


def test_the_only_relation_needs_no_list(tmp_path: Path) -> None:
    assert read_dataset(triples(tmp_path, content="c\tr\tb\n")).unnumbered == ("entity",)
    write_files(tmp_path, {"entities.txt": "b\nc\n"})
    read_dataset(tmp_path).need_numbers("a checkpoint")


def test_what_goes_by_row_is_refused_without_a_list(tmp_path: Path) -> None:
    folder = triples(tmp_path / "features")
    np.save(folder / "X-visual.npy", np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match=r"X-visual.npy \(row number = id\) goes by the ids .* Add entities.txt"):
        read_dataset(folder)
    tokens = {"visual-tokens.json": json.dumps({"0": [1], "2": [0]}), "tokens.json": "{}"}
    with pytest.raises(DataError, match=r"visual-tokens.json goes by the ids of the entities"):
        read_dataset(write_files(triples(tmp_path / "tokens"), tokens))
    table = {"entity2text.tsv": "0\tname\t/m/0a\ttext\n"}
    with pytest.raises(DataError, match=r"entity2text.tsv goes by the ids of the entities"):
        read_dataset(write_files(triples(tmp_path / "table"), table))
    pictures = triples(tmp_path / "pictures")
    for name in ("0", "1"):
        write_files(pictures / "images" / name, {"a.png": b""})
    with pytest.raises(DataError, match=r"images \(its first picture of 0\) goes by the ids of the entities"):
        read_dataset(pictures)
    texts = write_files(tmp_path, {"texts.tsv": "0\tzero\n"}) / "texts.tsv"
    with pytest.raises(DataError, match=r"texts.tsv goes by the ids of the entities"):
        read_descriptions(texts, read_dataset(triples(tmp_path / "texts")))
    with pytest.raises(DataError, match=r"goes by the ids of the entities"):
        tokenize_dataset(read_dataset(triples(tmp_path / "named")), images=pictures / "images")


def test_what_goes_by_name_needs_no_list(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="features by name are a torch file")
    folder = triples(tmp_path, **{"descriptions.tsv": "a\tfirst\n"})
    torch.save({"b": torch.tensor([5.0]), "c": torch.tensor([6.0])}, folder / "X-visual.pth")
    write_files(folder / "images", {"c.png": b""})
    dataset = read_dataset(folder)
    assert list(dataset.graph.entities) == ["c", "b", "a"]
    assert dataset.features["visual"].vectors.ravel().tolist() == [6, 5, 0]
    assert dataset.features["visual"].present.tolist() == [True, True, False]
    assert list(dataset.images) == ["c"]
    assert dataset.descriptions == {"a": "first"}


def test_a_written_data_set_has_its_list(tmp_path: Path) -> None:
    write_dataset(read_dataset(triples(tmp_path / "in")), tmp_path / "out")
    assert read_dataset(tmp_path / "out").unnumbered == ()


MALFORMED = {
    "two lists": (
        {"entities.dict": LIKE_ROTATE, "entity2id.txt": "b 0\na 1\nc 2\n"},
        r"entity2id.txt and .*entities.dict number different names",
    ),
    "gap": ({"entities.dict": "0\ta\n1\tb\n3\tc\n"}, r"entities.dict:3: id 3 of 3 names"),
    "twice": ({"entities.dict": "0\ta\n1\tb\n1\tc\n"}, r"entities.dict:3: id 1 was given before, to 'b'"),
    "name twice": ({"entities.dict": "0\ta\n1\tb\n2\ta\n"}, r"entities.dict:3: 'a' was given an id before, on line 1"),
    "no name": ({"entities.dict": "0\ta\n1\n"}, r"entities.dict:2: expected `id name`"),
    "no numbers": ({"entity_to_id.tsv": "id\tlabel\nx\ta\n"}, r"entity_to_id.tsv:2: the id is 'x'"),
    "count": ({"entity2id.txt": f"4\n{NAME_FIRST}"}, r"entity2id.txt:1: the count line says 4, but 3 lines"),
    "unknown": ({"entities.dict": "0\ta\n1\tb\n2\td\n"}, r"train.txt:1: unknown entity 'c'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_list_that_does_not_fit_is_named(tmp_path: Path, case: str) -> None:
    changes, message = MALFORMED[case]
    with pytest.raises(DataError, match=message):
        read_dataset(write_changed(triples(tmp_path), {}, changes))


def test_two_lists_that_agree_are_one(tmp_path: Path) -> None:
    folder = write_files(triples(tmp_path), {"entities.dict": LIKE_ROTATE, "entity2id.txt": NAME_FIRST})
    assert list(read_dataset(folder).graph.entities) == ["a", "b", "c"]


def test_a_name_with_spaces_and_a_name_of_digits_stay_whole(tmp_path: Path) -> None:
    files = {"entities.dict": "1\tNew York 2\n0\t1984\n", "train.txt": "1984\tr\tNew York 2\n"}
    graph = read_dataset(write_files(triples(tmp_path, content=""), files)).graph
    assert list(graph.entities) == ["1984", "New York 2"]
    assert graph.train.tolist() == [[0, 0, 1]]

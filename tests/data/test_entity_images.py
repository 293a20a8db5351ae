"""Pictures of entities are found by every name that the files give an entity."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset, tokenize_dataset, write_dataset
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels

from .folders import small_mygo, small_openke, write_files
from .layouts.test_mkgformer import small_mkgformer


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        place = folder / name
        write_files(place.parent, {place.name: b"picture"})
    return folder


def names(found: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {label: [path.name for path in paths] for label, paths in found.items()}


def labelled(*labels: str) -> DataSet:
    none = np.empty((0, 3), np.int64)
    return DataSet(KnowledgeGraph("x", Labels(labels), Labels(["r"], kind="relation"), none, none, none))


def freebase(folder: Path) -> Path:
    texts = "/m/a\tName 0 -- text\n/m/b\tName 1 -- text\n/m/c\tName 2 -- text\n"
    return write_files(small_openke(folder), {"FB15k_entity2text-new.txt": texts})


def wordnet(folder: Path) -> Path:
    offsets = ("00000101", "00000202", "00000303")
    ids = "".join(f"{offset}\t{row}\n" for row, offset in enumerate(offsets))
    texts = "".join(f"{offset}\tName {row} -- text\n" for row, offset in enumerate(offsets))
    return write_files(small_openke(folder, entity2id_txt=f"3\n{ids}"), {"wn-entity2text-new.txt": texts})


def wikidata(folder: Path) -> Path:
    uris = [f"http://www.wikidata.org/entity/Q1{k}" for k in range(4)]
    links = "".join(f"http://dbpedia.org/resource/Name_{k}\t{uri}\n" for k, uri in enumerate(uris))
    ids = "".join(f"{uri}\t{k}\n" for k, uri in enumerate(uris))
    return write_files(small_mygo(folder, entity2id_txt=ids), {"ent_links.txt": links})


def dbpedia_with_links(folder: Path) -> Path:
    links = "".join(f"http://dbpedia.org/resource/{name}\thttp://www.wikidata.org/entity/Q{name}\n" for name in "ABCD")
    return write_files(small_mygo(folder), {"ent_links.txt": links})


def dbpedia_with_mids(folder: Path) -> Path:
    table = "".join(f"{row}\t{name}\t/m/0{name}\ttext\n" for row, name in enumerate("ABCD"))
    return write_files(small_mygo(folder), {"entity2text.tsv": table})


def qids_in_a_table(folder: Path) -> Path:
    table = "".join(f"{row}\tQ{row}\tName {row}\tsource\ttext\n" for row in range(4))
    return write_files(small_mygo(folder, entity2id_txt=None), {"entity2text.tsv": table})


def mkgformer(folder: Path) -> Path:
    changes = {"fb-entity2text-new.txt": "/m/a\tAda\n/m/b\tBo\n/m/z\tCy\n"}
    return small_mkgformer(folder, changes)


CASES = {
    "Freebase mids": (freebase, ("m.a", "m.c"), ["Name 0", "Name 2"]),
    "WordNet offsets": (wordnet, ("n00000101", "n00000303"), ["Name 0", "Name 2"]),
    "Wikidata ids": (wikidata, ("Q11", "Q13"), ["Name_1", "Name_3"]),
    "DBpedia names of Wikidata ids": (wikidata, ("Name_1", "Name_3"), ["Name_1", "Name_3"]),
    "Wikidata ids by links": (dbpedia_with_links, ("QB", "QD"), ["B", "D"]),
    "mids of a table": (dbpedia_with_mids, ("m.0A", "m.0C"), ["A", "C"]),
    "Wikidata ids of a table": (qids_in_a_table, ("Q1", "Q3"), ["Name 1", "Name 3"]),
    "mids of MKGformer": (mkgformer, ("m.b", "m.z"), ["Cy", "Bo"]),
    "decimal ids": (small_mygo, ("1", "3"), ["B", "D"]),
    "labels": (small_mygo, ("B", "D"), ["B", "D"]),
}


@pytest.mark.parametrize("case", CASES)
def test_folders_are_found_by_every_reader_under_published_names(tmp_path: Path, case: str) -> None:
    make, folders, labels = CASES[case]
    folder = make(tmp_path / "set")
    for name in folders:
        pictures(folder / "images", f"{name}/2.JPEG", f"{name}/10.jpg", f"{name}/notes.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = read_dataset(folder)
    assert names(dataset.images) == {label: ["10.jpg", "2.JPEG"] for label in labels}
    assert {dataset.images[label][0].parent.name for label in labels} == set(folders)


@pytest.mark.parametrize("case", CASES)
def test_tokenizing_finds_the_same_folders(tmp_path: Path, case: str) -> None:
    images = pytest.importorskip("PIL.Image", reason="images need pillow")
    pytest.importorskip("sklearn", reason="learned patches need scikit-learn")
    make, folders, labels = CASES[case]
    dataset = read_dataset(make(tmp_path / "set"))
    for name in folders:
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
        images.new("RGB", (4, 4), "red").save(tmp_path / "elsewhere" / name / "0.png")
    tokenized = tokenize_dataset(dataclasses.replace(dataset, descriptions={}), images=tmp_path / "elsewhere")
    assert set(tokenized.tokens["visual"].lists) == set(labels)


def test_pictures_are_found_again_after_the_data_set_was_written(tmp_path: Path) -> None:
    for make, folder in ((freebase, "m.b"), (wordnet, "n00000202"), (wikidata, "Q11")):
        write_dataset(read_dataset(make(tmp_path / "in" / folder)), tmp_path / "out" / folder)
        pictures(tmp_path / "out" / folder / "images", f"{folder}/0.png")
        assert [*read_dataset(tmp_path / "out" / folder).images] in (["Name 1"], ["Name_1"])


def test_names_of_files_and_folders_mix_and_strangers_are_counted(tmp_path: Path) -> None:
    dataset = labelled("Oslo", "Åse", "AC/DC", "7")
    pictures(tmp_path, "Oslo.JPG", "A\u030ase.png", "2.png", "3.gif", "7.png", "readme.txt", "Oslo/b.png", "Oslo/a.jpg")
    pictures(tmp_path, "Elsewhere.png", "._Oslo.png")
    with pytest.warns(UserWarning, match=r"1 images belong to no entity .* the first is Elsewhere.png"):
        found = find_entity_images(tmp_path, dataset)
    assert names(found) == {
        "Oslo": ["a.jpg", "b.png", "Oslo.JPG"],
        "Åse": ["A\u030ase.png"],
        "AC/DC": ["2.png"],
        "7": ["3.gif", "7.png"],
    }


def test_a_title_of_digits_is_an_id_where_the_other_folders_are(tmp_path: Path) -> None:
    """The folder 1 is the second entity, not the film that is called 1."""
    dataset = labelled("Oslo", "Bergen", "1")
    pictures(tmp_path / "ids", "0/a.png", "1/b.png")
    assert names(find_entity_images(tmp_path / "ids", dataset)) == {"Oslo": ["a.png"], "Bergen": ["b.png"]}
    pictures(tmp_path / "labels", "Oslo/a.png", "1/b.png")
    assert names(find_entity_images(tmp_path / "labels", dataset)) == {"Oslo": ["a.png"], "1": ["b.png"]}


def test_a_wordnet_offset_is_no_id(tmp_path: Path) -> None:
    folder = wordnet(tmp_path / "set")
    pictures(folder / "images", "n00000202/0.png", "00000001/0.png")
    with pytest.warns(UserWarning, match=r"1 images belong to no entity .* the first is 00000001/0.png"):
        assert [*read_dataset(folder).images] == ["Name 1"]


def test_a_name_of_two_entities_is_nobodys(tmp_path: Path) -> None:
    sources = {"C": "http://a.org/Paris", "D": "http://b.org/Paris"}
    dataset = dataclasses.replace(labelled("C", "D"), source_ids=sources)
    pictures(tmp_path / "images", "Paris/0.png", "C/0.png")
    with pytest.warns(UserWarning, match="1 images belong to no entity"):
        assert [*find_entity_images(tmp_path / "images", dataset)] == ["C"]


def test_candidates_without_a_triple_have_pictures_too(tmp_path: Path) -> None:
    folder = write_files(freebase(tmp_path / "set"), {"entity2text.txt": "/m/z\tlast\n/m/a\tfirst\n"})
    pictures(folder / "images", "m.z/0.png", "m.a/0.png")
    assert [*read_dataset(folder).images] == ["Name 0", "/m/z"]


def test_a_folder_without_any_entitys_picture_is_refused_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"has no image of any of the 1 entities"):
        tokenize_dataset(labelled("Oslo"), images=tmp_path / "images")
    with pytest.raises(DataError, match="not a folder"):
        find_entity_images(tmp_path / "absent", labelled("Oslo"))

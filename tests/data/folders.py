"""Small data set folders that several tests of the data layer write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmkg_sdk.data.graph import DataSet, KnowledgeGraph, RawTokens
from mmkg_sdk.files.labels import Labels


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write each file with exactly these characters (no translation of line ends)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return folder


def small_mygo(folder: Path, **changes: str | bytes | None) -> Path:
    """Four people, two relations, ids in the triples, URIs in entity2id.txt. None leaves a file out."""
    files: dict[str, str | bytes | None] = {
        "entity2id.txt": "".join(f"<http://dbpedia.org/resource/{name}> {k}\n" for k, name in enumerate("ABCD")),
        "relation2id.txt": "<http://dbpedia.org/ontology/knows> 0\n<http://x.org/terms#likes> 1\n",
        "train.txt": "0\t0\t1\n1\t1\t2\n2\t0\t3\n",
        "valid.txt": "0\t1\t3\n",
        "test.txt": "3\t0\t0\n",
    }
    files |= {name.replace("__", "-").replace("_txt", ".txt"): content for name, content in changes.items()}
    return write_files(folder, {name: content for name, content in files.items() if content is not None})


def small_openke(folder: Path, **changes: str | bytes | None) -> Path:
    """Three entities, two relations in the OpenKE layout; None leaves a file out."""
    files: dict[str, str | bytes | None] = {
        "entity2id.txt": "3\n/m/a\t0\n/m/b\t1\n/m/c\t2\n",
        "relation2id.txt": "2\n/r/one\t0\n/r/two\t1\n",
        "train2id.txt": "2\n0 1 1\n1 2 0\n",
        "valid2id.txt": "1\n0 2 1\n",
        "test2id.txt": "0\n",
    }
    files |= {name.replace("_txt", ".txt"): content for name, content in changes.items()}
    return write_files(folder, {name: content for name, content in files.items() if content is not None})


def small_dataset(name: str = "small") -> DataSet:
    """Three entities with visual and text tokens and two descriptions."""
    graph = KnowledgeGraph(
        name,
        Labels(["Oslo", "Norway", "Fjord with space"]),
        Labels(["capital of", "part of"], kind="relation"),
        np.array([[0, 0, 1], [2, 1, 1]]),
        np.array([[0, 1, 1]]),
        np.empty((0, 3), dtype=np.int64),
    )
    visual = RawTokens(
        {"Norway": [3, 1, 3], "Oslo": [0]}, np.arange(8, dtype=np.float32).reshape(4, 2), 4, 3, "patches"
    )
    text = RawTokens({"Oslo": [1, 1, 2]}, np.ones((3, 5), dtype=np.float32), 3, 2, "words")
    return DataSet(
        graph, {"visual": visual, "text": text}, descriptions={"Oslo": "A city.\nOn\ta \\ fjord.", "Norway": ""}
    )


def same_dataset(left: DataSet, right: DataSet) -> bool:
    """Whether two data sets agree in everything; the arrays keep the dataclass from comparing them itself."""
    for split in ("train", "valid", "test"):
        if not np.array_equal(left.graph.split(split), right.graph.split(split)):
            return False
    return (
        left.graph.name == right.graph.name
        and left.graph.entities == right.graph.entities
        and left.graph.relations == right.graph.relations
        and all(
            list(getattr(left, name).items()) == list(getattr(right, name).items())
            for name in ("descriptions", "entity_texts", "relation_texts", "source_ids")
        )
        and list(left.tokens) == list(right.tokens)
        and all(_same_tokens(one, right.tokens[modality]) for modality, one in left.tokens.items())
        and list(left.features) == list(right.features)
        and all(
            np.array_equal(one.vectors, right.features[modality].vectors)
            and np.array_equal(one.present, right.features[modality].present)
            for modality, one in left.features.items()
        )
    )


def _same_tokens(left: RawTokens, right: RawTokens) -> bool:
    return (
        list(left.lists.items()) == list(right.lists.items())
        and left.codebook.dtype == right.codebook.dtype
        and np.array_equal(left.codebook, right.codebook)
        and (left.vocabulary_size, left.pad_id, left.tokenizer)
        == (right.vocabulary_size, right.pad_id, right.tokenizer)
    )


def pack_files(folder: Path, pack: Callable[[bytes], bytes], suffix: str) -> Path:
    """Replace every file of a folder by its compressed form."""
    for path in list(folder.iterdir()):
        if path.is_file():
            (folder / (path.name + suffix)).write_bytes(pack(path.read_bytes()))
            path.unlink()
    return folder


Files = dict[str, str | bytes | None]


def write_changed(folder: Path, files: Files, changes: Files | None) -> Path:
    """Write the files with the changes; None leaves a file out."""
    return write_files(
        folder, {name: content for name, content in (files | (changes or {})).items() if content is not None}
    )


def own_linking(folder: Path, changes: Files | None = None) -> Path:
    """Three candidates of which two are called Georgia, three mentions, two pictures."""
    mentions = "mention\tsentence\tentity\timage\n"
    files: Files = {
        "entities.tsv": "label\tname\ttext\timage\n"
        "Georgia (Q230)\tGeorgia\tA country in the Caucasus.\t\n"
        "Georgia (Q1428)\tGeorgia\tA state of the south.\\nIts capital is Atlanta.\timages/state.png\n"
        "Tbilisi\tTbilisi\t\t\n",
        "mentions-train.tsv": mentions + "Georgia\tWe drank wine all over Georgia.\tGeorgia (Q230)\timages/post.png\n"
        "the city\tThe old baths make the city famous.\tTbilisi\t\n",
        "mentions-valid.tsv": mentions,
        "mentions-test.tsv": mentions + "Georgia\tPeaches grow well in Georgia.\tGeorgia (Q1428)\t\n",
    }
    write_files(folder / "images", {"state.png": b"state", "post.png": b"post"})
    return write_changed(folder, files, changes)


def own_relations(folder: Path, changes: Files | None = None) -> Path:
    """Two classes, one sentence in train and in valid, a picture."""
    files: Files = {
        "relations.txt": "none\n/per/loc/lives_in\n",
        "relations-train.jsonl": '{"words": ["Ada", "lives", "in", "Old", "Town"], "head": [0, 1], "tail": [3, 5], '
        '"relation": "/per/loc/lives_in", "image": "images/ada.png"}\n',
        "relations-valid.jsonl": '{"words": ["Ada", "met"], "head": [1, 2], "tail": [0, 1], "relation": "none"}\n',
        "relations-test.jsonl": "",
    }
    write_files(folder / "images", {"ada.png": b"ada"})
    return write_changed(folder, files, changes)


def own_tags(folder: Path, changes: Files | None = None) -> Path:
    """One sentence in train and in test."""
    files: Files = {
        "tags-train.jsonl": '{"words": ["Ada", "Vale", "visits", "Rome"], "tags": ["B-PER", "I-PER", "O", "B-LOC"]}\n',
        "tags-valid.jsonl": "",
        "tags-test.jsonl": '{"words": ["Hello"], "tags": ["O"]}\n',
    }
    return write_changed(folder, files, changes)


def mnre_line(image: str, relation: str) -> str:
    """One line as MNRE has it."""
    words = ["Ada", "and", "Bo's", "dog"]
    head, tail = {"name": "Ada", "pos": [0, 1]}, {"name": "Bo's dog", "pos": [2, 4]}
    return repr({"token": words, "h": head, "t": tail, "img_id": image, "relation": relation}) + "\n"


def small_mnre(folder: Path, changes: Files | None = None) -> Path:
    """Two sentences in train, one in each of the others, in the layout of MNRE without a list of classes."""
    files: Files = {
        "tiny_train.txt": mnre_line("p1.jpg", "/per/misc/owns") + mnre_line("p2.jpg", "None"),
        "tiny_val.txt": mnre_line("p3.jpg", "/per/misc/knows"),
        "tiny_test.txt": mnre_line("p4.jpg", "None"),
    }
    return write_changed(folder, files, changes)


def small_twitter(folder: Path, changes: Files | None = None) -> Path:
    """Two sentences in train, one in each of the others, in the layout of Twitter-2017."""
    files: Files = {
        "train.txt": "IMGID:p1\nAda\tB-PER\nreads\tO\nEmma\tB-OTHER\n\nIMGID:p2\nHello\tO\n\n",
        "valid.txt": "IMGID:p1\nRome\tB-LOC\n\n",
        "test.txt": "IMGID:p3\nRome\tB-LOC\n",
    }
    return write_changed(folder, files, changes)

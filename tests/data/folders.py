"""Small data set folders that several tests of the data layer write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmkg_sdk.data.graph import DataSet, KnowledgeGraph, RawTokens
from mmkg_sdk.labels import Labels

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


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
    return DataSet(graph, visual, text, {"Oslo": "A city.\nOn\ta \\ fjord.", "Norway": ""})


def same_dataset(left: DataSet, right: DataSet) -> bool:
    """Whether two data sets agree in everything; the arrays keep the dataclass from comparing them itself."""
    for split in ("train", "valid", "test"):
        if not np.array_equal(left.graph.split(split), right.graph.split(split)):
            return False
    pairs = ((left.visual, right.visual), (left.text, right.text))
    return (
        left.graph.name == right.graph.name
        and left.graph.entities == right.graph.entities
        and left.graph.relations == right.graph.relations
        and dict(left.descriptions) == dict(right.descriptions)
        and all(_same_tokens(one, other) for one, other in pairs)
    )


def _same_tokens(left: RawTokens | None, right: RawTokens | None) -> bool:
    if left is None or right is None:
        return left is right
    return (
        list(left.lists.items()) == list(right.lists.items())
        and left.codebook.dtype == right.codebook.dtype
        and np.array_equal(left.codebook, right.codebook)
        and (left.vocabulary_size, left.pad_id, left.tokenizer)
        == (right.vocabulary_size, right.pad_id, right.tokenizer)
    )

"""Hostile contents of an entity linking bundle, with a manifest that fits them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mmkg_sdk
from mmkg_sdk import BundleError, Mention
from mmkg_sdk.bundle import Bundle
from tests.attacks.reseal import change_manifest, reseal

TABLE, TOKENIZER = "table.safetensors", "tokenizer.json"
Attack = tuple[str, Callable[[Path], Any], str]


def cut(name: str, share: float) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(_part((folder / name).read_bytes(), share))


def _part(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def written(name: str, data: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(data)


def piece(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path], Any]:
    """Replace one of the pieces; None removes it."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / TABLE)
        changed = change(tensors.pop(name))
        save_file(tensors | ({} if changed is None else {name: np.ascontiguousarray(changed)}), folder / TABLE)

    return spoil


def with_value(value: float, *place: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[place] = value
        return array

    return change


def rules(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Change what tokenizer.json says."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / TOKENIZER).read_text())
        change(content)
        (folder / TOKENIZER).write_text(json.dumps(content))

    return spoil


def shifted_header(folder: Path) -> None:
    """Offsets that lead a memory map behind the end of the file."""
    data = (folder / TABLE).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for entry in header.values():
        if isinstance(entry, dict) and "data_offsets" in entry:
            entry["data_offsets"] = [place + 10**6 for place in entry["data_offsets"]]
    text = json.dumps(header).encode()
    (folder / TABLE).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def more_tokens(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary |= {f"more{row}": row for row in range(len(vocabulary), 700)}


ATTACKS: list[Attack] = [
    ("tokenizer is cut", cut(TOKENIZER, 0.5), "tokenizer.json:1: not valid JSON.*Export the bundle again"),
    ("tokenizer is empty", written(TOKENIZER, b""), "tokenizer.json.*Export the bundle again"),
    ("tokenizer is a pickle", written(TOKENIZER, b"\x80\x04cos\nsystem\n."), "tokenizer.json.*Export the bundle"),
    ("tokenizer is a list", written(TOKENIZER, b"[]"), "expected one JSON object, found list"),
    (
        "tokenizer has another rule",
        rules(lambda c: c["normalizer"].update(type="Precompiled")),
        "has the type 'Precompil",
    ),
    (
        "tokenizer has a slow pattern",
        rules(lambda c: c.update(normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""})),
        r"has the Regex '\(a\+\)\+\$'",
    ),
    ("tokenizer has more tokens than the model", rules(more_tokens), "700 tokens, the model 600|the file was altered"),
    (
        "tokenizer lacks its end",
        rules(lambda c: c["model"]["vocab"].pop("<|endoftext|>")),
        r"no <\|endoftext\|> among its vocabulary",
    ),
    ("table is cut", cut(TABLE, 0.9), "not a valid safetensors file"),
    ("table is empty", written(TABLE, b""), "not a valid safetensors file"),
    ("offsets lie outside", shifted_header, "not a valid safetensors file"),
    ("a piece holds NaN", piece("entity_queries", with_value(np.nan, 4, 3, 2)), "entity_queries holds NaN .* row 4"),
    ("a piece holds infinity", piece("entity_cls", with_value(np.inf, 6, 1)), "entity_cls holds NaN .* row 6"),
    (
        "a piece is of single precision",
        piece("entity_text", lambda a: a.astype(np.float32)),
        r"entity_text is float32 \[7, 16\], expected float16 \[any, 16\]",
    ),
    ("a piece is of whole numbers", piece("entity_text", lambda a: a.astype(np.int16)), "entity_text is int16"),
    ("a piece lacks a row", piece("entity_fused", lambda a: a[1:]), "entity_fused has 6 rows, .* has 7 labels"),
    ("a piece is flat", piece("entity_dual_key", lambda a: a.reshape(7, -1)), r"entity_dual_key is float16 \[7, 24\]"),
    ("a piece is missing", piece("entity_cls", lambda a: None), r"holds \[.*\], expected \[.*'entity_cls'"),
]


@pytest.fixture
def copy(small_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_bundle, tmp_path / "bundle")


@pytest.mark.parametrize(("spoil", "message"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_hostile_content_is_refused_though_its_digest_is_right(
    spoil: Callable[[Path], Any], message: str, copy: Path
) -> None:
    spoil(copy)
    reseal(copy)
    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entity_dtype": "float32"}, r"entity_\w+ is float16 .* expected float32"),
        ({"entity_dtype": "float64"}, "entity_dtype is 'float64'; expected 'float32' or 'float16'"),
        ({"tokenizer": "none"}, "lists a file 'tokenizer.json', which is not part of the format"),
        ({"tokenizer": 3}, "tokenizer is 3; expected a folder, a file or a name"),
        ({"text_length": 11}, r"entity_queries is float16 \[7, 12, 8\], expected float16 \[any, 11, 8\]"),
        ({"vocabulary_size": 515}, "tokens, the model 515; they do not belong together"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change: dict[str, Any], message: str, copy: Path) -> None:
    change_manifest(copy, lambda manifest: manifest["config"].update(change))
    with pytest.raises(BundleError, match=message):
        Bundle.open(copy)


def test_labels_and_pieces_may_be_of_any_number_as_long_as_they_agree(copy: Path) -> None:
    tensors = {name: array[:3] for name, array in load_file(copy / TABLE).items()}
    save_file(tensors, copy / TABLE)
    (copy / "entities.txt").write_text("a\nb\nc\n")
    reseal(copy)
    with mmkg_sdk.load(copy, "onnxruntime", "cpu") as linker:
        assert sorted(linker.link_mentions(Mention("Georgia", ""), k=9)[0].labels) == ["a", "b", "c"]

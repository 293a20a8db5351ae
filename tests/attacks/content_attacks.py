"""Hostile tables, labels and triples, with a manifest that fits them. `spoil` leaves resealing to the test."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

ATTACKS: list[tuple[str, Callable[[Path], Any], str]] = []


def _bytes(name: str, file_name: str, data: bytes, message: str) -> None:
    ATTACKS.append((name, lambda folder: (folder / file_name).write_bytes(data), message))


def _tensor(name: str, file_name: str, tensor: str, change: Callable[[Any], Any], message: str) -> None:
    """Replace one tensor of a file by what `change` makes of it; None removes it."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / file_name)
        changed = change(tensors.pop(tensor, None))
        tensors |= {} if changed is None else {tensor: np.asarray(changed, order="C")}
        save_file(tensors, folder / file_name)

    ATTACKS.append((name, spoil, message))


def _with(value: Any, *place: int) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


def _header(entries: dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


TABLE, INPUTS, TRIPLES = "table.safetensors", "inputs.safetensors", "triples.safetensors"
VECTORS = {"dtype": "F32", "shape": [40, 32], "data_offsets": [0, 5120]}
ROW = b"\0" * 5120

_bytes("header_is_too_large", TABLE, _header({}, length=2**63), "not a valid safetensors file")
_bytes("header_is_longer_than_the_file", TABLE, _header({}, length=1000), "not a valid safetensors file")
_bytes("header_is_no_json", TABLE, struct.pack("<Q", 4) + b"\xff\xfe{}", "not a valid safetensors file")
_bytes("table_file_is_empty", TABLE, b"", "not a valid safetensors file")
_bytes("table_file_is_a_pickle", TABLE, b"\x80\x04cos\nsystem\n(S'true'\ntR.", "not a valid safetensors file")
_bytes(
    "offsets_overlap",
    TABLE,
    _header({"vectors": VECTORS, "more": VECTORS}, ROW),
    "not a valid safetensors file",
)
_bytes(
    "offsets_lie_outside",
    TABLE,
    _header({"vectors": VECTORS | {"data_offsets": [5120, 10240]}}, ROW),
    "not a valid safetensors file",
)
_bytes(
    "shape_overflows",
    TABLE,
    _header({"vectors": VECTORS | {"shape": [2**62, 2**62]}}, ROW),
    "not a valid safetensors file",
)
_bytes(
    "dtype_is_unknown",
    TABLE,
    _header({"vectors": VECTORS | {"dtype": "OBJECT"}}, ROW),
    "not a valid safetensors file",
)
_bytes(
    "dtype_is_bfloat16",
    TABLE,
    _header({"vectors": {"dtype": "BF16", "shape": [40, 32], "data_offsets": [0, 2560]}}, ROW[:2560]),
    "not a valid safetensors file|vectors is .* expected float32",
)
_tensor("table_has_nan", TABLE, "vectors", _with(np.nan, 7, 3), r"table.*vectors holds NaN or infinity in row 7")
_tensor("table_has_infinity", TABLE, "vectors", _with(-np.inf, 0, 0), "holds NaN or infinity in row 0")
_tensor("table_lacks_a_row", TABLE, "vectors", lambda a: a[1:], r"float32 \[39, 32\], expected float32 \[40, 32\]")
_tensor("table_is_transposed", TABLE, "vectors", lambda a: a.T, r"float32 \[32, 40\], expected")
_tensor("table_is_double", TABLE, "vectors", lambda a: a.astype(float), "float64 .* expected float32")
_tensor("table_is_a_number", TABLE, "vectors", lambda a: np.float32(1), r"float32 \[\], expected")
_tensor("table_has_another_name", TABLE, "vectors", lambda a: None, r"holds \[\], expected \['vectors'\]")
_tensor("table_file_holds_more", TABLE, "more", lambda a: np.zeros(1), r"holds \['more', 'vectors'\], expected")
_tensor("an_input_is_missing", INPUTS, "structure", lambda a: None, "holds .* expected .*structure")
_tensor("structure_has_nan", INPUTS, "structure", _with(np.nan, 2, 2), "structure holds NaN or infinity in row 2")
_tensor("a_token_is_negative", INPUTS, "text_tokens", _with(-1, 0, 0), "text_tokens holds a row that the codebook")
_tensor("a_token_is_too_large", INPUTS, "visual_tokens", _with(66, 0, 0), "visual_tokens holds a row")
_tensor("tokens_are_flat", INPUTS, "visual_tokens", lambda a: a[:, 0], r"visual_tokens is int64 \[40\], expected")
_tensor("tokens_are_none", INPUTS, "visual_tokens", lambda a: a[:, :0], r"int64 \[40, 0\], expected int64 \[40, any\]")
_tensor("tokens_are_floats", INPUTS, "text_tokens", lambda a: a.astype(float), "text_tokens is float64")
_tensor("a_mask_is_shorter", INPUTS, "text_mask", lambda a: a[:, 1:], r"text_mask is bool \[40, 3\]")
_tensor("a_mask_is_a_number", INPUTS, "text_mask", lambda a: a.astype(np.int64), "text_mask is int64")
_tensor("a_triple_is_out_of_range", TRIPLES, "train", _with(40, 5, 2), r"triple 5 of train is \[.*40\]; out of range")
_tensor("a_relation_is_out_of_range", TRIPLES, "test", _with(7, 0, 1), "triple 0 of test")
_tensor("a_triple_is_negative", TRIPLES, "valid", _with(-1, 1, 0), "triple 1 of valid")
_tensor("triples_have_six_columns", TRIPLES, "train", lambda a: a.repeat(2, axis=1), r"int64 \[\d+, 6\], expected")
_tensor("triples_are_floats", TRIPLES, "train", lambda a: a.astype(np.float32), "train is float32")
_tensor("triples_are_a_number", TRIPLES, "train", lambda a: np.int64(3), r"train is int64 \[\], expected")
_tensor("a_split_is_missing", TRIPLES, "valid", lambda a: None, r"holds \['test', 'train'\], expected")

KNOWN = "known_triples.safetensors"
_OFFSETS, _KEYS = "known_triples.*the offsets do not cut", "known_triples.*the keys are not ascending"
_ANSWERS = "known_triples.*the answers of a query are not ascending"
_tensor("known_keys_descend", KNOWN, "keys", lambda a: a[::-1], _KEYS)
_tensor("a_known_key_stands_twice", KNOWN, "keys", lambda a: np.append(a[:1], a[:-1]), _KEYS)
_tensor("a_known_key_is_negative", KNOWN, "keys", _with(-1, 0), _KEYS)
_tensor("a_known_key_has_no_entity", KNOWN, "keys", lambda a: np.append(a[:-1], a[-1] | 0xFFFF), _KEYS)
_tensor("a_known_key_has_no_relation", KNOWN, "keys", lambda a: np.append(a[:-1], 7 << 33), _KEYS)
_tensor("known_keys_are_fewer", KNOWN, "keys", lambda a: a[1:], _OFFSETS)
_tensor("known_keys_are_floats", KNOWN, "keys", lambda a: a.astype(float), "keys is float64")
_tensor("known_offsets_begin_later", KNOWN, "offsets", _with(1, 0), _OFFSETS)
_tensor("known_offsets_fall", KNOWN, "offsets", _with(-5, 3), _OFFSETS)
_tensor("known_offsets_end_beyond", KNOWN, "offsets", _with(1 << 40, -1), _OFFSETS)
_tensor("known_offsets_are_none", KNOWN, "offsets", lambda a: a[:0], _OFFSETS)
_tensor("known_answers_are_fewer", KNOWN, "answers", lambda a: a[:-1], _OFFSETS)
_tensor("a_known_answer_is_no_entity", KNOWN, "answers", _with(40, -1), _ANSWERS)
_tensor("a_known_answer_is_negative", KNOWN, "answers", _with(-1, 0), _ANSWERS)
_tensor("known_answers_descend", KNOWN, "answers", lambda a: a[::-1], _ANSWERS)

LINES = [f"entity {i}" for i in range(40)]


def _labels(name: str, text: str | bytes, message: str) -> None:
    _bytes(name, "entities.txt", text.encode() if isinstance(text, str) else text, message)


_labels("labels_are_too_few", "\n".join(LINES[:39]) + "\n", "entities.txt has 39 labels, but .* says 40")
_labels("labels_are_too_many", "\n".join([*LINES, "one more"]) + "\n", "entities.txt has 41 labels")
_labels("a_label_stands_twice", "\n".join([*LINES[:39], "entity 3"]), r"entities.txt:40: .* stands in line 4")
_labels("a_line_is_empty", "\n".join([*LINES[:5], "", *LINES[6:]]), r"entities.txt:6: empty line")
_labels("a_line_has_10_mb", "\n".join(["x" * 10_000_000, *LINES[1:]]), "label 0 has 10,000,000 characters")
_labels("lines_end_like_on_windows", "\r\n".join(LINES), r"entities.txt:1: .* carriage return")
_labels("a_byte_order_mark_stands_first", "\ufeff" + "\n".join(LINES), "entities.txt:1: .* byte order mark")
_labels("a_label_is_a_surrogate", b"\xed\xa0\x80\n" + "\n".join(LINES[1:]).encode(), "entities.txt:1: .* is not UTF-8")
_labels("labels_are_binary", bytes(range(256)), "is not UTF-8|carriage return|empty line")
_labels("labels_are_empty", "", "is empty")

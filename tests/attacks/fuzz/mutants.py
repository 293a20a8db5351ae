"""Changes of a bundle. A mutant is plain JSON, so that a report can hold it and anybody can make it again."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from mmkg_sdk.bundle.manifest import sealed

Mutant = dict[str, Any]

# JSON texts that take the place of a value.
_VALUES = [
    *("0", "-1", "1", "2", "3", "4", "7", "8", "16", "1000000", "1000000000000", "2147483647", "2147483648"),
    *("9223372036854775807", "18446744073709551616", "1" + "0" * 400, "1" + "0" * 5000, "0.5", "1.0", "-0.0", "1e-300"),
    *("1e308", "1e999", "NaN", "null", "true", "false", '""', '"x"', '"\\ud800"', '"\\u0000"', '"../x"', "[]", "{}"),
    *("[1, 2]", '{"a": 1}', '"float32"', '"float16"', '"int64"', '"bool"', '"zeros"', '"mask"', '"inner"', '"none"'),
    *('"fp16"', '"bf16"', '"mygo"', '"mimic"', '"batch"', "[1, 1, 1]", "[1, 2, 4]", "[2, 256, 4096]"),
    *("[1, 256, 1000000000000]", "[1000000000000, 1000000000000, 1000000000000]", '"' + "é" * 5000 + '"'),
]
_TENSOR_CHANGES = ["zero", "one", "negate", "nan", "inf", "huge", "bump", "scale", "swap rows", "repeat row"]
_TENSOR_CHANGES += [
    "drop row",
    "add row",
    "transpose",
    "flatten",
    "dtype",
    "rename",
    "delete",
    "add",
    "noise",
    "random",
]
_LINE_CHANGES = ["swap", "drop", "repeat", "empty", "change", "long", "carriage return", "bad bytes", "add"]
_GRAPH_CHANGES = ["attribute", "input", "drop node", "operator", "offset", "length", "shape", "constant", "swap inputs"]
_BYTE_CHANGES = ["flip", "cut", "insert", "remove", "zero"]
# What the attacker signs again: nothing, the digests of files, or the seal of bundle.json as well.
_SIGNED = ["nothing", "files", "all", "all", "all"]


def mutants(subjects: dict[str, Path]) -> st.SearchStrategy[Mutant]:
    """Any change of any file of any subject."""
    targets = [(name, path.name) for name, folder in subjects.items() for path in sorted(folder.iterdir())]
    # bundle.json decides most and is the smallest.
    targets += [(name, "bundle.json") for name in subjects for _ in range(12)]
    return st.sampled_from(targets).flatmap(lambda target: _mutants(*target))


def _mutants(subject: str, file: str) -> st.SearchStrategy[Mutant]:
    kinds = [("bytes", _BYTE_CHANGES)]
    if file.endswith(".json"):
        kinds = [("json", ["set", "set", "set", "set", "delete", "swap", "copy", "add"])] * 8 + kinds
    elif file.endswith(".safetensors"):
        kinds = [("tensor", _TENSOR_CHANGES)] * 4 + [("header", ["set", "delete", "swap", "copy"])] + kinds
    elif file.endswith(".onnx"):
        kinds = [("graph", _GRAPH_CHANGES)] * 3 + kinds
    elif file.endswith(".txt"):
        kinds = [("line", _LINE_CHANGES)] * 2 + kinds
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.fixed_dictionaries(
            {
                "subject": st.just(subject),
                "file": st.just(file),
                "kind": st.just(kind[0]),
                "change": st.sampled_from(kind[1]),
                "value": st.sampled_from(_VALUES),
                "seed": st.integers(0, 2**32 - 1),
                "signed": st.sampled_from(_SIGNED),
            }
        )
    )


def apply(mutant: Mutant, folder: Path) -> bool:
    """Change a copy of the subject; False if the change changes nothing."""
    path, draw = folder / mutant["file"], random.Random(mutant["seed"])
    before = path.read_bytes()
    _CHANGES[mutant["kind"]](path, mutant["change"], mutant["value"], draw)
    if path.read_bytes() == before:
        return False
    if mutant["signed"] != "nothing":
        _sign(folder, whole=mutant["signed"] == "all")
    return True


def _sign(folder: Path, *, whole: bool) -> None:
    path = folder / "bundle.json"
    try:
        manifest = json.loads(path.read_text())
        for name, entry in manifest["files"].items():
            data = (folder / name).read_bytes()
            entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        path.write_text(json.dumps(sealed(manifest) if whole else manifest))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return  # no manifest that could be signed


def _change_json(path: Path, change: str, value: str, draw: random.Random) -> None:
    path.write_text(_changed_json(path.read_text(), change, value, draw))


def _changed_json(text: str, change: str, value: str, draw: random.Random) -> str:
    content = json.loads(text)
    # One section of the file is as likely as another, however large it is.
    section = draw.choice(list(content))
    places = list(_places(content))
    inside = list(_places(content[section])) if isinstance(content[section], dict | list) else []
    parent, key = draw.choice([(content, section), *inside * 20])
    if change == "delete":
        del parent[key]
    elif change in ("swap", "copy"):
        other, other_key = draw.choice(places)
        first, second = parent[key], other[other_key]
        parent[key] = second
        if change == "swap":
            other[other_key] = first
        try:
            return json.dumps(content)
        except (ValueError, RecursionError):  # a part that became its own part
            return text
    elif change == "add" and isinstance(parent, dict):
        parent[draw.choice(["x", "seal", "__class__", "batch", str(key) + "s"])] = "@@"
    elif isinstance(parent[key], int) and draw.random() < 0.3:
        parent[key] = draw.choice([parent[key] + 1, parent[key] - 1, parent[key] * 2, parent[key] // 2])
    else:
        parent[key] = "@@"
    return json.dumps(content).replace('"@@"', value)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change_header(path: Path, change: str, value: str, draw: random.Random) -> None:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    if length <= 2:
        return
    text = _changed_json(data[8 : 8 + length].decode(), change, value, draw).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def _change_tensor(path: Path, change: str, value: str, draw: random.Random) -> None:
    tensors = load_file(path)
    if not tensors:
        return
    name = draw.choice(sorted(tensors))
    array, random_numbers = np.array(tensors[name]), np.random.default_rng(draw.getrandbits(32))
    with np.errstate(all="ignore"):
        tensors |= _changed_tensor(name, array, change, draw, random_numbers)
    if change in ("delete", "rename"):
        del tensors[name]
    save_file({key: np.ascontiguousarray(found) for key, found in tensors.items()}, path)


def _changed_tensor(
    name: str, array: np.ndarray, change: str, draw: random.Random, noise: np.random.Generator
) -> dict[str, np.ndarray]:
    flat = array.reshape(-1)
    place = draw.randrange(flat.size) if flat.size else None
    rows = len(array) if array.ndim else 0
    values = {"zero": 0, "one": 1, "nan": np.nan, "inf": -np.inf, "huge": 1e30}
    if place is None:
        pass
    elif change in values and (array.dtype.kind == "f" or change in ("zero", "one")):
        flat[place] = values[change]
    elif change == "negate" and array.dtype.kind != "b":
        flat[place] = -flat[place]
    elif change == "bump":
        flat[place] = flat[place] + 1 if array.dtype.kind != "b" else not flat[place]
    elif change == "scale" and array.dtype.kind == "f":
        array *= array.dtype.type(draw.choice([0.5, 1.01, 2, -1, 1e4]))
    elif change == "noise" and array.dtype.kind == "f":
        array = (array + noise.standard_normal(array.shape) * draw.choice([1e-6, 1e-3, 1])).astype(array.dtype)
    elif change == "random":
        array = noise.integers(-3, 100, array.shape).astype(array.dtype)
    elif change == "swap rows" and rows > 1:
        first, second = draw.sample(range(rows), 2)
        array[[first, second]] = array[[second, first]]
    elif change == "repeat row" and rows > 1:
        array[draw.randrange(rows)] = array[draw.randrange(rows)]
    elif change == "drop row" and rows:
        array = np.delete(array, draw.randrange(rows), axis=0)
    elif change == "add row" and rows:
        array = np.concatenate([array, array[:1]])
    elif change == "transpose":
        array = array.T
    elif change == "flatten":
        array = array.reshape(-1)
    elif change == "dtype":
        array = array.astype(draw.choice([np.float16, np.float32, np.float64, np.int64, np.int32, np.bool_, np.uint16]))
    elif change in ("rename", "add"):
        name += "s"
    return {name: array}


def _change_graph(path: Path, change: str, value: str, draw: random.Random) -> None:
    model = onnx.load_from_string(path.read_bytes())
    graph = model.graph
    node = draw.choice(list(graph.node))
    outside = [tensor for tensor in graph.initializer if tensor.external_data]
    if change == "attribute" and (attributes := [a for n in graph.node for a in n.attribute]):
        attribute = draw.choice(attributes)
        attribute.i = draw.choice([-1, 0, 1, 2, 1 << 40])
        attribute.f = draw.choice([0.0, 1e-5, 2.0])
    elif change == "input" and node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(list(draw.choice(list(graph.node)).output))
    elif change == "swap inputs" and len(node.input) > 1:
        node.input[0], node.input[1] = node.input[1], node.input[0]
    elif change == "drop node":
        graph.node.remove(node)
    elif change == "operator":
        node.op_type = draw.choice(["Add", "Mul", "Sub", "Relu", "Softmax", "Identity", "Loop", "Nothing"])
    elif change in ("offset", "length") and outside:
        for entry in draw.choice(outside).external_data:
            if entry.key == change:
                entry.value = draw.choice(["0", "8", "4096", "-1", str(1 << 62), str(int(entry.value) + 4)])
    elif change == "shape":
        values = [*graph.input, *graph.output]
        sizes = [size for item in values for size in item.type.tensor_type.shape.dim]
        draw.choice(sizes).dim_value = draw.choice([0, 1, 3, 1 << 40])
    elif change == "constant" and (inside := [t for t in graph.initializer if t.raw_data]):
        tensor = draw.choice(inside)
        tensor.raw_data = bytes(byte ^ (draw.random() < 0.2) for byte in tensor.raw_data)
    path.write_bytes(model.SerializeToString())


def _change_line(path: Path, change: str, value: str, draw: random.Random) -> None:
    lines = path.read_bytes().split(b"\n")[:-1]
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    if change == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif change == "drop":
        del lines[first]
    elif change == "add":
        lines.append(b"one more")
    else:
        made = {"repeat": lines[second], "empty": b"", "change": lines[first] + b"x", "long": b"x" * 20_000}
        made |= {"carriage return": lines[first] + b"\r", "bad bytes": b"\xff\xfe\x00"}
        lines[first] = made[change]
    path.write_bytes(b"\n".join(lines) + b"\n")


def _change_bytes(path: Path, change: str, value: str, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    if change == "flip":
        for _ in range(draw.choice([1, 1, 4])):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif change == "cut":
        del data[place:]
    elif change == "insert":
        data[place:place] = draw.randbytes(draw.choice([1, 8, 100]))
    elif change == "remove":
        del data[place : place + draw.choice([1, 8, 100])]
    else:
        data[place : place + 8] = bytes(len(data[place : place + 8]))
    path.write_bytes(data)


_CHANGES = {
    "json": _change_json,
    "header": _change_header,
    "tensor": _change_tensor,
    "graph": _change_graph,
    "line": _change_line,
    "bytes": _change_bytes,
}

"""Hostile ONNX files in the place of query_encoder.onnx, with a manifest that fits them.

Each function changes a good model in place, or gives the bytes to write; READS lists those that reach for data
elsewhere, GRAPHS those that are no graph an engine can run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

Change = Callable[[onnx.ModelProto], bytes | None]
GRAPHS: list[Change] = []
READS: list[tuple[str, Change]] = []

# What an attacker would like to read; the last is ONNX Runtime's own name for an address in memory.
LOCATIONS = (
    "../secret.bin",
    "/etc/hostname",
    "link.bin",  # a symbolic link in the folder
    "unlisted.bin",  # in the folder, but with no digest in bundle.json
    "sub/../../secret.bin",
    "weights.safetensors/../../secret.bin",
    "WEIGHTS.safetensors",
    "",
    "*/_ORT_MEM_ADDR_/*",
)


def spoil(folder: Path, change: Change) -> None:
    """Apply an attack to the query encoder of a bundle."""
    path = folder / "query_encoder.onnx"
    model = onnx.load(path, load_external_data=False)
    data = change(model)
    path.write_bytes(model.SerializeToString() if data is None else data)


def _graph(change: Change) -> Change:
    GRAPHS.append(change)
    return change


def external(location: str, offset: str = "0", length: str = "16", name: str = "stolen") -> TensorProto:
    """A float32 [4] that lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _in_initializer(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer.append(tensor)


def _in_attribute(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["stolen"], value=tensor))


def _in_attribute_list(model: onnx.ModelProto, tensor: TensorProto) -> None:
    node = helper.make_node("Constant", [], ["stolen"])
    node.attribute.append(helper.make_attribute("values", [tensor]))
    model.graph.node.append(node)


def _in_subgraph(model: onnx.ModelProto, tensor: TensorProto) -> None:
    branch = helper.make_graph([], "branch", [], [], initializer=[tensor])
    model.graph.node.append(helper.make_node("If", ["condition"], ["stolen"], then_branch=branch, else_branch=branch))


def _in_subgraph_of_a_subgraph(model: onnx.ModelProto, tensor: TensorProto) -> None:
    node = helper.make_node("Constant", [], ["stolen"], value=tensor)
    for _ in range(5):
        branch = helper.make_graph([node], "branch", [], [])
        node = helper.make_node("If", ["condition"], ["stolen"], then_branch=branch)
    model.graph.node.append(node)


def _in_function(model: onnx.ModelProto, tensor: TensorProto) -> None:
    body = [helper.make_node("Constant", [], ["b"], value=tensor)]
    model.functions.append(helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 18)]))


def _in_function_default(model: onnx.ModelProto, tensor: TensorProto) -> None:
    _in_function(model, helper.make_tensor("none", TensorProto.FLOAT, [1], [0.0]))
    model.functions[0].attribute_proto.append(helper.make_attribute("value", tensor))


def _in_sparse_values(model: onnx.ModelProto, tensor: TensorProto) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(tensor)
    sparse.indices.CopyFrom(helper.make_tensor("indices", TensorProto.INT64, [4], [0, 1, 2, 3]))


def _in_sparse_attribute(model: onnx.ModelProto, tensor: TensorProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["stolen"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.CopyFrom(tensor)


def _in_training_graph(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.training_info.add().initialization.initializer.append(tensor)


PLACES = (
    _in_initializer,
    _in_attribute,
    _in_attribute_list,
    _in_subgraph,
    _in_subgraph_of_a_subgraph,
    _in_function,
    _in_function_default,
    _in_sparse_values,
    _in_sparse_attribute,
    _in_training_graph,
)


def _reader(place: Callable[[onnx.ModelProto, TensorProto], None], location: str) -> Change:
    return lambda model: place(model, external(location))


for location in LOCATIONS:
    READS.append((f"initializer reads {location!r}", _reader(_in_initializer, location)))
for place in PLACES:
    READS.append((f"{place.__name__[1:]} reads ../secret.bin", _reader(place, "../secret.bin")))


def _range(offset: str, length: str) -> Change:
    return lambda model: _in_initializer(model, external("weights.safetensors", offset, length))


for offset, length in (
    ("-4", "16"),
    ("0", "-16"),
    ("9223372036854775807", "16"),
    ("18446744073709551600", "16"),
    ("0", "99999999999"),
    ("1e3", "16"),
    ("٣", "16"),
    (" 0", "16"),
    ("", "16"),
):
    READS.append((f"initializer reads {length!r} bytes at {offset!r}", _range(offset, length)))


def _location_twice(model: onnx.ModelProto) -> None:
    tensor = external("weights.safetensors")
    tensor.external_data.add(key="location", value="../secret.bin")
    _in_initializer(model, tensor)


def _location_hidden_behind_an_overlong_tag(model: onnx.ModelProto) -> bytes:
    # A reader that keeps 32 bits of a tag sees field 7 (the graph); one that keeps more sees an unknown field.
    inner = onnx.ModelProto()
    _in_initializer(inner, external("../secret.bin"))
    graph = inner.graph.SerializeToString()
    tag = bytes([0x80 | 7 << 3 | 2, 0x80, 0x80, 0x80, 0x70])
    assert len(graph) < 128
    return model.SerializeToString() + tag + bytes([len(graph)]) + graph


def _location_in_a_second_graph_field(model: onnx.ModelProto) -> bytes:
    # Protobuf merges a message that stands twice.
    second = onnx.ModelProto()
    _in_initializer(second, external("../secret.bin"))
    return model.SerializeToString() + second.SerializeToString()


READS.append(("location stands twice", _location_twice))
READS.append(("location is hidden behind an overlong tag", _location_hidden_behind_an_overlong_tag))
READS.append(("location is in a second graph field", _location_in_a_second_graph_field))


@_graph
def file_is_empty(model: onnx.ModelProto) -> bytes:
    return b""


@_graph
def file_is_truncated(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()[:-7]


@_graph
def file_is_garbage(model: onnx.ModelProto) -> bytes:
    return bytes(range(256)) * 20


@_graph
def file_is_text(model: onnx.ModelProto) -> bytes:
    return b"#!/bin/sh\necho hello\n"


@_graph
def file_is_endless_nesting(model: onnx.ModelProto) -> bytes:
    data = b""
    while len(data) < 200_000:  # a graph in an attribute in a node in a graph ...
        for field in (1, 5, 6):
            size, header = len(data), [field << 3 | 2]
            while size >= 0x80:
                header.append(size & 0x7F | 0x80)
                size >>= 7
            data = bytes([*header, size]) + data
    return bytes([7 << 3 | 2, *header[1:], size]) + data


@_graph
def operator_is_of_an_unknown_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil.example", 1))
    model.graph.node[0].domain = "evil.example"


@_graph
def operator_is_unknown(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RunShellCommand"


@_graph
def operator_set_is_too_new(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9_999


@_graph
def format_is_too_new(model: onnx.ModelProto) -> None:
    model.ir_version = 9_999


@_graph
def graph_is_cyclic(model: onnx.ModelProto) -> None:
    first, last = model.graph.node[0], model.graph.node[-1]
    first.input[0] = last.output[0]


@_graph
def graph_has_no_nodes(model: onnx.ModelProto) -> None:
    model.graph.ClearField("node")


@_graph
def graph_is_absent(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


@_graph
def an_input_is_missing(model: onnx.ModelProto) -> None:
    del model.graph.input[1]


@_graph
def an_input_is_too_many(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["batch"]))


@_graph
def an_input_has_another_dtype(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT32


@_graph
def an_input_has_another_width(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 31


@_graph
def an_input_has_another_rank(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=1)


@_graph
def an_output_has_another_name(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "queries":
                node.output[i] = "answers"
    model.graph.output[0].name = "answers"


@_graph
def an_initializer_claims_a_petabyte(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 25, 1 << 25]


@_graph
def an_initializer_has_no_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.DEFAULT


@_graph
def an_initializer_has_negative_sizes(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-1, -32]


@_graph
def two_nodes_write_one_value(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[0])


@_graph
def a_name_is_not_utf8(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString().replace(b"queries", b"quer\xff\xfes")

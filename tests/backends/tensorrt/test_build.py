"""Engines as TensorRT for RTX builds them on the CPU, and what is said where it does not.

Nothing here opens an engine: that needs a GPU.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.backends.gpus import NVIDIA, has_no_gpu
from mmkg_sdk.backends.tensorrt.bindings import Bindings
from mmkg_sdk.backends.tensorrt.build import build_engine
from mmkg_sdk.backends.tensorrt.machine import Machine, is_shortage
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.profiles import parse_buckets, profiles_for
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.files.tensors import tensors_in

from .plans import plan_header

SMALL = BuildOptions(buckets=parse_buckets(["batch=1:2:4"]))


def build(rtx: Bindings, bundle: Bundle, graph: str = "query_encoder", options: BuildOptions = SMALL) -> bytes:
    return build_engine(rtx, bundle, graph, options, Machine()).plan


def test_an_engine_has_the_header_of_the_library_and_the_names_of_the_graph(rtx: Bindings, bundle: Bundle) -> None:
    plan = build(rtx, bundle)
    header = plan_header(plan)
    assert header.version == rtx.version
    assert header.size == len(plan)
    spec = bundle.graphs["query_encoder"]
    for tensor in (*spec.exported_inputs, *spec.outputs):
        assert tensor.name.encode() in plan


def test_each_profile_adds_to_the_engine(rtx: Bindings, bundle: Bundle) -> None:
    one = build_engine(rtx, bundle, "query_encoder", SMALL, Machine())
    options = BuildOptions(buckets=parse_buckets(["batch=1,2,4"]))
    three = build_engine(rtx, bundle, "query_encoder", options, Machine())
    assert three.profiles == profiles_for(bundle.graphs["query_encoder"], options.buckets)
    assert len(three.profiles) == 3
    assert len(three.plan) > 2 * len(one.plan)
    assert one.timing_cache is None
    assert 0 < one.seconds < 60


def test_weights_are_those_that_the_bundle_verified_and_not_what_lies_in_its_folder(
    rtx: Bindings, golden_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in golden_bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    bundle = Bundle.open(folder)
    for path in folder.iterdir():
        path.unlink()
        path.write_bytes(b"")
    plan = build(rtx, bundle)
    assert all(vector in plan for vector in vectors(bundle))


def vectors(bundle: Bundle) -> list[bytes]:
    """The biases and norms of the query encoder, which lie in an engine as they are; matrices may be reordered."""
    weights = tensors_in(bundle.files["weights.safetensors"], "query_encoder.")
    found = {array.tobytes() for array in weights.values() if array.ndim == 1 and len(array) >= 32 and np.ptp(array)}
    assert len(found) >= 3
    return sorted(found)


def test_other_weights_make_another_engine(rtx: Bindings, bundle: Bundle) -> None:
    weights = bytearray(bundle.files["weights.safetensors"])
    start = 8 + int.from_bytes(weights[:8], "little")
    for place in range(start, len(weights), 4):
        weights[place] ^= 1
    other = replace(bundle, files={**bundle.files, "weights.safetensors": memoryview(weights)})
    plan = build(rtx, other)
    assert all(vector in plan for vector in vectors(other))
    assert not any(vector in plan for vector in vectors(bundle))


def test_a_graph_that_is_not_understood_is_named_with_the_parser_s_words(rtx: Bindings, bundle: Bundle) -> None:
    model = bytes(bundle.files["query_encoder.onnx"])
    assert model.count(b"\x22\x06Gather") > 1  # NodeProto.op_type
    changed = model.replace(b"\x22\x06Gather", b"\x22\x06Lather")
    odd = replace(bundle, files={**bundle.files, "query_encoder.onnx": memoryview(changed)})
    with pytest.raises(
        BackendError, match=rf"query_encoder.onnx is not understood by TensorRT {rtx.version}: .*Lather"
    ):
        build(rtx, odd)


@pytest.mark.parametrize("content", [b"", b"no ONNX", b"\x08\x09"])
def test_what_is_no_graph_is_an_error(content: bytes, rtx: Bindings, bundle: Bundle) -> None:
    odd = replace(bundle, files={**bundle.files, "query_encoder.onnx": memoryview(content)})
    with pytest.raises((BackendError, ValueError)):
        build(rtx, odd)


def test_a_spec_that_is_another_graph_s_is_noticed(rtx: Bindings, bundle: Bundle) -> None:
    files = {**bundle.files, "query_encoder.onnx": bundle.files["entity_encoder.onnx"]}
    with pytest.raises(
        BackendError, match=r"TensorRT made .*'visual_tokens', 'INT64'.* expected .*'relation', 'INT64'"
    ):
        build(rtx, replace(bundle, files=files))


def test_a_workspace_that_is_too_small_is_named_with_what_is_free(rtx: Bindings, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as err:
        build(rtx, bundle, "entity_encoder", BuildOptions(workspace_mib=1))
    message = str(err.value)
    assert "was not built for lack of memory (a workspace of 1 MiB; " in message
    assert re.search(r"[\d,]+ MiB of the machine free", message)
    assert "no tactics to implement the operation within workspace limit" in message


def test_free_memory_of_a_gpu_is_said_where_there_is_one() -> None:
    machine = Machine("9.0", gpu_memory=lambda: (3 << 30, 80 << 30))
    assert machine.free_memory().startswith("3,072 MiB of the GPU and ")


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("Requested amount of GPU memory (1073741824 bytes) could not be allocated: OutOfMemory", True),
        ("Error Code 2: OutOfMemory (Requested size was 68719476736 bytes.)", True),
        ("CUDA error: out of memory", True),
        ("std::bad_alloc", True),
        ("Cannot compile operation for Turing", False),
    ],
)
def test_a_shortage_is_told_from_other_failures(words: str, short: bool) -> None:
    assert is_shortage(words) is short


def test_kinds_of_gpus_are_named_or_refused(rtx: Bindings, bundle: Bundle) -> None:
    plan = build(rtx, bundle, options=replace(SMALL, compute_capabilities=("8.9", "12.0")))
    assert plan != build(rtx, bundle)
    with pytest.raises(BackendError, match=r"compute capability '9.0'; it knows 7.5, 8.0, 8.6, 8.9, 12.0"):
        build(rtx, bundle, options=replace(SMALL, compute_capabilities=("8.9", "9.0")))
    with pytest.raises(BackendError, match=r"was not built: .*FP32 GEMM is not supported"):
        build(rtx, bundle, options=replace(SMALL, compute_capabilities=("7.5",)))


def test_a_version_compatible_engine_wants_a_library_that_is_not_there(rtx: Bindings, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as refused:
        build(rtx, bundle, options=replace(SMALL, version_compatible=True))
    message = str(refused.value)
    assert message.startswith("graph query_encoder was not built: ")
    assert "Unable to load library: libnvinfer_lean.so" in message  # the library's words
    assert message.endswith("leave out --version-compatible, or take the flavour tensorrt.")


@pytest.mark.skipif(not has_no_gpu(NVIDIA), reason="with a GPU it may build")
def test_weights_are_left_out_on_a_gpu_alone(rtx: Bindings, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as refused:
        build(rtx, bundle, options=replace(SMALL, strip=True))
    message = str(refused.value)
    assert "MyelinCheckException" in message
    assert "CHECK(status == CUDA_SUCCESS) failed" in message  # the library's words
    assert message.endswith("build where there is one, leave out --strip, or take the flavour tensorrt.")


@pytest.mark.parametrize("hardware", ["ampere-plus", "same-compute-capability"])
def test_a_level_of_hardware_that_the_library_drops_without_a_word_is_refused(
    hardware: Any, rtx: Bindings, bundle: Bundle
) -> None:
    wanted = hardware.upper().replace("-", "_")
    with pytest.raises(BackendError, match=rf"{rtx.version} leaves the hardware compatibility at NONE, {wanted} was"):
        build(rtx, bundle, options=replace(SMALL, hardware=hardware))


@pytest.mark.skipif(os.name != "posix", reason="signals as of POSIX")
def test_ctrl_c_ends_a_build_and_leaves_nothing(rtx: Bindings, golden_bundle: Path, own_cache: Path) -> None:
    command = [sys.executable, "-m", "mmkg_sdk.cli.main", "build-engine", str(golden_bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("entity_encoder: tensorrt-rtx")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.endswith("Interrupted.\n")
    assert "Traceback" not in err
    assert not [path for path in own_cache.rglob("*") if path.is_file()]

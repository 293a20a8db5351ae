"""Every exported graph parses and builds with TensorRT for RTX, on the CPU, in every precision.

Building only: opening an engine needs a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PRECISIONS = ("fp32", "fp16", "bf16")
# Family, golden case, precision. Two MyGO layers have no token-table encoder.
CASES = [("mygo", "db15k_like", precision) for precision in PRECISIONS]
CASES += [("mygo", "deep_more_rel", "fp32")]
CASES += [("adamf_mat", "db15k_like", precision) for precision in PRECISIONS]
CASES += [("mimic", "base", precision) for precision in PRECISIONS]
CASES += [
    ("mkgformer", case, precision)
    for case in ("lp_pretrain_small", "mre_small", "mner_small")
    for precision in PRECISIONS
]


@pytest.fixture(scope="module")
def builder() -> tuple[Any, Any, Any]:
    """The module, one logger and one builder: a second logger in a process is ignored by the library."""
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    logger = trt.Logger(trt.Logger.WARNING)
    return trt, logger, trt.Builder(logger)


def build_engine(tools: tuple[Any, Any, Any], onnx_file: Path, axes: dict[str, list[int]], inputs: list[Any]) -> Any:
    """A serialized engine for compute capability 8.9, with one optimization profile from the graph's axes."""
    trt, logger, builder = tools
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx_file)):
        raise AssertionError([parser.get_error(i).desc() for i in range(parser.num_errors)])
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        sizes = [[axes[size][i] if isinstance(size, str) else size for size in tensor["shape"]] for i in range(3)]
        profile.set_shape(tensor["name"], *sizes)
    assert config.add_optimization_profile(profile) >= 0
    return builder.build_serialized_network(network, config)


@pytest.mark.parametrize(("family", "case", "precision"), CASES, ids=["-".join(case) for case in CASES])
def test_every_graph_builds_as_an_engine(
    family: str, case: str, precision: str, builder: tuple[Any, Any, Any], golden_bundles: Callable[..., Path]
) -> None:
    folder = golden_bundles(case, precision, family)
    for graph, spec in json.loads((folder / "bundle.json").read_text())["graphs"].items():
        engine = build_engine(builder, folder / f"{graph}.onnx", spec["axes"], spec["inputs"])
        assert engine is not None, f"{graph}: the builder's reason is in its log above"
        assert engine.nbytes > 1000


def test_the_two_layer_model_has_no_token_table_encoder(golden_bundles: Callable[[str, str], Path]) -> None:
    assert not (golden_bundles("deep_more_rel", "fp32") / "entity_encoder_token_table.onnx").exists()


def test_an_engine_opens_and_gives_the_numbers_of_the_model() -> None:
    pytest.skip("opening an engine needs a GPU and a TensorRT backend; here it is built only")

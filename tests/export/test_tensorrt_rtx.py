"""Every exported graph builds as an engine with TensorRT for RTX, on the CPU, and every family in every precision.

Building only: opening an engine needs a GPU. How the backend opens and runs engines is tested with stand-ins
(backends/tensorrt/stand_in).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt.bindings import Bindings, load_bindings
from mmkg_sdk.backends.tensorrt.build import build_engine
from mmkg_sdk.backends.tensorrt.machine import Machine
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.profiles import Range
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.graph_specs import GraphSpec
from tests.backends.tensorrt.plans import plan_header

PRECISIONS = ("fp32", "fp16", "bf16")
# Family, golden case, precision. Two MyGO layers have no token-table encoder.
CASES = [("mygo", "db15k_like", precision) for precision in PRECISIONS]
CASES += [("mygo", "deep_more_rel", "fp32")]
CASES += [("adamf_mat", "db15k_like", precision) for precision in PRECISIONS]
CASES += [("mimic", "base", precision) for precision in PRECISIONS]
CASES += [("mkgformer", "lp_pretrain_small", precision) for precision in PRECISIONS]
# The towers are the same for every task.
CASES += [("mkgformer", "mre_small", "fp32"), ("mkgformer", "mre_small", "fp16")]
CASES += [("mkgformer", "mner_small", "fp32"), ("mkgformer", "mner_small", "bf16")]
# One of each family is built with the profiles that a user gets; the others with one profile, to save time.
AS_USERS_DO = [("mygo", "db15k_like"), ("adamf_mat", "db15k_like"), ("mimic", "base"), ("mkgformer", "mre_small")]


@pytest.fixture(scope="module")
def rtx() -> Bindings:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    return load_bindings("tensorrt-rtx")


def whole(spec: GraphSpec) -> BuildOptions:
    """One profile that holds every size of the graph."""
    return BuildOptions({axis.name: (Range(axis.min, axis.typical, axis.max),) for axis in spec.axes().values()})


@pytest.mark.parametrize(("family", "case", "precision"), CASES, ids=["-".join(case) for case in CASES])
def test_every_graph_builds_as_an_engine(
    family: str, case: str, precision: str, rtx: Bindings, golden_bundles: Callable[..., Path]
) -> None:
    bundle = Bundle.open(golden_bundles(case, precision, family))
    for graph, spec in bundle.graphs.items():
        default = precision == "fp32" and (family, case) in AS_USERS_DO
        built = build_engine(rtx, bundle, graph, BuildOptions() if default else whole(spec), Machine())
        header = plan_header(built.plan)
        assert (header.version, header.size) == (rtx.version, len(built.plan))
        names = [tensor.name for tensor in (*spec.exported_inputs, *spec.outputs)]
        assert [name for name in names if name.encode() not in built.plan] == []
        for name, axis in spec.axes().items():
            ranges = [profile[name] for profile in built.profiles]
            assert min(one.least for one in ranges) == axis.min
            assert max(one.most for one in ranges) == axis.max
        assert len(built.profiles) == (3 if default else 1)


def test_the_two_layer_model_has_no_token_table_encoder(golden_bundles: Callable[[str, str], Path]) -> None:
    assert not (golden_bundles("deep_more_rel", "fp32") / "entity_encoder_token_table.onnx").exists()


def test_an_engine_opens_and_gives_the_numbers_of_the_model() -> None:
    pytest.skip("opening an engine needs a GPU, and has never been tried")

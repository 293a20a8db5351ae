"""What does the work of graphs on a GPU, and when. Kernels run in Triton's interpreter; nothing has run on a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo import compiled_layers
from mmkg_sdk.families.mygo.compiled_encoder import absence
from mmkg_sdk.families.mygo.compiled_query import compiled_query
from mmkg_sdk.kernels import library
from mmkg_sdk.kernels.gpu.widths import layer_absence

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_they_give_the_vectors_of_those_on_the_cpu(
    precision: str, golden_bundles: Callable[..., Path], tmp_path: Path
) -> None:
    if isinstance(why := library(), str):
        pytest.skip(why)
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed; its interpreter runs the kernels here")
    command = [sys.executable, "-m", "tests.families.mygo.gpu_stand_in_program"]
    done = subprocess.run(
        [*command, golden_bundles("db15k_like", precision), tmp_path],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = np.load(tmp_path / "found.npz")
    # Of the root mean square. A bfloat16 core takes two numbers of bfloat16 for each of the context.
    tolerance = {"fp32": 5e-6, "bf16": 3e-5}[precision]
    for name in ("queries", "grown", "vectors"):
        by_cpu = found[f"{name} cpu"]
        size = np.sqrt(np.mean(np.square(by_cpu)))
        np.testing.assert_allclose(found[f"{name} cuda"], by_cpu, rtol=0, atol=tolerance * size)
    np.testing.assert_array_equal(found["placed cuda"], found["queries cuda"])
    assert len(found["placed cpu"]) == 0
    core = {"fp32": "fp32", "bf16": "bf16"}[precision]
    launched = " ".join(found["launched"])
    for kernel in (f"tucker_partials_{core}", "query_attention", "token_table_fp32"):
        assert kernel in launched


def test_the_graph_runs_where_there_are_no_kernels(golden_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open(golden_bundle)
    monkeypatch.setattr(compiled_layers, "gpu_kernels_absence", lambda device: f"no driver for {device}")
    assert absence(bundle, "cuda:0") == "no driver for cuda:0"
    assert compiled_query(bundle, "cuda:0", None) is None
    monkeypatch.setattr(compiled_layers, "gpu_kernels_absence", lambda device: None)
    assert absence(bundle, "cuda:0") is None
    assert compiled_query(bundle, "cuda:0", None) is not None
    config = bundle.manifest["config"] | {"embedding_dim": 516}
    wide = Bundle(bundle.path, bundle.manifest | {"config": config}, {}, {}, {})
    assert "columns on a GPU, whose kernels go to 512" in str(absence(wide, "cuda:0"))
    assert compiled_query(wide, "cuda:0", None) is None


@pytest.mark.parametrize(
    ("width", "heads", "columns"),
    [(512, 1, 0), (512, 8, 0), (513, 1, 576), (96, 12, 768), (96, 8, 0), (1024, 16, 1024), (130, 2, 0)],
)
def test_heads_are_padded_to_groups_of_columns(width: int, heads: int, columns: int) -> None:
    found = layer_absence(width, heads)
    assert (f"takes {columns} columns" in str(found)) if columns else found is None

"""mmkg-sdk build-engine, and backend tensorrt in commands; with TensorRT for RTX, which builds without a GPU."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.bundle import Bundle

from .running import ask, mmkg


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path))
    return tmp_path


def test_engines_are_built_and_then_found(golden_bundle: Path, own_cache: Path) -> None:
    wanted = ["build-engine", golden_bundle, "--flavour", "tensorrt-rtx", "--profile", "batch=1:2:4"]
    text = mmkg(*wanted)
    assert [line.split()[0] for line in text.stdout.splitlines()[::2]] == list(Bundle.open(golden_bundle).graphs)
    assert all("1 profiles  built in " in line for line in text.stdout.splitlines()[::2])
    for line in text.stdout.splitlines()[1::2]:
        assert Path(line.strip()).is_relative_to(own_cache / "engines")
        assert Path(line.strip()).is_file()
    assert text.stderr.splitlines()[-1] == "Built, and not run: no engine has been opened on a GPU yet."
    found = json.loads(mmkg(*wanted, "--json").stdout)
    assert [engine["graph"] for engine in found["engines"]] == list(Bundle.open(golden_bundle).graphs)
    assert not any(engine["built"] for engine in found["engines"])
    assert found["engines"][0]["bytes"] == os.path.getsize(found["engines"][0]["path"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "batch=0"], "bucket 1:0:0 is not in order"),
        (["--profile", "bacth=1"], "no graph of this bundle has an axis 'bacth'"),
        (["--compute-capability", "9.0"], "does not build for compute capability '9.0'"),
        (["--hardware-compatible", "ampere-plus"], "leaves the hardware compatibility at NONE"),
        (["--version-compatible"], "libnvinfer_lean"),
        (["--workspace", "1"], r"for lack of memory \(a workspace of 1 MiB; "),
    ],
)
def test_what_cannot_be_built_is_said(options: list[str], message: str, golden_bundle: Path) -> None:
    with pytest.raises(BackendError, match=message):
        ask("build-engine", golden_bundle, "--flavour", "tensorrt-rtx", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--level", "6"], "6 is not in the range 0<=x<=5"),
        (["--workspace", "0"], "0 is not in the range x>=1"),
        (["--flavour", "trt"], "'trt' is not one of 'tensorrt', 'tensorrt-rtx'"),
        (["--precision", "fp16"], "No such option"),  # which lies in the bundle
    ],
)
def test_wrong_use_is_told(options: list[str], message: str, golden_bundle: Path) -> None:
    assert message in ask("build-engine", golden_bundle, *options, code=2).output


def test_the_help_says_that_nothing_has_run_on_a_gpu() -> None:
    assert "Not tried on a GPU yet: engines were built, and never opened." in ask("build-engine", "--help").output


def test_the_backend_is_one_that_commands_take(golden_bundle: Path) -> None:
    with pytest.raises(BackendError, match="engines run on GPUs, and device 'cpu' was asked for"):
        ask("verify", golden_bundle, "--backend", "tensorrt", "--device", "cpu")

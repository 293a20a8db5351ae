"""mmkg-sdk env."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.contract import link_runtime
from mmkg_sdk.families.stood_in import STOOD_IN, stood_in
from mmkg_sdk.kernels import instruction_sets, library
from mmkg_sdk.registry import FAMILIES

from .running import mmkg


def test_env_says_how_many_threads_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    lines = mmkg("env").stdout.splitlines()
    assert "threads: 3" in lines
    assert "threads_reason: OMP_NUM_THREADS is 3" in lines


def test_env_prints_json() -> None:
    found = json.loads(mmkg("env", "--json").stdout)
    assert "mmkg_sdk" in json.dumps(found)
    assert "not yet run on a GPU" in found["cuda_kernels"] or found["cuda_kernels"].startswith("none (")
    assert found["kernels"] == ", ".join(instruction_sets()) or found["kernels"].startswith("numpy and graphs (")


def test_env_says_which_instruction_set_is_used_and_what_kernels_stand_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(library(), str):
        pytest.skip("the compiled kernels are absent")
    monkeypatch.setenv("MMKG_INSTRUCTION_SET", "portable")
    found = json.loads(mmkg("env", "--json").stdout)["answers_on_cpu"]
    assert found["adamf_mat"] == "kernels with portable for query_encoder, graphs for the rest"
    assert found["mkgformer"] == "graphs"
    assert found["ranking"].startswith("kernels with portable of portable")
    monkeypatch.setenv("MMKG_INSTRUCTION_SET", "mmx")
    assert "MMKG_INSTRUCTION_SET names none" in stood_in()["mygo"]
    monkeypatch.delenv("MMKG_INSTRUCTION_SET")
    assert f"kernels with {instruction_sets()[-1]}" in stood_in()["ranking"]


def test_every_family_says_what_is_stood_in_for() -> None:
    assert set(STOOD_IN) == set(FAMILIES)


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_what_is_said_is_what_the_runtimes_do(family: str, golden_bundles: Callable[..., Path]) -> None:
    if isinstance(library(), str):
        pytest.skip("the compiled kernels are absent")
    bundle = Bundle.open(golden_bundles("db15k_like", "fp32", family))
    stand_ins = link_runtime(family).stand_ins(bundle, "cpu", 1)
    there = {"query_encoder": stand_ins.query, "entity_encoder": stand_ins.encoder}
    assert [name for name, stand_in in there.items() if stand_in is not None] == list(STOOD_IN[family])

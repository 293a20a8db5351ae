"""What every family says of its measuring; mypy checks the names and types, this what they mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import measuring
from mmkg_sdk.kernels.gpu import gpu_kernels_absence
from mmkg_sdk.registry import FAMILIES
from tests.places import ROOT


@pytest.mark.parametrize("family", FAMILIES)
def test_it_comes_without_torch(family: str) -> None:
    code = (
        "import sys; from mmkg_sdk.families.measuring import measuring; "
        f"measuring({family!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_contender_is_the_reference(family: str) -> None:
    contenders = measuring(family).contenders(None)  # type: ignore[arg-type]
    assert [one.is_reference for one in contenders].count(True) == 1
    assert len({one.name for one in contenders}) == len(contenders)


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_the_compiled_kernels_are_absent_from_a_gpu_that_has_none(family: str, golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)  # the device alone is looked at
    own = measuring(family)
    absent = {one.name: own.absence(bundle, one, "cuda:99") for one in own.contenders(bundle)}
    assert {name: why for name, why in absent.items() if why} == {"compiled kernels": gpu_kernels_absence("cuda:99")}

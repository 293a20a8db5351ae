"""What the machine can do. Nothing here depends on how fast it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from mmkg_sdk.bench.machine import ceiling_ways, gpu_ceilings
from mmkg_sdk.bench.machine.ceiling_ways import Way, Ways
from mmkg_sdk.bench.machine.ceilings import ARITHMETIC, GPU_ARITHMETIC, Ceilings, Rate, measure_ceilings
from mmkg_sdk.bench.machine.environment import cpu_flags
from mmkg_sdk.errors import BackendError


def test_every_ceiling_is_a_rate_and_its_source_or_a_reason(ceilings: Ceilings) -> None:
    assert tuple(ceilings.arithmetic) == ARITHMETIC
    assert ceilings.read.per_second
    assert ceilings.arithmetic["float32"].per_second
    for rate in (ceilings.read, *ceilings.arithmetic.values()):
        assert rate.by
        assert rate.per_second is None or rate.per_second > 0
    if not {"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_flags()):
        assert ceilings.arithmetic["bfloat16"] == Rate(None, "this processor has none of avx512_bf16, amx_bf16, bf16")


def test_they_read_back_as_they_were_written(ceilings: Ceilings) -> None:
    assert Ceilings.from_json(json.loads(json.dumps(ceilings.to_json()))) == ceilings


@pytest.mark.parametrize("rate", ["much", True, 0, -1.0])
def test_what_is_no_rate_is_refused(rate: object, ceilings: Ceilings) -> None:
    found = ceilings.to_json()
    found["arithmetic"]["int8"]["per_second"] = rate
    with pytest.raises(ValueError, match="a ceiling is no number"):
        Ceilings.from_json(found)


def test_a_way_that_takes_long_is_an_emulation_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def emulated(numbers: object, threads: int) -> Iterator[Way]:
        yield lambda: time.sleep(0.1), 1e9
        raise AssertionError("a larger product was tried")

    def real(numbers: object, threads: int) -> Iterator[Way]:
        yield lambda: None, 1e9

    monkeypatch.setattr(ceiling_ways, "_LONGEST_S", 0.05)
    ways: dict[str, Ways] = {"emulated": emulated, "real": real}
    assert [name for _, name in ceiling_ways._rates(ways, None, 1, 0.01)] == ["real"]


def test_words_say_what_is_not_there() -> None:
    found = Ceilings(Rate(50.0, "reading"), {"float32": Rate(1234.5, "a product"), "int8": Rate(None, "no such")})
    assert found.words() == "ceilings: reads 50 GB/s (reading); float32 1,234 GFLOP/s (a product); int8 none (no such)"


def test_the_ceilings_of_a_gpu_are_walked_on_a_processor() -> None:
    """Its code with a clock of the host: numbers of a processor, which stand for nothing."""
    job = {"device": "cpu", "clock": "host", "seconds": 0.001, "scale": 1 / 64}
    found = Ceilings.from_json(gpu_ceilings.open_worker(job)({}))
    assert tuple(found.arithmetic) == GPU_ARITHMETIC
    assert found.read.per_second
    assert found.arithmetic["float32"].per_second
    assert found.launch_us
    assert "launches in" in found.words()
    assert Ceilings.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("launch", ["soon", True, 0])
def test_a_launch_that_takes_no_time_is_refused(launch: object) -> None:
    rate = {"per_second": 1.0, "by": "made up"}
    with pytest.raises(ValueError, match="time to launch"):
        Ceilings.from_json({"read": rate, "arithmetic": {"float32": rate}, "launch_us": launch})


def test_a_gpu_that_is_not_here_has_reasons_in_place_of_ceilings_and_nonsense_is_refused() -> None:
    torch = pytest.importorskip("torch")
    missing = f"cuda:{torch.cuda.device_count()}"
    found = measure_ceilings(missing, 1, 0.001)
    assert {rate.per_second for rate in (found.read, *found.arithmetic.values())} == {None}
    assert f"no device {missing}" in found.read.by
    with pytest.raises(BackendError, match="unknown device"):
        measure_ceilings("gpu0", 1)

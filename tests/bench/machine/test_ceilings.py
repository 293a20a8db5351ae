"""What the machine can do. Nothing here depends on how fast it is."""

from __future__ import annotations

import json

import pytest

from mmkg_sdk.bench.machine.ceilings import ARITHMETIC, Ceilings, Rate
from mmkg_sdk.bench.machine.environment import cpu_flags


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


def test_words_say_what_is_not_there() -> None:
    found = Ceilings(Rate(50.0, "reading"), {"float32": Rate(1234.5, "a product"), "int8": Rate(None, "no such")})
    assert found.words() == "ceilings: reads 50 GB/s (reading); float32 1,234 GFLOP/s (a product); int8 none (no such)"

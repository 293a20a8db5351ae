"""In which shapes the first passes (scan.py, rank_scan.py) are compiled for each target.

A kernel for tables of one width holds its queries in shared memory beside two tiles of the table or more; where there
is no room for that, and for other widths, the kernel that takes any width stands in. No shape was chosen by a
measurement: nothing here has run on a GPU. Shared memory and registers decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..specs import KernelSpec

# Targets that load tiles by tensor maps, and the others.
_MAPS, _ADDRESSES = (90, 100, 120), (80, 86, 89)
# Coordinates that the kernel for any width takes at a time: its tables have a multiple of them.
CHUNK = 64
# Queries of a program: warps.
_WARPS = {16: 4, 64: 4, 128: 8}
# Queries: stages of the kernels for any width.
_WIDE_STAGES = {16: 3, 64: 4, 128: 4}
# (width, queries): stages by target.
_STAGES = {
    **{(64, queries): dict.fromkeys((*_ADDRESSES, *_MAPS), 4) for queries in _WARPS},
    (128, 16): dict.fromkeys((*_ADDRESSES, *_MAPS), 3),
    (128, 64): dict.fromkeys((*_ADDRESSES, 90, 100), 3),
    (128, 128): {80: 3, 90: 3, 100: 3},
    (256, 16): {80: 3, 90: 3, 100: 3},
    (256, 64): {80: 3, 90: 3, 100: 2},
    (256, 128): {90: 2, 100: 2},
}


def shapes(name: str, narrow: Any, wide: Any, signature: dict[str, str]) -> Iterator[KernelSpec]:
    """`NAME_d64_q16` and so on for the widths 64, 128, 256, and `NAME_wide_q16` and so on for all.

    Args:
        narrow, wide: functions with the constants QUERIES, MAP, and WIDTH or CHUNK.
        signature: of narrow without its table; wide has `chunks` as well.
    """
    for queries, warps in _WARPS.items():
        for (width, for_queries), stages in _STAGES.items():
            if for_queries != queries:
                continue
            for target, count in stages.items():
                constants = {"QUERIES": queries, "WIDTH": width, "MAP": target in _MAPS}
                types = signature | {"table": _table(width, target)}
                yield KernelSpec(f"{name}_d{width}_q{queries}", narrow, types, constants, warps, count, (target,))
        for targets in (_MAPS, _ADDRESSES):
            constants = {"QUERIES": queries, "CHUNK": CHUNK, "MAP": targets == _MAPS}
            types = signature | {"table": _table(CHUNK, targets[0]), "chunks": "i32"}
            yield KernelSpec(f"{name}_wide_q{queries}", wide, types, constants, warps, _WIDE_STAGES[queries], targets)


def _table(width: int, target: int) -> str:
    return f"tensordesc<bf16[128, {width}]>" if target in _MAPS else "*bf16"

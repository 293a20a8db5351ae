"""What a cell costs at the least: its steps, one after the other, each with operations and bytes of one item.

    scan      inner products: FLOP = 2 N d; the table once a batch, as the contender's first pass reads it
              distances of d / 2 complex numbers: FLOP = 3.5 N d, in float32 (two differences, two squares, their sum,
              its root, and the sum of all)
    query     the family's formula (families/FAMILY/measuring.py)
    encode    likewise, by the number of tokens
    answer    query, then scan as the kernels do it, whichever runtime makes the queries: labels, ids and copies are
              not counted

N entities, width d. A batch shares the weights of a graph, and the table.
"""

from __future__ import annotations

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families import contract
from mmkg_sdk.families.measuring import EncoderWork, measuring
from mmkg_sdk.ranking.scores import InnerProduct
from mmkg_sdk.registry import LINK_PREDICTION

from ..machine.work import Work
from .cells import Cell
from .contenders import GpuContender, contender

_ARITHMETIC = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_NUMBER_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
_DISTANCE_FLOP = 3.5


def steps_of(cell: Cell, way: GpuContender, bundle: Bundle, graph: str | None) -> tuple[list[Work], str | None]:
    """The steps of a contender's cell; none, and why they are not known."""
    if cell.mode == "gpu-scan":
        return [_scan(cell, way, bundle)], None
    precision = bundle.precision
    if precision not in _ARITHMETIC:
        return [], f"the operations of {precision} graphs are not counted"
    family, number = measuring(bundle.family), _NUMBER_BYTES[precision]
    if cell.mode == "gpu-encode":
        return [_encoding(family.encoder_work(bundle, graph or "", cell.tokens, number), cell, precision)], None
    found = family.query_work(bundle, number)
    if found is None:
        return [], f"the operations of {cell.mode} depend on texts and images here, and are not counted"
    steps = [_encoding(found, cell, precision)]
    if cell.mode == "gpu-answer" and bundle.config.task == LINK_PREDICTION:
        steps.append(_scan(cell, contender("kernels"), bundle))
    return steps, None


def _scan(cell: Cell, way: GpuContender, bundle: Bundle) -> Work:
    rows, width = bundle.table.shape
    if not isinstance(contract.link_config(bundle.config).candidate_score, InnerProduct):
        return Work(_DISTANCE_FLOP * rows * width, 4.0 * rows * width / cell.batch, "float32")
    return Work(2.0 * rows * width, float(rows * width * way.number_bytes) / cell.batch, way.arithmetic)


def _encoding(found: EncoderWork, cell: Cell, precision: str) -> Work:
    return Work(found.flop, found.item_bytes + found.weight_bytes / cell.batch, _ARITHMETIC[precision])

"""What is ranked by MIMIC's scores where they are: the mean of the units, and where an entity stands by it."""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec


@triton.jit
def unit_means(text, image, image_text, numbers, BLOCK: tl.constexpr):
    """text float32 [numbers], overwritten: (text + image + image_text) / 3, each step rounded once as by numpy."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < numbers
    total = tl.load(text + at, mask=inside, other=0.0) + tl.load(image + at, mask=inside, other=0.0)
    total += tl.load(image_text + at, mask=inside, other=0.0)
    tl.store(text + at, tl.div_rn(total, tl.full((BLOCK,), 3.0, tl.float32)), mask=inside)


@triton.jit
def target_ranks(scores, targets, ranks, candidates, BLOCK: tl.constexpr):
    """ranks int32 [mentions], written: of targets int64 [mentions] in a stable descending sort, from 1.

    scores: float32 [mentions, candidates], finite. Program i of the grid ranks mention i.
    """
    mention = tl.program_id(0).to(tl.int64)
    scores += mention * candidates
    target = tl.load(targets + mention)
    score = tl.load(scores + target)
    before = tl.zeros((BLOCK,), dtype=tl.int32)
    for start in range(0, candidates, BLOCK):
        place = start + tl.arange(0, BLOCK)
        found = tl.load(scores + place, mask=place < candidates, other=float("-inf"))
        before += ((found > score) | ((found == score) & (place < target))).to(tl.int32)
    tl.store(ranks + mention, 1 + tl.sum(before))


KERNELS = (
    KernelSpec(
        "unit_means",
        unit_means,
        {"text": "*fp32", "image": "*fp32", "image_text": "*fp32", "numbers": "i64"},
        {"BLOCK": 1024},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "target_ranks",
        target_ranks,
        {"scores": "*fp32", "targets": "*i64", "ranks": "*i32", "candidates": "i32"},
        {"BLOCK": 2048},
        num_warps=8,
        num_stages=1,
    ),
)

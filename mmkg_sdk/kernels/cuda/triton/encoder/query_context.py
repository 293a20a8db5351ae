"""A query up to its Tucker core, include/mmkg_query.h: what its transformer over three tokens makes of the ids.

  query_sequence    ids -> the three tokens
  per layer: linear (queries, keys and values at once), query_attention, linear, add_norm, linear with ReLU, linear,
             add_norm; of layer.py but for the attention

Each token of a sequence is a plane, [3, batch, PADDED], so that the last layer runs over the last two, which are read.
Every product takes its sums in one order whatever the batch.

A head has width / heads columns, here padded with zeros to groups of GROUP columns, so a group belongs to one head.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from ..specs import KernelSpec
from .layer import GROUP, PADDED_WIDTHS, addresses


@triton.jit
def query_sequence(
    table,
    relations,
    known_slots,
    missing_slots,
    entity,
    relation,
    direction,
    x,
    rows,
    num_relations,
    batch,
    width,
    PADDED: tl.constexpr,
):
    """A query whose ids are out of range is NaN, and reads nothing. Grid: (batch,).

    Args:
        table: float32 [rows, width], the entities.
        relations: float32 [num_relations, PADDED]; known_slots, missing_slots: float32 [2, PADDED], by direction.
        entity, relation, direction: int64 [batch].
        x: float32 [3, batch, PADDED], written: the known entity, the relation, the missing entity.
    """
    b = tl.program_id(0)
    columns = tl.arange(0, PADDED)
    e, r, d = tl.load(entity + b), tl.load(relation + b), tl.load(direction + b)
    fits = (e >= 0) & (e < rows) & (r >= 0) & (r < num_relations) & (d >= 0) & (d < 2)
    e, r, d = tl.where(fits, e, 0), tl.where(fits, r, 0), tl.where(fits, d, 0)
    known = tl.load(table + e * width + columns, mask=columns < width, other=0.0)
    known += tl.load(known_slots + d * PADDED + columns)
    known = tl.where(fits, known, float("nan"))
    plane = batch * PADDED
    place = x + b * PADDED + columns
    tl.store(place, known)
    tl.store(place + plane, tl.load(relations + r * PADDED + columns))
    tl.store(place + 2 * plane, tl.load(missing_slots + d * PADDED + columns))


@triton.jit
def _logits(query, key, same_head, scale):
    """float32 [queries, GROUPS]: the product of a head, at each of its groups."""
    part = tl.sum(query * key, axis=2)
    return tl.sum(tl.where(same_head, part[:, None, :], 0.0), axis=2) * scale


@triton.jit
def query_attention(
    projected, attended, batch, groups_per_head, scale, QUERIES: tl.constexpr, PADDED: tl.constexpr, GROUP: tl.constexpr
):
    """What each of the three tokens attends to. Grid: (ceil(batch / QUERIES),).

    Args:
        projected: float32 [3, batch, 3 * PADDED]: query, key, value of each token, by group.
        attended: float32 [3, batch, PADDED], written, by group.
        scale: of logits: (width / heads)^-0.5.
    """
    GROUPS: tl.constexpr = PADDED // GROUP
    rows = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    inside = (rows < batch)[:, None, None]
    groups = tl.arange(0, GROUPS)
    same_head = (groups[:, None] // groups_per_head == groups[None, :] // groups_per_head)[None, :, :]
    place = (groups[:, None] * GROUP + tl.arange(0, GROUP)[None, :])[None, :, :]
    start = rows[:, None, None] * (3 * PADDED) + place
    plane = batch * (3 * PADDED)
    keys = projected + PADDED
    values = projected + 2 * PADDED
    key0 = tl.load(keys + start, mask=inside, other=0.0)
    key1 = tl.load(keys + start + plane, mask=inside, other=0.0)
    key2 = tl.load(keys + start + 2 * plane, mask=inside, other=0.0)
    value0 = tl.load(values + start, mask=inside, other=0.0)
    value1 = tl.load(values + start + plane, mask=inside, other=0.0)
    value2 = tl.load(values + start + 2 * plane, mask=inside, other=0.0)
    for token in tl.static_range(3):
        query = tl.load(projected + start + token * plane, mask=inside, other=0.0)
        logit0 = _logits(query, key0, same_head, scale)
        logit1 = _logits(query, key1, same_head, scale)
        logit2 = _logits(query, key2, same_head, scale)
        largest = tl.maximum(tl.maximum(logit0, logit1), logit2)
        share0, share1, share2 = tl.exp(logit0 - largest), tl.exp(logit1 - largest), tl.exp(logit2 - largest)
        total = share0 + share1 + share2
        context = share0[:, :, None] * value0 + share1[:, :, None] * value1 + share2[:, :, None] * value2
        out = attended + (token * batch + rows[:, None, None]) * PADDED + place
        tl.store(out, context / total[:, :, None], mask=inside)


KERNELS = (
    *(
        KernelSpec(
            f"query_sequence_{padded}",
            query_sequence,
            addresses("table relations known_slots missing_slots")
            | dict.fromkeys(("entity", "relation", "direction"), "*i64")
            | {"x": "*fp32", "rows": "i64", "num_relations": "i64", "batch": "i32", "width": "i32"},
            {"PADDED": padded},
            4,
            1,
        )
        for padded in PADDED_WIDTHS
    ),
    *(
        KernelSpec(
            f"query_attention_{padded}",
            query_attention,
            addresses("projected attended") | {"batch": "i32", "groups_per_head": "i32", "scale": "fp32"},
            {"QUERIES": max(1, 512 // padded), "PADDED": padded, "GROUP": GROUP},
            4,
            1,
        )
        for padded in PADDED_WIDTHS
    ),
)

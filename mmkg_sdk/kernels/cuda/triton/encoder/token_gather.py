"""What heads of the token-table encoder make of an entity's tokens: a gather and an online softmax, bound by memory.

A head has width / heads columns, here padded with zeros to groups of GROUP columns, so a group belongs to one head.
Columns are padded to PADDED = a power of 2 that holds all groups and the width.

Tokens count in their order and a masked one adds exactly nothing, so what comes of an entity does not depend on the
padding of its sequence.

Compiled for every target and tried in Triton's interpreter; never run on a GPU.
"""

import triton
import triton.language as tl

from .layer import norm


@triton.jit
def _attend(
    attended,
    total,
    largest,
    tokens,
    mask,
    first_row,
    num_rows,
    num_tokens,
    logits,
    values,
    heads,
    head,
    entities,
    inside,
    GROUPS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Adds the tokens of one modality to an online softmax: attended and total are multiples of exp(-largest)."""
    place = tl.arange(0, GROUPS)[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    for t in range(num_tokens):
        at = entities.to(tl.int64) * num_tokens + t
        token = tl.load(tokens + at, mask=inside, other=0)
        live = inside & (tl.load(mask + at, mask=inside, other=1) == 0)
        known = live & (token >= 0) & (token < num_rows)
        row = first_row + tl.where(known, token, 0)
        logit = tl.load(logits + row[:, None] * heads + head[None, :], mask=known[:, None], other=float("-inf"))
        # A token that is no row is never read, and makes its entity NaN.
        logit = tl.where((live & (known == 0))[:, None], float("nan"), logit)
        value = tl.load(
            values + row[:, None, None] * (GROUPS * GROUP) + place[None, :, :], mask=known[:, None, None], other=0.0
        ).to(tl.float32)
        larger = tl.maximum(largest, logit)
        shrink = tl.exp(largest - larger)
        share = tl.exp(logit - larger)
        total = total * shrink + share
        attended = attended * shrink[:, :, None] + share[:, :, None] * value
        largest = larger
    return attended, total, largest


@triton.jit
def gather(
    structure,
    visual_tokens,
    visual_mask,
    text_tokens,
    text_mask,
    norm_weight,
    norm_bias,
    type_vector,
    logit_weight,
    pooled_logits,
    pooled_value,
    logits,
    values,
    own,
    attended,
    share,
    entities,
    inside,
    width,
    heads,
    groups_per_head,
    num_visual_tokens,
    num_text_tokens,
    visual_rows,
    text_rows,
    epsilon,
    PADDED: tl.constexpr,
    GROUP: tl.constexpr,
):
    """For some entities s, and what their heads make of all but an entity's own value. GROUPS = PADDED / GROUP.

    Args:
        structure, ..., text_mask, logit_weight, ..., values: as of token_table.
        norm_weight, norm_bias, type_vector: float32 [PADDED], 0 beyond width.
        own: float32 [entities, PADDED], written: s.
        attended: float32 [entities, PADDED], written, by group: the weighted sum without the own value.
        share: float32 [entities, GROUPS], written: the weight of the own value.
        entities: which; inside: which of them there are. Others are written, too.
    """
    GROUPS: tl.constexpr = PADDED // GROUP
    columns = tl.arange(0, PADDED)
    groups = tl.arange(0, GROUPS)
    head = tl.minimum(groups // groups_per_head, heads - 1)

    known = inside[:, None] & (columns < width)[None, :]
    s = tl.load(structure + entities[:, None] * width + columns[None, :], mask=known, other=0.0)
    s = norm(s, norm_weight, norm_bias, columns, width, epsilon) + tl.load(type_vector + columns)[None, :]
    tl.store(own + entities[:, None] * PADDED + columns[None, :], s)

    own_logit = tl.zeros((entities.shape[0], GROUPS), dtype=tl.float32)
    for group in tl.static_range(GROUPS):
        weight = tl.load(logit_weight + tl.minimum(group // groups_per_head, heads - 1) * PADDED + columns)
        own_logit = tl.where((groups == group)[None, :], tl.sum(s * weight[None, :], axis=1)[:, None], own_logit)
    pooled_logit = tl.broadcast_to(tl.load(pooled_logits + head)[None, :], (entities.shape[0], GROUPS))
    start = tl.maximum(own_logit, pooled_logit)
    pooled_share = tl.exp(pooled_logit - start)
    value = tl.reshape(tl.load(pooled_value + columns), (GROUPS, GROUP))
    state = pooled_share[:, :, None] * value[None, :, :]
    total = pooled_share + tl.exp(own_logit - start)
    state, total, largest = _attend(
        state,
        total,
        start,
        visual_tokens,
        visual_mask,
        0,
        visual_rows,
        num_visual_tokens,
        logits,
        values,
        heads,
        head,
        entities,
        inside,
        GROUPS,
        GROUP,
    )
    state, total, largest = _attend(
        state,
        total,
        largest,
        text_tokens,
        text_mask,
        visual_rows,
        text_rows,
        num_text_tokens,
        logits,
        values,
        heads,
        head,
        entities,
        inside,
        GROUPS,
        GROUP,
    )
    place = groups[:, None] * GROUP + tl.arange(0, GROUP)[None, :]
    tl.store(attended + entities[:, None, None] * PADDED + place[None, :, :], state / total[:, :, None])
    tl.store(share + entities[:, None] * GROUPS + groups[None, :], tl.exp(own_logit - largest) / total)

"""The image and image_text units of MIMIC's late interaction (include/mmkg_link.h), from the pieces of both sides.

Two DUAL by Gram products, in float32 multiply-adds throughout: their lengths are small differences of large sums. See
interaction.py, also for what has not been run.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec
from .interaction import CHUNK, STORED, is_wrong, part_of, row_of

TILE_MENTIONS, TILE_ENTITIES = 16, 32


@triton.jit
def _tanh(x):
    """tanh to 3e-7 of itself, as the library for the CPU has it. Near 0 the polynomial of Cephes (S. Moshier)."""
    square = x * x
    near = tl.fma(square, -5.70498872745e-3, 2.06390887954e-2)
    near = tl.fma(near, square, -5.37397155531e-2)
    near = tl.fma(near, square, 1.33314422036e-1)
    near = tl.fma(near, square, -3.33332819422e-1)
    near = tl.fma(near * square, x, x)
    power = tl.exp2(tl.clamp(x, -10.0, 10.0, propagate_nan=tl.PropagateNan.ALL) * 2.8853900817779268)
    return tl.where(square < 0.390625, near, 1.0 - 2.0 / (power + 1.0))


@triton.jit
def _inverse_root(square, epsilon):
    return 1.0 / tl.sqrt_rn(tl.maximum(square, 0.0, propagate_nan=tl.PropagateNan.ALL) + epsilon)


@triton.jit
def _gram(a, b, total):
    return tl.dot(a, tl.trans(b), total, input_precision="ieee")


@triton.jit
def _dual(
    keys,
    key_rows,
    queries,
    query_rows,
    to_gate,
    context,
    scale,
    shift,
    gate_offset,
    context_square,
    width,
    epsilon,
    KEYS: tl.constexpr,
    QUERIES: tl.constexpr,
):
    """DUAL of every key with every query, float32 [KEYS, QUERIES]: its lengths and products as sums of parts.

    keys are z, a, k and queries q, c, h, [any, 3, width] each.
    """
    zq = tl.zeros((KEYS, QUERIES), dtype=tl.float32)
    ac, aw, kc, kw = zq, zq, zq, zq
    zz = tl.zeros((KEYS,), dtype=tl.float32)
    aa, kk, ak, z_gate, a_context, k_context = zz, zz, zz, zz, zz, zz
    qq = tl.zeros((QUERIES,), dtype=tl.float32)
    cc, cw, q_gate, c_context, w_context, shifted = qq, qq, qq, qq, qq, qq
    for start in range(0, width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        inside = column < width
        gate = tl.load(to_gate + column, mask=inside, other=0.0)[None, :]
        middle = tl.load(context + column, mask=inside, other=0.0)[None, :]
        z = part_of(keys, 3 * key_rows, column, width)
        a = part_of(keys, 3 * key_rows + 1, column, width)
        k = part_of(keys, 3 * key_rows + 2, column, width)
        q = part_of(queries, 3 * query_rows, column, width)
        c = part_of(queries, 3 * query_rows + 1, column, width)
        h = part_of(queries, 3 * query_rows + 2, column, width)
        w = h * tl.load(scale + column, mask=inside, other=0.0)[None, :]
        zq, ac, aw, kc, kw = _gram(z, q, zq), _gram(a, c, ac), _gram(a, w, aw), _gram(k, c, kc), _gram(k, w, kw)
        zz += tl.sum(z * z, axis=1)
        aa += tl.sum(a * a, axis=1)
        kk += tl.sum(k * k, axis=1)
        ak += tl.sum(a * k, axis=1)
        z_gate += tl.sum(z * gate, axis=1)
        a_context += tl.sum(a * middle, axis=1)
        k_context += tl.sum(k * middle, axis=1)
        qq += tl.sum(q * q, axis=1)
        cc += tl.sum(c * c, axis=1)
        cw += tl.sum(c * w, axis=1)
        q_gate += tl.sum(q * gate, axis=1)
        c_context += tl.sum(c * middle, axis=1)
        w_context += tl.sum(w * middle, axis=1)
        shifted += tl.sum(h * tl.load(shift + column, mask=inside, other=0.0)[None, :], axis=1)
    r = _inverse_root(zz[:, None] + qq[None, :] + 2.0 * zq, epsilon)
    t = _tanh(tl.fma(r, z_gate[:, None] + q_gate[None, :], gate_offset + tl.zeros_like(r)))
    s = t * r
    inner = s * (aw + cw[None, :]) + t * w_context[None, :] + kw
    mapped = aa[:, None] + cc[None, :] + 2.0 * ac
    mixed = kc + ak[:, None] + t * (a_context[:, None] + c_context[None, :])
    square = s * (s * mapped + 2.0 * mixed) + t * (t * context_square + 2.0 * k_context[:, None]) + kk[:, None]
    return inner * _inverse_root(square, epsilon) + shifted[None, :]


@triton.jit
def interaction_image(
    dual_key,
    dual_query,
    fused,
    entity_dual_query,
    entity_dual_key,
    entity_fused,
    candidates,
    entity_gate,
    entity_context,
    entity_scale,
    entity_shift,
    mention_gate,
    mention_context,
    mention_scale,
    mention_shift,
    image,
    image_text,
    wrong,
    mentions,
    count,
    listed,
    width,
    fused_width,
    epsilon,
    entity_gate_offset,
    entity_context_square,
    mention_gate_offset,
    mention_context_square,
    MENTIONS: tl.constexpr,
    ENTITIES: tl.constexpr,
):
    """image and image_text, float32 [mentions, count]. Grid: mention tiles * entity tiles, mentions first.

    Args:
        dual_key, dual_query, fused: of mentions; entity_...: of entities; see mmkg_link.h.
        entity_gate to entity_shift: weights of by_entity; mention_...: of by_mention.
        candidates, wrong: as for interaction_text.
    """
    tiles = tl.cdiv(mentions, MENTIONS)
    mention = tl.program_id(0) % tiles * MENTIONS + tl.arange(0, MENTIONS)
    mention_rows = tl.minimum(mention, mentions - 1).to(tl.int64)
    place = (tl.program_id(0) // tiles).to(tl.int64) * ENTITIES + tl.arange(0, ENTITIES)
    entities = row_of(candidates, tl.minimum(place, count - 1), listed)
    by_entity = _dual(
        dual_key,
        mention_rows,
        entity_dual_query,
        entities,
        entity_gate,
        entity_context,
        entity_scale,
        entity_shift,
        entity_gate_offset,
        entity_context_square,
        width,
        epsilon,
        MENTIONS,
        ENTITIES,
    )
    by_mention = _dual(
        entity_dual_key,
        entities,
        dual_query,
        mention_rows,
        mention_gate,
        mention_context,
        mention_scale,
        mention_shift,
        mention_gate_offset,
        mention_context_square,
        width,
        epsilon,
        ENTITIES,
        MENTIONS,
    )
    score = (by_entity + tl.trans(by_mention)) * 0.5
    product = tl.zeros((MENTIONS, ENTITIES), dtype=tl.float32)
    for start in range(0, fused_width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        mine = part_of(fused, mention_rows, column, fused_width)
        product = _gram(mine, part_of(entity_fused, entities, column, fused_width), product)
    inside = (mention < mentions)[:, None] & (place < count)[None, :]
    to = mention_rows[:, None] * count + place[None, :]
    tl.store(image + to, score, mask=inside)
    tl.store(image_text + to, product, mask=inside)
    if is_wrong(score, inside) + is_wrong(product, inside) != 0:
        tl.store(wrong, 1)


def _image(stored: str) -> KernelSpec:
    vectors = [f"{side}_{name}" for side in ("entity", "mention") for name in ("gate", "context", "scale", "shift")]
    numbers = [f"{side}_{name}" for side in ("entity", "mention") for name in ("gate_offset", "context_square")]
    pieces = ("dual_key", "dual_query", "fused")
    return KernelSpec(
        f"interaction_image_{stored}",
        interaction_image,
        dict.fromkeys((*pieces, *vectors, "image", "image_text"), "*fp32")
        | dict.fromkeys((f"entity_{name}" for name in pieces), STORED[stored])
        | {"candidates": "*i64", "wrong": "*i32", "count": "i64", "listed": "i64"}
        | dict.fromkeys((*numbers, "epsilon"), "fp32")
        | dict.fromkeys(("mentions", "width", "fused_width"), "i32"),
        {"MENTIONS": TILE_MENTIONS, "ENTITIES": TILE_ENTITIES},
        num_warps=8,
        num_stages=1,
    )


KERNELS = tuple(_image(stored) for stored in STORED)

"""What a mention and an entity bring to a pair, and the scores of all pairs of them, as they are exported.

Everything that depends on one side alone is computed there, once per item, so that no projection is left for the
pairs. All of it is float32: the weights are small, and scores are differences of large sums.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..exported import Linear, Norm, linear
from .config import NORM_EPS
from .model import CrossModalUnit, DualUnit, Matcher
from .pieces import MUTED


class MentionSide(nn.Module):
    """Per mention: keys and values of TGLU, both parts of VDLU, the fused vector of CMFU."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.norms = _Norms(matcher)
        tglu, vdlu = matcher.tglu, matcher.vdlu
        scale = 1 / math.sqrt(tglu.fc_key.out_features)
        self.keys = Linear(tglu.fc_key.weight * scale, tglu.fc_key.bias * scale)
        self.values = _centred(tglu.fc_value)  # the norm behind it takes the mean away
        self.dual_key, self.dual_query = _DualKey(vdlu.dual_ent2men), _DualQuery(vdlu.dual_men2ent)
        self.fused = _Fused(matcher.cmfu)
        self.muted = MUTED[matcher.without_unit]

    def forward(
        self, text_embeds: Tensor, text_tokens: Tensor, image_embeds: Tensor, image_tokens: Tensor
    ) -> tuple[Tensor, ...]:
        text, tokens, image, patches = self.norms(text_embeds, text_tokens, image_embeds, image_tokens)
        pieces = {
            "mention_keys": self.keys(tokens),
            "mention_values": self.values(tokens),
            "mention_text": text,
            "mention_dual_key": self.dual_key(image, patches),
            "mention_dual_query": self.dual_query(image),
            "mention_fused": self.fused(text, patches),
        }
        return _muted(pieces, self.muted)


class EntitySide(nn.Module):
    """Per entity: queries and class vector of TGLU, both parts of VDLU, the fused vector of CMFU."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.norms = _Norms(matcher)
        self.queries, self.cls = linear(matcher.tglu.fc_query), linear(matcher.tglu.fc_cls)
        self.dual_query = _DualQuery(matcher.vdlu.dual_ent2men)
        self.dual_key = _DualKey(matcher.vdlu.dual_men2ent)
        self.fused = _Fused(matcher.cmfu)
        self.muted = MUTED[matcher.without_unit]

    def forward(
        self, text_embeds: Tensor, text_tokens: Tensor, image_embeds: Tensor, image_tokens: Tensor
    ) -> tuple[Tensor, ...]:
        text, tokens, image, patches = self.norms(text_embeds, text_tokens, image_embeds, image_tokens)
        pieces = {
            "entity_queries": self.queries(tokens),
            "entity_cls": self.cls(text),
            "entity_text": text,
            "entity_dual_query": self.dual_query(image),
            "entity_dual_key": self.dual_key(image, patches),
            "entity_fused": self.fused(text, patches),
        }
        return _muted(pieces, self.muted)


class Interaction(nn.Module):
    """The scores of every mention with every candidate, from their pieces; entity pieces may be half precision.

    The largest tensors are TGLU's logits and their softmax, mentions x candidates x L x L in float32 each: together
    12.8 KB a pair at L = 40. Candidates are therefore to be given in chunks. On one core of an AMD EPYC (1 MiB of L2
    cache), ONNX Runtime is fastest, 220,000 pairs a second, with 250 to 1,300 pairs a call and loses a fifth at 20,000;
    a single mention is best with 256 to 512 candidates (170,000).
    """

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.context_norm = Norm(matcher.tglu.layer_norm)
        self.by_entity = _DualScores(matcher.vdlu.dual_ent2men)
        self.by_mention = _DualScores(matcher.vdlu.dual_men2ent)

    def forward(
        self,
        mention_keys: Tensor,
        mention_values: Tensor,
        mention_text: Tensor,
        mention_dual_key: Tensor,
        mention_dual_query: Tensor,
        mention_fused: Tensor,
        entity_queries: Tensor,
        entity_cls: Tensor,
        entity_text: Tensor,
        entity_dual_query: Tensor,
        entity_dual_key: Tensor,
        entity_fused: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        local = self._local(mention_keys, mention_values, entity_queries.float(), entity_cls.float())
        text = (local + torch.matmul(mention_text, entity_text.float().T)) / 2
        by_entity = self.by_entity(mention_dual_key, entity_dual_query.float())
        by_mention = self.by_mention(entity_dual_key.float(), mention_dual_query).T
        return text, (by_entity + by_mention) / 2, torch.matmul(mention_fused, entity_fused.float().T)

    def _local(self, keys: Tensor, values: Tensor, queries: Tensor, cls: Tensor) -> Tensor:
        """TGLU's local scores [mentions, candidates].

        The mean over the entity's positions moves before the product with the values, where it costs L^2 additions
        instead of a product L times as large. All logits are one matrix product: batched products of L x L are slower.
        """
        mentions, length, width = keys.shape
        candidates = queries.shape[0]
        logits = torch.matmul(queries.reshape(candidates * length, width), keys.reshape(mentions * length, width).T)
        attention = logits.view(candidates, length, mentions, length).softmax(dim=-1).mean(dim=1)
        context = self.context_norm(torch.matmul(attention.transpose(0, 1), values))
        local: Tensor = (context * cls).sum(dim=-1)
        return local


class _DualScores(nn.Module):
    """DUAL of every key with every query by Gram products: no tensor is larger than keys x queries.

    A key brings z (patches), A = W z and k (class vector); a query brings q (class vector), C = W q and h = LN(q); W
    has the scale of the norm before it. All but h are without their mean and divided by sqrt(d), so that their squared
    lengths are variances. Then r = 1 / std(z + q), the context is r (A + C) + c, the gate t = tanh(wg . context + bg),
    and the score <LN(t context + k), h>, where lengths and inner products are sums of products of the parts. Five of
    these are matrix products, the others belong to one side; they are taken here and not stored, so that they fit the
    vectors also where those were rounded to half precision.
    """

    def __init__(self, dual: DualUnit) -> None:
        super().__init__()
        root = math.sqrt(dual.fc.in_features)
        added, out, gate = dual.add_layer_norm, dual.layer_norm, dual.gate_fc.weight[0]
        context = dual.fc(added.bias)
        scale, centred = out.weight * root, (context - context.mean()) / root
        # wg . W z as a vector that is multiplied with z itself, because A has lost its mean.
        to_gate = added.weight * (dual.fc.weight.T @ gate) * root
        self.gate_offset = nn.Buffer(context @ gate + dual.gate_fc.bias[0])
        self.scale, self.context_square = nn.Buffer(scale), nn.Buffer(centred @ centred)
        self.of_key = nn.Buffer(_columns([to_gate], [centred], [2 * centred]))
        self.of_query = nn.Buffer(_columns([to_gate], [centred], [scale * centred, out.bias]))

    def forward(self, keys: Tensor, queries: Tensor) -> Tensor:
        """[keys, queries] from keys [keys, 3, d] of z, A, k and queries [queries, 3, d] of q, C, h."""
        z, a, k = keys.flatten(1).chunk(3, dim=1)
        q, c, h = queries.flatten(1).chunk(3, dim=1)
        w = h * self.scale
        # Numbers of one key are columns [keys, 1], those of one query are rows [1, queries].
        zz, aa, kk = (keys * keys).sum(dim=2).chunk(3, dim=1)
        qq, cc, _ = (queries * queries).sum(dim=2).T.chunk(3, dim=0)
        gate_z, context_a, context_k = torch.matmul(keys.flatten(1), self.of_key).chunk(3, dim=1)
        gate_q, context_c, context_w, shift = torch.matmul(queries.flatten(1), self.of_query).T.chunk(4, dim=0)

        r = torch.rsqrt((zz + qq + 2 * torch.matmul(z, q.T)).clamp_min(0.0) + NORM_EPS)
        t = torch.tanh(r * (gate_z + gate_q) + self.gate_offset)
        s = t * r
        inner = s * (torch.matmul(a, w.T) + (c * w).sum(dim=1)) + t * context_w + torch.matmul(k, w.T)
        mapped = aa + cc + 2 * torch.matmul(a, c.T)
        mixed = torch.matmul(k, c.T) + (a * k).sum(dim=1, keepdim=True) + t * (context_a + context_c)
        square = s * (s * mapped + 2 * mixed) + t * (t * self.context_square + context_k) + kk
        return inner * torch.rsqrt(square.clamp_min(0.0) + NORM_EPS) + shift


class _DualKey(nn.Module):
    """z, A, k of `_DualScores`. A mean over patches commutes with their projection, so that runs once."""

    def __init__(self, dual: DualUnit) -> None:
        super().__init__()
        scale = 1 / math.sqrt(dual.fc.in_features)
        self.cls, self.patches = _centred(dual.cls_fc, scale), _centred(dual.tokens_fc, scale)
        self.mapped = _mapped(dual)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        patches = self.patches(tokens.mean(dim=1))
        return torch.stack([patches, self.mapped(patches), self.cls(image)], dim=1)


class _DualQuery(nn.Module):
    """q, C, h of `_DualScores`."""

    def __init__(self, dual: DualUnit) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(dual.fc.in_features)
        self.cls, self.mapped, self.norm = _centred(dual.cls_fc), _mapped(dual), Norm(dual.layer_norm)

    def forward(self, image: Tensor) -> Tensor:
        query = self.cls(image)
        scaled = query * self.scale
        return torch.stack([scaled, self.mapped(scaled), self.norm(query)], dim=1)


class _Fused(nn.Module):
    """CMFU of one side. The attention weighs unprojected patches: the projection's bias falls out of the softmax."""

    def __init__(self, unit: CrossModalUnit) -> None:
        super().__init__()
        self.text, self.image = linear(unit.text_fc), linear(unit.image_fc)
        self.to_patches = nn.Buffer(unit.image_fc.weight.detach().clone())
        self.gate, self.norm = linear(unit.gate_fc), Norm(unit.gate_layer_norm)

    def forward(self, text: Tensor, tokens: Tensor) -> Tensor:
        text = self.text(text)
        logits = torch.matmul(tokens, torch.matmul(text, self.to_patches)[:, :, None])
        found = self.image((logits.softmax(dim=1) * tokens).sum(dim=1))
        return self.norm(torch.tanh(self.gate(text)) * text + found)  # type: ignore[no-any-return]


class _Norms(nn.Module):
    """The matcher's four norms, which both sides share."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__()
        self.text, self.text_tokens = Norm(matcher.text_cls_layernorm), Norm(matcher.text_tokens_layernorm)
        self.image, self.image_tokens = Norm(matcher.image_cls_layernorm), Norm(matcher.image_tokens_layernorm)

    def forward(self, text: Tensor, text_tokens: Tensor, image: Tensor, image_tokens: Tensor) -> tuple[Tensor, ...]:
        return self.text(text), self.text_tokens(text_tokens), self.image(image), self.image_tokens(image_tokens)


def _muted(pieces: dict[str, Tensor], muted: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The pieces of a side, some of them times 0: a graph keeps the weights that they are made of."""
    return tuple(piece * 0.0 if name in muted else piece for name, piece in pieces.items())


def _centred(layer: nn.Linear, scale: float = 1.0) -> Linear:
    """The layer, with the mean of its outputs taken from each of them, times a number."""
    weight, bias = layer.weight - layer.weight.mean(dim=0), layer.bias - layer.bias.mean()
    return Linear(weight * scale, bias * scale)


def _mapped(dual: DualUnit) -> Linear:
    """`fc` behind the scale of the norm before it, without bias, and without the mean of its outputs."""
    weight = dual.fc.weight * dual.add_layer_norm.weight
    return Linear(weight - weight.mean(dim=0), weight.new_zeros(len(weight)))


def _columns(*parts: list[Tensor]) -> Tensor:
    """[parts * d, vectors]: for each of several stacked vectors, the vectors that it alone is multiplied with."""
    blocks = [torch.stack(vectors, dim=1) for vectors in parts]
    return torch.block_diag(*blocks)  # type: ignore[no-any-return, no-untyped-call]

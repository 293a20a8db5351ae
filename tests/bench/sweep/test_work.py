"""Operations and bytes of the encoders, and rates beside ceilings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmkg_sdk.bench.machine.ceilings import Ceilings, Rate
from mmkg_sdk.bench.machine.work import Work, share_of_ceiling, share_of_steps
from mmkg_sdk.bench.sweep.point import entity_work
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import PLAIN, measuring
from mmkg_sdk.registry import family_part

CEILINGS = Ceilings(Rate(50.0, "reading"), {"float32": Rate(400.0, "a product"), "int8": Rate(None, "no such")})


def counted(bundle: Bundle, graph: str, batch: int, seed: int = 0) -> tuple[int, int]:
    """FLOP of a run by torch's counter, and the number of tokens."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mmkg_sdk.bench.sweep.counts import random_entities
    from mmkg_sdk.families.mygo.plain_encoder import PlainEncoder

    model = family_part(bundle.family, "model").build(bundle.config.to_json(), dict(bundle.inputs))
    module = family_part(bundle.family, "graphs").graph_modules(model, torch.float32)[graph.removesuffix(PLAIN)]
    if graph.endswith(PLAIN):
        module = PlainEncoder(module)
    tokens = 3 if bundle.family == "adamf_mat" else 11
    arrays = random_entities(bundle, tokens, batch, seed).arrays
    names = [tensor.name for tensor in bundle.graphs["entity_encoder"].inputs]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*(torch.from_numpy(arrays[name]) for name in names))
    return counter.get_total_flops(), tokens


@pytest.mark.parametrize("rewrite", ["", PLAIN])
@pytest.mark.parametrize("case", ["db15k_like", "deep_more_rel"])
def test_the_encoder_has_the_operations_that_torch_counts(
    case: str, rewrite: str, golden_bundles: Callable[..., Path]
) -> None:
    bundle = Bundle.open(golden_bundles(case, "fp32"))
    flop, tokens = counted(bundle, "entity_encoder" + rewrite, 5)
    work = entity_work(bundle, "entity_encoder" + rewrite, tokens, 5)
    assert work is not None
    assert (5 * work.flop, work.arithmetic) == (flop, "float32")


def test_the_token_table_has_those_less_the_columns_of_other_heads(golden_bundle: Path) -> None:
    """The graph multiplies the weights of every head with all columns; the work needs each column once."""
    bundle = Bundle.open(golden_bundle)
    flop, tokens = counted(bundle, "entity_encoder_token_table", 5)
    heads, width = bundle.config.num_heads, bundle.config.embedding_dim
    work = entity_work(bundle, "entity_encoder_token_table", tokens, 5)
    assert work is not None
    assert 5 * work.flop == flop - 5 * 2 * (tokens - 2) * width * (heads - 1)


def test_fusion_has_the_projections_that_torch_counts_and_a_weighted_sum(golden_bundles: Callable[..., Path]) -> None:
    bundle = Bundle.open(golden_bundles("db15k_like", "fp32", "adamf_mat"))
    flop, tokens = counted(bundle, "entity_encoder", 5)
    work = entity_work(bundle, "entity_encoder", tokens, 5)
    assert work is not None
    assert 5 * work.flop == flop + 5 * 2 * 3 * bundle.config.table_width


@pytest.mark.parametrize("case", ["db15k_like", "deep_more_rel", "inner_score"])
def test_a_query_has_the_operations_that_torch_counts(case: str, golden_bundles: Callable[..., Path]) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    bundle = Bundle.open(golden_bundles(case, "fp32"))
    model = family_part(bundle.family, "model").build(bundle.config.to_json(), dict(bundle.inputs))
    module = family_part(bundle.family, "graphs").graph_modules(model, torch.float32)["query_encoder"]
    ids = torch.zeros(5, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.from_numpy(bundle.table.copy()), ids, ids, ids)
    work = measuring(bundle.family).query_work(bundle, 4)
    assert work is not None
    assert 5 * work.flop == counter.get_total_flops()
    matrices = [b for name, b in module.named_buffers() if name.endswith(("multiplied_weight", "multiplied_core"))]
    assert work.weight_bytes == sum(matrix.nbytes for matrix in matrices)


def test_a_larger_batch_shares_the_weights_among_more(golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)
    one, many = (entity_work(bundle, "entity_encoder", 9, batch) for batch in (1, 1000))
    assert one is not None
    assert many is not None
    width, hidden = bundle.config.embedding_dim, bundle.config.feedforward_dim
    assert one.bytes - many.bytes == pytest.approx(4 * (4 * width**2 + 2 * width * hidden) * 0.999)


def test_half_precision_has_no_ceiling_of_its_own_or_bfloat16s(golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)
    half, brain = (replace(bundle, manifest=bundle.manifest | {"precision": name}) for name in ("fp16", "bf16"))
    assert entity_work(half, "entity_encoder", 9, 1) is None
    found = entity_work(brain, "entity_encoder", 9, 1)
    assert found is not None
    assert found.arithmetic == "bfloat16"


@pytest.mark.parametrize(
    ("flop", "read", "bound", "least"),
    [(8e9, 1e8, "arithmetic", 0.02), (8e8, 1e9, "reading", 0.02), (8e8, 1e8, "arithmetic", 0.002)],
)
def test_the_longer_of_both_least_times_binds(flop: float, read: float, bound: str, least: float) -> None:
    share = share_of_ceiling(Work(flop, read, "float32"), 10.0, CEILINGS)
    assert (share.bound, share.ceiling_per_second) == (bound, pytest.approx(1 / least))
    assert share.percent == pytest.approx(100 * 10 * least)
    assert (share.gflop_per_second, share.gb_per_second) == (pytest.approx(flop / 1e8), pytest.approx(read / 1e8))


def test_steps_follow_each_other_and_the_longest_binds() -> None:
    steps = [Work(8e9, 1e8, "float32"), Work(8e8, 1.5e9, "float32")]
    share = share_of_steps(steps, 10.0, CEILINGS)
    assert share.ceiling_per_second == pytest.approx(1 / (0.02 + 0.03))
    assert (share.bound, share.gflop_per_second, share.gb_per_second) == ("reading", 88.0, 16.0)
    assert share_of_steps([*steps, Work(1.0, 1.0, "int8")], 10.0, CEILINGS).percent is None


def test_without_a_ceiling_the_rates_stand_and_no_share_is_claimed() -> None:
    share = share_of_ceiling(Work(8e9, 1e8, "int8"), 10.0, CEILINGS)
    assert (share.gflop_per_second, share.percent, share.bound) == (80.0, None, None)

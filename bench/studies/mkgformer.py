"""What each exact rewrite of MKGformer's link prediction saves, at the published sizes.

Measured in torch on the modules that are exported, with random weights: the time of an operator does not depend on
them. The spec's cost formulas stand beside the times. `mmkg-sdk bench study mkgformer` runs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmkg_sdk.registry import LINK_PREDICTION

from ..machine.conditions import Watch
from ..machine.timing import MIN_SAMPLES
from ..report.written import check_out, write_study

if TYPE_CHECKING:
    from torch import Tensor

    from mmkg_sdk.families.mkgformer.config import MKGformerConfig
    from mmkg_sdk.families.mkgformer.encoder import Images, Texts
    from mmkg_sdk.families.mkgformer.graphs import QueryEncoder
    from mmkg_sdk.families.mkgformer.links.model import LinkPredictor

# FB15k-237 (spec 6.2).
NUM_ENTITIES, NUM_RELATIONS = 14951, 237


def measure_rewrites(
    out: str | Path | None = None,
    *,
    batch: int = 4,
    text_tokens: int = 64,
    device: str = "cpu",
    threads: int = 1,
    seconds: float = 8.0,
    say: Callable[[str], None] = lambda line: None,
    **sizes: Any,
) -> dict[str, Any]:
    """Time batches of queries, each rewrite on top of those before it.

    Args:
        out: JSON file to write.
        batch: queries per run, of equal length, none padded.
        text_tokens: of each query.
        device: of torch.
        threads: of torch.
        seconds: per point, at least three samples after a warm-up.
        say: is told the times.
        sizes: settings of MKGformerConfig other than the published ones.

    Returns:
        {"rewrites": [...], "image_encoder": {...}, and the conditions}. A point has the median and all samples in
        milliseconds per batch, wall clock, the median of the processor time of all threads (which other work on the
        machine does not lengthen), and queries per second; a rewrite GFLOP per query by the spec's formulas, too.

    Raises:
        DataError: `out` cannot be written.
    """
    import torch

    from mmkg_sdk.families.mkgformer.config import MKGformerConfig
    from mmkg_sdk.families.mkgformer.graphs import graph_modules
    from mmkg_sdk.families.mkgformer.model import build_model

    if out is not None:
        check_out(out)
    settings = {"task": LINK_PREDICTION, "num_entities": NUM_ENTITIES, "num_relations": NUM_RELATIONS, **sizes}
    config = MKGformerConfig.from_json(settings)
    before, watch = torch.get_num_threads(), Watch.start(threads, device=device)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    try:
        with torch.inference_mode(), torch.device(device):  # where everything without a device of its own is made
            model: Any = build_model(config).eval().to(device)
            modules: Any = {name: one.to(device) for name, one in graph_modules(model, torch.float32).items()}
            query_encoder = modules["query_encoder"]
            texts, images = _questions(config, batch, text_tokens)
            encoded = _image_inputs(config, images)
            state = modules["image_encoder"](**encoded)
            ways = _ways(model, query_encoder, texts, images, state)
            result: dict[str, Any] = {
                "what": "MKGformer link prediction, one batch of queries in torch float32, random weights",
                "config": config.to_json(),
                "batch": batch,
                "text_tokens": text_tokens,
                "rewrites": _compared(ways, config, batch, text_tokens, seconds),
                "image_encoder": _point(lambda: modules["image_encoder"](**encoded), batch, seconds),
            }
    finally:
        torch.set_num_threads(before)
    watch.finish()
    result["environment"] = watch.found
    for row in result["rewrites"]:
        say(f"{row['way']}: {row['ms_per_batch_p50']:,.2f} ms per batch")
    if out is not None:
        write_study(result, out)
    return result


def gflop_per_query(config: MKGformerConfig, text: int, visual: int) -> dict[str, float]:
    """GFLOP of one query by way, each rewrite on top of those before it (spec 12)."""
    width, layers, start = config.hidden_dim, config.num_layers, config.fusion_start_layer
    text_hidden, vision_hidden = config.text_feedforward_dim, config.vision_feedforward_dim
    fused = max(0, layers - start)
    patches = 6 * config.patch_size**2 * width * visual
    vision = 8 * visual * width**2 + 4 * visual**2 * width + 4 * visual * width * vision_hidden

    def text_layer(positions: int) -> int:
        projections = 4 * text * width**2 + 4 * positions * width**2
        return projections + 4 * positions * text * width + 4 * positions * width * text_hidden

    def fusion(positions: int) -> int:
        return 4 * positions * visual * width + 2 * positions * width * text_hidden

    prefix = 4 * visual * text * width
    towers = layers * text_layer(text) + fused * (fusion(text) + prefix)
    head = 2 * width**2 + 2 * width * (config.num_entities or 0)
    whole_head = text * (2 * width**2 + 2 * width * config.vocabulary_size)
    cached = towers + fused * vision
    saved = text_layer(text) - text_layer(1) + (fusion(text) - fusion(1) if fused else 0)
    plain = towers + patches + layers * vision
    numbers = (plain + whole_head, plain + head, cached + head, cached - saved + head)
    return dict(zip(WAYS, (number / 1e9 for number in numbers), strict=True))


# Each has the rewrites of those before it.
WAYS = (
    "plain: head at every position, for every token",
    "head at the mask, for the entities",
    "image state cached",
    "last text layer at the mask",
)


def _ways(
    model: LinkPredictor, query_encoder: QueryEncoder, texts: Texts, images: Images, state: Tensor
) -> dict[str, Callable[[], Tensor]]:
    import torch
    import torch.nn.functional as F

    config = model.config
    rows, mask = torch.arange(len(texts.input_ids)), model.mask_positions(texts.input_ids)
    first = config.base_vocabulary_size
    last = first + (config.num_entities or 0)

    def plain() -> Tensor:
        logits: Tensor = model.head(model.encoder(texts, images))
        return logits[rows, mask, first:last]

    def cached() -> Tensor:
        hidden = query_encoder.towers(texts.input_ids, texts.attention_mask, None, state)[rows, mask]
        features = query_encoder.norm(F.gelu(query_encoder.dense(hidden)))
        return F.pad(features, (0, 1), value=1.0) @ table.T

    table = model.entity_table()
    ways = (plain, lambda: model(texts, images), cached, _query(model, query_encoder, texts, state))
    return dict(zip(WAYS, ways, strict=True))


def _query(model: LinkPredictor, query_encoder: QueryEncoder, texts: Texts, state: Tensor) -> Callable[[], Tensor]:
    """The exported way: from tokens and image state to the scores of all entities."""
    table, mask = model.entity_table(), model.mask_positions(texts.input_ids)
    return lambda: query_encoder(texts.input_ids, texts.attention_mask, mask, state) @ table.T


def _compared(
    ways: dict[str, Callable[[], Tensor]], config: MKGformerConfig, batch: int, text_tokens: int, seconds: float
) -> list[dict[str, Any]]:
    """One row per way, with how far its scores are from the plain ones, as a share of their root mean square."""
    expected = ways[WAYS[0]]()
    scale = float(expected.square().mean().sqrt())
    differences = [float((run() - expected).abs().max()) / scale for run in ways.values()]
    cost = gflop_per_query(config, text_tokens, config.visual_tokens)
    # In turns, so that what else the machine does meets all of them alike.
    samples = _samples(list(ways.values()), seconds * len(ways))
    return [
        {"way": name, "gflop_per_query": round(cost[name], 2), "difference": difference, **_summary(taken, batch)}
        for name, difference, taken in zip(ways, differences, samples, strict=True)
    ]


def _point(run: Callable[[], Any], batch: int, seconds: float) -> dict[str, Any]:
    _wait(run())  # warm-up
    (samples,) = _samples([run], seconds)
    return _summary(samples, batch)


def _samples(runs: Sequence[Callable[[], Any]], seconds: float) -> list[list[tuple[float, float]]]:
    """Wall-clock and processor time of every call in ms, taken in turns for about `seconds`, at least three times."""
    samples: list[list[tuple[float, float]]] = [[] for _ in runs]
    began = time.perf_counter()
    while len(samples[0]) < MIN_SAMPLES or time.perf_counter() - began < seconds:
        for run, taken in zip(runs, samples, strict=True):
            wall, processor = time.perf_counter(), time.process_time()
            _wait(run())
            taken.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)))
    return samples


def _wait(found: Tensor) -> None:
    """Until a device that works behind our back has it."""
    if found.is_cuda:
        import torch

        torch.cuda.synchronize()


def _summary(samples: list[tuple[float, float]], batch: int) -> dict[str, Any]:
    wall, processor = np.median(np.array(samples), axis=0).tolist()
    return {
        "ms_per_batch_p50": round(wall, 2),
        "cpu_ms_per_batch_p50": round(processor, 2),
        "queries_per_second": round(1e3 * batch / wall, 3),
        "samples_ms": [round(sample, 2) for sample, _ in samples],
    }


def _questions(config: MKGformerConfig, batch: int, text_tokens: int) -> tuple[Texts, Images]:
    """Random tokens with one mask, and noise as images."""
    import torch

    from mmkg_sdk.families.mkgformer.encoder import Images, Texts

    input_ids = torch.randint(config.mask_token_id + 1, config.base_vocabulary_size, (batch, text_tokens))
    input_ids[:, 1] = config.mask_token_id

    def group(count: int | None, size: int) -> Tensor | None:
        return torch.randn(batch, count, 3, size, size) if count else None

    images = Images(
        torch.randn(batch, 3, config.image_size, config.image_size),
        group(config.num_aux_images, config.aux_image_size),
        group(config.num_rcnn_images, config.rcnn_image_size),
    )
    return Texts(input_ids, torch.ones_like(input_ids)), images


def _image_inputs(config: MKGformerConfig, images: Images) -> dict[str, Tensor]:
    assert images.main is not None
    empty = images.main.new_zeros(len(images.main), 0, 3, config.patch_size, config.patch_size)
    aux, rcnn = (empty if group is None else group for group in (images.aux, images.rcnn))
    return {"aux_values": aux, "rcnn_values": rcnn, "pixel_values": images.main}

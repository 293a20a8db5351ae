"""The compiled kernels of single layers beside ONNX Runtime with the exported graph, and beside the float32 ceiling.

Random weights at the published sizes: MyGO's token-table encoder and query transformer, MIMIC's pairs. The ceilings are
measured in the same run. `mmkg-sdk bench study layers --instruction-set avx2` runs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.kernels import LateInteraction, QueryContext, TokenTableEncoder, TuckerCore, default_threads
from mmkg_sdk.kernels.library import instruction_set_number

from ..machine.ceilings import measure_ceilings
from ..machine.conditions import Watch
from ..machine.sessions import open_module
from ..machine.timing import samples_s
from ..report.written import check_out, write_study

if TYPE_CHECKING:
    from mmkg_sdk.bundle.graph_specs import GraphSpec

Arrays = dict[str, Any]
CONTENDERS = ("compiled kernel", "ONNX Runtime")
# Candidates of the mentions of a batch: a chunk that the graph is fastest with.
CANDIDATES = 64
# What one contender leaves behind, such as threads that go to sleep, is over before the other's turn.
_PAUSE_S = 0.02


@dataclass(frozen=True)
class _Layer:
    """flop: of one item of a batch; calls: from a batch, one of each contender, which gives the same arrays."""

    name: str
    flop: float
    calls: Callable[[int], tuple[Callable[[], Any], Callable[[], Any]]]


def measure_layers(
    out: str | Path,
    *,
    instruction_set: str | None = None,
    batches: Sequence[int] = (1, 32, 256),
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 2,
    say: Callable[[str], None] = lambda line: None,
    mygo: dict[str, Any] | None = None,
    mimic: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Time both contenders of each layer, in turn.

    Args:
        out: the JSON file to write.
        instruction_set: of the kernels, one of `kernels.instruction_sets()`; None takes the best. ONNX Runtime chooses
            for itself.
        batches: entities, queries, or mentions of which each meets CANDIDATES candidates.
        threads: of each; None takes `default_threads()`.
        seconds: per contender, layer, batch and round.
        mygo, mimic: sizes other than the published ones.

    Returns:
        What was written: "layers" with the median milliseconds of a batch by contender, its share of the float32
        ceiling, and how far the two are apart relative to the root mean square; conditions, and "ceilings".

    Raises:
        BackendError: no such instruction set here, or no ONNX Runtime.
        DataError: `out` cannot be written.
    """
    instruction_set_number(instruction_set)
    check_out(out)
    threads = default_threads() if threads is None else threads
    ceilings = measure_ceilings("cpu", threads, instruction_set=instruction_set)
    most = ceilings.arithmetic["float32"].per_second
    watch = Watch.start(threads, packages=("onnxruntime",))
    rows = []
    for layer in (*_mygo(mygo or {}, instruction_set, threads), *_mimic(mimic or {}, instruction_set, threads)):
        for batch in batches:
            calls = layer.calls(batch)
            first, second = (np.asarray(call(), np.float64) for call in calls)
            samples: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for call, taken in zip(calls, samples, strict=True):
                    time.sleep(_PAUSE_S)
                    taken += samples_s(call, seconds)
            ms = [1e3 * float(np.median(taken)) for taken in samples]
            rates = [batch * layer.flop / taken / 1e6 for taken in ms]
            rows.append(
                {
                    "layer": layer.name,
                    "batch": batch,
                    "ms_p50": dict(zip(CONTENDERS, (round(taken, 4) for taken in ms), strict=True)),
                    "gflop_per_second": dict(zip(CONTENDERS, (round(rate, 1) for rate in rates), strict=True)),
                    "percent_of_ceiling": round(100 * rates[0] / most, 1) if most else None,
                    "difference_to_rms": float(np.abs(first - second).max() / np.sqrt(np.mean(second**2))),
                }
            )
            say(f"{layer.name}, {batch}: {ms[0]:,.3f} ms, ONNX Runtime {ms[1]:,.3f} ms")
    watch.finish()
    settings = {"instruction_set": instruction_set, "threads": threads, "seconds": seconds, "rounds": rounds}
    result = {
        "environment": watch.found,
        "settings": settings,
        "ceilings": ceilings.to_json(),
        "candidates": CANDIDATES,
        "layers": rows,
    }
    write_study(result, out)
    return result


def _mygo(sizes: dict[str, Any], instruction_set: str | None, threads: int) -> Iterator[_Layer]:
    """The token-table encoder and the query graph; the operations are those of families/mygo/measuring.py."""
    import torch

    from mmkg_sdk.families.mygo.config import MyGOConfig
    from mmkg_sdk.families.mygo.graphs import graph_modules, graph_specs
    from mmkg_sdk.families.mygo.model import MyGO

    published = {
        "num_entities": 15000,
        "num_relations": 279,
        "visual_codebook_rows": 8192,
        "visual_codebook_width": 32,
        "text_codebook_rows": 30522,
        "text_codebook_width": 768,
    }
    config = MyGOConfig.from_json(published | sizes)
    d, hidden, heads = config.embedding_dim, config.feedforward_dim, config.num_heads
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    places = {"visual": config.visual_codebook_rows, "text": config.text_codebook_rows}
    counts = {"visual": config.num_visual_tokens, "text": config.num_text_tokens}

    def tokens(batch: int) -> Arrays:
        found: Arrays = {f"{kind}_tokens": random.integers(0, places[kind], (batch, counts[kind])) for kind in places}
        return found | {f"{kind}_mask": np.zeros((batch, counts[kind]), np.bool_) for kind in places}

    inputs = {name: torch.from_numpy(array) for name, array in tokens(config.num_entities).items()}
    modules, specs = graph_modules(MyGO(config, inputs).eval(), torch.float32), graph_specs(config)
    table = random.standard_normal((config.num_entities, d), np.float32)

    graph = "entity_encoder_token_table"
    encoder = TokenTableEncoder(
        _weights(modules[graph], "head_of_column"), config.visual_codebook_rows, threads, instruction_set
    )

    encoded = _exported(modules[graph], specs[graph], threads)

    def encode(batch: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        arrays = {"structure": random.standard_normal((batch, d), np.float32), **tokens(batch)}
        return partial(encoder.encode, **arrays), lambda: encoded(arrays)[0]

    s = sum(counts.values())
    yield _Layer("token-table encoder", 4 * d**2 + 4 * d * hidden + 2 * s * d + 2 * d * heads, encode)

    weights = _weights(modules["query_encoder"])
    core = [weights.pop(f"core.{name}") for name in ("multiplied_core", "relation.multiplied_weight", "relation.bias")]
    context = QueryContext(weights, heads, threads, instruction_set)
    product = TuckerCore(core[0], core[1], core[2], threads, instruction_set)
    queries = _exported(modules["query_encoder"], specs["query_encoder"], threads)

    def query(batch: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        most = {"entity": config.num_entities, "relation": config.num_relations, "direction": 2}
        ids: Arrays = {name: random.integers(0, count, batch) for name, count in most.items()}
        return lambda: product.apply(*context.encode(table, **ids)), lambda: queries({"table": table} | ids)[0]

    flop = 20 * d**2 + 8 * d * hidden + 24 * d + 2 * d**3 + 4 * d**2
    yield _Layer("query transformer and Tucker product", flop, query)


def _mimic(sizes: dict[str, Any], instruction_set: str | None, threads: int) -> Iterator[_Layer]:
    """Pairs of a mention and a candidate: products of attention and text, and of the image units' parts."""
    import torch

    from mmkg_sdk.families.mimic.config import MimicConfig
    from mmkg_sdk.families.mimic.graphs import graph_modules, graph_specs
    from mmkg_sdk.families.mimic.model import Mimic
    from mmkg_sdk.families.mimic.pieces import entity_pieces, mention_pieces

    # The towers are not measured.
    config = MimicConfig.from_json({"num_text_layers": 1, "num_image_layers": 1} | sizes)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    module, spec = graph_modules(Mimic(config).eval(), torch.float32)["interaction"], graph_specs(config)["interaction"]
    shapes = entity_pieces(config)
    kernel = LateInteraction(_weights(module), shapes, "float32", None, threads, instruction_set)
    pairs = _exported(module, spec, threads)

    def pieces(of: dict[str, tuple[int, ...]], count: int) -> Arrays:
        # Keys and queries are as large as layer norms leave them.
        return {
            name: random.standard_normal((count, *shape), np.float32) * np.float32(shape[-1] ** -0.25)
            for name, shape in of.items()
        }

    def score(batch: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        mentions, entities = pieces(mention_pieces(config), batch), pieces(shapes, CANDIDATES)
        return partial(kernel.scores, mentions, entities), lambda: np.stack(pairs(mentions | entities))

    length, unit = config.text_length, config.text_unit_dim
    flop = 2 * length * length * unit + 2 * length * unit + 2 * unit + 2 * config.text_width
    flop += 2 * 5 * 2 * config.image_unit_dim + 2 * config.cross_modal_unit_dim
    yield _Layer("MIMIC's pairs", CANDIDATES * flop, score)


def _weights(module: Any, *unread: str) -> Arrays:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items() if name not in unread}


def _exported(module: Any, spec: GraphSpec, threads: int) -> Callable[[Arrays], list[NDArray[Any]]]:
    """The exported graph in ONNX Runtime: its inputs -> its outputs, in order."""
    run = open_module(module, spec, "onnxruntime", "cpu", threads)
    return lambda arrays: list(run(arrays).values())

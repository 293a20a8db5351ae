"""How fast, and in how much memory, mentions are ranked against all candidates of a public data set.

The model has the published widths of the units (spec section 8) and random weights: speed and memory do not depend on
what they say. Its CLIP has one layer per tower, because encoding is not what is measured, and takes hours in full size.

    from mmkg_sdk.bench.linking import measure_linking
    measure_linking("WikiMEL", "bench/results/linking-wikimel.json")
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend, session_options
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_kind
from mmkg_sdk.evaluation.entity_linking import evaluate_linking
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.files import write_atomically
from mmkg_sdk.linker import Linker, Mention
from mmkg_sdk.run import Run

from .environment import environment, load_average

if TYPE_CHECKING:
    import torch

    from mmkg_sdk.families.mimic.model import Encoded, Mimic

# What the unshortened formula is measured on: as many mentions as the authors' evaluation takes at a time.
_COMPARED = {"mentions-test": 20, "entities": 1024}
# Candidates per call that the unshortened formula may choose from: the fastest one counts.
_PLAIN_CHUNKS = (16, 64, 256)
_MENTIONS_A_TURN = 64
_ROUNDS = 3

# The published matcher behind towers of one layer.
PUBLISHED = MimicConfig(num_text_layers=1, num_image_layers=1)


def measure_linking(
    data: str | Path,
    out: str | Path,
    *,
    config: MimicConfig = PUBLISHED,
    precision: str = "fp16",
    threads: int = 2,
    seconds: float = 240.0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Export a random model for the data, rank test mentions with the bundle, and compare with the unshortened formula.

    Args:
        data: what `open_data` takes.
        out: the JSON file to write.
        config: sizes, and what tokenizes.
        seconds: how long to rank; the mentions that are not reached are extrapolated, and the result says so.

    Returns:
        What was written: conditions, "ranking" and "unshortened".
    """
    found = open_kind(data, LinkingData)
    with tempfile.TemporaryDirectory(prefix="mmkg-linking-") as folder:
        before, bundle = load_average(), Path(folder) / "bundle"
        encoding = _in_own_process(_export, found, config, Path(folder), precision, threads)
        say(f"encoded {len(found.entities):,} entities and exported in {encoding:.0f} s")
        ranking = _in_own_process(_rank, bundle, found, threads, seconds)
        say(f"ranked {ranking['mentions']:,} mentions in {ranking['seconds']} s, {ranking['peak_rss_mib']:,} MiB")
        plain = _in_own_process(_unshortened, Path(folder), threads)
        result = {
            "environment": environment(bundle, threads) | {"load_average_before": before},
            "data": found.name,
            "precision": precision,
            "weights": "random",
            "config": config.in_precision(precision).to_json(),
            "bundle_mib": round(sum(path.stat().st_size for path in bundle.iterdir()) / 2**20, 1),
            "export_seconds": round(encoding, 1),
            "ranking": ranking,
            "unshortened": plain,
        }
    write_atomically(Path(out), (json.dumps(result, indent=1) + "\n").encode())
    return result


def _in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Each stage in a fresh process: its peak memory is its own, and torch's threads disturb nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _export(data: LinkingData, config: MimicConfig, folder: Path, precision: str, threads: int) -> float:
    """Write run and bundle of a random model; the seconds it took."""
    import torch

    from mmkg_sdk.export import export_bundle
    from mmkg_sdk.families.mimic.inputs import run_data
    from mmkg_sdk.families.mimic.model import build

    torch.set_num_threads(threads)
    began = time.perf_counter()
    run = Run.create(folder / "run", family="mimic", config=config.to_json(), data=run_data(data, config))
    torch.manual_seed(0)
    run.save_weights(build(config.to_json(), {}).state_dict())
    export_bundle(run, folder / "bundle", precision=precision)
    return time.perf_counter() - began


def _rank(folder: Path, data: LinkingData, threads: int, seconds: float) -> dict[str, Any]:
    """Rank test mentions, evenly spread over the split, against all candidates until the time is up."""
    bundle = Bundle.open(folder)
    with Linker(bundle, OnnxRuntimeBackend.open(bundle, "cpu", threads)) as linker:
        order = np.random.default_rng(0).permutation(len(data.test))
        linker.score_mentions([_mention(data, int(order[0]))])  # sessions are opened, the map is read once
        answers, scored, began = [], 0, time.perf_counter()
        for start in range(0, len(order), _MENTIONS_A_TURN):
            rows = order[start : start + _MENTIONS_A_TURN]
            scores = linker.score_mentions([_mention(data, row) for row in rows.tolist()], unreadable="none")
            right = np.array([data.test[row].entity for row in rows.tolist()], np.int64)
            answers.append(evaluate_linking(scores.__getitem__, right).ranks)
            scored += len(rows)
            if time.perf_counter() - began > seconds:
                break
        spent = time.perf_counter() - began
    rate = scored / spent
    everything = len(data.test)
    return {
        "backend": "onnxruntime",
        "mentions": scored,
        "candidates": len(data.entities),
        "seconds": round(spent, 1),
        "mentions_per_second": round(rate, 2),
        "pairs_per_second": round(rate * len(data.entities)),
        "mean_rank_of_random_weights": round(float(np.concatenate(answers).mean()), 1),
        "peak_rss_mib": _peak_rss_mib(),
        "all_mentions": everything,
        "all_mentions_seconds": round(everything / rate, 1),
        "all_mentions_seconds_is": "measured" if scored == everything else "extrapolated from the rate",
    }


def _mention(data: LinkingData, row: int) -> Mention:
    one = data.test[row]
    return Mention(one.text, one.sentence, one.image)


def _peak_rss_mib() -> int | None:
    """Most memory that this process ever held, pages of mapped files included; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    # Not getrusage: its value survives exec and would be that of the parent process.
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:")), None)


def _unshortened(folder: Path, threads: int) -> dict[str, Any]:
    """Pairs per second of the paper's formula, pair by pair, and of the bundle's graphs, on the same pairs.

    Both get the encoders' outputs. The plain matcher repeats norms and projections for every call, as the authors'
    evaluation does. The bundle made them once for the candidates, and once for the mentions before the clock starts.
    """
    import torch

    from mmkg_sdk.families.mimic.model import build
    from mmkg_sdk.families.mimic.scoring import encoded_items, token_inputs

    torch.set_num_threads(threads)
    run, bundle = Run.open(folder / "run"), Bundle.open(folder / "bundle")
    model: Mimic = build(run.config, {}).eval().requires_grad_(False)
    model.load_state_dict(run.weights())
    asked, chosen = (np.arange(min(count, len(run.tensors(name)["input_ids"]))) for name, count in _COMPARED.items())
    mentions, entities = (encoded_items(model, run, *part) for part in zip(_COMPARED, (asked, chosen), strict=True))
    with Linker(bundle, OnnxRuntimeBackend.open(bundle, "cpu", threads)) as linker, torch.inference_mode():
        pieces = linker.encode_tokens(*token_inputs(run, "test", asked))
        ways: dict[str, Callable[[], NDArray[np.float32]]] = {
            "bundle": lambda: np.mean(list(linker.score_pieces(pieces, chosen).values()), axis=0)
        }
        session = _plain_session(model, threads)
        for chunk in _PLAIN_CHUNKS:
            ways[f"onnxruntime, {chunk} candidates"] = _in_chunks(session, mentions, entities, chunk)
            ways[f"torch, {chunk} candidates"] = _in_chunks(
                lambda m, e: model.matcher(m, e).overall, mentions, entities, chunk
            )
        scores = {name: way() for name, way in ways.items()}
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(_ROUNDS):
            for name, way in ways.items():  # taking turns, so that other work on the machine meets all of them
                began = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - began)
    pairs = len(asked) * len(chosen)
    rates = {name: round(pairs / spent) for name, spent in best.items()}
    fastest = {
        runtime: max(rate for name, rate in rates.items() if name.startswith(runtime))
        for runtime in ("onnxruntime", "torch")
    }
    scale = float(np.sqrt(np.mean(np.square(scores["bundle"]))))
    return {
        "mentions": len(asked),
        "candidates": len(chosen),
        "rounds": _ROUNDS,
        "pairs_per_second": rates,
        **{f"ratio_to_{runtime}": round(rates["bundle"] / rate, 2) for runtime, rate in fastest.items()},
        "largest_difference_to_rms": max(
            float(np.abs(other - scores["bundle"]).max()) / scale for other in scores.values()
        ),
    }


def _in_chunks(
    scorer: Callable[[Encoded, Encoded], Any], mentions: Encoded, entities: Encoded, chunk: int
) -> Callable[[], NDArray[np.float32]]:
    """All scores, `chunk` candidates at a time."""

    def scores() -> NDArray[np.float32]:
        starts = range(0, len(entities.text), chunk)
        found = [scorer(mentions, type(entities)(*(part[i : i + chunk] for part in entities))) for i in starts]
        return np.concatenate([np.asarray(part) for part in found], axis=1)

    return scores


def _plain_session(model: Mimic, threads: int) -> Callable[[Encoded, Encoded], NDArray[np.float32]]:
    """The plain matcher in ONNX Runtime, with the settings of the SDK's own backend."""
    import onnxruntime
    import torch

    from mmkg_sdk.export.onnx_graph import trace_graph
    from mmkg_sdk.families.mimic.model import Encoded
    from mmkg_sdk.specs import Axis, GraphSpec, TensorSpec

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matcher = model.matcher

        def forward(
            self,
            mention_text: torch.Tensor,
            mention_image: torch.Tensor,
            mention_text_tokens: torch.Tensor,
            mention_image_tokens: torch.Tensor,
            entity_text: torch.Tensor,
            entity_image: torch.Tensor,
            entity_text_tokens: torch.Tensor,
            entity_image_tokens: torch.Tensor,
        ) -> torch.Tensor:
            mention = Encoded(mention_text, mention_image, mention_text_tokens, mention_image_tokens)
            entity = Encoded(entity_text, entity_image, entity_text_tokens, entity_image_tokens)
            overall: torch.Tensor = self.matcher(mention, entity).overall
            return overall

    config = model.config
    shapes = {
        "text": (config.text_width,),
        "image": (config.image_feature_dim,),
        "text_tokens": (config.text_length, config.text_width),
        "image_tokens": (config.num_image_tokens, config.image_feature_dim),
    }
    axes = {side: Axis(side, 1, 16, 4096) for side in ("mentions", "candidates")}
    inputs = tuple(
        TensorSpec(f"{side}_{name}", "float32", (axis, *shape))
        for side, axis in axes.items()
        for name, shape in shapes.items()
    )
    spec = GraphSpec("plain", inputs, (TensorSpec("scores", "float32", tuple(axes.values())),))
    graph = trace_graph(Plain(), spec).SerializeToString()
    session = onnxruntime.InferenceSession(graph, session_options(threads), providers=["CPUExecutionProvider"])

    def scores(mentions: Encoded, entities: Encoded) -> NDArray[np.float32]:
        arrays = [part.numpy() for part in (*mentions, *entities)]
        found: NDArray[np.float32] = session.run(None, dict(zip((t.name for t in inputs), arrays, strict=True)))[0]
        return found

    return scores

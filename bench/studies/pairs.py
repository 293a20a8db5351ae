"""Ways to score pairs of mentions and candidates, against each other: pairs per second, and how far they differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.entity_linking import Linker
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mimic.compiled import CompiledInteraction, absence
from mmkg_sdk.kernels import default_threads
from mmkg_sdk.run import Run

from ..machine.conditions import Watch
from ..machine.sessions import open_module
from ..machine.timing import seconds_of
from ..report.written import check_out, write_study

if TYPE_CHECKING:
    import torch

    from mmkg_sdk.families.mimic.model import Encoded, Mimic

COMPILED = "compiled kernel"
Ways = dict[str, Callable[[], NDArray[np.float32]]]

# What the unshortened formula is measured on: as many mentions as the authors' evaluation takes at a time.
_COMPARED = {"mentions-test": 20, "entities": 1024}
# Candidates per call that the unshortened formula may choose from: the fastest one counts.
_PLAIN_CHUNKS = (16, 64, 256)
# The same for the interaction graph, which takes as many mentions at a time as `Linker` does.
_GRAPH_CHUNKS = (16, 32, 64, 128)
_MENTIONS = 16
_ROUNDS = 3


def measure_pairs(
    folder: str | Path,
    out: str | Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Compare the ways on a trained or random MIMIC.

    Args:
        folder: with the run in run/ and its bundle in bundle/, as the quickstart leaves them.
        out: the JSON file to write.
        device: of graphs and torch.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, "all_candidates" and "unshortened".

    Raises:
        DataError: `out` cannot be written.
    """
    threads, folder = default_threads() if threads is None else threads, Path(folder)
    watch = Watch.start(threads, folder / "bundle", device=device)
    check_out(out)
    found: dict[str, Any] = {}
    for measure in (all_candidates, unshortened):
        name = measure.__name__
        found[name] = measure(folder, device, threads)
        say(f"{name.replace('_', ' ')}: pairs a second: {found[name]['pairs_per_second']}")
    watch.finish()
    result = {"environment": watch.found, **found}
    write_study(result, out)
    return result


def all_candidates(folder: Path, device: str, threads: int) -> dict[str, Any]:
    """Pairs per second of the interaction graph in ONNX Runtime and of the compiled kernel, over all candidates.

    Mentions are encoded before the clock starts. The graph's fastest chunk counts.
    """
    from mmkg_sdk.families.mimic.scoring import token_inputs

    run, bundle = Run.open(folder / "run"), Bundle.open(folder / "bundle")
    asked = np.arange(min(_MENTIONS, len(run.tensors("mentions-test")["input_ids"])))
    with Linker(bundle, OnnxRuntimeBackend.open(bundle, device, threads)) as linker:
        pieces = linker.encode_tokens(*token_inputs(run, "test", asked))
        ways = {f"graph, {chunk} candidates": _graph(linker, pieces, chunk) for chunk in _GRAPH_CHUNKS}
        if _has_kernel(bundle, device):
            compiled = CompiledInteraction(bundle, threads)
            ways[COMPILED] = lambda: compiled.scores(pieces, None)
        scores, best = _measured(ways)
    pairs = len(asked) * len(bundle.entities)
    rates = {name: round(pairs / spent) for name, spent in best.items()}
    fastest = max(rate for name, rate in rates.items() if name != COMPILED)
    found: dict[str, Any] = {
        "mentions": len(asked),
        "candidates": len(bundle.entities),
        "rounds": _ROUNDS,
        "pairs_per_second": rates,
    }
    if COMPILED in ways:
        reference = scores[f"graph, {_GRAPH_CHUNKS[0]} candidates"]
        scale = np.sqrt(np.mean(np.square(reference), axis=(1, 2)))
        difference = np.abs(scores[COMPILED] - reference).max(axis=(1, 2)) / scale
        found["ratio_to_graph"] = round(rates[COMPILED] / fastest, 2)
        # By unit: text, image, image with text.
        found["largest_difference_to_rms"] = [float(unit) for unit in difference]
    return found


def _has_kernel(bundle: Bundle, device: str) -> bool:
    return absence(bundle, device) is None


def _graph(linker: Linker, pieces: dict[str, NDArray[np.float32]], chunk: int) -> Callable[[], NDArray[np.float32]]:
    """The interaction graph, `chunk` candidates at a time."""

    def scores() -> NDArray[np.float32]:
        table = linker.bundle.encoded
        parts = []
        for start in range(0, len(linker.entities), chunk):
            inputs = {**pieces, **{name: array[start : start + chunk] for name, array in table.items()}}
            parts.append(np.stack(list(linker.backend.run("interaction", inputs).values())))
        return np.concatenate(parts, axis=2)

    return scores


def _measured(ways: Ways) -> tuple[dict[str, NDArray[np.float32]], dict[str, float]]:
    """The scores of each way, and the least seconds it took."""
    scores = {name: way() for name, way in ways.items()}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(_ROUNDS):
        for name, way in ways.items():  # taking turns, so that other work on the machine meets all of them
            best[name] = min(best[name], seconds_of(way))
    return scores, best


def unshortened(folder: Path, device: str, threads: int) -> dict[str, Any]:
    """Pairs per second of the paper's formula, pair by pair, of the bundle's graphs and of the compiled kernel.

    All get the encoders' outputs. The plain matcher repeats norms and projections for every call, as the authors'
    evaluation does. The bundle made them once for the candidates, and once for the mentions before the clock starts.
    """
    import torch

    from mmkg_sdk.families.mimic.model import Encoded, build
    from mmkg_sdk.families.mimic.scoring import encoded_items, token_inputs

    torch.set_num_threads(threads)
    run, bundle = Run.open(folder / "run"), Bundle.open(folder / "bundle")
    model: Mimic = build(run.config, {}).eval().requires_grad_(False)
    model.load_state_dict(run.weights())
    asked, chosen = (np.arange(min(count, len(run.tensors(name)["input_ids"]))) for name, count in _COMPARED.items())
    mentions, entities = (encoded_items(model, run, *part) for part in zip(_COMPARED, (asked, chosen), strict=True))
    with Linker(bundle, OnnxRuntimeBackend.open(bundle, device, threads)) as linker, torch.inference_mode():
        pieces = linker.encode_tokens(*token_inputs(run, "test", asked))
        ways: Ways = {"bundle": lambda: np.mean(list(linker.score_pieces(pieces, chosen).values()), axis=0)}
        if _has_kernel(bundle, device):
            compiled = CompiledInteraction(bundle, threads)
            ways[COMPILED] = lambda: compiled.scores(pieces, chosen).mean(axis=0)
        exported = _plain_session(model, device, threads)
        model.to(device)
        asking, asked_for = (Encoded(*(part.to(device) for part in one)) for one in (mentions, entities))
        for chunk in _PLAIN_CHUNKS:
            ways[f"onnxruntime, {chunk} candidates"] = _in_chunks(exported, mentions, entities, chunk)
            ways[f"torch, {chunk} candidates"] = _in_chunks(
                lambda m, e: model.matcher(m, e).overall.cpu(), asking, asked_for, chunk
            )
        scores, best = _measured(ways)
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
        **{
            f"compiled_ratio_to_{runtime}": round(rates[COMPILED] / rate, 2)
            for runtime, rate in fastest.items()
            if COMPILED in rates
        },
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


def _plain_session(model: Mimic, device: str, threads: int) -> Callable[[Encoded, Encoded], NDArray[np.float32]]:
    """The plain matcher in ONNX Runtime, with the settings of the SDK's own backend."""
    import torch

    from mmkg_sdk.bundle.graph_specs import Axis, GraphSpec, TensorSpec
    from mmkg_sdk.families.mimic.model import Encoded

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
    run = open_module(Plain(), spec, "onnxruntime", device, threads)

    def scores(mentions: Encoded, entities: Encoded) -> NDArray[np.float32]:
        arrays = [part.numpy() for part in (*mentions, *entities)]
        return run(dict(zip((tensor.name for tensor in inputs), arrays, strict=True)))["scores"]

    return scores

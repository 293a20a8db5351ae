"""How fast, and in how much memory, mentions are ranked against all candidates of a public data set.

The model has the published widths of the units (spec section 8) and random weights: speed and memory do not depend on
what they say. Its CLIP has one layer per tower, because encoding is not what is measured, and takes hours in full size.

    from mmkg_sdk.bench.studies.linking import measure_linking
    measure_linking("WikiMEL", "linking-wikimel.json")

or `mmkg-sdk bench study linking WikiMEL --out linking-wikimel.json`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.answering.entity_linking import Linker, Mention
from mmkg_sdk.backends import open_backend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_kind
from mmkg_sdk.evaluation.entity_linking import evaluate_linking
from mmkg_sdk.families.mimic.compiled import absence
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.kernels import default_threads
from mmkg_sdk.run import Run

from ..machine.conditions import Watch
from ..machine.environment import bundle_sha256
from ..report.written import check_out, write_study
from .pairs import all_candidates, unshortened

_MENTIONS_A_TURN = 64

# The published matcher behind towers of one layer.
PUBLISHED = MimicConfig(num_text_layers=1, num_image_layers=1)


def measure_linking(
    data: str | Path,
    out: str | Path,
    *,
    config: MimicConfig = PUBLISHED,
    precision: str = "fp16",
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 240.0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Export a random model for the data, rank test mentions with the bundle, and compare ways to score pairs.

    Args:
        data: what `open_data` takes.
        out: the JSON file to write.
        config: sizes, and what tokenizes.
        device: where mentions are encoded and ranked.
        threads: of the CPU; None takes `default_threads()`.
        seconds: how long to rank; the mentions that are not reached are extrapolated, and the result says so.

    Returns:
        What was written: conditions, "ranking", "all_candidates" and "unshortened".

    Raises:
        DataError: `out` cannot be written.
    """
    found = open_kind(data, LinkingData)
    check_out(out)
    threads = default_threads() if threads is None else threads
    with tempfile.TemporaryDirectory(prefix="mmkg-linking-") as folder:
        watch, bundle = Watch.start(threads, device=device), Path(folder) / "bundle"
        encoding = _in_own_process(_export, found, config, Path(folder), precision, threads)
        say(f"encoded {len(found.entities):,} entities and exported in {encoding:.0f} s")
        ranking = _in_own_process(_rank, bundle, found, device, threads, seconds)
        say(f"ranked {ranking['mentions']:,} mentions in {ranking['seconds']} s, {ranking['peak_rss_mib']:,} MiB")
        everything = _in_own_process(all_candidates, Path(folder), device, threads)
        say(f"pairs a second over all candidates: {everything['pairs_per_second']}")
        plain = _in_own_process(unshortened, Path(folder), device, threads)
        watch.finish()
        result = {
            "environment": watch.found | {"bundle_sha256": bundle_sha256(bundle)},
            "data": found.name,
            "precision": precision,
            "weights": "random",
            "config": config.in_precision(precision).to_json(),
            "bundle_mib": round(sum(path.stat().st_size for path in bundle.iterdir()) / 2**20, 1),
            "export_seconds": round(encoding, 1),
            "ranking": ranking,
            "all_candidates": everything,
            "unshortened": plain,
        }
    write_study(result, out)
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


def _rank(folder: Path, data: LinkingData, device: str, threads: int, seconds: float) -> dict[str, Any]:
    """Rank test mentions, evenly spread over the split, against all candidates until the time is up."""
    bundle = Bundle.open(folder)
    with Linker(bundle, open_backend(bundle, "auto", device, threads)) as linker:
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
        backend, by_graph = linker.backend.name, absence(bundle, linker.backend.device) is not None
    rate = scored / spent
    everything = len(data.test)
    return {
        "backend": backend,
        "pairs_scored_by": "graph" if by_graph else "compiled kernel",
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

"""How fast MyGO trains on a graph of many entities, with all of them in each step and with a sample of them.

    from mmkg_sdk.bench.studies.training import measure_training
    measure_training("training.json")

or `mmkg-sdk bench study training`. Triples are random and so are weights, which changes no time.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from ..machine.conditions import Watch
from ..report.written import check_out, write_study

_RELATIONS, _BATCH = 11, 2048


def measure_training(
    out: str | Path,
    *,
    entities: int = 40_943,
    triples: int = 10_240,
    width: int = 32,
    sampled: int = 1024,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train one epoch each way, in a process of its own.

    Args:
        out: the JSON file to write.
        entities: of the graph; 40,943 as WN18RR.
        triples: of the training split, in batches of 2,048.
        width: MyGO's embedding_dim.
        sampled: MyGO's sampled_entities.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, sizes, and for each way `triples_per_second` and `peak_mib` of the process.

    Raises:
        DataError: `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    threads = default_threads() if threads is None else threads
    watch, ways = Watch.start(threads), {}
    for name, sample in (("all entities, as published", None), (f"{sampled} sampled entities", sampled)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            ways[name] = pool.submit(_trained, entities, triples, width, sample, threads).result()
        say(f"{name}: {ways[name]}")
    watch.finish()
    result = {
        "what": "one epoch of MyGO, random triples and weights",
        "environment": watch.found,
        "entities": entities,
        "triples": triples,
        "width": width,
        "batch": _BATCH,
        "ways": ways,
    }
    write_study(result, out)
    return result


def _trained(entities: int, triples: int, width: int, sampled: int | None, threads: int) -> dict[str, float]:
    import torch

    from mmkg_sdk.families import contract
    from mmkg_sdk.families.mygo.config import MyGOConfig
    from mmkg_sdk.training.loop import train
    from mmkg_sdk.training.metrics import read_metrics
    from mmkg_sdk.training.settings import TrainingSettings

    from .random_runs import mygo_run

    codebooks = (1024, 32, 1024, 32)  # rows and width of the visual one, and of the text one
    config = MyGOConfig(entities, _RELATIONS, *codebooks, 2, 8, width, 2 * width, sampled_entities=sampled)
    with tempfile.TemporaryDirectory(prefix="mmkg-training-") as made:
        run = mygo_run(Path(made) / "run", config, triples)
        torch.manual_seed(0)
        model = contract.model_part("mygo").build(run.config, run.inputs)
        objective = contract.objective_part("mygo").objective_of(run, model)
        settings = TrainingSettings(epochs=1, batch_size=_BATCH, threads=threads, precision="fp32")
        train(objective, run, settings, lambda: {"mrr": 0.0})
        (row,) = read_metrics(run.folder / "metrics.jsonl")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"triples_per_second": row["triples_per_second"], "peak_mib": round(peak, 1)}

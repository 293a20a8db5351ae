"""What the export of an AdaMF-MAT takes that is large in entities and wide: time, and memory.

    from mmkg_sdk.bench.studies.exporting import measure_exporting
    measure_exporting("exporting.json")

or `mmkg-sdk bench study exporting`. Triples and weights are random; parity is checked as ever.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from ..machine.conditions import Watch
from ..report.written import check_out, write_study

_RELATIONS, _FEATURES = 11, 64


def measure_exporting(
    out: str | Path,
    *,
    entities: int = 40_943,
    width: int = 250,
    triples: int = 10_000,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Export once, in a process of its own.

    Args:
        out: the JSON file to write.
        entities: of the graph; 40,943 as WN18RR.
        width: AdaMF-MAT's embedding_dim, complex coordinates; 250 as published.
        triples: of the training split.

    Returns:
        What was written: conditions, sizes, `seconds` of the export, and `peak_mib` of its process.

    Raises:
        DataError: `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    watch = Watch.start(default_threads())
    with (
        tempfile.TemporaryDirectory(prefix="mmkg-exporting-") as made,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        pool.submit(_written, Path(made), entities, width, triples).result()
        found = pool.submit(_exported, Path(made)).result()
    say(str(found))
    watch.finish()
    result: dict[str, Any] = {
        "what": "export of an AdaMF-MAT of random weights, features of 64 numbers",
        "environment": watch.found,
        "entities": entities,
        "width": width,
        "triples": triples,
        **found,
    }
    write_study(result, out)
    return result


def _written(folder: Path, entities: int, width: int, triples: int) -> None:
    from mmkg_sdk.families.adamf_mat.config import AdaMFConfig

    from .random_runs import adamf_run

    adamf_run(folder / "run", AdaMFConfig(entities, _RELATIONS, _FEATURES, _FEATURES, width), triples)


def _exported(folder: Path) -> dict[str, float]:
    from mmkg_sdk.export import export_bundle

    began = time.perf_counter()
    export_bundle(folder / "run", folder / "bundle")
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "peak_mib": round(peak, 1)}

"""What actors of Ray Data gain over one process that answers the same queries.

    from mmkg_sdk.bench.studies.actors import measure_actors
    measure_actors("quickstart/bundle", "actors.json", queries=1_000_000)

or `mmkg-sdk bench study actors quickstart/bundle --queries 1000000 --out actors.json`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.errors import missing_package
from mmkg_sdk.serving.ray import Answer

from ..machine.conditions import Watch
from ..machine.environment import bundle_sha256
from ..report.written import check_out, write_study

_BATCH = 4096


def measure_actors(
    bundle: str | Path,
    out: str | Path,
    *,
    queries: int = 1_000_000,
    actors: int = 2,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Answer random queries in this process, then with one actor and with several.

    Args:
        bundle: of link prediction.
        out: the JSON file to write.
        queries: how many; each way answers all of them, in batches of 4,096, and keeps no answer.
        actors: at most.
        threads: CPU threads of each process.

    Returns:
        What was written: conditions, and for each way its `seconds` and `queries_per_second`, the start of the
        actors included. `efficiency` is the rate of the actors for the rate
        of one process, divided by their number.

    Raises:
        BackendError: Ray is not installed.
        DataError: `out` cannot be written.
    """
    check_out(out)
    try:
        import pyarrow
        import ray
    except ModuleNotFoundError as err:
        raise missing_package(str(err.name), "ray", "this study") from err
    with Model.load(bundle, threads=threads) as model:
        sizes = len(model.entities), len(model.relations)
    chance = np.random.default_rng(0)
    table = pyarrow.table(
        {name: chance.integers(0, size, queries) for name, size in zip(("head", "relation"), sizes, strict=True)}
    )
    watch, rows = Watch.start(actors * threads, packages=("ray",)), []
    answer = Answer(bundle, threads=threads)
    answer(table.slice(0, 8))
    began = time.perf_counter()
    for start in range(0, queries, _BATCH):
        answer(table.slice(start, _BATCH))
    rows.append(_row("one process", 1, queries, time.perf_counter() - began))
    ray.init(num_cpus=actors * threads + 1, include_dashboard=False, log_to_driver=False)
    try:
        for count in sorted({1, actors}):
            batches = [table.slice(start, _BATCH) for start in range(0, queries, _BATCH)]
            data = ray.data.from_arrow(batches).materialize()
            answered = data.map_batches(
                Answer,
                fn_constructor_args=(str(Path(bundle).absolute()),),
                fn_constructor_kwargs={"threads": threads},
                num_cpus=threads,
                batch_format="pyarrow",
                batch_size=_BATCH,
                compute=ray.data.ActorPoolStrategy(size=count),
            )
            began = time.perf_counter()
            found = sum(len(batch) for batch in answered.iter_batches(batch_size=None, batch_format="pyarrow"))
            rows.append(_row("actors of Ray Data", count, found, time.perf_counter() - began))
    finally:
        ray.shutdown()
    watch.finish()
    rows = [row | {"efficiency": round(_efficiency(row, rows[0]), 3)} for row in rows]
    for row in rows:
        say(", ".join(f"{name} {value}" for name, value in row.items()))
    result = {
        "what": "random queries by Answer, ten answers each",
        "environment": watch.found | {"bundle_sha256": bundle_sha256(Path(bundle))},
        "threads": threads,
        "queries": queries,
        "rows": rows,
    }
    write_study(result, out)
    return result


def _row(way: str, processes: int, queries: int, seconds: float) -> dict[str, Any]:
    return {
        "way": way,
        "processes": processes,
        "queries": queries,
        "seconds": round(seconds, 2),
        "queries_per_second": round(queries / seconds),
    }


def _efficiency(row: dict[str, Any], one: dict[str, Any]) -> float:
    rate: float = row["queries_per_second"] / one["queries_per_second"] / row["processes"]
    return rate

"""How fast files of queries are answered, and in how much memory, beside lists of the same queries.

    from mmkg_sdk.bench.studies.batches import measure_batches
    measure_batches("quickstart/bundle", "batches.json", rows=100_000)

or `mmkg-sdk bench study batches BUNDLE`. Each way is measured in a process of its own, in turns, and the time begins
when the bundle is open. Memory is measured with all queries and with a tenth of them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mmkg_sdk.errors import missing_package

from ..machine.conditions import Watch
from ..report.written import check_out, write_study
from .own_process import begin_peak, in_own_process, memory_mib

# Queries of a call with lists; `predict_file` answers as many together.
_CALL = 8192
# What lists and files of each format are called in results.
LISTS, UNREAD = "lists", "lists, answers not read"
FILES = {"Parquet": ".parquet", "CSV": ".csv", "JSON lines": ".jsonl"}


def measure_batches(
    bundle: str | Path,
    out: str | Path,
    *,
    rows: int = 100_000,
    k: int = 10,
    rounds: int = 3,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Answer the same queries (head, relation, ?) in every way.

    Args:
        bundle: of link prediction.
        out: the JSON file to write.
        rows: queries, drawn evenly from the labels of the bundle.
        k: answers of each.
        rounds: each way takes so many turns.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, and for each way "queries_per_second" (the median of the rounds), "seconds" of
        each round and the memory that it took at most beyond the opened bundle, "peak_mib" with all queries and
        "peak_mib_of_a_tenth".

    Raises:
        DataError: `out` cannot be written.
        BackendError: pyarrow is not installed.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    threads = default_threads() if threads is None else threads
    watch = Watch.start(threads, Path(bundle))
    ways = [LISTS, UNREAD, *FILES]
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="mmkg-batches-") as made:
        entities = in_own_process(_write_queries, Path(bundle), Path(made), rows)
        for number in range(rounds):
            for way in ways[:: -1 if number % 2 else 1]:
                found[way].append(in_own_process(_measured, Path(bundle), Path(made) / "all", way, k, threads))
                say(f"round {number + 1}, {way}: {rows / found[way][-1]['seconds']:,.0f} queries per second")
        tenth = {way: in_own_process(_measured, Path(bundle), Path(made) / "tenth", way, k, threads) for way in ways}
    watch.finish()
    result = {
        "what": "files of queries (head, relation, ?) beside lists of them; the time begins when the bundle is open",
        "environment": watch.found,
        "entities": entities,
        "rows": rows,
        "k": k,
        "ways": {
            way: {
                "queries_per_second": round(rows / median(turn["seconds"] for turn in turns)),
                "seconds": [turn["seconds"] for turn in turns],
                "peak_mib": median(turn["peak_mib"] for turn in turns),
                "peak_mib_of_a_tenth": tenth[way]["peak_mib"],
            }
            for way, turns in found.items()
        },
    }
    write_study(result, out)
    return result


def _write_queries(bundle: Path, folder: Path, count: int) -> int:
    """All queries, and a tenth of them, in every format; how many entities there are."""
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError as err:
        raise missing_package("pyarrow", "tables", "the study of files") from err
    from mmkg_sdk.answering.link_prediction import Model

    random = np.random.default_rng(0)
    with Model.load(bundle, device="cpu") as model:
        entities, relations = list(model.entities), list(model.relations)
    for name, rows in (("all", count), ("tenth", max(1, count // 10))):
        heads = [entities[i] for i in random.integers(0, len(entities), rows).tolist()]
        asked = [relations[i] for i in random.integers(0, len(relations), rows).tolist()]
        table = pyarrow.table({"head": heads, "relation": asked})
        (folder / name).mkdir()
        pyarrow.parquet.write_table(table, folder / name / "queries.parquet")
        pyarrow.csv.write_csv(table, folder / name / "queries.csv")
        lines = (json.dumps({"head": head, "relation": one}) for head, one in zip(heads, asked, strict=True))
        (folder / name / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(entities)


def _measured(bundle: Path, folder: Path, way: str, k: int, threads: int) -> dict[str, float]:
    """Seconds, and the memory beyond that of the opened bundle."""
    import pyarrow.parquet

    from mmkg_sdk.answering.link_prediction import Model
    from mmkg_sdk.batches import predict_file

    with Model.load(bundle, device="cpu", threads=threads) as model:
        heads: list[str] = []
        relations: list[str] = []
        if way not in FILES:
            table = pyarrow.parquet.read_table(folder / "queries.parquet")
            heads, relations = table["head"].to_pylist(), table["relation"].to_pylist()
        model.predict_tails(model.entities[0], model.relations[0], k)
        begin_peak()
        before, began = memory_mib("VmHWM"), time.perf_counter()
        if way in FILES:
            name = f"queries{FILES[way]}"
            predict_file(model, folder / name, folder / f"answers{FILES[way]}", k, overwrite=True)
        else:
            _ask_lists(model, heads, relations, k, read=way == LISTS)
        seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 4), "peak_mib": round(memory_mib("VmHWM") - before, 1)}


def _ask_lists(model: Any, heads: list[str], relations: list[str], k: int, *, read: bool) -> None:
    """Some thousand at a time; of each answer labels, ids and scores are read and let go, unless `read` is false."""
    for start in range(0, len(heads), _CALL):
        part = slice(start, start + _CALL)
        found = model.predict_tails(heads[part], relations[part], k)
        if read:
            for ranking in found:
                _ = (ranking.labels, ranking.ids.tolist(), ranking.scores.tolist())

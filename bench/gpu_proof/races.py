"""Steps "race-...": one contender of the scan stage on random tables, each in its own process. NEVER RUN ON A GPU."""

from __future__ import annotations

import time
from typing import Any

from mmkg_sdk.errors import BackendError, MmkgError
from mmkg_sdk.kernels import default_threads
from mmkg_sdk.ranking.scores import InnerProduct

from ..gpu.calls import TURNS, Call
from ..gpu.contenders import contender
from ..gpu.timing import timed
from ..machine.work import share_of_ceiling
from ..race.exact_answers import ExactAnswers, exact_answers
from ..race.points import Point
from ..race.random_table import random_batch, whole_table
from ..report.percentiles import latency_numbers
from .job import Job
from .record import Record

# Where a scan is bound by reading, and where by launching; the largest last, for making its numbers takes longest.
ROWS, BATCHES, BEST, WIDTH = (1_000_000, 15_000, 10_000_000), (256, 2048, 32, 1), (10, 100), 256
_SECONDS = 0.5
# Out of memory is torch's RuntimeError, a graph beyond 2 GB protobuf's ValueError.
_FAILURES = (MmkgError, RuntimeError, ValueError, MemoryError)


def run(job: Job, record: Record) -> None:
    """A row for each table, batch and k; of what fails, one that says why.

    Raises:
        BackendError: the contender is not installed, or measured nothing.
    """
    way = contender(job.argument)
    assert way.scans is not None
    sizes, batches, best, width = ((500,), (3,), (5,), 32) if job.rehearsed else (ROWS, BATCHES, BEST, WIDTH)
    ceilings, began, measured = job.ceilings(), time.monotonic(), 0
    failures: list[str] = []
    for rows in sizes:
        table = whole_table(rows, width, 0)
        try:
            scans = way.scans(table, InnerProduct(), job.clock, job.device, default_threads())
        except ImportError as err:
            raise BackendError(f"{err}. Run: pip install '{way.package}'") from err
        except _FAILURES as err:
            failures.append(str(err)[:300])
            record.add(contender=job.argument, rows=rows, status="failed", note=failures[-1])
            continue
        exact = exact_answers(rows, width, 0, InnerProduct(), max(batches), max(best))
        for batch in batches:
            turns = [random_batch(turn, batch, width, 0) for turn in range(TURNS)]
            for k in best:
                point = Point("inner-product", rows, width, batch, k)
                row: dict[str, Any] = {"contender": job.argument, "rows": rows, "width": width, "batch": batch, "k": k}
                try:
                    call = scans.call(turns, k)
                    row |= _timed(call, scans.clock(call), point, exact, job)
                except _FAILURES as err:
                    failures.append(str(err)[:300])
                    record.add(**row, status="failed", note=failures[-1])
                    continue
                work = point.work(way.number_bytes, way.arithmetic)
                ms = row.get("gpu_ms_p50") or row["latency_ms_p50"]
                if ms:
                    share = share_of_ceiling(work, 1e3 / ms, ceilings)
                    row |= {"percent_of_ceiling": share.percent, "bound": share.bound}
                record.add(**row, status="measured", at_s=round(time.monotonic() - began, 1))
                measured += 1
        del table, scans
    if not measured:
        raise BackendError(failures[-1])


def _timed(call: Call, clock: Any, point: Point, exact: ExactAnswers, job: Job) -> dict[str, Any]:
    samples = timed(call, clock, 0.02 if job.rehearsed else _SECONDS, transfers=True)
    names = {"gpu": "gpu_ms", "gpu_warm": "gpu_warm_ms", "gpu_graph": "gpu_graph_ms", "enqueue": "enqueue_ms"}
    found: dict[str, Any] = {}
    for name, called in {**names, "host": "latency_ms"}.items():
        if values := getattr(samples, name):
            found |= latency_numbers([values], called)
    call.load(0)
    call.run()
    answers = call.fetch()
    agreement, error = exact.compared(answers["ids"], answers["scores"])
    return {**found, "agreement": agreement, "max_score_error": error, "notes": samples.notes}

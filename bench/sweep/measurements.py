"""What a contender of a sweep does in its own process (machine/worker.py), by the mode of a request:

{"mode": "throughput", "graph": "entity_encoder", "tokens": "all", "unit": "entities", "token_count": 14,
 "batch": null, "seconds": 1.0, "seed": 0, "outputs": "FILE.npy"}
{"mode": "single-stream", "seconds": 1.0, "seed": 0}
{"mode": "offline", "batch": 1024, "seconds": 1.0, "seed": 0}
{"mode": "server", "batch": 1024, "per_second": 500.0, "seconds": 1.0, "seed": 0}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mmkg_sdk import load
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import Contender, Curve

from ..machine.worker import Answer
from .encoders import open_encoder
from .measure import (
    compared_outputs,
    compared_vectors,
    entity_rates,
    graph_rates,
    offline_rates,
    query_latencies_ms,
    served,
)
from .sized_graphs import open_sized


def contender_job(
    contender: Contender, bundle: Bundle, device: str, threads: int, curves: Sequence[Curve] = ()
) -> dict[str, Any]:
    """What the process of a contender is told.

    Args:
        curves: those that it will be asked for and nothing else. Encoders of "all" tokens are then opened, and traced,
            at the start, when the others load, too.
    """
    of_contender = {"backend": contender.backend, "rewrite": contender.rewrite}
    graphs = [contender.graph(curve) for curve in curves if curve.tokens == "all"]
    return {
        "bundle": str(bundle.path.absolute()),
        **of_contender,
        "device": device,
        "threads": threads,
        "encoders": graphs,
    }


def open_worker(job: Mapping[str, Any]) -> Answer:
    """What answers requests.

    Raises:
        MmkgError: the contender cannot run here.
    """
    return _Measurements(load(job["bundle"], job["backend"], job["device"], threads=job["threads"]), job).answer


class _Measurements:
    def __init__(self, opened: Any, job: Mapping[str, Any]) -> None:
        self._opened, self._job = opened, job
        self._encoders = {graph: open_encoder(opened, graph, job) for graph in job["encoders"]}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        mode, timing = request["mode"], {"seconds": request["seconds"], "seed": request["seed"]}
        if mode == "single-stream":
            return {"latency_ms": query_latencies_ms(self._opened, **timing)}
        if mode == "offline":
            return asdict(offline_rates(self._opened, request["batch"], **timing))
        if mode == "server":
            return asdict(served(self._opened, request["batch"], request["per_second"], **timing))
        curve = Curve(request["graph"], request["tokens"], request["unit"])
        if curve.tokens == "all":
            return self._entities(curve.graph + self._job["rewrite"], request)
        return self._sized(curve, request)

    def _entities(self, graph: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if graph not in self._encoders:
            self._encoders[graph] = open_encoder(self._opened, graph, self._job)
        encoder, count, seed = self._encoders[graph], request["token_count"], request["seed"]
        np.save(request["outputs"], compared_vectors(encoder, count, seed=seed), allow_pickle=False)
        return asdict(entity_rates(encoder, count, request["batch"], seconds=request["seconds"], seed=seed))

    def _sized(self, curve: Curve, request: Mapping[str, Any]) -> dict[str, Any]:
        bundle, where = self._opened.bundle, {name: self._job[name] for name in ("backend", "device", "threads")}
        sized = open_sized(bundle, curve, request["token_count"], **where)
        np.save(request["outputs"], compared_outputs(sized, curve.graph, bundle.precision), allow_pickle=False)
        work = {"flop": sized.flop / sized.items, "bytes": sized.bytes / sized.items}
        return asdict(graph_rates(sized, seconds=request["seconds"])) | {"work": work}

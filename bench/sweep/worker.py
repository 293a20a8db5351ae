"""A contender's own process: `python -m mmkg_sdk.bench.sweep.worker JOB`, requests on stdin, replies on stdout.

JOB is a JSON object with bundle, backend, rewrite and threads. Every line of stdin is a request, every line of stdout
the reply, both JSON objects; the first line of stdout says {"ready": true}. A reply {"error": ...} is one failed point,
or, as the first line, a contender that cannot run here.

    {"mode": "throughput", "graph": "entity_encoder", "tokens": "all", "unit": "entities", "token_count": 14,
     "batch": null, "seconds": 1.0, "seed": 0, "outputs": "FILE.npy"}
    {"mode": "single-stream", "seconds": 1.0, "seed": 0}
    {"mode": "offline", "batch": 1024, "seconds": 1.0, "seed": 0}
    {"mode": "server", "batch": 1024, "per_second": 500.0, "seconds": 1.0, "seed": 0}
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mmkg_sdk import load
from mmkg_sdk.errors import MmkgError

from .curves import Curve
from .encoders import Encoder, open_encoder
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


def main() -> None:
    """Serve until stdin ends."""
    # Libraries that print must not write into the replies.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(answer: Mapping[str, Any]) -> None:
        channel.write(json.dumps(answer) + "\n")
        channel.flush()

    job = json.loads(sys.argv[1])
    try:
        opened: Any = load(job["bundle"], job["backend"], "cpu", threads=job["threads"])
    except MmkgError as err:
        reply({"error": str(err)})
        return
    with opened:
        measurements = _Measurements(opened, job)
        reply({"ready": True})
        for line in sys.stdin:
            try:
                reply(measurements.answer(json.loads(line)))
            except MmkgError as err:
                reply({"error": str(err)})
            except Exception as err:  # whatever it is, it is one failed point, and the sweep goes on
                reply({"error": f"{type(err).__name__}: {err}"})


class _Measurements:
    """What a contender's process is asked for."""

    def __init__(self, opened: Any, job: Mapping[str, Any]) -> None:
        self._opened, self._job = opened, job
        self._encoders: dict[str, Encoder] = {}

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
        bundle, job = self._opened.bundle, self._job
        sized = open_sized(bundle, curve, request["token_count"], job["backend"], job["threads"])
        np.save(request["outputs"], compared_outputs(sized, curve.graph, bundle.precision), allow_pickle=False)
        work = {"flop": sized.flop / sized.items, "bytes": sized.bytes / sized.items}
        return asdict(graph_rates(sized, seconds=request["seconds"])) | {"work": work}


if __name__ == "__main__":
    main()

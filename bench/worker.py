"""A contender's own process: `python -m mmkg_sdk.bench.worker JOB`, requests on stdin, replies on stdout.

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

from .compiled import KERNELS, CompiledContender
from .curves import Curve
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
        reply({"ready": True})
        for line in sys.stdin:
            try:
                reply(_answer(opened, job, json.loads(line)))
            except MmkgError as err:
                reply({"error": str(err)})
            except Exception as err:  # whatever it is, it is one failed point, and the sweep goes on
                reply({"error": f"{type(err).__name__}: {err}"})


def _answer(opened: Any, job: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    mode, timing = request["mode"], {"seconds": request["seconds"], "seed": request["seed"]}
    if mode == "single-stream":
        return {"latency_ms": query_latencies_ms(opened, **timing)}
    if mode == "offline":
        return asdict(offline_rates(opened, request["batch"], **timing))
    if mode == "server":
        return asdict(served(opened, request["batch"], request["per_second"], **timing))
    return _throughput(opened, job, request)


def _throughput(opened: Any, job: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    seconds, seed = request["seconds"], request["seed"]
    curve, count = Curve(request["graph"], request["tokens"], request["unit"]), request["token_count"]
    if curve.tokens == "all":
        graph = curve.graph + job["rewrite"]
        encoder = CompiledContender(opened) if job["backend"] == KERNELS else opened
        np.save(request["outputs"], compared_vectors(encoder, graph, count, seed=seed), allow_pickle=False)
        return asdict(entity_rates(encoder, graph, count, request["batch"], seconds=seconds, seed=seed))
    sized = open_sized(opened.bundle, curve, count, job["backend"], job["threads"])
    np.save(request["outputs"], compared_outputs(sized, curve.graph, opened.bundle.precision), allow_pickle=False)
    work = {"flop": sized.flop / sized.items, "bytes": sized.bytes / sized.items}
    return asdict(graph_rates(sized, seconds=seconds)) | {"work": work}


if __name__ == "__main__":
    main()

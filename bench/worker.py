"""A contender's own process: `python -m mmkg_sdk.bench.worker JOB`, requests on stdin, replies on stdout.

JOB is a JSON object with bundle, backend, graph and threads. Every line of stdin is a request, every line of stdout the
reply, both JSON objects; the first line of stdout says {"ready": true}. A reply {"error": ...} is one failed point,
or, as the first line, a contender that cannot run here.

    {"mode": "entity_encoder", "token_count": 14, "seconds": 1.0, "seed": 0, "vectors": "FILE.npy"}
    {"mode": "query", "seconds": 1.0, "seed": 0}
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
from mmkg_sdk.model import Model

from .measure import compared_vectors, entity_rates, query_latencies_ms


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
        model = load(job["bundle"], job["backend"], "cpu", threads=job["threads"])
    except MmkgError as err:
        reply({"error": str(err)})
        return
    with model:
        reply({"ready": True})
        for line in sys.stdin:
            try:
                reply(_answer(model, job["graph"], json.loads(line)))
            except MmkgError as err:
                reply({"error": str(err)})
            except Exception as err:  # whatever it is, it is one failed point, and the sweep goes on
                reply({"error": f"{type(err).__name__}: {err}"})


def _answer(model: Model, graph: str, request: Mapping[str, Any]) -> dict[str, Any]:
    seconds, seed = request["seconds"], request["seed"]
    if request["mode"] == "query":
        return {"latency_ms": query_latencies_ms(model, seconds=seconds, seed=seed)}
    token_count = request["token_count"]
    np.save(request["vectors"], compared_vectors(model, graph, token_count, seed=seed), allow_pickle=False)
    return asdict(entity_rates(model, graph, token_count, seconds=seconds, seed=seed))


if __name__ == "__main__":
    main()

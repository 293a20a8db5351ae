"""How a service answers when queries come at a rate of their own, whether it keeps up or not.

    from mmkg_sdk.bench.studies.serving import measure_serving
    measure_serving("quickstart/bundle", "serving.json", rates=(50, 100, 200))

or `mmkg-sdk bench study serving quickstart/bundle --out serving.json`. The load is httperf's, which opens a connection
for each query and does not wait for answers. While it lasts, another client asks one query at a time and compares the
answers with those of the bundle opened here.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.errors import BackendError

from ..machine.conditions import Watch
from ..machine.environment import bundle_sha256
from ..report.written import check_out, write_study

_K = 10
_QUERIES = 512
_TIMEOUT_S = 10


def measure_serving(
    bundle: str | Path,
    out: str | Path,
    *,
    rates: Sequence[int] = (50, 100, 200, 400),
    seconds: int = 10,
    threads: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Start `mmkg-sdk serve` with its defaults on this machine, and ask it at each rate.

    Args:
        bundle: of link prediction.
        out: the JSON file to write.
        rates: queries per second.
        seconds: how long each is held.
        threads: CPU threads of the one replica.

    Returns:
        What was written: conditions, and a row for each rate: `sent`, `answered` (status 2xx), `rejected` (5xx),
        `failed` (other statuses, timeouts of 10 s, refused or impossible connections); `ms_p50`, `ms_p99` and `ms_max`
        of all connections, rejected ones included, from the connection to the end of the reply; `compared` and `wrong`
        answers of the other client.

    Raises:
        BackendError: httperf is not installed, or the service did not start.
        DataError: `out` cannot be written.
    """
    check_out(out)
    if shutil.which("httperf") is None:
        raise BackendError("this study needs httperf, which is not installed. Run: apt-get install httperf")
    watch = Watch.start(threads, packages=("ray",))
    rows = []
    with tempfile.TemporaryDirectory() as folder, Model.load(bundle, threads=1) as model:
        asked = _queries(model)
        sessions = Path(folder) / "sessions"
        sessions.write_text("".join(f"/ method=POST contents='{_quoted(query)}'\n\n" for query in asked))
        with _service(bundle, threads, Path(folder)) as port:
            _at_rate(port, sessions, 20, 3)  # the first queries find nothing warm
            for rate in rates:
                with _compared(model, asked, port) as counts:
                    row = {"rate": rate, **_at_rate(port, sessions, rate, seconds)}
                rows.append(row | counts)
                say(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    watch.finish()
    result = {
        "what": "mmkg-sdk serve with its defaults, one replica, queries of httperf over the loopback interface",
        "environment": watch.found | {"bundle_sha256": bundle_sha256(Path(bundle))},
        "seconds": seconds,
        "rows": rows,
    }
    write_study(result, out)
    return result


def read_httperf(text: str) -> dict[str, Any]:
    """Counts and times of what `httperf --verbose --verbose` printed.

    Raises:
        BackendError: it printed something else.
    """
    counts = re.search(r"Reply status: 1xx=\d+ 2xx=(\d+) 3xx=\d+ 4xx=\d+ 5xx=(\d+)", text)
    sent = re.search(r"Total: connections (\d+) ", text)
    unsent = re.search(r"fd-unavail (\d+)", text)
    times = re.search(r"Connection time \[ms\]: min \S+ avg \S+ max (\S+)", text)
    if not (counts and sent and unsent and times):
        raise BackendError(f"httperf printed {text[-400:]!r}; expected its statistics.")
    tried, answered, rejected = int(sent[1]) + int(unsent[1]), int(counts[1]), int(counts[2])
    shares = {"answered": answered, "rejected": rejected, "failed": tried - answered - rejected}
    bins = [(float(ms), int(count)) for ms, count in re.findall(r"^ +(\d+\.5) (\d+)$", text, flags=re.MULTILINE)]
    return {
        "sent": tried,
        **shares,
        "ms_p50": _percentile(bins, 0.5),
        "ms_p99": _percentile(bins, 0.99),
        "ms_max": float(times[1]),
    }


def _percentile(bins: list[tuple[float, int]], share: float) -> float | None:
    """Of a histogram with bins of 1 ms, whose middles are given."""
    left = share * sum(count for _, count in bins)
    for middle, count in bins:
        left -= count
        if left <= 0:
            return middle
    return None


def _queries(model: Model) -> list[dict[str, Any]]:
    """Those of the training triples, which every bundle of link prediction has."""
    triples = model.bundle.triples["train"][:_QUERIES].tolist()
    return [
        {"head": model.entities[head], "relation": model.relations[relation], "k": _K} for head, relation, _ in triples
    ]


def _quoted(query: dict[str, Any]) -> str:
    """As httperf reads it between quotes; JSON has escapes for what is no ASCII."""
    return json.dumps(query).replace("\\", "\\\\").replace("'", "\\'")


@contextmanager
def _service(bundle: str | Path, threads: int, folder: Path) -> Iterator[int]:
    """The port of `mmkg-sdk serve`, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    said = folder / "said"
    command = [sys.executable, "-m", "mmkg_sdk", "serve", str(bundle), "--port", str(port), "--threads", str(threads)]
    with said.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 300
        while "answers at" not in said.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BackendError(f"mmkg-sdk serve did not start: {said.read_text(errors='replace')[-400:]}")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _at_rate(port: int, sessions: Path, rate: int, seconds: int) -> dict[str, Any]:
    load = f"--wsesslog={rate * seconds},0,{sessions}"
    where = ["--server", "127.0.0.1", "--port", str(port), "--timeout", str(_TIMEOUT_S)]
    command = ["httperf", "--hog", *where, load, "--rate", str(rate), "--verbose", "--verbose"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return read_httperf(done.stdout)


@contextmanager
def _compared(model: Model, asked: list[dict[str, Any]], port: int) -> Iterator[dict[str, int]]:
    """How many answers were compared while the block ran, and how many of them were wrong."""
    counts, over = {"compared": 0, "wrong": 0}, threading.Event()

    def compare() -> None:
        for number in range(len(asked) ** 2):
            if over.is_set():
                return
            query = asked[number % len(asked)]
            try:
                with urlopen(Request(f"http://127.0.0.1:{port}/", json.dumps(query).encode()), timeout=60) as reply:
                    found = json.loads(reply.read())
            except HTTPError as err:
                if err.code != 503:
                    counts["wrong"] += 1
                continue
            (expected,) = model.predict_tails(query["head"], query["relation"], query["k"])
            counts["compared"] += 1
            counts["wrong"] += found != expected.to_json()

    client = threading.Thread(target=compare)
    client.start()
    try:
        yield counts
    finally:
        over.set()
        client.join()

"""The load of a service: what httperf prints is read, and a real service is asked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mmkg_sdk.bench.studies.actors import measure_actors
from mmkg_sdk.bench.studies.serving import measure_serving, read_httperf
from mmkg_sdk.errors import BackendError
from tests.places import ROOT

BUNDLE = ROOT / "tests" / "released" / "0.2.0" / "mygo"
# As httperf 0.9.0 prints it, shortened.
PRINTED = """Connection lifetime histogram (time in ms):
             :
            19.5 40
            20.5 55
             :
           502.5 3
           646.5 2

Total: connections 100 requests 100 replies 97 test-duration 5.280 s

Connection time [ms]: min 19.9 avg 226.3 max 646.5 median 20.5 stddev 161.8

Reply status: 1xx=0 2xx=90 3xx=0 4xx=1 5xx=6

Errors: total 5 client-timo 3 socket-timo 0 connrefused 0 connreset 0
Errors: fd-unavail 2 addrunavail 0 ftab-full 0 other 0
"""


def test_what_httperf_prints_is_read() -> None:
    assert read_httperf(PRINTED) == {
        "sent": 102,
        "answered": 90,
        "rejected": 6,
        "failed": 6,  # status 4xx, three without a reply, two that were never sent
        "ms_p50": 20.5,
        "ms_p99": 646.5,
        "ms_max": 646.5,
    }


@pytest.mark.parametrize("text", ["", "httperf: command not found", PRINTED.replace("Reply status", "Status")])
def test_other_output_is_refused(text: str) -> None:
    with pytest.raises(BackendError, match="expected its statistics"):
        read_httperf(text)


def test_a_service_is_asked_at_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray.serve", reason="Ray Serve is not installed")
    if shutil.which("httperf") is None:
        pytest.skip("httperf is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    measure_serving(BUNDLE, tmp_path / "serving.json", rates=(10, 20), seconds=2)
    found = json.loads((tmp_path / "serving.json").read_text())
    assert [row["rate"] for row in found["rows"]] == [10, 20]
    for row in found["rows"]:
        assert row["sent"] == 2 * row["rate"] == row["answered"] + row["rejected"] + row["failed"]
        assert row["wrong"] == 0
    assert sum(row["answered"] for row in found["rows"]) > 0
    assert sum(row["compared"] for row in found["rows"]) > 0


def test_without_httperf_the_study_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="needs httperf, which is not installed"):
        measure_serving(BUNDLE, tmp_path / "serving.json")


def test_actors_answer_all_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(ROOT))
    found = measure_actors(BUNDLE, tmp_path / "actors.json", queries=10_000)
    assert [(row["processes"], row["queries"]) for row in found["rows"]] == [(1, 10_000), (1, 10_000), (2, 10_000)]
    assert found["rows"][0]["efficiency"] == 1.0
    assert json.loads((tmp_path / "actors.json").read_text()) == found

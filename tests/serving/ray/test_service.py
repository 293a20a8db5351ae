"""`mmkg-sdk serve`, as it is run: answers over HTTP are the model's, wrong queries are said, too many are refused."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import mmkg_sdk
from mmkg_sdk.errors import BundleError, QueryError
from mmkg_sdk.serving.ray.service import Limits, Service, application
from tests.cli.walk import call
from tests.places import ROOT

pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

Bundles = Callable[..., Path]
# So few may wait that a flood meets the limit, and so long that a batch is filled.
LIMITS = ("--batch", "8", "--ongoing", "8", "--queued", "4", "--wait-ms", "100")


@pytest.fixture(scope="module")
def url(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mmkg_sdk", "serve", str(bundles("mygo")), "--port", str(port), *LIMITS]
    said = tmp_path_factory.mktemp("serve") / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 240
    while "answers at" not in said.read_text():
        assert process.poll() is None, said.read_text()[-4000:]
        assert time.monotonic() < deadline, said.read_text()[-4000:]
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)  # as a container is stopped
    assert process.wait(120) == 1, said.read_text()[-4000:]
    assert "Interrupted." in said.read_text()


def ask(url: str, query: Any, method: str = "POST") -> tuple[int, Any]:
    """Status and answer."""
    body = None if method == "GET" else query if isinstance(query, bytes) else json.dumps(query).encode()
    try:
        with urlopen(Request(url, body, method=method), timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as err:
        text = err.read()
        return err.code, json.loads(text) if text.startswith(b"{") else text.decode()


def queries() -> list[dict[str, Any]]:
    """Of every kind, so that those of one batch differ."""
    found: list[dict[str, Any]] = []
    for entity in range(9):
        for relation in (0, 1):
            found.append({"head": entity, "relation": relation, "k": 1 + entity % 3})
            found.append({"relation": relation, "tail": entity, "filter_known": bool(entity % 2)})
    return found


def expected(model: mmkg_sdk.Model, query: dict[str, Any]) -> Any:
    k, known = query.get("k", 10), query.get("filter_known")
    if "head" in query:
        (found,) = model.predict_tails(query["head"], query["relation"], k, filter_known=known)
    else:
        (found,) = model.predict_heads(query["relation"], query["tail"], k, filter_known=known)
    return found.to_json()


def test_queries_that_meet_have_the_answers_of_one_at_a_time(url: str, bundles: Bundles) -> None:
    asked = queries() * 3
    with ThreadPoolExecutor(4) as threads, mmkg_sdk.Model.load(bundles("mygo"), threads=1) as model:
        for query, (status, answer) in zip(asked, threads.map(lambda query: ask(url, query), asked), strict=True):
            assert status == 200
            assert answer == expected(model, query)  # scores to the bit: JSON has all digits


def test_too_many_are_refused_and_the_others_answered(url: str, bundles: Bundles) -> None:
    asked = queries() * 2
    with ThreadPoolExecutor(len(asked)) as threads, mmkg_sdk.Model.load(bundles("mygo"), threads=1) as model:
        found = list(threads.map(lambda query: ask(url, query), asked))
        assert {status for status, _ in found} == {200, 503}
        for query, (status, answer) in zip(asked, found, strict=True):
            assert status == 503 or answer == expected(model, query)
    assert ask(url, asked[0])[0] == 200


def test_health_is_said(url: str) -> None:
    with urlopen(f"{url}/-/healthz", timeout=60) as answer:
        assert answer.read() == b"success"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"x", "the body is no JSON"),
        (b"\xff\xfe", "the body is no JSON"),
        (b"[" * 60_000, "the body is no JSON"),
        (b'"' + b"x" * 70_000 + b'"', "the body has more than 64 KiB"),
        ([], "the body is list; expected a JSON object"),
        ({}, "expected a relation, and either head or tail"),
        ({"head": 0, "relation": 0, "tail": 0}, "expected a relation, and either head or tail"),
        ({"head": 0}, "expected a relation, and either head or tail"),
        ({"head": "nobody", "relation": 0}, "unknown entity 'nobody'"),
        ({"head": 0, "relation": 9}, "relation id 9"),
        ({"head": [0, 1], "relation": 0}, r"entity is \[0, 1\]; expected a label or an id"),
        ({"head": True, "relation": 0}, "entity is True; expected a label or an id"),
        ({"head": 0, "relation": 0.5}, "relation is 0.5; expected a label or an id"),
        ({"head": 10**30, "relation": 0}, "a number is longer than 64 bits"),
        ({"head": 10**15, "relation": 0}, "out of range"),
        ({"head": 0, "relation": 0, "k": 0}, "k is 0; expected"),
        ({"head": 0, "relation": 0, "k": "3"}, "k is '3'; expected"),
        ({"head": 0, "relation": 0, "filter_known": 1}, "filter_known is 1; expected"),
        ({"head": 0, "relation": 0, "path": "/etc/passwd"}, "a query has 'path'; expected"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_wrong_query_is_said(url: str, query: Any, message: str) -> None:
    status, answer = ask(url, query)
    assert status == 400
    assert answer["error"]["type"] == "QueryError"
    assert re.search(message, answer["error"]["message"])


def test_other_places_and_methods_are_refused(url: str) -> None:
    assert ask(f"{url}/predict", {})[0] == 404
    assert ask(url, {}, "GET")[0] == 405


# ---- what is refused before anything is started ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"batch": 200}, {"queued": 0}, {"wait_ms": -1.0}, {"wait_ms": 1e9}], ids=repr
)
def test_limits_that_fit_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match="expected a batch of 1 to `ongoing`"):
        Limits(**wrong)


def test_another_task_or_no_bundle_is_refused(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="what is served is link prediction and entity linking"):
        application(bundles("mkgformer-tags"))
    with pytest.raises(BundleError, match="No such file"):
        application(tmp_path / "gone")
    for place in (tmp_path, tmp_path / "gone", bundles("mkgformer-tags"), Path(os.devnull)):
        outcome = call("serve", place)
        assert outcome.code == 1
        assert not outcome.wrong()
    assert call("serve", bundles("mygo"), "--batch", "9", "--ongoing", "8").code == 1


# ---- the service itself, without HTTP --------------------------------------------------------------------------------


def test_mentions_are_served(bundles: Bundles) -> None:
    service = Service(str(bundles("mimic")), Limits(), 1)
    service.check_health()
    with mmkg_sdk.Linker.load(bundles("mimic"), threads=1) as linker:
        (expected,) = linker.link_mentions(mmkg_sdk.Mention("Jordan", "Jordan is a river."), 3)
    asked = service._checked(b'{"mention": "Jordan", "sentence": "Jordan is a river.", "k": 3}')
    other = service._checked(b'{"mention": "Georgia"}')
    assert service._answers([asked, other, asked])[::2] == [expected.to_json()] * 2


@pytest.mark.parametrize(
    "query",
    [{}, {"mention": ""}, {"mention": 5}, {"mention": "a", "sentence": None}, {"mention": "a", "image": "/etc/passwd"}],
    ids=repr,
)
def test_a_wrong_mention_is_said(query: dict[str, Any], bundles: Bundles) -> None:
    with pytest.raises(QueryError, match="mention"):
        Service(str(bundles("mimic")), Limits(), 1)._checked(json.dumps(query).encode())

"""Runs that come again are CUDA graphs, with stand-ins for the library's runtime and for the GPU."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.backends import DeviceArray, captured_runs
from mmkg_sdk.backends.tensorrt import engine

from .conftest import StandIn
from .test_backend import GRAPH, expected, queries

LAUNCH_FAILED = 1


def ask(stand_in: StandIn, count: int, first: int, table: DeviceArray | None = None) -> None:
    """A batch, and whether its answer is right."""
    inputs: dict[str, Any] = queries(count, stand_in.bundle.table)
    inputs["entity"] = (inputs["entity"] + first) % len(stand_in.bundle.table)
    given = inputs if table is None else {**inputs, "table": table}
    found = stand_in.backend.run(GRAPH, given)["queries"]
    np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)


def test_what_comes_again_is_captured_and_launched_with_new_inputs(stand_in: StandIn) -> None:
    ask(stand_in, 3, 0)
    assert len(stand_in.library.put) == 1
    ask(stand_in, 3, 5)  # once as it is, once to be captured
    assert len(stand_in.library.put) == 3
    for first in (7, 11, 2):
        ask(stand_in, 3, first)
    assert len(stand_in.library.put) == 3
    assert len(stand_in.library.runs) == 1 + 2 + 3


def test_other_shapes_are_other_graphs_and_a_few_are_kept(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "KEPT", 2)
    for _ in range(2):
        for count in (1, 2, 300):  # of all three profiles
            ask(stand_in, count, count)
    assert len(stand_in.library.put) == 3 + 3 * 2
    stand_in.library.put.clear()
    for count in (300, 2):
        ask(stand_in, count, 4)
    assert not stand_in.library.put
    ask(stand_in, 1, 4)  # was dropped, and is as new
    assert len(stand_in.library.put) == 1
    ask(stand_in, 1, 4)
    assert len(stand_in.library.put) == 3


def test_outputs_are_the_caller_s_and_stay_when_it_runs_again(stand_in: StandIn) -> None:
    batches = [queries(4, stand_in.bundle.table) for _ in range(4)]
    for number, batch in enumerate(batches):
        batch["entity"] = batch["entity"] + 5 * number
    found = [stand_in.backend.run_placed(GRAPH, batch)["queries"] for batch in batches]
    for one, batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(one.numpy(), expected(stand_in, batch), rtol=1e-5, atol=1e-6)


def test_a_large_input_is_read_where_it_lies_and_elsewhere_is_captured_anew(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured_runs, "COPIED_BYTES", 1000)
    first, second = (stand_in.backend.place(stand_in.bundle.table) for _ in range(2))
    for number in range(3):
        ask(stand_in, 3, number, first)
    assert len(stand_in.library.put) == 3
    for number in range(3):
        ask(stand_in, 3, number, second)
    assert len(stand_in.library.put) == 6
    ask(stand_in, 3, 9, first)
    assert len(stand_in.library.put) == 6


@pytest.mark.parametrize("function", ["cuStreamBeginCapture", "cuGraphInstantiate"])
def test_what_cannot_be_captured_runs_as_it_is_and_is_said_once(
    function: str, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    ask(stand_in, 3, 0)
    stand_in.driver.fail(function, LAUNCH_FAILED)
    with caplog.at_level(logging.WARNING):
        ask(stand_in, 3, 1)
        stand_in.driver.recover()
        for number in range(3):
            ask(stand_in, 3, number)
    said = [one.getMessage() for one in caplog.records if "CUDA graphs" in one.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("query_encoder runs without CUDA graphs from now on: ")
    assert stand_in.backend._graph(GRAPH).graphless in said[0]


def test_threads_capture_on_their_own_streams(stand_in: StandIn) -> None:
    def several(number: int) -> None:
        for again in range(3):
            ask(stand_in, number + 1, again)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(several, range(4)))
    assert len(stand_in.library.runs) == len(stand_in.library.put) + 4


def test_arrays_are_put_together_on_the_gpu_and_wait_for_who_made_them(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [queries(3, stand_in.bundle.table), queries(2, stand_in.bundle.table)]
    with ThreadPoolExecutor(1) as pool:  # on another stream, and nobody has waited for it
        made = [pool.submit(stand_in.backend.run_placed, GRAPH, batch).result()["queries"] for batch in batches]
        with monkeypatch.context() as patched:
            patched.setattr(type(made[0]), "numpy", None)
            joined = stand_in.backend.join(made)
        found = joined.numpy()
    wanted = np.concatenate([expected(stand_in, batch) for batch in batches])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)

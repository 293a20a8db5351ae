"""Runs that come again are CUDA graphs, with stand-ins for ONNX Runtime's CUDA provider and for the GPU."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.backends import captured_runs, onnxruntime_graphs
from mmkg_sdk.backends import onnxruntime as backend_module
from mmkg_sdk.kernels.gpu import Gpu

from .conftest import GRAPH, StandIn
from .provider import Value

AFTER = onnxruntime_graphs.AFTER


def test_what_comes_again_is_captured_and_launched_with_new_inputs(stand_in: StandIn, table: Any) -> None:
    provider = stand_in.provider
    for number in range(AFTER):
        stand_in.ask(3, number, table)
    assert (provider.plain, provider.captured, len(provider.sessions)) == (AFTER, 0, 1)
    stand_in.ask(3, 5, table)  # once more as it is, to be compared with
    assert (provider.plain, provider.captured, len(provider.sessions)) == (AFTER + 1, 1, 2)
    launched = provider.launched
    for number in (7, 11, 2):
        stand_in.ask(3, number, table)
    assert (provider.plain, provider.launched - launched) == (AFTER + 1, 3)
    assert provider.sessions == [
        {"device_id": 0, "use_tf32": 0},
        {"device_id": 0, "use_tf32": 0, "enable_cuda_graph": 1, "user_compute_stream": stand_in.backend.stream()},
    ]


def test_batches_are_filled_up_so_that_few_sizes_are_captured(stand_in: StandIn, table: Any) -> None:
    backend, provider = stand_in.backend, stand_in.provider
    for count in (4, 16):
        backend.capture(GRAPH, {**stand_in.inputs(count, 1), "table": table})
    plain = provider.plain
    for count in (3, 4, 9, 13, 16, 3):
        stand_in.ask(count, count, table)
    assert (provider.plain, provider.captured) == (plain, 2)
    stand_in.ask(5, 0, table)  # would be 8
    stand_in.ask(33, 0, table)
    assert provider.plain == plain + 2


def test_outputs_are_the_caller_s_and_stay_when_it_runs_again(stand_in: StandIn, table: Any) -> None:
    batches = [stand_in.inputs(4, 5 * number) for number in range(5)]
    found = [stand_in.backend.capture(GRAPH, {**batch, "table": table})["queries"] for batch in batches]
    assert stand_in.provider.captured == 1
    for one, batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(one.numpy(), stand_in.plain.run(None, batch)[0], rtol=1e-5, atol=1e-6)
    # What a graph gave is an input of plain runs, too, without a way over the host.
    again = stand_in.backend.place(np.arange(4))
    value = stand_in.backend._value(found[0])
    assert value.data_ptr() == found[0].pointer
    assert stand_in.backend._value(again).data_ptr() == again.pointer


def test_all_sessions_read_the_same_weights_on_the_gpu(stand_in: StandIn, table: Any) -> None:
    for count in (1, 2, 4):
        stand_in.backend.capture(GRAPH, {**stand_in.inputs(count, 0), "table": table})
    assert len(stand_in.provider.sessions) == 4
    assert len(stand_in.provider.weights) > 10
    assert all(len(addresses) == 1 for addresses in stand_in.provider.weights.values())


def test_a_large_input_is_read_where_it_lies_and_on_the_host_it_is_run_plain(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured_runs, "COPIED_BYTES", 100)
    backend, provider = stand_in.backend, stand_in.provider
    first, second = (backend.place(stand_in.bundle.table) for _ in range(2))
    for table in (first, second, first):
        backend.capture(GRAPH, {**stand_in.inputs(2, 3), "table": table})
    assert provider.captured == 2
    for _ in range(AFTER + 2):
        backend.run(GRAPH, stand_in.inputs(2, 3))
    assert provider.captured == 2
    with pytest.raises(BackendError, match=r"with inputs .* are no CUDA graphs: the batch must be at most 32"):
        backend.capture(GRAPH, stand_in.inputs(2, 3))


def test_an_answer_that_is_not_the_plain_one_is_never_given(
    stand_in: StandIn, table: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.provider.frozen = True
    with caplog.at_level(logging.WARNING):
        for number in range(AFTER + 3):
            stand_in.ask(3, number, table)
    said = [one.getMessage() for one in caplog.records if "CUDA graphs" in one.getMessage()]
    assert len(said) == 1
    assert "gives another queries than without: they differ by" in said[0]
    assert stand_in.backend.graphless()[GRAPH] in said[0]
    assert stand_in.provider.captured == 1


def test_what_onnx_runtime_refuses_runs_plain_and_whoever_asks_is_told(stand_in: StandIn, table: Any) -> None:
    backend, provider = stand_in.backend, stand_in.provider
    words = "This session cannot use the graph capture feature: the model has control flow nodes"
    inputs = {**stand_in.inputs(2, 0), "table": table}
    provider.refuse = words
    with pytest.raises(BackendError, match=words):
        backend.capture(GRAPH, inputs)
    assert backend.graphless() == {}  # it may be another time
    provider.refuse = words
    for number in range(AFTER + 2):
        stand_in.ask(2, number, table)
    assert words in backend.graphless()[GRAPH]
    backend.cuda_graphs = False
    with pytest.raises(BackendError, match="runs of query_encoder on cuda are no CUDA graphs: cuda_graphs is False"):
        backend.capture(GRAPH, inputs)


def test_nodes_on_the_cpu_are_refused(stand_in: StandIn, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "open_session", _without_sizes(backend_module.open_session))
    spec = stand_in.bundle.graphs["entity_encoder"]
    inputs = {one.name: np.zeros(one.probe_shape, one.dtype) for one in spec.exported_inputs}
    with pytest.raises(BackendError, match=r"entity_encoder: .* nodes elsewhere than on the GPU: \d+ on CPUExecution"):
        stand_in.backend.capture("entity_encoder", inputs)


def _without_sizes(opened: Any) -> Any:
    return lambda *given, sizes=None, **named: opened(*given, **named)


def test_where_weights_cannot_be_shared_runs_are_plain_and_it_is_said(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(array: Any) -> None:
        raise RuntimeError("unsupported device")

    monkeypatch.setattr(Value, "from_dlpack", refused)
    inputs = stand_in.inputs(2, 0)
    found = stand_in.backend.run(GRAPH, inputs)["queries"]
    np.testing.assert_allclose(found, stand_in.plain.run(None, inputs)[0], rtol=1e-5, atol=1e-6)
    assert stand_in.backend.graphless()[GRAPH].startswith(
        "its sessions cannot share weights: ONNX Runtime takes no arr"
    )


def test_a_query_that_fails_costs_no_graph(stand_in: StandIn, table: Any) -> None:
    wrong = {**stand_in.inputs(3, 0), "table": table, "entity": np.full(3, 10**6)}
    for number in range(AFTER):
        stand_in.ask(3, number, table)
    with pytest.raises(BackendError, match="graph query_encoder failed on cuda"):
        stand_in.backend.run_placed(GRAPH, wrong)
    assert stand_in.backend.graphless() == {}


def test_without_the_kernels_library_there_are_none_and_whoever_asks_is_told(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "gpu_kernels_absence", lambda device: "the library is not built")
    inputs = stand_in.inputs(2, 0)
    for _ in range(AFTER + 2):
        found = stand_in.backend.run(GRAPH, inputs)["queries"]
    np.testing.assert_allclose(found, stand_in.plain.run(None, inputs)[0], rtol=1e-5, atol=1e-6)
    assert stand_in.provider.captured == 0
    assert stand_in.backend.graphless()[GRAPH].endswith("and the library is not built")
    with pytest.raises(BackendError, match=r"are no CUDA graphs: .*the library is not built"):
        stand_in.backend.capture(GRAPH, inputs)


def test_threads_have_sessions_of_their_own_on_their_own_streams(stand_in: StandIn, table: Any) -> None:
    def several(number: int) -> int:
        for again in range(AFTER + 3):
            stand_in.ask(number + 1, again, table)
        return stand_in.backend.stream()

    with ThreadPoolExecutor(4) as pool:
        streams = set(pool.map(several, range(4)))
    used = {options["user_compute_stream"] for options in stand_in.provider.sessions if len(options) > 2}
    assert used <= streams
    assert stand_in.backend.graphless() == {}
    assert stand_in.provider.captured >= 4


def test_memory_that_other_threads_of_ours_get_spoils_no_capture(stand_in: StandIn, table: Any, gpu: Gpu) -> None:
    got: list[Any] = []

    def allocate() -> None:
        thread = threading.Thread(target=lambda: got.append(gpu.array(np.zeros(3))))
        thread.start()
        thread.join()

    stand_in.provider.meanwhile = allocate
    stand_in.backend.capture(GRAPH, {**stand_in.inputs(2, 0), "table": table})
    assert len(got) == 1


def test_where_another_library_spoils_a_capture_runs_stay_plain(
    stand_in: StandIn, table: Any, gpu: Gpu, caplog: pytest.LogCaptureFixture
) -> None:
    """Another library's threads do not say that captures are none of their business."""
    provider = stand_in.provider

    def allocate() -> None:
        address, context = ctypes.c_uint64(), ctypes.c_void_p(1)
        provider.driver.cuCtxPushCurrent_v2(context)
        provider.driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(8))
        provider.driver.cuCtxPopCurrent_v2(ctypes.byref(context))

    def elsewhere() -> None:
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()

    provider.meanwhile = elsewhere
    with caplog.at_level(logging.WARNING):
        for number in range(AFTER + 2):
            stand_in.ask(2, number, table)
    assert "CUDA failure 901" in stand_in.backend.graphless()[GRAPH]


def test_only_so_many_are_kept_and_uses_that_take_turns_do_not_capture_again_and_again(
    stand_in: StandIn, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("KEPT", 2), ("AFTER", 1), ("IDLE", 12)):
        monkeypatch.setattr(onnxruntime_graphs, name, number)
    provider = stand_in.provider
    for _ in range(4):
        for count in (1, 2, 4):
            stand_in.ask(count, count, table)
    assert provider.captured == 2  # the third stays plain as long as both are in use
    for number in range(12):
        stand_in.ask(4, number, table)
    assert provider.captured == 3


def test_arrays_are_put_together_on_the_gpu_whoever_made_them(
    stand_in: StandIn, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stand_in.backend
    batches = [stand_in.inputs(2, first) for first in (0, 3, 6)]
    with ThreadPoolExecutor(1) as pool:  # on another stream, and nobody has waited for it
        made = [
            pool.submit(backend.capture, GRAPH, {**batch, "table": table}).result()["queries"] for batch in batches[:2]
        ]
        made.append(backend.run_placed(GRAPH, {**batches[2], "table": table})["queries"])
        with monkeypatch.context() as patched:
            for kind in {type(one) for one in made}:
                patched.setattr(kind, "numpy", None)
            joined = backend.join(made)
    expected = np.concatenate([stand_in.plain.run(None, batch)[0] for batch in batches])
    np.testing.assert_allclose(joined.numpy(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(BackendError, match=r"arrays of shapes \[\[2, 8\], \[9, 3\]\] could not be put together"):
        backend.join([made[0], backend.place(np.zeros((9, 3), np.float32))])


def test_closing_gives_all_memory_back(stand_in: StandIn, gpu: Gpu) -> None:
    gc.collect()
    before = stand_in.driver.memory_used
    backend = stand_in.backend
    backend.capture(GRAPH, stand_in.inputs(2, 0))
    assert stand_in.driver.memory_used > before
    backend.close()
    gc.collect()
    assert stand_in.driver.memory_used == before
    with pytest.raises(BackendError, match="this model is closed"):
        backend.capture(GRAPH, stand_in.inputs(2, 0))

"""What scans are raced against on a GPU: torch, ONNX Runtime, flashlib and JAX, each on the table as it takes it.

NEVER RUN ON A GPU. Their products are not exact, except ONNX Runtime's in float32: how many of their answers are right
stands beside their times.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.backends.onnxruntime_cuda import node_providers
from mmkg_sdk.errors import BackendError
from mmkg_sdk.ranking.scores import CandidateScore, InnerProduct

from ..machine.clock import ClockKind, DeviceClock, HostClock, open_clock
from ..machine.sessions import open_nodes
from .calls import Arrays
from .scans import OpenScans, Scans, Table

# Rows whose products with a batch of queries are kept at a time: 1 GiB in bfloat16 at 4,096 queries.
_ROWS_AT_ONCE = 1 << 17
# Batches and k that torch compiles for, before it would go on without compiling and without a word.
_MOST_SHAPES = 256


class _TorchScan:
    """bfloat16 products and torch's top-k."""

    whole: str | None = None
    waits: str | None = None

    graphless: str | None = None

    def __init__(self, device: str, scan: Callable[[Any, int], Any], turns: list[Table], k: int) -> None:
        import torch

        self._torch, self._device, self._scan, self._k = torch, device, scan, k
        self._turns = [torch.from_numpy(turn) for turn in turns]
        self._stream: Any = None
        if device != "cpu":
            self._turns = [turn.pin_memory() for turn in self._turns]
            cuda: Any = torch.cuda  # whose streams have no types
            self._stream = cuda.Stream(device)
        self._queries: Any = None
        self._found: Any = None

    @property
    def stream(self) -> int:
        """Its CUstream handle; 0 on a processor."""
        return 0 if self._stream is None else int(self._stream.cuda_stream)

    def load(self, turn: int) -> None:
        """See Call."""
        with self._on_stream():
            self._queries = self._turns[turn].to(self._device, non_blocking=True).bfloat16()

    def run(self) -> None:
        """See Call."""
        with self._on_stream(), self._torch.inference_mode():
            self._found = self._scan(self._queries, self._k)

    def fetch(self) -> Arrays:
        """See Call."""
        with self._on_stream():
            return {"ids": self._found[1].cpu().numpy(), "scores": self._found[0].float().cpu().numpy()}

    def _on_stream(self) -> Any:
        return self._torch.cuda.stream(self._stream)  # of None: a context that does nothing


def torch_scans(*, compiled: bool) -> OpenScans:
    """Torch: in blocks of rows, or all products at once through torch.compile."""

    def opened(table: Table, score: CandidateScore, kind: ClockKind, device: str, threads: int) -> Scans:
        import torch

        _check_score(score)
        torch.set_num_threads(threads)
        rows = torch.from_numpy(table).to(device).bfloat16()

        def at_once(queries: Any, k: int) -> Any:
            return (queries @ rows.T).topk(k, 1)

        def in_blocks(queries: Any, k: int) -> Any:
            parts = []
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                block = rows[start : start + _ROWS_AT_ONCE]
                scores, ids = (queries @ block.T).topk(min(k, len(block)), 1)
                parts.append((scores, ids + start))
            scores, ids = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
            best, places = scores.topk(k, 1)
            return best, ids.gather(1, places)

        if compiled:
            import torch._dynamo

            config: Any = torch._dynamo.config
            config.recompile_limit = _MOST_SHAPES
        scan = torch.compile(at_once, dynamic=False) if compiled else in_blocks
        return _torch_calls(scan, kind, device)

    return opened


def _torch_calls(scan: Callable[[Any, int], Any], kind: ClockKind, device: str) -> Scans:
    def clock(call: Any) -> DeviceClock:
        return open_clock(kind, device, call.stream, torch=True)

    return Scans(clock, lambda turns, k: _TorchScan(device, scan, turns, k))


def _check_score(score: CandidateScore) -> None:
    if not isinstance(score, InnerProduct):
        raise BackendError("inner products only")


class _HostScan:
    """A library that takes arrays of the host and gives them back."""

    def __init__(self, answer: Callable[[Table, int], tuple[Any, Any]], turns: list[Table], k: int, why: str) -> None:
        self._answer, self._turns, self._k = answer, turns, k
        self.whole: str | None = why
        self.waits: str | None = why
        self.graphless: str | None = why
        self._turn = 0
        self._found: Arrays = {}

    def load(self, turn: int) -> None:
        """See Call."""
        self._turn = turn

    def run(self) -> None:
        """See Call."""
        ids, scores = self._answer(self._turns[self._turn], self._k)
        self._found = {"ids": np.asarray(ids, np.int64), "scores": np.asarray(scores, np.float32)}

    def fetch(self) -> Arrays:
        """See Call."""
        return self._found


def _host_calls(answer: Callable[[Table, int], tuple[Any, Any]], why: str) -> Scans:
    return Scans(lambda call: HostClock(), lambda turns, k: _HostScan(answer, turns, k, why))


def onnxruntime_scans(table: Table, score: CandidateScore, kind: ClockKind, device: str, threads: int) -> Scans:
    """ONNX Runtime: MatMul and TopK with the table as a constant, float32 without TF32."""
    from onnx import TensorProto, helper

    _check_score(score)
    nodes = [
        helper.make_node("MatMul", ["queries", "table"], ["all"]),
        helper.make_node("TopK", ["all", "k"], ["scores", "ids"], largest=1, sorted=1),
    ]
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, (table.shape[1], len(table)), table.T.tobytes(), raw=True)
    ]
    inputs = [
        helper.make_tensor_value_info("queries", TensorProto.FLOAT, ("batch", table.shape[1])),
        helper.make_tensor_value_info("k", TensorProto.INT64, (1,)),
    ]
    outputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch", "k")),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("batch", "k")),
    ]
    session = open_nodes(nodes, inputs, outputs, constants, device, threads)

    def answer(queries: Table, k: int) -> tuple[Any, Any]:
        ids, scores = session.run(["ids", "scores"], {"queries": queries, "k": np.array([k])})
        return ids, scores

    scans = _host_calls(answer, "ONNX Runtime is asked from host to host")
    return replace(scans, providers={"MatMul and TopK": node_providers(session)})


def flashlib_scans(table: Table, score: CandidateScore, kind: ClockKind, device: str, threads: int) -> Scans:
    """flashlib's nearest neighbours by L2 distance: another ranking, of the same work."""
    from flashlib import flash_knn

    _check_score(score)
    if kind == "host":
        raise BackendError("flashlib runs on GPUs alone")
    import torch

    rows = torch.from_numpy(table).to(device).bfloat16()[None]

    def scan(queries: Any, k: int) -> Any:
        return tuple(part[0] for part in flash_knn(queries[None], rows, k))

    return _torch_calls(scan, kind, device)


def jax_scans(table: Table, score: CandidateScore, kind: ClockKind, device: str, threads: int) -> Scans:
    """JAX: bfloat16 products and jax.lax.top_k under jit."""
    # It would take three quarters of the GPU's memory, where the others have theirs.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    _check_score(score)
    wanted = "cpu" if device == "cpu" else "gpu"
    place = jax.devices(wanted)[parse_device(device)[1]]
    rows = jax.device_put(table, place).astype("bfloat16")

    def products(queries: Any, k: int) -> Any:
        return jax.lax.top_k(queries.astype("bfloat16") @ rows.T, k)

    jitted = jax.jit(products, static_argnums=1)

    def answer(queries: Table, k: int) -> tuple[Any, Any]:
        scores, ids = jitted(jax.device_put(queries, place), k)
        return ids, scores

    return _host_calls(answer, "JAX is asked from host to host")
